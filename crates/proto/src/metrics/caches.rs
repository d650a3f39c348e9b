//! What is counted of a cache: one shard's share, and all shards' together.
//!
//! The families are sums over the shards: who holds what is the protocol's
//! affair, and a value is in one directory wherever it is asked for.

use super::counted::{add_by_name, counters};

counters! {
    /// Counters of one cache; they only grow.
    pub struct CacheCounters, json by_name {
        counter "corelane_cache_requests_total"
        "Reads through a cache, by how the value was come by: l1 and home are hits, stale and \
         stale_on_error too, but expired; miss loaded it, collapsed waited for another's load, \
         bypass loaded it and it was not kept, error is a load that failed."
        by result {
            /// Answered from the shard's own copy.
            hits_l1: "l1",
            /// Answered by the key's home shard.
            hits_home: "home",
            /// Answered with an expired value while it was loaded anew.
            hits_stale: "stale",
            /// Loaded, and kept.
            misses: "miss",
            /// Waited for another request's load.
            collapsed: "collapsed",
            /// Loaded without keeping: a write was under way, or the home away.
            bypasses: "bypass",
            /// Answered with an expired value because loading failed.
            stale_on_error: "stale_on_error",
            /// Requests whose load failed, with nothing to stand in.
            load_errors: "error",
        };
        counter "corelane_cache_evictions_total"
        "Values (directory) and copies on shards (l1) dropped for want of room."
        by level {
            /// Values dropped for want of room.
            evictions: "directory",
            /// Copies dropped for want of room.
            evictions_l1: "l1",
        };
        counter "corelane_cache_writes_total" "Writes begun." => writes;
        counter "corelane_cache_invalidations_total"
        "Copies on shards called in because of a write or a deletion; \
         a flush counts once for each home and shard."
        => invalidations;
        counter "corelane_cache_loads_revoked_total"
        "Loads whose result was not kept because of a write meanwhile."
        => loads_revoked;
        counter "corelane_cache_doubts_total"
        "Writes that ended without a clear outcome; their keys are not kept for a while."
        => doubts;
        counter "corelane_cache_refused_total"
        "Reads and writes turned away because too many waited."
        => refused;
        counter "corelane_cache_given_up_total"
        "Reads and writes that went on without an answer that took too long."
        => given_up;
    }
}

counters! {
    /// What is in a cache now.
    pub struct CacheGauges {
        gauge "corelane_cache_keys"
        "Values kept; those that have expired too, until they are asked for or dropped."
        => keys;
        gauge "corelane_cache_bytes" "Memory of keys, values and bookkeeping." => bytes;
        gauge "corelane_cache_copies"
        "Copies of values on shards; those that may not be served any more too, until they are dropped."
        => copies;
        gauge "corelane_cache_copy_bytes"
        "What the copies count for; they share the values' memory."
        => copy_bytes;
    }
}

/// One cache on one shard, or on all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CacheSnapshot {
    /// Its name.
    pub name: String,
    /// What has happened.
    pub counters: CacheCounters,
    /// What is there.
    pub gauges: CacheGauges,
}

impl CacheCounters {
    /// Requests answered without waiting for a load.
    pub fn hits(&self) -> u64 {
        self.hits_l1 + self.hits_home + self.hits_stale + self.stale_on_error
    }

    /// Requests that waited for one.
    pub fn missed(&self) -> u64 {
        self.misses + self.collapsed + self.bypasses + self.load_errors
    }

    /// Of all requests those that were hits, 0 to 1; 0 before the first.
    pub fn hit_ratio(&self) -> f64 {
        match self.hits() + self.missed() {
            0 => 0.0,
            all => self.hits() as f64 / all as f64,
        }
    }
}

impl CacheSnapshot {
    /// Adds another shard's share of the same cache.
    pub fn add(&mut self, share: &Self) {
        self.counters.add(&share.counters);
        self.gauges.add(&share.gauges);
    }
}

/// Adds one shard's caches to those of others, by name.
pub(super) fn add_caches(sums: &mut Vec<CacheSnapshot>, shard: &[CacheSnapshot]) {
    add_by_name(sums, shard, |cache| &cache.name, CacheSnapshot::add);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_read_is_a_hit_or_a_miss() {
        let counters = CacheCounters {
            hits_l1: 1,
            hits_home: 2,
            hits_stale: 4,
            misses: 8,
            collapsed: 16,
            bypasses: 32,
            stale_on_error: 64,
            load_errors: 128,
            ..CacheCounters::default()
        };
        assert_eq!((counters.hits(), counters.missed()), (71, 184));
        assert_eq!(counters.hit_ratio(), 71.0 / 255.0);
    }
}
