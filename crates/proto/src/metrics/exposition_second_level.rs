//! The families of caches in Redis, sums over the shards.

use prometheus::proto::MetricFamily;

use super::SecondLevelSnapshot;
use super::families::{counter, counters, label};

pub(super) fn second_level_families(
    levels: &[SecondLevelSnapshot],
    families: &mut Vec<MetricFamily>,
) {
    for (name, help, kinds) in SECOND_LEVEL {
        let samples = levels.iter().flat_map(|level| {
            let fields = level.counters.fields();
            let wanted = kinds.iter().map(move |kind| {
                let field = fields.iter().find(|(field, _)| field == kind);
                let value = field.map_or(0, |(_, value)| *value);
                let mut labels = vec![label("cache", &level.name)];
                if kinds.len() > 1 {
                    labels.push(label("result", kind));
                }
                counter(labels, value as f64)
            });
            wanted.collect::<Vec<_>>()
        });
        families.push(counters(name, help, samples.collect()));
    }
}

/// Name, help, the counters it shows; several are told apart by `result`.
const SECOND_LEVEL: [(&str, &str, &[&str]); 5] = [
    (
        "corelane_redis_cache_requests_total",
        "Look-ups in a cache in Redis: hits, misses, or bypasses because Redis is away, slow, or has \
         not been told of a write yet.",
        &["hits", "misses", "bypasses"],
    ),
    (
        "corelane_redis_cache_puts_total",
        "What was loaded and put there (fills), or not: something newer was there (fills_older), it \
         came too late (fills_late), too many were being put (dropped), Redis failed (failures).",
        &["fills", "fills_older", "fills_late", "dropped", "failures"],
    ),
    (
        "corelane_redis_cache_writes_total",
        "Writes and changes made elsewhere that Redis was told of.",
        &["writes"],
    ),
    (
        "corelane_redis_cache_debts_total",
        "Writes that Redis could not be told of at once; until it is, nothing is read there.",
        &["debts"],
    ),
    (
        "corelane_redis_cache_garbage_total",
        "Entries that were found and are not corelane's.",
        &["garbage"],
    ),
];
