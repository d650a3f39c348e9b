//! What is counted of the second level: rows or answers in Redis.

use super::counted::{add_by_name, counters};

counters! {
    /// Counters of one cache in Redis; they only grow.
    pub struct SecondLevelCounters, json by_name {
        counter "corelane_redis_cache_requests_total"
        "Look-ups in a cache in Redis: hits, misses, or bypasses because Redis is away, slow, or has \
         not been told of a write yet."
        by result {
            /// Found there.
            hits: "hits",
            /// Not there.
            misses: "misses",
            /// Not asked, or not answered: Redis is away or slow, or has not been told
            /// of a write yet.
            bypasses: "bypasses",
        };
        counter "corelane_redis_cache_puts_total"
        "What was loaded and put there (fills), or not: something newer was there (fills_older), it \
         came too late (fills_late), too many were being put (dropped), Redis failed (failures)."
        by result {
            /// Put there after a load.
            fills: "fills",
            /// Not put there because something newer was there.
            fills_older: "fills_older",
            /// Not put there because the load took too long, or everything was given up
            /// meanwhile.
            fills_late: "fills_late",
            /// Not put there because too many were being put.
            dropped: "dropped",
            /// Putting or telling that failed.
            failures: "failures",
        };
        counter "corelane_redis_cache_writes_total"
        "Writes and changes made elsewhere that Redis was told of."
        => writes;
        counter "corelane_redis_cache_debts_total"
        "Writes that Redis could not be told of at once; until it is, nothing is read there."
        => debts;
        counter "corelane_redis_cache_garbage_total"
        "Entries that were found and are not corelane's."
        => garbage;
    }
}

/// One of them, on one shard or on all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SecondLevelSnapshot {
    /// Its name.
    pub name: String,
    /// What has happened.
    pub counters: SecondLevelCounters,
}

/// Adds one shard's to those of others, by name.
pub(super) fn add_second_levels(
    sums: &mut Vec<SecondLevelSnapshot>,
    shard: &[SecondLevelSnapshot],
) {
    let add = |sum: &mut SecondLevelSnapshot, share: &SecondLevelSnapshot| {
        sum.counters.add(&share.counters);
    };
    add_by_name(sums, shard, |level| &level.name, add);
}
