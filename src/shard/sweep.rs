//! Once a second: the date, the deadlines of all connections, the log.
//!
//! One sweep instead of a timer per request: setting a deadline is a store,
//! and a deadline is met within a second of its time, never early.

use std::rc::Weak;
use std::time::Duration;

use super::Shard;
use super::connection::{ConnectionState, Phase};
use crate::engine;
use crate::limits::LINGER_MS;
use crate::metrics::TimeoutKind;

const SWEEP_EVERY: Duration = Duration::from_secs(1);

impl Shard {
    /// Ends with the shard: it does not keep it alive while it sleeps.
    pub(super) async fn sweep_every_second(shard: Weak<Self>) {
        loop {
            // From now, not from when it was due: after a sweep that came late
            // the next would count a second that has not passed.
            let next = engine::now() + SWEEP_EVERY;
            engine::interval_tick(next).await;
            let Some(shard) = shard.upgrade() else { return };
            shard.sweep();
        }
    }

    fn sweep(&self) {
        self.context.clock.refresh_date();
        self.end_expired();
        self.context.caches.sweep();
        self.context.limiter.sweep();
        if let Some(log) = &self.log {
            let mut log = log.borrow_mut();
            log.flush();
            let dropped = log.take_lines_dropped();
            self.context
                .metrics
                .borrow_mut()
                .counters
                .access_log_lines_dropped += dropped;
        }
    }

    fn end_expired(&self) {
        for (_, connection) in self.connections.borrow().iter() {
            connection
                .ticks
                .set(connection.ticks.get().saturating_add(1));
            if self.is_expired(connection) {
                connection.expired.set(true);
                self.expire(connection);
            }
        }
    }

    /// A slow client takes long to make room for one more write; what it has
    /// taken of the kernel's buffer meanwhile is progress too, at the least
    /// rate that a body must have.
    fn note_taken(&self, connection: &ConnectionState) {
        let ticks = connection.ticks.get();
        let unsent = connection.closer.unsent_bytes();
        if ticks <= 1 {
            connection.unsent_bytes.set(unsent);
            return;
        }
        let taken = connection.unsent_bytes.get().saturating_sub(unsent);
        let enough = self.limits.body_rate_min_bytes_per_s * u64::from(ticks);
        if taken >= enough.max(1) {
            connection.unsent_bytes.set(unsent);
            connection.ticks.set(1);
        }
    }

    fn expire(&self, connection: &ConnectionState) {
        let kind = match connection.phase() {
            Phase::Fresh | Phase::Head => TimeoutKind::Head,
            Phase::Body => TimeoutKind::Body,
            Phase::Write => TimeoutKind::Write,
            Phase::Idle | Phase::Busy | Phase::Linger => TimeoutKind::Idle,
        };
        self.context.metrics.borrow_mut().timed_out(kind);
        match connection.phase() {
            // The answer, 408, can still be written.
            Phase::Head | Phase::Body => connection.closer.shutdown_read(),
            _ => connection.closer.shutdown(),
        }
    }

    fn is_expired(&self, connection: &ConnectionState) -> bool {
        let limits = &self.limits;
        // The first tick comes up to a second early.
        let over = |limit_ms: u64| u64::from(connection.ticks.get()) * 1000 > limit_ms + 999;
        match connection.phase() {
            Phase::Idle => over(limits.idle_timeout_ms),
            Phase::Fresh | Phase::Head => over(limits.head_timeout_ms),
            Phase::Write => {
                self.note_taken(connection);
                over(limits.write_stall_timeout_ms)
            }
            Phase::Linger => over(LINGER_MS),
            Phase::Busy => false,
            Phase::Body => {
                let waited = connection.body_wait_ticks.get().saturating_add(1);
                connection.body_wait_ticks.set(waited);
                let waited_s = u64::from(waited.saturating_sub(1));
                waited_s * 1000 >= limits.body_rate_grace_ms.max(1)
                    && connection.body_bytes.get() < waited_s * limits.body_rate_min_bytes_per_s
            }
        }
    }
}
