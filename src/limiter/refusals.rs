//! Refusals of other shards, kept until they end: until then nobody need be
//! asked, because nothing can be let through before. So a client that goes on
//! and on costs no messages.

use std::collections::HashMap;

use crate::limits::LIMITER_REFUSALS_MAX;
use crate::rate_limit::{KeyHash, QuotaVerdict};

/// By key, bounded; which are kept when there are too many does not matter.
#[derive(Debug, Default)]
pub(super) struct Refusals(HashMap<KeyHash, LimitRefusal>);

#[derive(Debug, Clone, Copy)]
struct LimitRefusal {
    until_ns: u64,
    whole_at_ns: u64,
}

impl Refusals {
    /// The verdict on a key that is still refused.
    pub(super) fn find(&self, key: KeyHash, now_ns: u64) -> Option<QuotaVerdict> {
        let refusal = self.0.get(&key)?;
        let retry_after_ns = refusal.until_ns.checked_sub(now_ns)?;
        (retry_after_ns > 0).then(|| QuotaVerdict {
            is_allowed: false,
            remaining: 0,
            reset_ns: refusal.whole_at_ns.saturating_sub(now_ns),
            retry_after_ns,
        })
    }

    /// Keeps what was heard just now.
    pub(super) fn keep(&mut self, key: KeyHash, verdict: &QuotaVerdict, now_ns: u64) {
        if self.0.len() >= LIMITER_REFUSALS_MAX {
            self.0.retain(|_, refusal| refusal.until_ns > now_ns);
        }
        if self.0.len() >= LIMITER_REFUSALS_MAX {
            self.0.clear();
        }
        let refusal = LimitRefusal {
            until_ns: now_ns.saturating_add(verdict.retry_after_ns),
            whole_at_ns: now_ns.saturating_add(verdict.reset_ns),
        };
        self.0.insert(key, refusal);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(retry_after_ns: u64) -> QuotaVerdict {
        QuotaVerdict {
            is_allowed: false,
            remaining: 0,
            reset_ns: retry_after_ns.saturating_mul(10),
            retry_after_ns,
        }
    }

    #[test]
    fn a_refusal_is_known_until_the_moment_it_ends() {
        let mut refusals = Refusals::default();
        let key = KeyHash(7);
        assert_eq!(refusals.find(key, 0), None);
        refusals.keep(key, &refused(100), 1_000);
        let verdict = refusals.find(key, 1_040).unwrap();
        assert_eq!((verdict.retry_after_ns, verdict.reset_ns), (60, 960));
        assert!(!verdict.is_allowed);
        assert!(refusals.find(key, 1_099).is_some());
        assert_eq!(refusals.find(key, 1_100), None);
        assert_eq!(refusals.find(KeyHash(8), 1_040), None);
    }

    #[test]
    fn there_are_never_more_than_there_may_be() {
        let mut refusals = Refusals::default();
        for key in 0..3 * LIMITER_REFUSALS_MAX as u128 {
            // Some end soon, some late.
            refusals.keep(
                KeyHash(key),
                &refused(1 + key as u64 % 2 * 1_000_000),
                key as u64,
            );
            assert!(refusals.0.len() <= LIMITER_REFUSALS_MAX);
        }
        refusals.keep(KeyHash(1), &refused(u64::MAX), u64::MAX - 1);
        assert!(refusals.find(KeyHash(1), u64::MAX - 1).is_some());
    }
}
