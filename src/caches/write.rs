//! Writing: leases of all keys and tags in one order, then the write, then the
//! leases back.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::future::Future;
use std::rc::Rc;
use std::time::Duration;

use super::read::{freshness_of, too_busy};
use super::waits::{CacheWait, WriteGuard};
use super::{Cache, Caches, TAGS};
use crate::Error;
use crate::cache::{CacheKey, CacheOptions, CacheValue, Coherence, Payload};
use crate::coherence::{Answer, Replica, WriteId, WriteMode, WriteOutcome};
use crate::engine::{self, CatchUnwind, LocalEvent};
use crate::limits::{
    CACHE_HOME_RETRY_MS, CACHE_INVALIDATE_LAZY_MS, CACHE_INVALIDATE_MS, CACHE_WAIT_MS,
};

/// The keys of a write, as the caller names them and as they are kept; `None`
/// when nothing is kept under them. In order, each once.
type OwnKeys = Vec<(Vec<u8>, Option<CacheKey>)>;

/// A lease to ask for: of which cache, for what, beside whom.
type WantedLease = (u16, CacheKey, WriteMode);

/// Of those who have copies invalidated.
pub(super) const PATIENCE: Duration = Duration::from_millis(CACHE_INVALIDATE_MS);

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
    /// then. 503 with the type `urn:corelane:problem:outcome-unknown` when it
    /// is written and a shard that may have it cached does not answer in time.
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
    ) -> Result<OwnKeys, Error> {
        let mut own = OwnKeys::new();
        for key in keys {
            let key = key.as_ref();
            own.push((key.to_vec(), self.present_key(key).await?));
        }
        own.sort_by(|(_, one), (_, other)| one.cmp(other));
        own.dedup();
        Ok(own)
    }

    /// A key as it is kept now; `None` when nothing is kept under it because a
    /// tag is being written.
    pub(super) async fn present_key(&self, key: &[u8]) -> Result<Option<CacheKey>, Error> {
        if self.keeps_nothing_of(key) {
            return Ok(None);
        }
        let Some(full) = self.key_with_tokens(key).await? else {
            return Ok(None);
        };
        let hasher = &self.caches.plan.hasher;
        let key = hasher.tagged_key(self.number, &full, key.len());
        Ok(Some(key.to_key()))
    }

    /// [`present_key`](Self::present_key), asked for until it is told; whoever
    /// calls bounds that.
    async fn present_key_at_last(&self, key: &[u8]) -> Option<CacheKey> {
        loop {
            if let Ok(present) = self.present_key(key).await {
                return present;
            }
            engine::sleep(Duration::from_millis(CACHE_HOME_RETRY_MS)).await;
        }
    }

    async fn write_keys<T, F, Fut>(&self, keys: OwnKeys, write: F) -> Result<T, Error>
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

    async fn write_leased<T, F, Fut>(&self, keys: OwnKeys, write: F) -> Result<T, Error>
    where
        T: 'static,
        F: FnOnce() -> Fut + 'static,
        Fut: Future<Output = Result<(T, Option<Payload>), Error>> + 'static,
    {
        let mut guard = self.take_leases(&keys).await?;
        let cache = self.clone();
        let outcome = run_to_end(async move {
            guard.begin();
            let now_ms = cache.caches.now_ms();
            let era = cache.caches.era(cache.number);
            let result = write().await;
            let value = match &result {
                Ok((_, value)) => value.clone(),
                // Dropping the guard leaves the keys in doubt.
                Err(error) if !error.is_nothing_done() => return Err(error.clone()),
                Err(_) => None,
            };
            // Dropping the guard leaves the keys in doubt here, too.
            if result.is_ok() && !cache.invalidate_in_time(&keys).await {
                return Err(Error::outcome_unknown(
                    "it is written, but a shard that may have it cached did not answer in time",
                ));
            }
            let replica = value.map(|value| Replica {
                freshness: freshness_of(cache.options(), &value, now_ms, era),
                value,
            });
            guard.finish(&WriteOutcome::Done(replica));
            result
        });
        Ok(outcome.await?.0)
    }

    /// The leases of all tags and keys. Leases of tags are shared and wait for
    /// no lease of a key, so they are asked for together with the first key's;
    /// keys come one after the other, in one order for everybody.
    async fn take_leases(&self, keys: &OwnKeys) -> Result<WriteGuard, Error> {
        let mut guard = WriteGuard::new(&self.caches);
        if self.caches.plan.options.iter().all(CacheOptions::is_off) {
            return Ok(guard);
        }
        let (caches, own) = (&self.caches, self.number);
        let tags = self.tags_to_invalidate().into_iter();
        let tags = tags.map(|tag| (TAGS, caches.tag_key(tag), WriteMode::Shared));
        let mut keys = keys.iter().filter_map(|(_, key)| key.clone());
        let first = keys.next().map(|key| (own, key, WriteMode::Exclusive));
        let wanted = tags.chain(first);
        let asked: Vec<_> = wanted
            .map(|lease| (caches.start_asking_lease(&lease), lease))
            .collect();
        for (wait, lease) in asked {
            guard.add(lease.0, caches.obtain(wait, &lease).await?);
        }
        for key in keys {
            let lease = (own, key, WriteMode::Exclusive);
            let wait = caches.start_asking_lease(&lease);
            guard.add(own, caches.obtain(wait, &lease).await?);
        }
        Ok(guard)
    }

    /// Whether no shard has what was written under any name, within
    /// [`CACHE_INVALIDATE_MS`]. If not, what depends on the same tags is put out
    /// of reach: their homes forget the tags when they get to it.
    async fn invalidate_in_time(&self, keys: &OwnKeys) -> bool {
        if !self.is_tagged() {
            return true;
        }
        let done = engine::timeout(PATIENCE, self.invalidate_renamed(keys)).await;
        if done.is_err() {
            self.abandon_tags();
        }
        done.is_ok()
    }

    /// A key whose tags were invalidated while it was written has another name
    /// now, under which the old value may have been kept. As long as that
    /// takes; whoever calls bounds it.
    async fn invalidate_renamed(&self, keys: &OwnKeys) {
        for (key, written) in keys {
            // While a tag is being written nothing is kept, and what is kept
            // afterwards is loaded afterwards.
            if let Some(present) = self.present_key_at_last(key).await
                && Some(&present) != written.as_ref()
            {
                self.caches.invalidate(self.number, &present).await;
            }
        }
    }

    fn tags_to_invalidate(&self) -> BTreeSet<&String> {
        let more = self.invalidates.iter().flat_map(|tags| tags.iter());
        self.options().invalidates.iter().chain(more).collect()
    }

    /// Writes, and has copies invalidated afterwards without waiting for it.
    async fn write_first<T, F, Fut>(&self, keys: OwnKeys, write: F) -> Result<T, Error>
    where
        T: 'static,
        F: FnOnce() -> Fut + 'static,
        Fut: Future<Output = Result<(T, Option<Payload>), Error>> + 'static,
    {
        let cache = self.clone();
        let outcome = run_to_end(async move {
            let result = write().await;
            // Asked for before the answer, so that this shard sees its own
            // writes; waited for afterwards.
            let caches = cache.caches.clone();
            let tags = cache.tags_to_invalidate().into_iter();
            let tags = tags.map(|tag| (TAGS, caches.tag_key(tag)));
            let written = keys.iter().filter_map(|(_, key)| key.clone());
            let written = written.map(|key| (cache.number, key));
            let asked: Vec<_> = tags
                .chain(written)
                .map(|(number, key)| (caches.start_invalidating(number, &key), number, key))
                .collect();
            engine::spawn_local(async move {
                let finish = async {
                    for (wait, number, key) in asked {
                        cache.caches.finish_invalidating(wait, number, &key).await;
                    }
                };
                let patience = Duration::from_millis(CACHE_INVALIDATE_LAZY_MS);
                let _ = engine::timeout(patience, finish).await;
                cache.invalidate_in_time(&keys).await;
            });
            result
        });
        Ok(outcome.await?.0)
    }
}

