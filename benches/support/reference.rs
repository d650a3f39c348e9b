//! What the directory is compared with: caches that know nothing of each other,
//! one for each shard; and which ids are popular.

use corelane::internals::cache::{CacheKey, Payload};
use corelane::internals::coherence::{EntryStore, Idle, Replica, ShardSet};

use super::Caches;
use super::directory::{BoundedStore, Read};

/// A cache for each shard; with one shard, one cache for all. A write is seen
/// by the shard that makes it, and by the others when their copy expires.
pub(crate) struct PlainCache {
    stores: Vec<BoundedStore<Idle<Payload>>>,
    evicted: Vec<(CacheKey, Idle<Payload>)>,
}

impl PlainCache {
    pub(crate) fn new(shards: usize, bytes_max: u64) -> Self {
        let bytes = bytes_max.div_ceil(shards as u64);
        Self {
            stores: (0..shards).map(|_| BoundedStore::new(bytes)).collect(),
            evicted: Vec::new(),
        }
    }
}

impl Caches for PlainCache {
    fn read(
        &mut self,
        shard: usize,
        key: &CacheKey,
        now_ms: u64,
        load: impl FnOnce() -> Replica<Payload>,
    ) -> (Payload, Read) {
        let store = &mut self.stores[shard];
        if let Some(entry) = store.find(key)
            && entry.replica.freshness.is_fresh(now_ms)
        {
            return (entry.replica.value.clone(), Read::L1);
        }
        let replica = load();
        let value = replica.value.clone();
        let holders = ShardSet::new();
        // Taken out first, as the directory does with what has expired.
        store.remove(key);
        store.insert(key.clone(), Idle { replica, holders }, &mut self.evicted);
        self.evicted.clear();
        (value, Read::Loaded)
    }

    fn update(&mut self, shard: usize, key: &CacheKey, _now_ms: u64, write: impl FnOnce()) {
        write();
        self.stores[shard].remove(key);
    }

    fn create(&mut self, _shard: usize, _key: &CacheKey, _now_ms: u64) {}
}

/// Draws indexes of which few are popular: the n-th with odds 1 / n^s.
pub(crate) struct Zipf {
    /// Odds of this index or a lower one.
    up_to: Vec<f64>,
}

impl Zipf {
    pub(crate) fn new(count: usize, s: f64) -> Self {
        let mut sum = 0.0;
        let up_to = (1..=count).map(|n| {
            sum += (n as f64).powf(-s);
            sum
        });
        Self {
            up_to: up_to.collect(),
        }
    }

    pub(crate) fn draw(&self, random: &mut fastrand::Rng) -> usize {
        let all = self.up_to.last().copied().unwrap_or(0.0);
        let at = random.f64() * all;
        let index = self.up_to.partition_point(|up_to| *up_to < at);
        index.min(self.up_to.len() - 1)
    }
}
