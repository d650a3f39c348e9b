//! Tags: names that many entries depend on.
//!
//! A tag is a key of a cache of its own, whose value is a token that nobody
//! else has had. What depends on the tag is kept under its own key followed by
//! the token. Invalidating the tag is a write of that one key: the directory
//! protocol sees to it that no shard has the old token afterwards, and what was
//! kept under it can no longer be asked for; it goes when room is needed.
//!
//! Any number of writers hold a tag's lease at once, so that writes of many
//! rows share a commit; meanwhile readers have no token, and load for
//! themselves.

use std::time::Duration;

use crate::cache::{CacheKey, Payload};
use crate::coherence::{Answer, Freshness, Outcome, Replica};
use crate::limits::CACHE_INVALIDATE_LAZY_MS;
use crate::{Error, engine};

use super::read::too_busy;
use super::{Cache, Caches, TAGS};

impl Cache {
    /// Whether its entries depend on any tag.
    pub(super) fn is_tagged(&self) -> bool {
        self.tags.is_some() || !self.options().tags.is_empty()
    }

    /// Every tag its entries depend on.
    fn all_tags(&self) -> impl Iterator<Item = &String> {
        let more = self.tags.iter().flat_map(|tags| tags.iter());
        self.options().tags.iter().chain(more)
    }

    /// The key followed by the tokens of its tags, if this shard has them all.
    pub(super) fn key_with_tokens_here(&self, key: &[u8]) -> Option<Vec<u8>> {
        let mut full = self.key_before_tokens(key);
        for tag in self.all_tags() {
            let token = self.caches.token_here(tag)?;
            full.extend_from_slice(&token.to_le_bytes());
        }
        Some(full)
    }

    fn key_before_tokens(&self, key: &[u8]) -> Vec<u8> {
        let mut full = Vec::with_capacity(key.len() + 8 * (self.options().tags.len() + 1));
        full.extend_from_slice(key);
        full
    }

    /// The key followed by the tokens of its tags; `None` while one of them is
    /// being written.
    pub(super) async fn key_with_tokens(&self, key: &[u8]) -> Result<Option<Vec<u8>>, Error> {
        let mut full = self.key_before_tokens(key);
        for tag in self.all_tags() {
            let token = match self.caches.token_here(tag) {
                Some(token) => token,
                None => match self.token(tag).await? {
                    Some(token) => {
                        let tag = self.caches.tag_key(tag);
                        let mut known = self.caches.tag_tokens.borrow_mut();
                        known.note(self.number, &tag, token);
                        token
                    }
                    None => return Ok(None),
                },
            };
            full.extend_from_slice(&token.to_le_bytes());
        }
        Ok(Some(full))
    }

    async fn token(&self, tag: &str) -> Result<Option<u64>, Error> {
        let tags = Cache::new(self.caches.clone(), TAGS);
        let key = self.caches.tag_key(tag);
        match tags.ask_home(&key, false).await {
            Answer::Value { replica, .. } => Ok(token_of(&replica.value)),
            Answer::Lead { load, keeps, .. } => {
                let token = self.caches.new_token();
                let replica = Replica {
                    value: Payload::Token(token),
                    freshness: Freshness::until(u64::MAX),
                };
                self.caches.finish_load(TAGS, load, Outcome::Value(replica));
                Ok(keeps.then_some(token))
            }
            _ => Err(too_busy()),
        }
    }
}

impl Cache {
    /// Has every tag its entries depend on invalidated in the background, asked
    /// for again while a home is busy, for [`CACHE_INVALIDATE_LAZY_MS`].
    pub(super) fn abandon_tags(&self) {
        for tag in self.all_tags() {
            let (caches, key) = (self.caches.clone(), self.caches.tag_key(tag));
            engine::spawn_local(async move {
                let patience = Duration::from_millis(CACHE_INVALIDATE_LAZY_MS);
                let _ = engine::timeout(patience, caches.invalidate(TAGS, &key)).await;
            });
        }
    }
}

impl Caches {
    /// The key of a tag.
    pub(super) fn tag_key(&self, tag: &str) -> CacheKey {
        self.plan.hasher.key(TAGS, tag.as_bytes()).to_key()
    }

    fn token_here(&self, tag: &str) -> Option<u64> {
        let key = self.plan.hasher.key(TAGS, tag.as_bytes());
        let inner = self.inner.borrow();
        let (_, item) = inner.parts[usize::from(TAGS)].hit(key, 0, self.now_ms())?;
        token_of(item.payload())
    }

    fn new_token(&self) -> u64 {
        let number = self.tokens.get().wrapping_add(1);
        self.tokens.set(number);
        self.plan.hasher.token(number)
    }
}

fn token_of(value: &Payload) -> Option<u64> {
    match value {
        Payload::Token(token) => Some(*token),
        Payload::Value { .. } | Payload::Nothing => None,
    }
}
