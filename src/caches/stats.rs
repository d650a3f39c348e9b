//! What a shard knows of its caches, for the metrics and the operator.

use super::{Cache, Caches, TAGS};
use crate::metrics::{CacheCounters, CacheGauges, CacheSnapshot};
use crate::peers::ControlMessage;

impl Cache {
    /// What has been counted of it, and what is in it, on all shards (node-cache's
    /// stats). A shard that does not answer in time is left out.
    pub async fn stats(&self) -> CacheSnapshot {
        let mut shares = self.caches.peers.gather(ControlMessage::Snapshot).await;
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
    /// This shard's share of every cache of the app.
    pub(crate) fn snapshot(&self) -> Vec<CacheSnapshot> {
        let numbers = TAGS + 1..=self.plan.options.len() as u16;
        let snapshots = numbers.filter_map(|cache| {
            let name = self.options(cache)?.name.clone();
            let mut counters = self.counters_of(cache);
            let mut before = self.inherited.iter();
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
        let (directory, copies) = (&part.home.entries().map, &part.holder.entries().map);
        CacheGauges {
            keys: directory.len() as u64,
            bytes: directory.weight_bytes(),
            copies: copies.len() as u64,
            copy_bytes: copies.weight_bytes(),
        }
    }
}
