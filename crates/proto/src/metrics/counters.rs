//! What a shard counts beside its requests: connections, refusals, panics.

/// Plain counters of one shard, or of the process after a merge. All only
/// grow, except `requests_in_flight`, which is a level.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Counters {
    /// Connections accepted and served.
    pub connections_opened: u64,
    /// Connections that have ended. `opened - closed` are open now.
    pub connections_closed: u64,
    /// Connections answered 503 and closed because the shard was full; not
    /// part of `connections_opened`.
    pub connections_refused: u64,
    /// Requests whose handler has started and whose response is not yet
    /// queued. A level, not a counter.
    pub requests_in_flight: u64,
    /// Heads and bodies the codec refused, by the status they were answered.
    pub parse_errors: ParseErrorCounts,
    /// Handlers and connections that panicked.
    pub panics: u64,
    /// Deadlines that passed, by kind; indexed by [`TimeoutKind`].
    pub timeouts: [u64; TimeoutKind::ALL.len()],
    /// Access log lines lost because the log writer could not keep up.
    pub access_log_lines_dropped: u64,
    /// Sessions and logins.
    pub sessions: SessionCounters,
}

impl Counters {
    /// Connections open now.
    pub fn connections_open(&self) -> u64 {
        self.connections_opened
            .saturating_sub(self.connections_closed)
    }

    /// How often deadlines of this kind passed.
    pub fn timeouts_of(&self, kind: TimeoutKind) -> u64 {
        self.timeouts[kind as usize]
    }

    /// Adds another shard's counters.
    pub fn add(&mut self, other: &Self) {
        self.connections_opened += other.connections_opened;
        self.connections_closed += other.connections_closed;
        self.connections_refused += other.connections_refused;
        self.requests_in_flight += other.requests_in_flight;
        self.panics += other.panics;
        self.access_log_lines_dropped += other.access_log_lines_dropped;
        self.sessions.add(&other.sessions);
        for (sum, add) in self.timeouts.iter_mut().zip(other.timeouts) {
            *sum += add;
        }
        for (sum, add) in self.parse_errors.0.iter_mut().zip(other.parse_errors.0) {
            *sum += add;
        }
    }

    /// What a shard's successor starts from: everything counted stays, what
    /// was open or in flight died with the shard.
    pub(super) fn inherited(&self) -> Self {
        Self {
            connections_closed: self.connections_opened,
            requests_in_flight: 0,
            ..self.clone()
        }
    }
}

/// What happened to sessions.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SessionCounters {
    /// Sessions begun.
    pub created: u64,
    /// Requests whose cookie led to a session.
    pub found: u64,
    /// Requests whose cookie led to none: it has expired, was ended, or never
    /// was.
    pub expired: u64,
    /// Requests that ended their session.
    pub ended: u64,
    /// Logins with a wrong email or password.
    pub logins_refused: u64,
    /// Logins turned away because too many were under way.
    pub logins_busy: u64,
    /// Requests refused because another site's page sent them.
    pub origins_refused: u64,
}

impl SessionCounters {
    /// Each with its name in JSON keys and Prometheus labels.
    pub fn named(&self) -> [(&'static str, u64); 7] {
        [
            ("created", self.created),
            ("found", self.found),
            ("expired", self.expired),
            ("ended", self.ended),
            ("login_refused", self.logins_refused),
            ("login_busy", self.logins_busy),
            ("origin_refused", self.origins_refused),
        ]
    }

    fn add(&mut self, other: &Self) {
        self.created += other.created;
        self.found += other.found;
        self.expired += other.expired;
        self.ended += other.ended;
        self.logins_refused += other.logins_refused;
        self.logins_busy += other.logins_busy;
        self.origins_refused += other.origins_refused;
    }
}

/// Which deadline passed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(usize)]
pub enum TimeoutKind {
    /// The request head did not arrive in time.
    Head,
    /// A keep-alive connection was idle too long.
    Idle,
    /// The request body came slower than the floor rate.
    Body,
    /// The client did not read its response.
    Write,
    /// A handler ran longer than it may.
    Handler,
}

impl TimeoutKind {
    /// All of them, in the order of [`Counters::timeouts`].
    pub const ALL: [TimeoutKind; 5] = [
        Self::Head,
        Self::Idle,
        Self::Body,
        Self::Write,
        Self::Handler,
    ];

    /// The name in JSON keys and Prometheus labels.
    pub fn name(self) -> &'static str {
        match self {
            Self::Head => "head",
            Self::Idle => "idle",
            Self::Body => "body",
            Self::Write => "write",
            Self::Handler => "handler",
        }
    }
}

/// Refused requests by status; statuses the codec does not use count together.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ParseErrorCounts([u64; PARSE_ERROR_STATUSES.len() + 1]);

impl ParseErrorCounts {
    pub(super) fn count(&mut self, status: u16) {
        let index = PARSE_ERROR_STATUSES
            .iter()
            .position(|&known| known == status)
            .unwrap_or(PARSE_ERROR_STATUSES.len());
        self.0[index] += 1;
    }

    /// Status and count, every known status even when zero, `None` for all
    /// others together.
    pub fn iter(&self) -> impl Iterator<Item = (Option<u16>, u64)> + '_ {
        let statuses = PARSE_ERROR_STATUSES.iter().copied().map(Some).chain([None]);
        statuses.zip(self.0.iter().copied())
    }

    /// All of them.
    pub fn total(&self) -> u64 {
        self.0.iter().sum()
    }
}

/// What the codec and the body reader answer when they refuse (RFC 9110,
/// RFC 9112, RFC 6585).
const PARSE_ERROR_STATUSES: [u16; 8] = [400, 408, 413, 414, 417, 431, 501, 505];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parse_errors_count_by_status_and_unknown_ones_together() {
        let mut counts = ParseErrorCounts::default();
        for status in [400, 400, 505, 418, 7] {
            counts.count(status);
        }
        let nonzero: Vec<_> = counts.iter().filter(|&(_, n)| n > 0).collect();
        assert_eq!(nonzero, [(Some(400), 2), (Some(505), 1), (None, 2)]);
        assert_eq!(counts.total(), 5);
    }

    #[test]
    fn timeout_kinds_index_their_own_counter() {
        for (index, kind) in TimeoutKind::ALL.into_iter().enumerate() {
            assert_eq!(kind as usize, index, "{}", kind.name());
        }
    }

    #[test]
    fn a_successor_inherits_counts_but_no_open_connection() {
        let died = Counters {
            connections_opened: 10,
            connections_closed: 4,
            requests_in_flight: 2,
            panics: 1,
            ..Counters::default()
        };
        let inherited = died.inherited();
        assert_eq!(inherited.connections_open(), 0);
        assert_eq!(inherited.connections_opened, 10);
        assert_eq!((inherited.requests_in_flight, inherited.panics), (0, 1));
    }
}
