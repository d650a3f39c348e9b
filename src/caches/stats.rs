//! What a shard knows of its caches, for the metrics and the operator.

use super::{Caches, TAGS};
use crate::metrics::{CacheCounters, CacheGauges, CacheSnapshot};

impl Caches {
    /// This shard's share of every cache of the app. Counts go on from those
    /// `inherited` from a predecessor that died.
    pub(crate) fn snapshot(&self, inherited: &[CacheSnapshot]) -> Vec<CacheSnapshot> {
        let numbers = TAGS + 1..=self.plan.options.len() as u16;
        let snapshots = numbers.filter_map(|cache| {
            let name = self.options(cache)?.name.clone();
            let mut counters = self.counters_of(cache);
            if let Some(before) = inherited.iter().find(|before| before.name == name) {
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
        let (directory, copies) = (&part.home.shelf().map, &part.holder.shelf().map);
        CacheGauges {
            keys: directory.len() as u64,
            bytes: directory.weight_bytes(),
            copies: copies.len() as u64,
            copy_bytes: copies.weight_bytes(),
        }
    }
}
