//! What is counted of Redis and of the tokio bridge.

/// One shard's dealings with Redis, or all shards' together. All only grow,
/// except `connected` and `in_flight`, which are levels.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RedisCounters {
    /// Shards whose connection is there and whose circuit is closed.
    pub connected: u64,
    /// Commands that wait for an answer.
    pub in_flight: u64,
    /// Commands, scripts and pipelines asked for.
    pub commands: u64,
    /// Not sent, or lost with their connection.
    pub failed_down: u64,
    /// Not answered within the deadline.
    pub failed_too_slow: u64,
    /// Not sent because too many were in flight.
    pub failed_busy: u64,
    /// Refused: the server is loading its data (`LOADING`).
    pub refused_loading: u64,
    /// Refused: the server is a replica (`READONLY`).
    pub refused_readonly: u64,
    /// Refused: who is asking (`NOAUTH`, `WRONGPASS`, `NOPERM`).
    pub refused_auth: u64,
    /// Refused: the server's memory is full (`OOM`).
    pub refused_oom: u64,
    /// Refused with another error, or answered with another type than asked.
    pub refused_other: u64,
    /// Connections made.
    pub connects: u64,
    /// Connections that could not be made.
    pub connect_failures: u64,
    /// Connections lost, those given up by the circuit included.
    pub outages: u64,
    /// Circuits opened because of too many deadlines in a row.
    pub trips: u64,
    /// Pieces of work on an exclusive connection asked for.
    pub exclusives: u64,
    /// Of these, those that failed.
    pub exclusive_failures: u64,
}

impl RedisCounters {
    /// Adds another shard's, or a predecessor's.
    pub fn add(&mut self, other: &Self) {
        let Self {
            connected,
            in_flight,
            ..
        } = other;
        self.connected += connected;
        self.in_flight += in_flight;
        for (mine, (_, theirs)) in self.counters_mut().into_iter().zip(other.counters()) {
            *mine += theirs;
        }
    }

    /// What a shard's successor starts from: no level outlives its shard.
    pub fn inherited(&self) -> Self {
        Self {
            connected: 0,
            in_flight: 0,
            ..*self
        }
    }

    /// Names and values of what only grows, as the metrics show them.
    pub fn counters(&self) -> [(&'static str, u64); 15] {
        [
            ("commands", self.commands),
            ("failed_down", self.failed_down),
            ("failed_too_slow", self.failed_too_slow),
            ("failed_busy", self.failed_busy),
            ("refused_loading", self.refused_loading),
            ("refused_readonly", self.refused_readonly),
            ("refused_auth", self.refused_auth),
            ("refused_oom", self.refused_oom),
            ("refused_other", self.refused_other),
            ("connects", self.connects),
            ("connect_failures", self.connect_failures),
            ("outages", self.outages),
            ("trips", self.trips),
            ("exclusives", self.exclusives),
            ("exclusive_failures", self.exclusive_failures),
        ]
    }

    /// In the order of [`counters`](Self::counters).
    fn counters_mut(&mut self) -> [&mut u64; 15] {
        [
            &mut self.commands,
            &mut self.failed_down,
            &mut self.failed_too_slow,
            &mut self.failed_busy,
            &mut self.refused_loading,
            &mut self.refused_readonly,
            &mut self.refused_auth,
            &mut self.refused_oom,
            &mut self.refused_other,
            &mut self.connects,
            &mut self.connect_failures,
            &mut self.outages,
            &mut self.trips,
            &mut self.exclusives,
            &mut self.exclusive_failures,
        ]
    }
}

/// The tokio bridge of the process. All only grow, except `in_flight`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct BridgeCounters {
    /// Tasks there now.
    pub in_flight: u64,
    /// Tasks started.
    pub started: u64,
    /// Tasks that panicked.
    pub panicked: u64,
    /// Tasks aborted because nobody waited for them any more.
    pub cancelled: u64,
    /// Tasks not started because too many were in flight.
    pub refused: u64,
}
