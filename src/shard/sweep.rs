//! Once a second: the date, the deadlines of all connections, the log.
//!
//! One sweep instead of a timer per request: setting a deadline is a store,
//! and a deadline is met within a second of its time, never early.

use std::rc::Weak;
use std::time::Duration;

use super::Shard;
use super::connection::{ConnectionState, Phase};
use crate::engine;
use crate::limits::{HttpLimits, LINGER_MS};
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
        self.flush_log();
    }

    /// Hands the log's lines on, and counts those that were lost meanwhile.
    fn flush_log(&self) {
        let Some(log) = &self.log else { return };
        let mut log = log.borrow_mut();
        log.flush();
        let (dropped, failed) = (log.take_lines_dropped(), log.take_lines_failed());
        if dropped + failed == 0 {
            return;
        }
        let now_ms = self.context.clock.now_ms();
        let mut metrics = self.context.metrics.borrow_mut();
        metrics.lost_log_lines(dropped + failed, now_ms);
        // Those that could not be written are told by who tried.
        if dropped > 0 && self.log_losses.allows() {
            self.errors.log(format!(
                "shard {} lost {dropped} lines of the access log: its writer cannot keep up with \
                 the requests, or waits for the disk or whoever reads it",
                self.context.info.index
            ));
        }
    }

    fn end_expired(&self) {
        for (_, connection) in self.connections.borrow().iter() {
            connection.tick();
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
        let ticks = connection.write_ticks.get();
        let unsent = connection.closer.unsent_bytes();
        if ticks <= 1 {
            connection.unsent_bytes.set(unsent);
            return;
        }
        let taken = connection.unsent_bytes.get().saturating_sub(unsent);
        let enough = self.limits.body_rate_min_bytes_per_s * u64::from(ticks);
        if taken >= enough.max(1) {
            connection.unsent_bytes.set(unsent);
            connection.write_ticks.set(1);
        }
    }

    fn expire(&self, connection: &ConnectionState) {
        let kind = match connection.phase() {
            _ if connection.is_writing() => TimeoutKind::Write,
            Phase::Fresh | Phase::Head => TimeoutKind::Head,
            Phase::Body => TimeoutKind::Body,
            Phase::Idle | Phase::Busy | Phase::Linger | Phase::Parting => TimeoutKind::Idle,
        };
        self.context.metrics.borrow_mut().timed_out(kind);
        match connection.phase() {
            _ if connection.is_writing() => connection.closer.shutdown(),
            // The answer, 408, can still be written.
            Phase::Head | Phase::Body => connection.closer.shutdown_read(),
            _ => connection.closer.shutdown(),
        }
    }

    fn is_expired(&self, connection: &ConnectionState) -> bool {
        let limits = &self.limits;
        if connection.is_writing() {
            self.note_taken(connection);
            return is_over(connection.write_ticks.get(), limits.write_stall_timeout_ms);
        }
        let over = |limit_ms: u64| is_over(connection.ticks.get(), limit_ms);
        match connection.phase() {
            Phase::Idle => over(limits.idle_timeout_ms),
            Phase::Fresh | Phase::Head => over(limits.head_timeout_ms),
            Phase::Linger | Phase::Parting => over(LINGER_MS),
            Phase::Busy => false,
            Phase::Body => {
                let waited = connection.body_wait_ticks.get().saturating_add(1);
                connection.body_wait_ticks.set(waited);
                is_too_slow(waited, connection.body_bytes.get(), limits)
            }
        }
    }
}

/// Whether so many sweeps have seen a wait of `limit_ms`: never too early, and
/// the next sweep after it at the latest.
fn is_over(ticks: u32, limit_ms: u64) -> bool {
    // The first tick comes up to a second early.
    u64::from(ticks) * 1000 > limit_ms + 999
}

/// Whether a body of which so much has come while so many sweeps saw it waited
/// for is slower than it may be.
fn is_too_slow(ticks: u32, received: u64, limits: &HttpLimits) -> bool {
    let waited_s = u64::from(ticks.saturating_sub(1));
    waited_s * 1000 >= limits.body_rate_grace_ms.max(1)
        && received < waited_s * limits.body_rate_min_bytes_per_s
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A wait begins at any moment of the second before its first sweep.
    #[test]
    fn a_deadline_is_met_by_the_sweep_after_it_and_never_early() {
        for limit_ms in [1, 500, 999, 1_000, 1_001, 1_500, 2_000, 30_000] {
            let met = (1..100).find(|ticks| is_over(*ticks, limit_ms)).unwrap();
            let waited_least_ms = u64::from(met - 1) * 1000;
            assert!(waited_least_ms + 1 > limit_ms, "{limit_ms}: early");
            assert!(waited_least_ms < limit_ms + 1000, "{limit_ms}: late");
        }
    }

    #[test]
    fn a_body_has_its_grace_and_then_needs_its_rate() {
        let limits = HttpLimits {
            body_rate_grace_ms: 2_000,
            body_rate_min_bytes_per_s: 100,
            ..HttpLimits::default()
        };
        for (ticks, received, expected) in [
            (1, 0, false),
            (2, 0, false),
            (3, 0, true),
            (3, 199, true),
            (3, 200, false),
            (11, 999, true),
            (11, 1_000, false),
        ] {
            assert_eq!(
                is_too_slow(ticks, received, &limits),
                expected,
                "{ticks}: {received}"
            );
        }
    }
}
