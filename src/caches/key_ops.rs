//! The words of node-cache, for what they are on one logical cache: asking
//! without loading, setting, deleting, listing.

use std::collections::BTreeSet;
use std::rc::Rc;

use super::cached::{Cached, HitKind, Item};
use super::read::too_busy;
use super::write::PATIENCE;
use super::{Cache, Caches, TAGS};
use crate::Error;
use crate::cache::{CacheKey, CacheValue, Coherence};
use crate::coherence::{Answer, Freshness, Hit};
use crate::engine;
use crate::peers::ControlMessage;

impl Cache {
    /// The value if it is cached, on this shard or anywhere; never loads it.
    ///
    /// # Errors
    /// As [`get_or_load`](Self::get_or_load).
    pub async fn get<V: CacheValue>(
        &self,
        key: impl AsRef<[u8]>,
    ) -> Result<Option<Cached<V>>, Error> {
        let Some(key) = self.present_key(key.as_ref()).await? else {
            return Ok(None);
        };
        let caches = &self.caches;
        if let Some((Hit::Fresh, item)) = caches.hit(self.number, key.as_ref()) {
            caches.count_lookup(self.number, HitKind::L1);
            return Cached::new(item, HitKind::L1);
        }
        let home = caches.home_of(self.number, &key);
        let asked = caches.ask(self.number, |holder, wait, now_ms| {
            holder.peek(key.clone(), home, wait, now_ms);
        });
        match asked.await {
            Answer::Value { replica, .. } => {
                caches.count_lookup(self.number, HitKind::Home);
                Cached::new(Rc::new(Item::new(replica)), HitKind::Home)
            }
            Answer::TimedOut => Err(too_busy()),
            _ => Ok(None),
        }
    }

    /// [`get`](Self::get) of several keys, in their order.
    ///
    /// # Errors
    /// As [`get`](Self::get).
    pub async fn mget<V: CacheValue>(
        &self,
        keys: impl IntoIterator<Item = impl AsRef<[u8]>>,
    ) -> Result<Vec<Option<Cached<V>>>, Error> {
        let mut values = Vec::new();
        for key in keys {
            values.push(self.get(key).await?);
        }
        Ok(values)
    }

    /// Keeps a value under a key, for every shard. For values that have no
    /// other home; what stands in a database is written with
    /// [`write`](Self::write).
    ///
    /// # Errors
    /// As [`write`](Self::write).
    pub async fn set<V: CacheValue>(&self, key: impl AsRef<[u8]>, value: V) -> Result<(), Error> {
        self.write_value(key, || async { Ok(value) }).await
    }

    /// Forgets keys everywhere; how many of them were cached. When it returns
    /// no shard serves them.
    ///
    /// # Errors
    /// 503 when that cannot be had in time.
    pub async fn del(
        &self,
        keys: impl IntoIterator<Item = impl AsRef<[u8]>>,
    ) -> Result<usize, Error> {
        let mut deleted = 0;
        for key in keys {
            deleted += usize::from(self.delete(key.as_ref()).await?.is_some());
        }
        Ok(deleted)
    }

    /// Forgets keys that have been changed elsewhere, all at once. When it
    /// returns no shard serves what was cached before; it waits for the
    /// successor of a shard that has died. Keys are not looked up among those
    /// kept with tags.
    ///
    /// # Errors
    /// 503 when that cannot be had in time: some shard may serve what was
    /// cached before.
    pub async fn invalidate(
        &self,
        keys: impl IntoIterator<Item = impl AsRef<[u8]>>,
    ) -> Result<(), Error> {
        if self.options().is_off() {
            return Ok(());
        }
        let caches = &self.caches;
        let mut asked = Vec::new();
        for key in keys {
            let key = caches.plan.hasher.key(self.number, key.as_ref()).to_key();
            let wait = caches.start_invalidating(self.number, &key);
            asked.push((wait, key));
        }
        let finish = async {
            for (wait, key) in asked {
                caches.finish_invalidating(wait, self.number, &key).await;
                if self.options().coherence == Coherence::Off {
                    for home in (0..caches.shards).filter(|home| *home != caches.me) {
                        caches.invalidate_alive(home, self.number, &key).await;
                    }
                }
            }
        };
        let done = engine::timeout(PATIENCE, finish).await;
        done.map_err(|_| too_busy())
    }

    /// The value if it is cached, and forgets it everywhere. Of several who
    /// take at once, one gets it.
    ///
    /// # Errors
    /// As [`del`](Self::del).
    pub async fn take<V: CacheValue>(
        &self,
        key: impl AsRef<[u8]>,
    ) -> Result<Option<Cached<V>>, Error> {
        match self.delete(key.as_ref()).await? {
            Some(item) => Cached::new(item, HitKind::Home),
            None => Ok(None),
        }
    }

    async fn delete(&self, key: &[u8]) -> Result<Option<Rc<Item>>, Error> {
        let Some(key) = self.present_key(key).await? else {
            return Ok(None);
        };
        let mut had = None;
        for home in self.caches.homes_of(self.number, &key) {
            match self.caches.invalidate_at(home, self.number, &key).await {
                Answer::Invalidated(here) => had = had.or(here),
                _ => return Err(too_busy()),
            }
        }
        Ok(had.map(|replica| Rc::new(Item::new(replica))))
    }

