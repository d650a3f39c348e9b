//! Writing: leases of all keys and tags in one order, then the write, then the
//! leases back.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::future::Future;
use std::rc::Rc;
use std::time::Duration;

use super::read::{freshness_of, too_busy};
use super::waits::WriteGuard;
use super::{Cache, Caches, TAGS};
use crate::Error;
use crate::cache::{CacheKey, CacheValue, Coherence, Payload};
use crate::coherence::{Answer, Replica, WriteMode, WriteOutcome};
use crate::engine::{self, Guarded, LocalEvent};
use crate::limits::{CACHE_HOME_RETRY_MS, CACHE_KEY_BYTES_MAX, CACHE_WAIT_MS};

impl Cache {
    /// Runs `write` while nobody has a copy of `keys`, or of anything that
    /// depends on a tag this cache invalidates. What it changed is seen by
    /// every request that comes after it has answered.
    ///
    /// Once begun it goes on to its end, also when the request that began it
    /// is gone. If it fails, the keys are not kept anywhere for a while (unless
    /// the error says that nothing was written,
    /// [`Error::is_nothing_done`]), because it may still happen. Do not read
    /// or delete `keys` through the cache inside of it: that waits for it.
    ///
    /// # Errors
    /// `write`'s; 503 when a lease cannot be had in time; nothing is written
    /// then.
    pub async fn write<T, F, Fut>(
        &self,
        keys: impl IntoIterator<Item = impl AsRef<[u8]>>,
        write: F,
    ) -> Result<T, Error>
    where
        T: 'static,
        F: FnOnce() -> Fut + 'static,
        Fut: Future<Output = Result<T, Error>> + 'static,
    {
        let keys = self.own_keys(keys).await?;
        let write = || async { Ok((write().await?, None)) };
        self.write_keys(keys, write).await
    }

    /// [`write`](Self::write) of one key whose new value is known afterwards,
    /// and kept: the next reader finds it. Lazy coherence does not make it any
    /// cheaper, because nothing can be kept without a lease.
    ///
    /// # Errors
    /// As [`write`](Self::write).
    pub async fn write_value<V, F, Fut>(&self, key: impl AsRef<[u8]>, write: F) -> Result<(), Error>
    where
        V: CacheValue,
        F: FnOnce() -> Fut + 'static,
        Fut: Future<Output = Result<V, Error>> + 'static,
    {
        let keys = self.own_keys([key]).await?;
        let write = || async { Ok(((), Some(Payload::of(write().await?)))) };
        self.caches
            .count(self.number, |counters| counters.writes += 1);
        self.write_leased(keys, write).await
    }

    /// The keys as they are kept now, each once, in order.
    async fn own_keys(
        &self,
        keys: impl IntoIterator<Item = impl AsRef<[u8]>>,
    ) -> Result<BTreeSet<CacheKey>, Error> {
        let mut own = BTreeSet::new();
        for key in keys {
            own.extend(self.present_key(key.as_ref()).await?);
        }
        Ok(own)
    }

    /// A key as it is kept now; `None` when nothing is kept under it because a
    /// tag is being written.
    pub(super) async fn present_key(&self, key: &[u8]) -> Result<Option<CacheKey>, Error> {
        if key.len() > CACHE_KEY_BYTES_MAX {
            return Ok(None);
        }
        let Some(full) = self.key_with_tokens(key).await? else {
            return Ok(None);
        };
        let hasher = &self.caches.plan.hasher;
        let key = hasher.tagged_key(self.number, &full, key.len());
        Ok(Some(key.to_key()))
    }

    async fn write_keys<T, F, Fut>(&self, keys: BTreeSet<CacheKey>, write: F) -> Result<T, Error>
    where
        T: 'static,
        F: FnOnce() -> Fut + 'static,
        Fut: Future<Output = Result<(T, Option<Payload>), Error>> + 'static,
    {
        self.caches
            .count(self.number, |counters| counters.writes += 1);
        if self.options().coherence == Coherence::Lazy {
            return self.write_first(keys, write).await;
        }
        self.write_leased(keys, write).await
    }

