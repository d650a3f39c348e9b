//! A shard's memory of lookups: bounded by bytes, trusted for a time, and
//! looked up once however many requests wait for the same path.
//!
//! A hit that is still trusted takes no lock, no allocation and no `await`.
//! After that, the first request for a path looks again on the blocking pool
//! and the others wait for it. If that first request is cancelled, the next in
//! line takes over. What another shard has found changed is trusted no longer,
//! so that no client is taken back in time.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::future::{Future, poll_fn};
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Poll, Waker};

use quick_cache::Weighter;
use quick_cache::unsync::Cache;

use super::beneath::{Fingerprint, RACY_NS};
use super::resource::{Finder, Found, Lookup, Settling};
use super::respond;
use crate::caches::{Generation, generation_of, note_state};
use crate::engine::{self, PoolError};
use crate::error::Blame;
use crate::{Error, PreparedResponse, clock::Millis};

/// Lookups of one shard.
pub(super) struct Entries {
    finder: Arc<Finder>,
    revalidate_ms: u64,
    cache: RefCell<Cache<Box<str>, Rc<Entry>, ByBytes>>,
    /// Paths being looked up now; at most one flight per path.
    flights: RefCell<HashMap<Box<str>, Rc<Flight>>>,
    lookups: Cell<u64>,
}

/// One remembered lookup.
pub(super) struct Entry {
    pub(super) found: Found,
    /// Answers to requests for the whole of a file that is kept, by `Coding as usize`.
    pub(super) prepared: [Option<Rc<PreparedResponse>>; 4],
    /// When the last lookup began.
    looked_up_ms: Cell<Millis>,
    /// The path's among those of all roots, and the generation that the last
    /// lookup is of: another shard that finds a change begins the next.
    hash: u64,
    generation: Cell<Generation>,
}

impl Entry {
    fn new(mut found: Found, now_ms: Millis, hash: u64, generation: Generation) -> Self {
        let prepared = match &mut found {
            Found::File(resource) => resource.take_prepared(),
            _ => [const { None }; 4],
        };
        Self {
            found,
            prepared: prepared.map(|prepared| prepared.map(Rc::new)),
            looked_up_ms: Cell::new(now_ms),
            hash,
            generation: Cell::new(generation),
        }
    }

    /// How long after the lookup it is trusted. A file that has just changed
    /// is looked at again as soon as its times can tell, to give it a strong
    /// tag and to catch a second change that they hide.
    fn trusted_ms(&self, revalidate_ms: u64) -> u64 {
        match &self.found {
            Found::File(file) if file.settling() == Settling::Soon => revalidate_ms.min(RACY_MS),
            _ => revalidate_ms,
        }
    }
}

/// Why a lookup has no answer; shared by all who waited for it.
#[derive(Debug, Clone)]
pub(super) enum LookupError {
    Pool(PoolError),
    /// Out of descriptors or memory.
    Exhausted(Rc<str>),
    Io(Rc<str>),
}

impl Entries {
    pub(super) fn new(finder: Finder, cache_bytes: u64, revalidate_ms: u64) -> Self {
        let entries = (cache_bytes / ENTRY_BYTES_TYPICAL).clamp(16, 65_536) as usize;
        Self {
            finder: Arc::new(finder),
            revalidate_ms,
            cache: RefCell::new(Cache::with_weighter(entries, cache_bytes, ByBytes)),
            flights: RefCell::default(),
            lookups: Cell::new(0),
        }
    }

    pub(super) fn finder(&self) -> &Arc<Finder> {
        &self.finder
    }

    /// What is remembered, if it may still be trusted.
    pub(super) fn trusted(&self, path: &str, now_ms: Millis) -> Option<Rc<Entry>> {
        let cache = self.cache.borrow();
        let entry = cache.get(path)?;
        let age_ms = now_ms.saturating_sub(entry.looked_up_ms.get());
        let is_trusted = age_ms < entry.trusted_ms(self.revalidate_ms)
            && entry.generation.get() == generation_of(entry.hash);
        is_trusted.then(|| entry.clone())
    }

