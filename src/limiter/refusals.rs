//! Refusals of other shards, kept until they end: until then nobody need be
//! asked, because nothing can be let through before. So a client that goes on
//! and on costs no messages.

use std::collections::HashMap;

use crate::limits::LIMITER_REFUSALS_MAX;
use crate::rate_limit::{KeyHash, Verdict};

/// By key, bounded; which are kept when there are too many does not matter.
#[derive(Debug, Default)]
pub(super) struct Refusals(HashMap<KeyHash, Refusal>);

#[derive(Debug, Clone, Copy)]
struct Refusal {
    until_ns: u64,
    whole_at_ns: u64,
}

impl Refusals {
    /// The verdict on a key that is still refused.
    pub(super) fn find(&self, key: KeyHash, now_ns: u64) -> Option<Verdict> {
        let refusal = self.0.get(&key)?;
        let retry_after_ns = refusal.until_ns.checked_sub(now_ns)?;
        (retry_after_ns > 0).then(|| Verdict {
            is_allowed: false,
            remaining: 0,
            reset_ns: refusal.whole_at_ns.saturating_sub(now_ns),
            retry_after_ns,
        })
    }

    /// Keeps what was heard just now.
    pub(super) fn keep(&mut self, key: KeyHash, verdict: &Verdict, now_ns: u64) {
        if self.0.len() >= LIMITER_REFUSALS_MAX {
            self.0.retain(|_, refusal| refusal.until_ns > now_ns);
        }
        if self.0.len() >= LIMITER_REFUSALS_MAX {
            self.0.clear();
        }
        let refusal = Refusal {
            until_ns: now_ns.saturating_add(verdict.retry_after_ns),
            whole_at_ns: now_ns.saturating_add(verdict.reset_ns),
        };
        self.0.insert(key, refusal);
    }
}
