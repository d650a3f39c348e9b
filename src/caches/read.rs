//! Reading through a cache: this shard's copy, the home's, or a load.

use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;

use super::cached::{HitKind, Item};
use super::lookup::CacheLookup;
use super::waits::LoadGuard;
use super::{Cache, Caches};
use crate::Error;
use crate::cache::{CacheKey, CacheOptions, KeyRef, Payload};
use crate::clock::Millis;
use crate::coherence::{Answer, Freshness, Hit, LoadId, Outcome, Replica, ValueSource};
use crate::engine;
use crate::limits::CACHE_KEY_BYTES_MAX;

type Fetched = (Rc<Item>, HitKind);

/// A load under way: on the heap, so that nothing which waits for it carries it.
type Loading = Pin<Box<dyn Future<Output = Result<Payload, Error>>>>;

/// In a frame of its own: a load is several KiB, and a frame with room for one
/// touches each of its pages, which a hit would pay for (88 to 168 instructions).
#[cold]
#[inline(never)]
fn begin<Fut>(load: impl FnOnce() -> Fut) -> Loading
where
    Fut: Future<Output = Result<Payload, Error>> + 'static,
{
    Box::pin(load())
}

impl Cache {
    /// The item under a key as what `convert` makes of it: at once if this shard
    /// has a copy to serve. Else `load` is called, and its future loads if it
    /// falls to this request.
    pub(super) fn fetch<T, F, Fut, C>(&self, key: &[u8], load: F, convert: C) -> CacheLookup<T>
    where
        F: FnOnce() -> Fut,
        Fut: Future<Output = Result<Payload, Error>> + 'static,
        C: FnOnce(Rc<Item>, HitKind) -> Result<T, Error> + 'static,
    {
        if self.keeps_nothing_of(key) {
            let (cache, load) = (self.clone(), begin(load));
            return CacheLookup::waiting(async move {
                let (item, hit) = cache.load_unkept(load).await?;
                convert(item, hit)
            });
        }
        let hasher = &self.caches.plan.hasher;
        if !self.is_tagged() {
            let key = hasher.key(self.number, key);
            return self.fetch_key(key, || begin(load), convert);
        }
        if let Some(full) = self.key_with_tokens_here(key) {
            let key = hasher.tagged_key(self.number, &full, key.len());
            return self.fetch_key(key, || begin(load), convert);
        }
        let (cache, load, key) = (self.clone(), begin(load), key.to_vec());
        CacheLookup::waiting(async move { cache.fetch_tagged(&key, load, convert).await })
    }

    fn fetch_key<T, C>(
        &self,
        key: KeyRef<'_>,
        load: impl FnOnce() -> Loading,
        convert: C,
    ) -> CacheLookup<T>
    where
        C: FnOnce(Rc<Item>, HitKind) -> Result<T, Error> + 'static,
    {
        match self.caches.hit(self.number, key) {
            Some((Hit::Fresh, item)) => {
                self.caches.count_lookup(self.number, HitKind::L1);
                CacheLookup::ready(convert(item, HitKind::L1))
            }
            Some((Hit::Stale, item)) => {
                self.caches.count_lookup(self.number, HitKind::Stale);
                self.refresh(key.to_key(), load);
                CacheLookup::ready(convert(item, HitKind::Stale))
            }
            None => {
                let (cache, key, load) = (self.clone(), key.to_key(), load());
                CacheLookup::waiting(async move {
                    let (item, hit) = cache.miss(key, load).await?;
                    convert(item, hit)
                })
            }
        }
    }

    /// When a tag's token has to be asked for first.
    async fn fetch_tagged<T, C>(&self, key: &[u8], load: Loading, convert: C) -> Result<T, Error>
    where
        C: FnOnce(Rc<Item>, HitKind) -> Result<T, Error> + 'static,
    {
        let Some(full) = self.key_with_tokens(key).await? else {
            let (item, hit) = self.load_unkept(load).await?;
            return convert(item, hit);
        };
        let hasher = &self.caches.plan.hasher;
        let key = hasher.tagged_key(self.number, &full, key.len());
        self.fetch_key(key, || load, convert).await
    }

    /// Whether nothing is ever kept under a key like this.
    pub(super) fn keeps_nothing_of(&self, key: &[u8]) -> bool {
        key.len() > CACHE_KEY_BYTES_MAX || self.options().is_off()
    }

    async fn miss(&self, key: CacheKey, load: Loading) -> Result<Fetched, Error> {
        match self.ask_home(&key, false).await {
            Answer::Value { replica, source } => {
                let now_ms = self.caches.now_ms();
                let freshness = &replica.freshness;
                let lookup = match source {
                    // Else it has expired on its way, or it was born so.
                    ValueSource::Home
                        if !freshness.is_fresh(now_ms) && freshness.is_usable(now_ms) =>
                    {
                        self.refresh(key, || load);
                        HitKind::Stale
                    }
                    ValueSource::Home => HitKind::Home,
                    ValueSource::Collapsed => HitKind::Collapsed,
                    ValueSource::StaleOnError => HitKind::StaleOnError,
                };
                self.caches.count_lookup(self.number, lookup);
                Ok((Rc::new(Item::new(replica)), lookup))
            }
            Answer::Lead {
                load: id, stale, ..
            } => {
                let found = self.lead(id, stale, load).await;
                match &found {
                    Ok((_, lookup)) => self.caches.count_lookup(self.number, *lookup),
                    Err(_) => self.caches.count(self.number, |c| c.load_errors += 1),
                }
                found
            }
            Answer::Failed(error) => {
                self.caches.count(self.number, |c| c.load_errors += 1);
                Err(error)
            }
            _ => Err(too_busy()),
        }
    }