impl Caches {
    fn start_asking_lease(self: &Rc<Self>, (cache, key, mode): &WantedLease) -> Option<CacheWait> {
        let home = self.home_of(*cache, key);
        self.start_asking(*cache, |holder, wait, now_ms| {
            holder.write(key.clone(), home, *mode, wait, now_ms);
        })
    }

    /// Waits for a lease that was asked for; asks again if its home has died.
    async fn obtain(
        self: &Rc<Self>,
        mut wait: Option<CacheWait>,
        lease: &WantedLease,
    ) -> Result<WriteId, Error> {
        let deadline_ms = self.now_ms() + CACHE_WAIT_MS;
        loop {
            match wait {
                Some(wait) => match wait.await {
                    Answer::Granted(write) => return Ok(write),
                    Answer::HomeGone if self.now_ms() < deadline_ms => {}
                    _ => return Err(too_busy().nothing_done()),
                },
                None => return Err(too_busy().nothing_done()),
            }
            engine::sleep(Duration::from_millis(CACHE_HOME_RETRY_MS)).await;
            wait = self.start_asking_lease(lease);
        }
    }

    /// Drops the copy here, and asks for the same on all shards.
    pub(super) fn start_invalidating(
        self: &Rc<Self>,
        cache: u16,
        key: &CacheKey,
    ) -> Option<CacheWait> {
        let home = self.home_of(cache, key);
        self.with_holder(cache, |holder, _| holder.drop_copy(key));
        self.start_asking(cache, |holder, wait, now_ms| {
            holder.invalidate(key.clone(), home, Some(wait), now_ms);
        })
    }

