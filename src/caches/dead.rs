//! Values that nobody can be given any more: those whose time is over, and those kept
//! under a tag's token that has been replaced. They would go when room is needed, but
//! so would others then, and until then they look like a leak; so a sweep has them
//! forgotten.
//!
//! A token is known to be dead on a shard that had it and was given another for the
//! same tag. Whoever kept a value has a copy of it, so the shard that finds the copy
//! has its home forget the key, as it would any other.

use std::collections::{HashMap, HashSet};
use std::rc::Rc;

use super::{Caches, TAGS};
use crate::cache::CacheKey;
use crate::clock::Millis;
use crate::coherence::Freshness;
use crate::limits::{CACHE_DEAD_PER_SWEEP_MAX, CACHE_DEAD_TOKENS_MAX};

/// The tokens of tags that this shard has had.
#[derive(Debug, Default)]
pub(super) struct TagTokens {
    last: HashMap<CacheKey, u64>,
    /// Since the last sweep, and before it: a load that began with one may have kept
    /// its value only now.
    dead: HashSet<u64>,
    dying: HashSet<u64>,
    /// Caches whose keys have tokens.
    tagged: HashSet<u16>,
    sweeps: u64,
}

impl TagTokens {
    /// An entry of `cache` is to be found under this token of a tag.
    pub(super) fn note(&mut self, cache: u16, tag: &CacheKey, token: u64) {
        self.tagged.insert(cache);
        if self.last.len() >= CACHE_DEAD_TOKENS_MAX {
            self.last.clear();
        }
        match self.last.insert(tag.clone(), token) {
            Some(before) if before != token && self.dead.len() < CACHE_DEAD_TOKENS_MAX => {
                self.dead.insert(before);
            }
            _ => {}
        }
    }

    /// Those to look for now.
    fn take_dead(&mut self) -> HashSet<u64> {
        let before = std::mem::replace(&mut self.dying, std::mem::take(&mut self.dead));
        self.dying.union(&before).copied().collect()
    }

    /// What could not be forgotten in this sweep is looked for in the next.
    fn keep_dead(&mut self, tokens: HashSet<u64>) {
        self.dead.extend(tokens);
    }
}

impl Caches {
    /// Has dead values forgotten on all shards. Once a second or so.
    pub(super) fn sweep_dead(self: &Rc<Self>) {
        let (tokens, tagged, is_for_all) = {
            let mut known = self.tag_tokens.borrow_mut();
            known.sweeps += 1;
            let is_for_all = known.sweeps.is_multiple_of(EXPIRED_EVERY_SWEEPS);
            (known.take_dead(), known.tagged.clone(), is_for_all)
        };
        let mut is_full = false;
        for cache in TAGS + 1..=self.plan.options.len() as u16 {
            let looks_for_tokens = !tokens.is_empty() && tagged.contains(&cache);
            if !looks_for_tokens && !is_for_all {
                continue;
            }
            let dead = self.find_dead(cache, &tokens);
            is_full |= dead.len() >= CACHE_DEAD_PER_SWEEP_MAX;
            for key in dead {
                let home = self.home_of(cache, &key);
                self.with_holder(cache, |holder, now_ms| {
                    holder.drop_copy(&key);
                    holder.invalidate(key, home, None, now_ms);
                });
            }
        }
        if is_full {
            self.tag_tokens.borrow_mut().keep_dead(tokens);
        }
    }

    fn find_dead(&self, cache: u16, tokens: &HashSet<u64>) -> Vec<CacheKey> {
        let now_ms = self.now_ms();
        let inner = self.inner.borrow();
        let part = &inner.parts[usize::from(cache)];
        let copies = part.holder.entries().map.iter();
        let copies = copies.map(|(key, copy)| (key, &copy.kept.replica.freshness));
        let entries = part.home.entries().map.iter();
        let entries = entries.map(|(key, entry)| (key, &entry.0.replica.freshness));
        let is_dead = |(key, freshness): &(&CacheKey, &Freshness)| {
            is_over(freshness, now_ms) || has_token_of(key, tokens)
        };
        let dead = copies.chain(entries).filter(is_dead);
        let dead: HashSet<CacheKey, _> = dead
            .map(|(key, _)| key.clone())
            .take(CACHE_DEAD_PER_SWEEP_MAX)
            .collect::<HashSet<_>>();
        dead.into_iter().collect()
    }
}

/// Whether it stands in for nothing any more, in whichever era.
fn is_over(freshness: &Freshness, now_ms: Millis) -> bool {
    let Freshness {
        fresh_until_ms,
        stale_until_ms,
        error_until_ms,
        ..
    } = *freshness;
    now_ms >= fresh_until_ms.max(stale_until_ms).max(error_until_ms)
}

fn has_token_of(key: &CacheKey, tokens: &HashSet<u64>) -> bool {
    let (_, own) = key.split();
    let mut own = own.chunks_exact(size_of::<u64>());
    own.any(|token| {
        let token = token.try_into().map(u64::from_le_bytes);
        token.is_ok_and(|token| tokens.contains(&token))
    })
}

/// How often everything is looked at for what is over.
const EXPIRED_EVERY_SWEEPS: u64 = 8;
