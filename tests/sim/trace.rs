//! What happened in a run, kept only when it is run again to be looked at.

use crate::world::Key;
use crate::zones::Moment;

/// How much of it is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Detail {
    Nothing,
    /// The last lines about the key that failed.
    Failure,
    Everything,
}

#[derive(Debug)]
struct Line {
    at_us: u64,
    moment: Moment,
    key: Option<Key>,
    text: String,
}

/// Lines of one run.
#[derive(Debug)]
pub(crate) struct Trace {
    detail: Detail,
    lines: Vec<Line>,
    about: Option<Key>,
}

/// Lines shown of a failure.
const LINES_MAX: usize = 120;

impl Trace {
    pub(crate) fn new(detail: Detail) -> Self {
        Self {
            detail,
            lines: Vec::new(),
            about: None,
        }
    }

    pub(crate) fn is_on(&self) -> bool {
        self.detail != Detail::Nothing
    }

    pub(crate) fn add(&mut self, at_us: u64, moment: Moment, key: Option<Key>, text: String) {
        let line = Line {
            at_us,
            moment,
            key,
            text,
        };
        if self.detail == Detail::Everything {
            println!("{}", line.show());
        }
        self.lines.push(line);
    }

    pub(crate) fn about(&mut self, key: Option<Key>) {
        self.about = key;
    }

    /// Shows what led to a failure.
    pub(crate) fn finish(&self, failure: Option<&str>) {
        if self.detail != Detail::Failure || failure.is_none() {
            return;
        }
        let is_about =
            |line: &&Line| line.key.is_none() || self.about.is_none() || line.key == self.about;
        let lines: Vec<&Line> = self.lines.iter().filter(is_about).collect();
        for line in &lines[lines.len().saturating_sub(LINES_MAX)..] {
            println!("{}", line.show());
        }
    }
}

impl Line {
    fn show(&self) -> String {
        let key = self.key.map(|key| format!("key {key}")).unwrap_or_default();
        let (ms, us) = (self.at_us / 1_000, self.at_us % 1_000);
        format!(
            "{ms:>7}.{us:03} ms {:>7} {key:<6} {}",
            self.moment, self.text
        )
    }
}

/// Notes a line, if anybody wants it.
macro_rules! trace {
    ($world:expr, $key:expr, $($text:tt)+) => {
        if $world.trace.is_on() {
            let text = format!($($text)+);
            $world.trace.add($world.now_us, $world.moment, $key, text);
        }
    };
}
pub(crate) use trace;
