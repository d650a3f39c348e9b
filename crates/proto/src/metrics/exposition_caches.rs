//! The families of caches and of the lanes between shards.
//!
//! Those of caches are sums over the shards: who holds what is the protocol's
//! affair, and a value is in one directory wherever it is asked for.

use prometheus::proto::{Metric, MetricFamily, MetricType};

use super::families::{counter, counters, family, gauge, label, shard_labels};
use super::{CacheCounters, CacheGauges, CacheSnapshot, MeshCounters, ShardTotals};

pub(super) fn cache_families(caches: &[CacheSnapshot], families: &mut Vec<MetricFamily>) {
    let mut requests = Vec::new();
    let mut evictions = Vec::new();
    for cache in caches {
        for (result, count) in results(&cache.counters) {
            let labels = vec![label("cache", &cache.name), label("result", result)];
            requests.push(counter(labels, count as f64));
        }
        let counts = &cache.counters;
        for (level, count) in [("directory", counts.evictions), ("l1", counts.evictions_l1)] {
            let labels = vec![label("cache", &cache.name), label("level", level)];
            evictions.push(counter(labels, count as f64));
        }
    }
    families.extend([
        counters(
            "corelane_cache_requests_total",
            "Reads through a cache, by how the value was come by: l1 and home are hits, stale and \
             stale_on_error too, but expired; miss loaded it, collapsed waited for another's load, \
             bypass loaded it and it was not kept, error is a load that failed.",
            requests,
        ),
        counters(
            "corelane_cache_evictions_total",
            "Values (directory) and copies on shards (l1) dropped for want of room.",
            evictions,
        ),
    ]);
    for (name, help, value) in COUNTERS {
        families.push(counters(
            name,
            help,
            by_cache(caches, counter, |c| value(&c.counters)),
        ));
    }
    for (name, help, value) in GAUGES {
        let samples = by_cache(caches, gauge, |cache| value(&cache.gauges));
        families.push(family(name, help, MetricType::GAUGE, samples));
    }
}

/// Each read is one of these.
fn results(counters: &CacheCounters) -> [(&'static str, u64); 8] {
    [
        ("l1", counters.hits_l1),
        ("home", counters.hits_home),
        ("stale", counters.hits_stale),
        ("miss", counters.misses),
        ("collapsed", counters.collapsed),
        ("bypass", counters.bypasses),
        ("stale_on_error", counters.stale_on_error),
        ("error", counters.load_errors),
    ]
}

/// Name, help, value.
type Counted = (&'static str, &'static str, fn(&CacheCounters) -> u64);
type Gauged = (&'static str, &'static str, fn(&CacheGauges) -> u64);

const COUNTERS: [Counted; 6] = [
    ("corelane_cache_writes_total", "Writes begun.", |c| c.writes),
    (
        "corelane_cache_invalidations_total",
        "Copies on shards called in because of a write or a deletion; \
         a flush counts once for each home and shard.",
        |c| c.invalidations,
    ),
    (
        "corelane_cache_loads_revoked_total",
        "Loads whose result was not kept because of a write meanwhile.",
        |c| c.loads_revoked,
    ),
    (
        "corelane_cache_doubts_total",
        "Writes that ended without a clear outcome; their keys are not kept for a while.",
        |c| c.doubts,
    ),
    (
        "corelane_cache_refused_total",
        "Reads and writes turned away because too many waited.",
        |c| c.refused,
    ),
    (
        "corelane_cache_given_up_total",
        "Reads and writes that went on without an answer that took too long.",
        |c| c.given_up,
    ),
];

const GAUGES: [Gauged; 4] = [
    (
        "corelane_cache_keys",
        "Values kept; those that have expired too, until they are asked for or dropped.",
        |g| g.keys,
    ),
    (
        "corelane_cache_bytes",
        "Memory of keys, values and bookkeeping.",
        |g| g.bytes,
    ),
    (
        "corelane_cache_copies",
        "Copies of values on shards; those that may not be served any more too, until they are dropped.",
        |g| g.copies,
    ),
    (
        "corelane_cache_copy_bytes",
        "What the copies count for; they share the values' memory.",
        |g| g.copy_bytes,
    ),
];

fn by_cache(
    caches: &[CacheSnapshot],
    sample: fn(Vec<prometheus::proto::LabelPair>, f64) -> Metric,
    value: impl Fn(&CacheSnapshot) -> u64,
) -> Vec<Metric> {
    let samples = caches.iter().map(|cache| {
        let labels = vec![label("cache", &cache.name)];
        sample(labels, value(cache) as f64)
    });
    samples.collect()
}

pub(super) fn mesh_families(shards: &[ShardTotals], families: &mut Vec<MetricFamily>) {
    let mut messages = Vec::new();
    for shard in shards {
        let mesh = &shard.mesh;
        for (class, direction, count) in [
            ("request", "sent", mesh.requests_sent),
            ("request", "received", mesh.requests_received),
            ("reply", "sent", mesh.replies_sent),
            ("reply", "received", mesh.replies_received),
        ] {
            let mut labels = shard_labels(shard);
            labels.extend([label("class", class), label("direction", direction)]);
            messages.push(counter(labels, count as f64));
        }
    }
    let by_shard = |value: fn(&MeshCounters) -> u64| {
        let samples = shards.iter();
        let samples = samples.map(|s| counter(shard_labels(s), value(&s.mesh) as f64));
        samples.collect()
    };
    families.extend([
        counters(
            "corelane_mesh_messages_total",
            "Messages between shards; invalidations and acknowledgements are replies.",
            messages,
        ),
        counters(
            "corelane_mesh_doorbells_total",
            "Other shards woken because they slept.",
            by_shard(|mesh| mesh.doorbells_rung),
        ),
        counters(
            "corelane_mesh_requests_refused_total",
            "Requests not sent because too many waited for one shard.",
            by_shard(|mesh| mesh.requests_refused_full),
        ),
        counters(
            "corelane_mesh_lane_full_total",
            "Messages that found their lane full and had to wait.",
            by_shard(|mesh| mesh.lane_full),
        ),
    ]);
}