    /// Looks on disk, or waits for the request that already does. `now_ms` is
    /// when the request came: no answer is older than the trusted time before.
    pub(super) async fn look_up(
        &self,
        path: &str,
        now_ms: Millis,
    ) -> Result<Rc<Entry>, LookupError> {
        let hash = self.hash_of(path);
        loop {
            let running = self.flights.borrow().get(path).cloned();
            let Some(flight) = running else {
                return self.lead(path, hash, now_ms).await;
            };
            match flight.landed().await {
                Landing::Cancelled => {}
                Landing::Failed(error) => return Err(error),
                Landing::Found(entry) => {
                    let age_ms = now_ms.saturating_sub(entry.looked_up_ms.get());
                    let is_young = age_ms == 0 || age_ms < entry.trusted_ms(self.revalidate_ms);
                    if is_young && entry.generation.get() == generation_of(hash) {
                        return Ok(entry);
                    }
                    // It began too long before this request came, or before
                    // another shard found a change.
                }
            }
        }
    }

    /// Forgets a path whose file has been seen to differ.
    pub(super) fn forget(&self, path: &str) {
        self.cache.borrow_mut().remove(path);
    }

    /// Has the other shards look again at a path whose file has been seen to
    /// differ and is sent as it is now.
    pub(super) fn announce(&self, path: &str, fingerprint: &Fingerprint) {
        let hash = self.hash_of(path);
        let state = xxhash_rust::xxh3::xxh3_64(&fingerprint.to_bytes());
        note_state(hash, generation_of(hash), state, true);
    }

    fn hash_of(&self, path: &str) -> u64 {
        let seed = self.finder.root.hash();
        xxhash_rust::xxh3::xxh3_64_with_seed(path.as_bytes(), seed)
    }

    async fn lead(&self, path: &str, hash: u64, now_ms: Millis) -> Result<Rc<Entry>, LookupError> {
        let flight = Rc::new(Flight::default());
        self.flights
            .borrow_mut()
            .insert(path.into(), flight.clone());
        let guard = Takeoff {
            entries: self,
            path,
            flight: &flight,
        };
        let result = self.look_now(path, hash, now_ms).await;
        guard.land(match &result {
            Ok(entry) => Landing::Found(entry.clone()),
            Err(error) => Landing::Failed(error.clone()),
        });
        result
    }

    async fn look_now(
        &self,
        path: &str,
        hash: u64,
        now_ms: Millis,
    ) -> Result<Rc<Entry>, LookupError> {
        self.lookups.set(self.lookups.get() + 1);
        let before = generation_of(hash);
        let known = self.cache.borrow().peek(path).cloned();
        let still = known.as_ref().and_then(|entry| match &entry.found {
            Found::File(resource) => resource.known(),
            _ => None,
        });
        let (finder, owned_path) = (self.finder.clone(), path.to_owned());
        let looked = engine::unblock(move || {
            let mut lookup = finder.look_up(&owned_path, still)?;
            if let Lookup::Found(Found::File(resource)) = &mut lookup {
                respond::prepare(resource);
            }
            Ok(lookup)
        });
        let looked = looked.await;
        match (
            looked
                .map_err(LookupError::Pool)?
                .map_err(LookupError::from_io)?,
            known,
        ) {
            (Lookup::Unchanged, Some(entry)) => {
                entry.looked_up_ms.set(now_ms);
                // It may have been another meanwhile, for another shard.
                let state = entry.found.state();
                entry.generation.set(note_state(hash, before, state, false));
                Ok(entry)
            }
            (Lookup::Found(found), known) => {
                // What was not known here may be known otherwise elsewhere.
                let state = found.state();
                let is_news = known.is_none_or(|known| known.found.state() != state);
                let generation = note_state(hash, before, state, is_news);
                let entry = Rc::new(Entry::new(found, now_ms, hash, generation));
                self.cache.borrow_mut().insert(path.into(), entry.clone());
                Ok(entry)
            }
            (Lookup::Unchanged, None) => Err(LookupError::Io(
                "a first lookup found its path unchanged".into(),
            )),
        }
    }