    async fn write_leased<T, F, Fut>(&self, keys: BTreeSet<CacheKey>, write: F) -> Result<T, Error>
    where
        T: 'static,
        F: FnOnce() -> Fut + 'static,
        Fut: Future<Output = Result<(T, Option<Payload>), Error>> + 'static,
    {
        let mut guard = WriteGuard::new(&self.caches);
        for tag in self.tags_to_invalidate() {
            let key = self.caches.tag_key(tag);
            let write = self.caches.lease(TAGS, key, WriteMode::Shared).await?;
            guard.add(TAGS, write);
        }
        for key in keys {
            let write = self.caches.lease(self.number, key, WriteMode::Exclusive);
            guard.add(self.number, write.await?);
        }
        let cache = self.clone();
        let outcome = run_to_end(async move {
            guard.begin();
            let now_ms = cache.caches.now_ms();
            let result = write().await;
            let value = match &result {
                Ok((_, value)) => value.clone(),
                // Dropping the guard leaves the keys in doubt.
                Err(error) if !error.is_nothing_done() => return Err(error.clone()),
                Err(_) => None,
            };
            let replica = value.map(|value| Replica {
                freshness: freshness_of(cache.options(), &value, now_ms),
                value,
            });
            guard.finish(&WriteOutcome::Done(replica));
            result
        });
        Ok(outcome.await?.0)
    }

    fn tags_to_invalidate(&self) -> BTreeSet<&String> {
        let more = self.invalidates.iter().flat_map(|tags| tags.iter());
        self.options().invalidates.iter().chain(more).collect()
    }

    /// Writes, and has copies called in afterwards without waiting for it.
    async fn write_first<T, F, Fut>(&self, keys: BTreeSet<CacheKey>, write: F) -> Result<T, Error>
    where
        T: 'static,
        F: FnOnce() -> Fut + 'static,
        Fut: Future<Output = Result<(T, Option<Payload>), Error>> + 'static,
    {
        let cache = self.clone();
        let outcome = run_to_end(async move {
            let result = write().await;
            engine::spawn_local(async move {
                for tag in cache.tags_to_invalidate() {
                    cache.caches.call_in(TAGS, &cache.caches.tag_key(tag)).await;
                }
                for key in keys {
                    cache.caches.call_in(cache.number, &key).await;
                }
            });
            result
        });
        Ok(outcome.await?.0)
    }
}

impl Caches {
    async fn lease(
        self: &Rc<Self>,
        cache: u16,
        key: CacheKey,
        mode: WriteMode,
    ) -> Result<crate::coherence::WriteId, Error> {
        let home = self.home_of(cache, &key);
        let answer = self.insist(cache, |holder, wait, now_ms| {
            holder.write(key.clone(), home, mode, wait, now_ms);
        });
        match answer.await {
            Answer::Granted(write) => Ok(write),
            _ => Err(too_busy().nothing_done()),
        }
    }

    /// Has a key forgotten on all shards, however long that takes.
    async fn call_in(self: &Rc<Self>, cache: u16, key: &CacheKey) {
        let home = self.home_of(cache, key);
        loop {
            let answer = self.insist(cache, |holder, wait, now_ms| {
                holder.purge(key.clone(), home, Some(wait), now_ms);
            });
            if !matches!(answer.await, Answer::TimedOut | Answer::HomeGone) {
                return;
            }
        }
    }

    /// Asks a home, and its successor if it dies.
    pub(super) async fn insist(
        self: &Rc<Self>,
        cache: u16,
        call: impl Fn(&mut super::part::PartHolder, crate::coherence::WaitId, u64),
    ) -> Answer<Payload, Error> {
        let deadline_ms = self.now_ms() + CACHE_WAIT_MS;
        loop {
            match self.ask(cache, &call).await {
                Answer::HomeGone if self.now_ms() < deadline_ms => {
                    engine::sleep(Duration::from_millis(CACHE_HOME_RETRY_MS)).await;
                }
                answer => return answer,
            }
        }
    }
}

/// Runs a future in a task of its own, so that it ends whoever waits for it.
///
/// # Panics
/// As it does.
async fn run_to_end<T: 'static>(
    work: impl Future<Output = Result<T, Error>> + 'static,
) -> Result<T, Error> {
    let result = Rc::new(RefCell::new(None));
    let done = Rc::new(LocalEvent::default());
    let (put, tell) = (result.clone(), done.clone());
    engine::spawn_local(async move {
        let outcome = Guarded::new(Box::pin(work)).await;
        *put.borrow_mut() = Some(outcome);
        tell.notify();
    });
    done.wait().await;
    let outcome = result.borrow_mut().take();
    match outcome {
        Some(Ok(result)) => result,
        Some(Err(panicked)) => std::panic::resume_unwind(Box::new(panicked.0)),
        None => Err(Error::internal("a write ended without a result")),
    }
}
