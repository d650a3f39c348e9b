//! What the sweep and a drain see of a connection.

use std::cell::Cell;

use crate::engine::StreamCloser;

/// What a connection is waiting for from its client; the sweep has a limit for
/// each. While a write is under way too, the limit of the write counts alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// The first byte on a new connection.
    Fresh,
    /// The next request's first byte.
    Idle,
    /// The rest of a head.
    Head,
    /// More of a request body.
    Body,
    /// Nothing: its handler is at work, which has no limit of ours.
    Busy,
    /// The client's end, after our last answer.
    Linger,
    /// The client's end, after a drain has ended a connection that had no
    /// request.
    Parting,
}

/// What the sweep sees of a connection. Written by the connection's task and
/// by the sweep, both on the shard's thread.
pub(super) struct ConnectionState {
    phase: Cell<Phase>,
    /// Sweeps seen in this phase; about seconds.
    pub(super) ticks: Cell<u32>,
    /// A write waits for the client to take what is written.
    is_writing: Cell<bool>,
    /// Sweeps seen in this write without progress.
    pub(super) write_ticks: Cell<u32>,
    /// Body bytes of the current request, and sweeps spent waiting for them.
    pub(super) body_bytes: Cell<u64>,
    pub(super) body_wait_ticks: Cell<u32>,
    /// Bytes the kernel still held when the client was last seen to take some.
    pub(super) unsent_bytes: Cell<u64>,
    /// Looks of a drain that saw it in this phase.
    pub(super) drain_looks: Cell<u8>,
    /// Set by the sweep when it has ended a read or write.
    pub(super) expired: Cell<bool>,
    pub(super) closer: StreamCloser,
}

impl ConnectionState {
    pub(super) fn new(closer: StreamCloser) -> Self {
        Self {
            phase: Cell::new(Phase::Fresh),
            ticks: Cell::new(0),
            is_writing: Cell::new(false),
            write_ticks: Cell::new(0),
            body_bytes: Cell::new(0),
            body_wait_ticks: Cell::new(0),
            unsent_bytes: Cell::new(0),
            drain_looks: Cell::new(0),
            expired: Cell::new(false),
            closer,
        }
    }

    pub(super) fn phase(&self) -> Phase {
        self.phase.get()
    }

    /// Enters a phase in which the time of the last one counts too.
    pub(super) fn go_on_as(&self, phase: Phase) {
        self.phase.set(phase);
    }

    pub(super) fn enter(&self, phase: Phase) {
        self.phase.set(phase);
        self.ticks.set(0);
    }

    pub(super) fn is_writing(&self) -> bool {
        self.is_writing.get()
    }

    pub(super) fn write_starts(&self) {
        self.is_writing.set(true);
        self.write_ticks.set(0);
    }

    /// The client has taken something.
    pub(super) fn write_goes_on(&self) {
        self.write_ticks.set(0);
    }

    pub(super) fn write_ends(&self) {
        self.is_writing.set(false);
    }

    /// A sweep has come by.
    pub(super) fn tick(&self) {
        let ticks = match self.is_writing.get() {
            true => &self.write_ticks,
            false => &self.ticks,
        };
        ticks.set(ticks.get().saturating_add(1));
    }
}
