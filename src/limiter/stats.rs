//! What is counted of each rule.

use std::sync::Arc;

use super::Judgement;
use crate::metrics::{LimiterSnapshot, RuleCounters, RuleSnapshot};

/// By rule; a handful, so a scan finds it.
#[derive(Default)]
pub(super) struct RuleCounts {
    rules: Vec<(Arc<str>, RuleCounters)>,
    /// A predecessor's.
    evicted: u64,
}

impl RuleCounts {
    /// Goes on from the numbers of a predecessor that died.
    pub(super) fn resume(inherited: LimiterSnapshot) -> Self {
        let rules = inherited.rules.into_iter();
        Self {
            rules: rules
                .map(|rule| (rule.name.into(), rule.counters))
                .collect(),
            evicted: inherited.evicted,
        }
    }

    pub(super) fn count(&mut self, rule: &Arc<str>, judgement: &Judgement) {
        let counters = self.of(rule);
        match judgement.verdict.is_allowed {
            true => counters.allowed += 1,
            false => counters.denied += 1,
        }
        counters.unjudged += u64::from(!judgement.is_of_home);
    }

    pub(super) fn snapshot(&self, keys: u64, evicted: u64) -> LimiterSnapshot {
        let rules = self.rules.iter().map(|(name, counters)| RuleSnapshot {
            name: name.to_string(),
            counters: *counters,
        });
        LimiterSnapshot {
            rules: rules.collect(),
            keys,
            evicted: self.evicted + evicted,
        }
    }

    pub(super) fn of(&mut self, rule: &Arc<str>) -> &mut RuleCounters {
        let found = self.rules.iter().position(|(name, _)| name == rule);
        let index = found.unwrap_or_else(|| {
            self.rules.push((rule.clone(), RuleCounters::default()));
            self.rules.len() - 1
        });
        &mut self.rules[index].1
    }
}