    /// How often the disk was asked.
    #[cfg(test)]
    pub(super) fn lookups(&self) -> u64 {
        self.lookups.get()
    }

    /// Weight of everything remembered, bytes.
    #[cfg(test)]
    pub(super) fn weight_bytes(&self) -> u64 {
        self.cache.borrow().weight()
    }
}

impl LookupError {
    pub(super) fn from_io(error: std::io::Error) -> Self {
        use rustix::io::Errno;
        let text = format!("looking up a static file: {error}").into();
        match Errno::from_io_error(&error) {
            Some(Errno::MFILE | Errno::NFILE | Errno::NOMEM) => Self::Exhausted(text),
            _ => Self::Io(text),
        }
    }
}

impl From<LookupError> for Error {
    fn from(error: LookupError) -> Self {
        match error {
            LookupError::Pool(error) => error.into(),
            LookupError::Exhausted(log) => Error::unavailable("the server is busy; try again", 1)
                .with_log(format!("{log}; raise LimitNOFILE or open fewer files"))
                .with_blame(Blame::Host),
            LookupError::Io(log) => Error::internal(log).with_blame(Blame::Host),
        }
    }
}

/// Weighs an entry by the content it holds and a flat rate for the rest.
#[derive(Clone)]
struct ByBytes;

impl Weighter<Box<str>, Rc<Entry>> for ByBytes {
    fn weight(&self, path: &Box<str>, entry: &Rc<Entry>) -> u64 {
        let content = match &entry.found {
            Found::File(resource) => ENTRY_FILE_BYTES + resource.content_bytes(),
            _ => 0,
        };
        ENTRY_BYTES + path.len() as u64 + content
    }
}

const RACY_MS: u64 = (RACY_NS / 1_000_000) as u64;

/// What an entry costs beside path and content: map slot, counters, node.
const ENTRY_BYTES: u64 = 256;
/// What a file's entry costs more: its headers, tags and fingerprints.
const ENTRY_FILE_BYTES: u64 = 2_048;
/// Only sizes the cache's tables at start.
const ENTRY_BYTES_TYPICAL: u64 = 8_192;

/// A lookup under way, and who waits for it.
#[derive(Default)]
struct Flight {
    landing: RefCell<Option<Landing>>,
    waiting: RefCell<Vec<Waker>>,
}

#[derive(Clone)]
enum Landing {
    Found(Rc<Entry>),
    Failed(LookupError),
    /// The request that led it was dropped.
    Cancelled,
}

impl Flight {
    fn landed(&self) -> impl Future<Output = Landing> + '_ {
        poll_fn(|context| {
            if let Some(landing) = &*self.landing.borrow() {
                return Poll::Ready(landing.clone());
            }
            let mut waiting = self.waiting.borrow_mut();
            if !waiting.iter().any(|waker| waker.will_wake(context.waker())) {
                waiting.push(context.waker().clone());
            }
            Poll::Pending
        })
    }
}

/// Ends a flight in every case, that of being dropped half-way included.
struct Takeoff<'a> {
    entries: &'a Entries,
    path: &'a str,
    flight: &'a Rc<Flight>,
}

impl Takeoff<'_> {
    fn land(self, landing: Landing) {
        *self.flight.landing.borrow_mut() = Some(landing);
    }
}

impl Drop for Takeoff<'_> {
    fn drop(&mut self) {
        self.flight
            .landing
            .borrow_mut()
            .get_or_insert(Landing::Cancelled);
        self.entries.flights.borrow_mut().remove(self.path);
        let waiting = self.flight.waiting.take();
        waiting.into_iter().for_each(engine::wake);
    }
}
