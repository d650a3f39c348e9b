//! What happened in a run.

/// How a run ended: what happened in it, and what is wrong, if anything is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Ended {
    /// A row, what is cached of it, and what the database has.
    pub(crate) stale: Option<(i64, u64, u64)>,
    pub(crate) told_here: u64,
    pub(crate) told_by_trigger: u64,
    pub(crate) unknown: u64,
    pub(crate) deaths: u64,
    pub(crate) goodbyes: u64,
    pub(crate) breaks: u64,
    pub(crate) losses: u64,
    pub(crate) freezes: u64,
    pub(crate) stalls: u64,
    pub(crate) doubts: u64,
    pub(crate) reads: u64,
}

impl Ended {
    pub(crate) fn counts(&self) -> [(&'static str, u64); 11] {
        [
            ("told_here", self.told_here),
            ("told_by_trigger", self.told_by_trigger),
            ("unknown", self.unknown),
            ("deaths", self.deaths),
            ("goodbyes", self.goodbyes),
            ("breaks", self.breaks),
            ("losses", self.losses),
            ("freezes", self.freezes),
            ("stalls", self.stalls),
            ("doubts", self.doubts),
            ("reads", self.reads),
        ]
    }

    pub(crate) fn add(&mut self, other: &Self) {
        self.told_here += other.told_here;
        self.told_by_trigger += other.told_by_trigger;
        self.unknown += other.unknown;
        self.deaths += other.deaths;
        self.goodbyes += other.goodbyes;
        self.breaks += other.breaks;
        self.losses += other.losses;
        self.freezes += other.freezes;
        self.stalls += other.stalls;
        self.doubts += other.doubts;
        self.reads += other.reads;
    }
}
