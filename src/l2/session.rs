//! What a shard knows of Redis on its connection: the generation, and the
//! clock.
//!
//! Deadlines are told in the server's time, because that is the time in which
//! its entries expire, and because what waits in a socket while the server
//! stands still must not count as young when it goes on.

use std::time::Instant;

use crate::limits::L2_CLOCK_MS_MAX;
use crate::redis_codec::GENERATION_BYTES;

/// A generation's name.
pub(super) type Generation = [u8; GENERATION_BYTES];

#[derive(Debug, Clone, Copy)]
pub(super) struct RowSession {
    pub(super) generation: Generation,
    /// [`Redis::outages`](crate::redis::Redis::outages) when it began.
    outages: u64,
    clock: ServerClock,
}

impl RowSession {
    pub(super) fn new(generation: Generation, outages: u64, server_ms: u64) -> Self {
        Self {
            generation,
            outages,
            clock: ServerClock::read(server_ms),
        }
    }

    /// The same in another generation.
    pub(super) fn of_generation(self, generation: Generation) -> Self {
        Self { generation, ..self }
    }

    /// Whether it is of this connection.
    pub(super) fn is_good(&self, outages: u64) -> bool {
        self.outages == outages
    }

    /// Whether its clock is right enough.
    pub(super) fn is_young(&self) -> bool {
        self.clock.age_ms() <= L2_CLOCK_MS_MAX
    }

    /// The server's time; never later than it is there.
    pub(super) fn server_now_ms(&self) -> u64 {
        self.clock.server_ms + self.clock.age_ms()
    }
}

#[derive(Debug, Clone, Copy)]
struct ServerClock {
    server_ms: u64,
    /// When that came here: after it was true there.
    read_at: Instant,
}

impl ServerClock {
    fn read(server_ms: u64) -> Self {
        Self {
            server_ms,
            read_at: Instant::now(),
        }
    }

    fn age_ms(&self) -> u64 {
        self.read_at.elapsed().as_millis() as u64
    }
}