    /// Waits until that is done; asks again as often as need be. Whoever calls
    /// bounds it.
    pub(super) async fn finish_invalidating(
        self: &Rc<Self>,
        wait: Option<CacheWait>,
        cache: u16,
        key: &CacheKey,
    ) {
        let answer = match wait {
            Some(wait) => wait.await,
            None => Answer::TimedOut,
        };
        if matches!(answer, Answer::TimedOut | Answer::HomeGone) {
            self.invalidate(cache, key).await;
        }
    }

    /// Has a key forgotten on all shards, however long that takes; whoever
    /// calls bounds it.
    pub(super) async fn invalidate(self: &Rc<Self>, cache: u16, key: &CacheKey) {
        let home = self.home_of(cache, key);
        loop {
            let answer = self.invalidate_at(home, cache, key).await;
            if !matches!(answer, Answer::TimedOut | Answer::HomeGone) {
                return;
            }
            // A full lane says so at once, and empties only when others run.
            engine::sleep(Duration::from_millis(CACHE_HOME_RETRY_MS)).await;
        }
    }

    /// Has a home forget a key that it alone has; a home that is gone has. As
    /// long as that takes; whoever calls bounds it.
    pub(super) async fn invalidate_alive(self: &Rc<Self>, home: usize, cache: u16, key: &CacheKey) {
        while let Answer::TimedOut = self.invalidate_at(home, cache, key).await {
            engine::sleep(Duration::from_millis(CACHE_HOME_RETRY_MS)).await;
        }
    }

    /// Has a home forget a key, with all copies it gave.
    pub(super) async fn invalidate_at(
        self: &Rc<Self>,
        home: usize,
        cache: u16,
        key: &CacheKey,
    ) -> Answer<Payload, Error> {
        let answer = self.insist(cache, |holder, wait, now_ms| {
            holder.invalidate(key.clone(), home, Some(wait), now_ms);
        });
        answer.await
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
        let outcome = CatchUnwind::new(Box::pin(work)).await;
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
