//! What is counted of rate limits: one shard's share, and all shards' together.

use std::collections::BTreeMap;

use prometheus::proto::{MetricFamily, MetricType};

use super::families::{counter, counters, family, gauge, label};

/// Counters of one rule; they only grow.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RuleCounters {
    /// Requests let through.
    pub allowed: u64,
    /// Requests answered 429.
    pub denied: u64,
    /// Of those let through, the ones that no shard could judge in time.
    pub unjudged: u64,
    /// Requests judged by this process alone because Redis did not answer.
    pub fallbacks: u64,
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

impl RuleCounters {
    fn add(&mut self, other: &Self) {
        self.allowed += other.allowed;
        self.denied += other.denied;
        self.unjudged += other.unjudged;
        self.fallbacks += other.fallbacks;
    }
}

impl LimiterSnapshot {
    /// Adds another shard's share; rules are matched by name.
    pub fn add(&mut self, share: &Self) {
        self.keys += share.keys;
        self.evicted += share.evicted;
        for rule in &share.rules {
            match self.rules.iter_mut().find(|sum| sum.name == rule.name) {
                Some(sum) => sum.counters.add(&rule.counters),
                None => self.rules.push(rule.clone()),
            }
        }
    }
}

/// The rate limits in the JSON of `/metrics`.
#[derive(Debug, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RateLimitsView {
    /// Clients remembered, over all rules.
    pub keys: u64,
    /// Clients forgotten for want of room.
    pub evictions: u64,
    /// By the name of the rule.
    pub rules: BTreeMap<String, RuleCounters>,
}

impl From<&LimiterSnapshot> for RateLimitsView {
    fn from(limits: &LimiterSnapshot) -> Self {
        let rules = limits.rules.iter();
        Self {
            keys: limits.keys,
            evictions: limits.evicted,
            rules: rules.map(|r| (r.name.clone(), r.counters)).collect(),
        }
    }
}

/// Sums over the shards: a rule's keys are spread over all of them.
pub(super) fn limiter_families(limits: &LimiterSnapshot, families: &mut Vec<MetricFamily>) {
    let by_rule = |value: fn(&RuleCounters) -> u64| {
        let rules = limits.rules.iter();
        let samples = rules.map(|rule| {
            let labels = vec![label("rule", &rule.name)];
            counter(labels, value(&rule.counters) as f64)
        });
        samples.collect()
    };
    let mut requests = Vec::new();
    for rule in &limits.rules {
        let counts = &rule.counters;
        for (result, count) in [("allowed", counts.allowed), ("denied", counts.denied)] {
            let labels = vec![label("rule", &rule.name), label("result", result)];
            requests.push(counter(labels, count as f64));
        }
    }
    families.extend([
        counters(
            "corelane_rate_limit_requests_total",
            "Requests that a rate limit counted (allowed) or answered 429 (denied), by rule.",
            requests,
        ),
        counters(
            "corelane_rate_limit_unjudged_total",
            "Requests let through because the shard that counts their key did not answer in time.",
            by_rule(|counts| counts.unjudged),
        ),
        counters(
            "corelane_rate_limit_fallbacks_total",
            "Requests judged by this process alone because Redis did not answer.",
            by_rule(|counts| counts.fallbacks),
        ),
        counters(
            "corelane_rate_limit_evictions_total",
            "Clients forgotten for want of room (rate_limit.keys_max); each has a whole burst again.",
            vec![counter(Vec::new(), limits.evicted as f64)],
        ),
        family(
            "corelane_rate_limit_keys",
            "Clients remembered, over all rules and shards.",
            MetricType::GAUGE,
            vec![gauge(Vec::new(), limits.keys as f64)],
        ),
    ]);
}