    pub(super) async fn ask_home(&self, key: &CacheKey, refresh: bool) -> Answer<Payload, Error> {
        let home = self.caches.home_of(self.number, key);
        let asked = self.caches.ask(self.number, |holder, wait, now_ms| {
            holder.read(key.clone(), home, refresh, wait, now_ms);
        });
        asked.await
    }

    /// Loads for all who wait. Counts nothing: nobody may be among them.
    async fn lead(
        &self,
        id: LoadId,
        stale: Option<Replica<Payload>>,
        load: Loading,
    ) -> Result<Fetched, Error> {
        let guard = LoadGuard::new(&self.caches, self.number, id);
        // Whatever was written outside of the server after this moment may be
        // missed, so the time to live counts from here.
        let (now_ms, era) = (self.caches.now_ms(), self.caches.era(self.number));
        match load.await {
            Ok(value) => {
                let freshness = freshness_of(self.options(), &value, now_ms, era);
                let replica = Replica { value, freshness };
                let item = Rc::new(Item::new(replica.clone()));
                let era = self.caches.era(self.number);
                let keeps =
                    freshness.seen_in(era).is_fresh(now_ms) && self.caches.keeps(self.number, id);
                guard.finish(Outcome::Value(replica));
                let lookup = match keeps {
                    true => HitKind::Loaded,
                    false => HitKind::Bypass,
                };
                Ok((item, lookup))
            }
            // RFC 5861 section 4: 404 is no failure but news.
            Err(error) if !error.status().is_server_error() => {
                guard.finish(Outcome::Refused(error.clone()));
                Err(error)
            }
            Err(error) => {
                guard.finish(Outcome::Failed(error.clone()));
                let Some(replica) = stale else {
                    return Err(error);
                };
                Ok((Rc::new(Item::new(replica)), HitKind::StaleOnError))
            }
        }
    }

    /// Loads for this request alone.
    async fn load_unkept(&self, load: Loading) -> Result<Fetched, Error> {
        self.caches.count_lookup(self.number, HitKind::Bypass);
        let now_ms = self.caches.now_ms();
        let value = load.await?;
        let freshness = Freshness::until(now_ms);
        Ok((
            Rc::new(Item::new(Replica { value, freshness })),
            HitKind::Bypass,
        ))
    }

    /// Loads a key anew in a task of its own, once at a time on this shard; its
    /// home sees to it that it is once at a time on all.
    fn refresh(&self, key: CacheKey, load: impl FnOnce() -> Loading) {
        let started = Refreshing::start(&self.caches, self.number, key.clone());
        let Some(refreshing) = started else {
            return;
        };
        let (cache, load) = (self.clone(), load());
        engine::spawn_local(async move {
            let work = Box::pin(async move {
                if let Answer::Lead {
                    load: id, stale, ..
                } = cache.ask_home(&key, true).await
                {
                    // Whoever reads it next sees the failure, if it lasts.
                    let _ = cache.lead(id, stale, load).await;
                }
            });
            // A panic has been printed by the hook; it ends only this task.
            let _ = engine::CatchUnwind::new(work).await;
            drop(refreshing);
        });
    }
}

impl Caches {
    /// This shard's copy of a key, if it may be served.
    pub(super) fn hit(&self, cache: u16, key: KeyRef<'_>) -> Option<(Hit, Rc<Item>)> {
        let inner = self.inner.borrow();
        let part = &inner.parts[usize::from(cache)];
        let (hit, item) = part.hit(key, self.era(cache), self.now_ms())?;
        Some((hit, item.clone()))
    }

    pub(super) fn count_lookup(&self, cache: u16, lookup: HitKind) {
        self.count(cache, |counters| match lookup {
            HitKind::L1 => counters.hits_l1 += 1,
            HitKind::Stale => counters.hits_stale += 1,
            HitKind::Home => counters.hits_home += 1,
            HitKind::Loaded => counters.misses += 1,
            HitKind::Collapsed => counters.collapsed += 1,
            HitKind::Bypass => counters.bypasses += 1,
            HitKind::StaleOnError => counters.stale_on_error += 1,
        });
    }
}

/// Until when a value is good whose load began at `now_ms`, in this era of the
/// change feed.
pub(super) fn freshness_of(
    options: &CacheOptions,
    value: &Payload,
    now_ms: Millis,
    era: u64,
) -> Freshness {
    let ttl_ms = match value {
        Payload::Value { .. } => options.ttl_ms,
        Payload::Nothing => options.negative_ttl_ms,
        Payload::Token(_) => u64::MAX,
    };
    let fresh_until_ms = now_ms.saturating_add(ttl_ms);
    let is_kept = ttl_ms > 0;
    let longer = |ms: u64| fresh_until_ms.saturating_add(if is_kept { ms } else { 0 });
    Freshness {
        fresh_until_ms,
        stale_until_ms: longer(options.stale_while_revalidate_ms),
        error_until_ms: longer(options.stale_if_error_ms),
        era,
    }
}

pub(super) fn too_busy() -> Error {
    Error::unavailable("too many requests wait for the same data; try again", 1)
}

/// A key on the list of those being loaded anew.
struct Refreshing {
    caches: Rc<Caches>,
    entry: (u16, CacheKey),
}

impl Refreshing {
    fn start(caches: &Rc<Caches>, cache: u16, key: CacheKey) -> Option<Self> {
        let entry = (cache, key);
        let is_first = caches.refreshing.borrow_mut().insert(entry.clone());
        is_first.then(|| Self {
            caches: caches.clone(),
            entry,
        })
    }
}

impl Drop for Refreshing {
    fn drop(&mut self) {
        self.caches.refreshing.borrow_mut().remove(&self.entry);
    }
}
