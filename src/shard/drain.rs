//! Ending a shard: nothing new, finish what is in flight, close the rest.
//!
//! Clients learn of it as early as they can: every answer from here on says
//! `Connection: close`. A connection without a request is left for a grace, in
//! which a request that was on its way is answered; then it is ended by our
//! FIN, not by a reset, and not all at once, so that their clients do not come
//! back at once either.

use std::rc::Rc;
use std::time::Duration;

use super::Shard;
use super::connection::{ConnectionState, Phase};
use crate::engine::{self, Stop};
use crate::limits::{DRAIN_FRESH_GRACE_MS, DRAIN_PARTING_MS};
use crate::redis::Redis;

impl Shard {
    /// Stops accepting, ends idle connections after their grace and waits for the busy ones and
    /// for background tasks, at most the drain timeout; then cuts what is left and
    /// returns how many connections that were.
    pub(super) async fn drain(self: Rc<Self>) -> usize {
        self.context.draining.begin();
        let deadline = engine::now() + Duration::from_millis(self.drain_timeout_ms);
        self.drain_deadline.set(Some(deadline));
        for listener in &self.listeners {
            listener.stop_accepting(listener.stop).await;
        }
        let looks = Looks::new(self.keep_alive_grace_ms.min(self.drain_timeout_ms / 2));
        let mut next_look = engine::now() + looks.every;
        while self.has_connections() {
            let now = engine::now();
            if now >= deadline {
                break;
            }
            if now >= next_look {
                // Who has been sent something by now is no longer idle.
                engine::yield_now().await;
                self.end_idle(&looks);
                next_look = engine::now() + looks.every;
            }
            let wait = next_look.min(deadline) - now;
            let _ = engine::timeout(wait, self.connection_ended.wait()).await;
        }
        let cut = self.unfinished_connections();
        self.cut_connections().await;
        self.life.finish_tasks(deadline).await;
        if let Some(log) = &self.log {
            log.borrow_mut().flush();
        }
        cut
    }

    /// Stops accepting, shuts every connection down and gives their tasks a
    /// second to end. Afterwards no operation of theirs should be in flight;
    /// the listening sockets are as they were, for a successor.
    pub(crate) async fn cut_connections(self: &Rc<Self>) {
        self.context.draining.begin();
        for listener in &self.listeners {
            listener.stop_accepting(Stop::Leave).await;
        }
        let deadline = engine::now() + Duration::from_secs(1);
        while !self.is_quiet() && engine::now() < deadline {
            for (_, connection) in self.connections.borrow().iter() {
                connection.closer.shutdown();
            }
            let _ = engine::timeout(Duration::from_millis(50), self.connection_ended.wait()).await;
        }
    }

    /// Without those that have had their answer and only wait for the client's
    /// end.
    fn unfinished_connections(&self) -> usize {
        let connections = self.connections.borrow();
        let unfinished =
            |state: &ConnectionState| !matches!(state.phase(), Phase::Linger | Phase::Parting);
        connections.iter().filter(|(_, c)| unfinished(c)).count()
    }

    fn has_connections(&self) -> bool {
        !self.connections.borrow().is_empty()
    }

    /// Whether no operation on a socket is in flight any more.
    pub(crate) fn is_quiet(&self) -> bool {
        let redis = self.context.redis.as_ref();
        !self.has_connections()
            && self.listeners.iter().all(|listener| listener.is_quiet())
            && redis.is_none_or(Redis::is_closed)
    }

    fn end_idle(&self, looks: &Looks) {
        for (key, connection) in self.connections.borrow().iter() {
            let phase = connection.phase();
            let most = looks.of(phase, key);
            let Some(most) = most.filter(|_| !connection.is_writing()) else {
                connection.drain_looks.set(0);
                continue;
            };
            let seen = connection.drain_looks.get().saturating_add(1);
            if seen <= most {
                connection.drain_looks.set(seen);
                continue;
            }
            connection.drain_looks.set(0);
            if phase == Phase::Parting {
                connection.closer.shutdown();
            } else {
                connection.enter(Phase::Parting);
                connection.closer.shutdown_write();
            }
        }
    }
}

/// How often a drain looks at connections that wait for their clients, and how
/// often it may see them so.
struct Looks {
    every: Duration,
    idle: u8,
    fresh: u8,
    parting: u8,
    /// Among so many more looks the ends of idle connections are spread.
    spread: u8,
}

impl Looks {
    fn new(grace_ms: u64) -> Self {
        let every_ms = (grace_ms / LOOKS_PER_GRACE).max(LOOK_EVERY_MS_MIN);
        let within = |ms: u64| u8::try_from(ms.div_ceil(every_ms)).unwrap_or(u8::MAX);
        let idle = within(grace_ms);
        Self {
            every: Duration::from_millis(every_ms),
            idle,
            fresh: within(grace_ms.max(DRAIN_FRESH_GRACE_MS)),
            parting: within(DRAIN_PARTING_MS),
            spread: idle / 4,
        }
    }

    /// Of the connection `key`; `None` where it is waited for something else.
    fn of(&self, phase: Phase, key: usize) -> Option<u8> {
        let spread = (key % (usize::from(self.spread) + 1)) as u8;
        match phase {
            Phase::Idle => Some(self.idle + spread),
            Phase::Fresh => Some(self.fresh + spread),
            Phase::Parting => Some(self.parting),
            Phase::Head | Phase::Body | Phase::Busy | Phase::Linger => None,
        }
    }
}

const LOOKS_PER_GRACE: u64 = 16;
const LOOK_EVERY_MS_MIN: u64 = 10;

#[cfg(test)]
mod tests {
    use super::*;

    /// A connection may have become idle just before the first look.
    #[test]
    fn nobody_is_ended_before_the_grace_or_long_after_it() {
        for grace_ms in [0, 1, 9, 10, 50, 100, 250, 1_000, 5_000, 60_000] {
            let looks = Looks::new(grace_ms);
            for (phase, least_ms) in [
                (Phase::Idle, grace_ms),
                (Phase::Fresh, grace_ms.max(DRAIN_FRESH_GRACE_MS)),
                (Phase::Parting, DRAIN_PARTING_MS),
            ] {
                for key in 0..40 {
                    let most = looks.of(phase, key).expect("a wait");
                    let every_ms = looks.every.as_millis() as u64;
                    let waits_ms = u64::from(most) * every_ms;
                    assert!(waits_ms >= least_ms, "{grace_ms}: {phase:?} ends early");
                    let latest_ms = least_ms + grace_ms / 2 + 2 * every_ms;
                    assert!(waits_ms <= latest_ms, "{grace_ms}: {phase:?} ends late");
                }
            }
        }
    }
}
