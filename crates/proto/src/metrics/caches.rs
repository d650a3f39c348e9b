//! What is counted of a cache: one shard's share, and all shards' together.

/// Counters of one cache; they only grow.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CacheCounters {
    /// Answered from the shard's own copy.
    pub hits_l1: u64,
    /// Answered by the key's home shard.
    pub hits_home: u64,
    /// Answered with an expired value while it was loaded anew.
    pub hits_stale: u64,
    /// Loaded, and kept.
    pub misses: u64,
    /// Waited for another request's load.
    pub collapsed: u64,
    /// Loaded without keeping: a write was under way, or the home away.
    pub bypasses: u64,
    /// Answered with an expired value because loading failed.
    pub stale_on_error: u64,
    /// Requests whose load failed, with nothing to stand in.
    pub load_errors: u64,
    /// Writes begun.
    pub writes: u64,
    /// Writes that ended without a clear outcome.
    pub doubts: u64,
    /// Copies called in because of a write or a deletion; a flush counts once
    /// for each home and shard.
    pub invalidations: u64,
    /// Loads whose result was not kept because of a write.
    pub loads_revoked: u64,
    /// Values dropped for want of room.
    pub evictions: u64,
    /// Copies dropped for want of room.
    pub evictions_l1: u64,
    /// Requests turned away because too many waited.
    pub refused: u64,
    /// Requests that went on without an answer that took too long.
    pub given_up: u64,
}

/// What is in a cache now.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CacheGauges {
    /// Values; those that have expired too, until they are asked for or
    /// dropped.
    pub keys: u64,
    /// Keys, values and bookkeeping, bytes.
    pub bytes: u64,
    /// Copies on shards; those that may not be served any more too, until they
    /// are dropped.
    pub copies: u64,
    /// What the copies count for, bytes; they share the values' memory.
    pub copy_bytes: u64,
}

/// What went through one shard's lanes to the others and from them; they only
/// grow.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct MeshCounters {
    /// Requests accepted for other shards.
    pub requests_sent: u64,
    /// Requests received.
    pub requests_received: u64,
    /// Replies, invalidations and acknowledgements accepted for other shards.
    pub replies_sent: u64,
    /// The same, received.
    pub replies_received: u64,
    /// Other shards woken.
    pub doorbells_rung: u64,
    /// Requests refused because too many waited for one shard.
    pub requests_refused_full: u64,
    /// Messages that found their lane full and had to wait.
    pub lane_full: u64,
}

impl MeshCounters {
    /// Adds another shard's, or a predecessor's.
    pub fn add(&mut self, other: &Self) {
        self.requests_sent += other.requests_sent;
        self.requests_received += other.requests_received;
        self.replies_sent += other.replies_sent;
        self.replies_received += other.replies_received;
        self.doorbells_rung += other.doorbells_rung;
        self.requests_refused_full += other.requests_refused_full;
        self.lane_full += other.lane_full;
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
    /// Adds another shard's, or a predecessor's.
    pub fn add(&mut self, other: &Self) {
        for (mine, theirs) in self.fields_mut().into_iter().zip(other.fields()) {
            *mine += theirs.1;
        }
    }

    /// Names and values, as the metrics show them.
    pub fn fields(&self) -> [(&'static str, u64); 16] {
        [
            ("hits_l1", self.hits_l1),
            ("hits_home", self.hits_home),
            ("hits_stale", self.hits_stale),
            ("misses", self.misses),
            ("collapsed", self.collapsed),
            ("bypasses", self.bypasses),
            ("stale_on_error", self.stale_on_error),
            ("load_errors", self.load_errors),
            ("writes", self.writes),
            ("doubts", self.doubts),
            ("invalidations", self.invalidations),
            ("loads_revoked", self.loads_revoked),
            ("evictions", self.evictions),
            ("evictions_l1", self.evictions_l1),
            ("refused", self.refused),
            ("given_up", self.given_up),
        ]
    }

    fn fields_mut(&mut self) -> [&mut u64; 16] {
        [
            &mut self.hits_l1,
            &mut self.hits_home,
            &mut self.hits_stale,
            &mut self.misses,
            &mut self.collapsed,
            &mut self.bypasses,
            &mut self.stale_on_error,
            &mut self.load_errors,
            &mut self.writes,
            &mut self.doubts,
            &mut self.invalidations,
            &mut self.loads_revoked,
            &mut self.evictions,
            &mut self.evictions_l1,
            &mut self.refused,
            &mut self.given_up,
        ]
    }

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

impl CacheGauges {
    fn add(&mut self, other: &Self) {
        self.keys += other.keys;
        self.bytes += other.bytes;
        self.copies += other.copies;
        self.copy_bytes += other.copy_bytes;
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
    for cache in shard {
        match sums.iter_mut().find(|sum| sum.name == cache.name) {
            Some(sum) => sum.add(cache),
            None => sums.push(cache.clone()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_counter_is_added_and_named_once() {
        let mut one = CacheCounters::default();
        for (index, field) in one.fields_mut().into_iter().enumerate() {
            *field = 1 << index;
        }
        let mut two = one;
        two.add(&one);
        let names: std::collections::BTreeSet<_> = two.fields().iter().map(|f| f.0).collect();
        assert_eq!(names.len(), 16);
        for (index, (name, value)) in two.fields().into_iter().enumerate() {
            assert_eq!(value, 2 << index, "{name}");
        }
        assert_eq!(one.hits() + one.missed(), 0b1111_1111);
    }
}
