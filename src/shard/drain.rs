//! Ending a shard: nothing new, finish what is in flight, close the rest.

use std::rc::Rc;
use std::time::Duration;

use super::Shard;
use super::connection::{ConnectionState, Phase};
use crate::engine::{self, Stop};
use crate::limits::DRAIN_FRESH_GRACE_MS;
use crate::redis::Redis;

impl Shard {
    /// Stops accepting, closes idle connections and waits for the busy ones and
    /// for background tasks, at most the drain timeout; then cuts what is left and
    /// returns how many connections that were.
    pub(super) async fn drain(self: Rc<Self>) -> usize {
        self.context.draining.begin();
        let deadline = engine::now() + Duration::from_millis(self.drain_timeout_ms);
        self.drain_deadline.set(Some(deadline));
        for entrance in &self.entrances {
            entrance.stop_accepting(entrance.stop).await;
        }
        let grace_end = engine::now() + Duration::from_millis(DRAIN_FRESH_GRACE_MS);
        while self.has_connections() {
            let now = engine::now();
            if now >= deadline {
                break;
            }
            self.close_idle(now >= grace_end);
            let look_again = if now < grace_end { grace_end } else { deadline };
            let wait = look_again.min(deadline) - now;
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
        for entrance in &self.entrances {
            entrance.stop_accepting(Stop::Leave).await;
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
        let unfinished = |state: &ConnectionState| state.phase() != Phase::Linger;
        connections.iter().filter(|(_, c)| unfinished(c)).count()
    }

    fn has_connections(&self) -> bool {
        !self.connections.borrow().is_empty()
    }

    /// Whether no operation on a socket is in flight any more.
    pub(crate) fn is_quiet(&self) -> bool {
        let redis = self.context.redis.as_ref();
        !self.has_connections()
            && self.entrances.iter().all(|entrance| entrance.is_quiet())
            && redis.is_none_or(Redis::is_closed)
    }

    fn close_idle(&self, fresh_too: bool) {
        for (_, connection) in self.connections.borrow().iter() {
            // Reading ends; a request that is already here is still answered.
            match connection.phase() {
                Phase::Idle => connection.closer.shutdown_read(),
                Phase::Fresh if fresh_too => connection.closer.shutdown_read(),
                _ => {}
            }
        }
    }
}
