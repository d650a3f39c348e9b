//! What a shard knows of its caches, for the metrics and the operator.

use std::time::{Duration, Instant};

use super::{Cache, Caches, TAGS};
use crate::engine::{self, RemoteSender};
use crate::limits::METRICS_GATHER_TIMEOUT_MS;
use crate::metrics::{CacheCounters, CacheGauges, CacheSnapshot, MeshCounters};
use crate::peers::Message;

/// What was counted by a predecessor that died: counts go on from there.
#[derive(Debug, Default)]
pub(crate) struct Inherited {
    pub(crate) caches: Vec<CacheSnapshot>,
    pub(crate) mesh: MeshCounters,
}

impl Cache {
    /// What has been counted of it, and what is in it, on all shards (node-cache's
    /// stats). A shard that does not answer in time is left out.
    pub async fn stats(&self) -> CacheSnapshot {
        let mut shares = self.caches.gather(Message::Snapshot).await;
        let own = self.caches.snapshot();
        let all = shares.iter_mut().flat_map(|shard| shard.caches.drain(..));
        let mut sum = CacheSnapshot {
            name: self.name().to_owned(),
            ..Default::default()
        };
        for share in own.into_iter().chain(all) {
            if share.name == sum.name {
                sum.add(&share);
            }
        }
        sum
    }
}

impl Caches {
    /// What every other shard answers in time.
    pub(super) async fn gather<T: Send + 'static>(
        &self,
        question: impl Fn(RemoteSender<T>) -> Message,
    ) -> Vec<T> {
        let mut waiting = Vec::new();
        for shard in (0..self.shards).filter(|shard| *shard != self.me) {
            let (sender, receiver) = engine::remote();
            if self.plan.mesh.send(shard, question(sender)).is_ok() {
                waiting.push(receiver);
            }
        }
        let deadline = Instant::now() + Duration::from_millis(METRICS_GATHER_TIMEOUT_MS);
        let mut answers = Vec::with_capacity(waiting.len());
        for receiver in waiting {
            let left = deadline.saturating_duration_since(Instant::now());
            answers.extend(
                engine::timeout(left, receiver)
                    .await
                    .ok()
                    .and_then(Result::ok),
            );
        }
        answers
    }

    /// This shard's share of every cache of the app.
    pub(crate) fn snapshot(&self) -> Vec<CacheSnapshot> {
        let numbers = TAGS + 1..=self.plan.options.len() as u16;
        let snapshots = numbers.filter_map(|cache| {
            let name = self.options(cache)?.name.clone();
            let mut counters = self.counters_of(cache);
            let mut before = self.inherited.caches.iter();
            if let Some(before) = before.find(|before| before.name == name) {
                counters.add(&before.counters);
            }
            Some(CacheSnapshot {
                name,
                counters,
                gauges: self.gauges_of(cache),
            })
        });
        snapshots.collect()
    }

    /// What went through this shard's lanes, and its predecessors'.
    pub(crate) fn mesh_snapshot(&self) -> MeshCounters {
        let inner = self.inner.borrow();
        let counters = inner.endpoint.counters();
        let mut snapshot = MeshCounters {
            requests_sent: counters.requests_sent,
            requests_received: counters.requests_received,
            replies_sent: counters.replies_sent,
            replies_received: counters.replies_received,
            doorbells_rung: counters.doorbells_rung,
            requests_refused_full: counters.requests_refused_full,
            lane_full: counters.lane_full,
        };
        snapshot.add(&self.inherited.mesh);
        snapshot
    }

    fn counters_of(&self, cache: u16) -> CacheCounters {
        let mut counters = *self.counters[usize::from(cache)].borrow();
        let inner = self.inner.borrow();
        let part = &inner.parts[usize::from(cache)];
        let (home, holder) = (part.home.counters(), part.holder.counters());
        counters.doubts = home.doubts;
        counters.loads_revoked = home.loads_revoked;
        counters.evictions = home.evictions;
        counters.evictions_l1 = holder.evictions;
        counters.invalidations = holder.invalidations;
        counters.given_up = holder.given_up;
        counters
    }

    fn gauges_of(&self, cache: u16) -> CacheGauges {
        let inner = self.inner.borrow();
        let part = &inner.parts[usize::from(cache)];
        let (directory, copies) = (&part.home.shelf().map, &part.holder.shelf().map);
        CacheGauges {
            keys: directory.len() as u64,
            bytes: directory.weight_bytes(),
            copies: copies.len() as u64,
            copy_bytes: copies.weight_bytes(),
        }
    }
}
