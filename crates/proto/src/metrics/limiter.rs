//! What is counted of rate limits: one shard's share, and all shards' together.

use super::counted::{add_by_name, counters};

counters! {
    /// Counters of one rule; they only grow.
    pub struct RuleCounters {
        counter "corelane_rate_limit_requests_total"
        "Requests that a rate limit counted (allowed) or answered 429 (denied), by rule."
        by result {
            /// Requests let through.
            allowed: "allowed",
            /// Requests answered 429.
            denied: "denied",
        };
        counter "corelane_rate_limit_unjudged_total"
        "Requests that their own shard judged by its share, because the one that counts their key \
         did not answer in time."
        => unjudged;
        counter "corelane_rate_limit_fallbacks_total"
        "Requests judged by this process alone because Redis did not answer."
        => fallbacks;
    }
}

/// One rule on one shard, or on all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RuleSnapshot {
    /// Its name.
    pub name: String,
    /// What has happened.
    pub counters: RuleCounters,
}

/// The limits of one shard, or of all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LimiterSnapshot {
    /// Rules that have had a request.
    pub rules: Vec<RuleSnapshot>,
    /// Keys remembered now.
    pub keys: u64,
    /// Keys forgotten for want of room.
    pub evicted: u64,
}

impl LimiterSnapshot {
    /// Adds another shard's share; rules are matched by name.
    pub fn add(&mut self, share: &Self) {
        self.keys += share.keys;
        self.evicted += share.evicted;
        let add = |sum: &mut RuleSnapshot, rule: &RuleSnapshot| sum.counters.add(&rule.counters);
        add_by_name(&mut self.rules, &share.rules, |rule| &rule.name, add);
    }
}