    /// How long a cached value stays fresh, milliseconds; `None` when it is not
    /// cached.
    ///
    /// # Errors
    /// As [`get`](Self::get).
    pub async fn ttl_left_ms<V: CacheValue>(
        &self,
        key: impl AsRef<[u8]>,
    ) -> Result<Option<u64>, Error> {
        let cached = self.get::<V>(key).await?;
        Ok(cached.map(|cached| cached.left_ms(self.caches.now_ms())))
    }

    /// Lets a cached value stay fresh for `ttl_ms` from now; whether it was
    /// cached. 0 forgets it.
    ///
    /// # Errors
    /// As [`del`](Self::del).
    pub async fn ttl(&self, key: impl AsRef<[u8]>, ttl_ms: u64) -> Result<bool, Error> {
        if ttl_ms == 0 {
            return Ok(self.delete(key.as_ref()).await?.is_some());
        }
        let Some(key) = self.present_key(key.as_ref()).await? else {
            return Ok(false);
        };
        let home = self.caches.home_of(self.number, &key);
        let freshness = Freshness {
            era: self.caches.era(self.number),
            ..Freshness::until(self.caches.now_ms().saturating_add(ttl_ms))
        };
        let asked = self.caches.insist(self.number, |holder, wait, now_ms| {
            holder.touch(key.clone(), home, freshness, wait, now_ms);
        });
        match asked.await {
            Answer::Invalidated(had) => Ok(had.is_some()),
            _ => Err(too_busy()),
        }
    }

    /// Every key that [`get`](Self::get) would find, of all shards, in order:
    /// with other tags there are other keys. A shard that does not answer in
    /// time is left out.
    ///
    /// # Errors
    /// As [`get`](Self::get).
    pub async fn keys(&self) -> Result<Vec<Vec<u8>>, Error> {
        let Some(current) = self.key_with_tokens(b"").await? else {
            return Ok(Vec::new());
        };
        let keys = self.caches.keys_everywhere(self.number).await;
        let parts = keys.iter().map(CacheKey::split);
        let found = parts.filter(|(_, tokens)| *tokens == current);
        let own: BTreeSet<Vec<u8>> = found.map(|(own, _)| own.to_vec()).collect();
        Ok(own.into_iter().collect())
    }

    /// Forgets everything in this cache, on all shards.
    ///
    /// # Errors
    /// As [`del`](Self::del).
    pub async fn flush(&self) -> Result<(), Error> {
        for home in 0..self.caches.shards {
            let asked = self.caches.insist(self.number, |holder, wait, now_ms| {
                holder.flush(home, wait, now_ms);
            });
            if !matches!(asked.await, Answer::Flushed) {
                return Err(too_busy());
            }
        }
        Ok(())
    }

    /// Forgets everything that depends on a tag, in every cache.
    ///
    /// # Errors
    /// As [`del`](Self::del).
    pub async fn invalidate_tag(&self, tag: &str) -> Result<(), Error> {
        self.caches.invalidate_tag(tag).await
    }
}

impl Caches {
    /// See [`Cache::invalidate_tag`].
    pub(crate) async fn invalidate_tag(self: &Rc<Self>, tag: &str) -> Result<(), Error> {
        let key = self.tag_key(tag);
        let home = self.home_of(TAGS, &key);
        match self.invalidate_at(home, TAGS, &key).await {
            Answer::Invalidated(_) => Ok(()),
            _ => Err(too_busy()),
        }
    }

    /// Every tag there is: those in the options of the caches, and those that
    /// entries depend on.
    pub(crate) async fn tags(&self) -> BTreeSet<String> {
        let options = self.plan.options.iter();
        let declared = options.flat_map(|cache| cache.tags.iter().chain(&cache.invalidates));
        let mut tags: BTreeSet<String> = declared.cloned().collect();
        let in_use = self.keys_everywhere(TAGS).await;
        let names = in_use.iter().map(|key| key.split().0);
        tags.extend(names.map(|name| String::from_utf8_lossy(name).into_owned()));
        tags
    }

    /// The keys of all shards whose value is fresh, with the tokens of tags.
    async fn keys_everywhere(&self, cache: u16) -> Vec<CacheKey> {
        let question = |reply| ControlMessage::CacheKeys(cache, reply);
        let asked = self.peers.gather(question).await;
        let mut keys = self.keys_here(cache);
        keys.extend(asked.into_iter().flatten());
        keys
    }

    /// Of those the keys whose home is this shard.
    pub(crate) fn keys_here(&self, cache: u16) -> Vec<CacheKey> {
        let now_ms = self.now_ms();
        let inner = self.inner.borrow();
        let Some(part) = inner.parts.get(usize::from(cache)) else {
            return Vec::new();
        };
        let entries = part.home.entries().map.iter();
        let era = self.era(cache);
        let fresh =
            entries.filter(|(_, entry)| entry.0.replica.freshness.seen_in(era).is_fresh(now_ms));
        fresh.map(|(key, _)| key.clone()).collect()
    }
}
