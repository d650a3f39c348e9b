//! One shard's part in the one logical cache: the copies and the directory
//! (`coherence`), kept in stores bounded by bytes (`cache`), talking to other
//! shards as a service of `peers`, with tasks of this shard waiting for answers.
//!
//! In the life of a request: `handle` is what a handler calls, `read` looks and
//! loads, `write` takes leases and runs what writes; both wait in `waits` for
//! what `service` brings in. A hit on this shard touches none of that: `part` has
//! the copy. `generations` are for what each shard looks at for itself.

mod cached;
mod dead;
mod feed;
mod generations;
mod handle;
mod key_ops;
mod lookup;
mod part;
mod read;
mod service;
mod stats;
mod tags;
mod waits;
mod write;

pub use cached::{CacheEntry, Cached, HitKind};
pub use feed::Feed;
pub use handle::Cache;
pub use lookup::CacheLookup;

pub(crate) use generations::{Generation, generation_of, note_state};

use std::cell::{Cell, RefCell};
use std::collections::{HashSet, VecDeque};
use std::ops::Range;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use crate::cache::{CacheKey, CacheOptions, Coherence, KeyHasher};
use crate::clock::Millis;
use crate::coherence::{Request, ShardSet};
use crate::ids::random_seed;
use crate::limits::CACHE_TAGS_BYTES;
use crate::metrics::{CacheCounters, CacheSnapshot};
use crate::peers::{CacheMessage, Peers};

use dead::TagTokens;
use part::Part;
use waits::CacheWaits;

/// What the caches of all shards of a process have in common.
#[derive(Debug, Clone)]
pub(crate) struct CachePlan {
    /// The app's caches; each has a number from 1.
    pub(crate) options: Arc<[CacheOptions]>,
    pub(crate) hasher: KeyHasher,
    /// How long a write without a clear outcome may still happen.
    pub(crate) doubt_ms: u64,
    /// Of changes made elsewhere, if the app has one.
    pub(crate) feed: Option<Feed>,
    /// Zero of the time scale that all shards share.
    pub(crate) origin: Instant,
}

/// One shard's caches. Never leaves it.
pub(crate) struct Caches {
    me: usize,
    shards: usize,
    plan: CachePlan,
    inner: RefCell<CacheParts>,
    waits: RefCell<CacheWaits>,
    /// The road to the other shards.
    peers: Rc<Peers>,
    /// Keys being loaded anew while their stale value is served.
    refreshing: RefCell<HashSet<(u16, CacheKey)>>,
    /// Of tags, as far as this shard has had them.
    tag_tokens: RefCell<TagTokens>,
    /// The last tag token's number. It starts anywhere, so that a successor's
    /// are others.
    tokens: Cell<u64>,
    /// By cache.
    counters: Vec<RefCell<CacheCounters>>,
    /// What was counted by a predecessor that died: counts go on from there.
    inherited: Vec<CacheSnapshot>,
}

/// Borrowed as a whole, by a [`CacheService`] at work.
struct CacheParts {
    /// The tags, then the app's caches.
    parts: Vec<Part>,
    /// What this shard says to itself.
    loopback: VecDeque<CacheMessage>,
    /// Own requests to an own home that waits for its peers' hello.
    gated: VecDeque<(u16, Request<CacheKey>)>,
}

/// Number of the cache of tags' tokens.
const TAGS: u16 = 0;

impl Caches {
    /// Those of shard `me` of `shards`, which tell the shards that live of
    /// themselves.
    pub(crate) fn start(
        plan: CachePlan,
        (me, shards): (usize, usize),
        restarts: u32,
        (peers, living): (Rc<Peers>, &ShardSet),
        inherited: Vec<CacheSnapshot>,
    ) -> Rc<Self> {
        let now_ms = plan.origin.elapsed().as_millis() as Millis;
        let tags = CacheOptions::new("tags").bytes_max(CACHE_TAGS_BYTES * shards as u64);
        let all = std::iter::once(&tags).chain(plan.options.iter());
        let place = (me, shards, peers.members());
        let parts: Vec<Part> = all
            .map(|options| Part::new(options, place, living, restarts, plan.doubt_ms, now_ms))
            .collect();
        let counters = parts.iter().map(|_| RefCell::default()).collect();
        let this = Rc::new(Self {
            me,
            shards,
            inner: RefCell::new(CacheParts {
                parts,
                loopback: VecDeque::new(),
                gated: VecDeque::new(),
            }),
            waits: RefCell::default(),
            peers,
            refreshing: RefCell::default(),
            tag_tokens: RefCell::default(),
            tokens: Cell::new(random_seed()),
            counters,
            inherited,
            plan,
        });
        this.announce_self(living);
        this
    }

    /// The cache of this name.
    pub(crate) fn find(self: &Rc<Self>, name: &str) -> Option<Cache> {
        let options = self.plan.options.iter();
        let number = options.clone().position(|options| options.name == name)?;
        Some(Cache::new(self.clone(), number as u16 + 1))
    }

    /// Every cache of the app.
    pub(crate) fn all(self: &Rc<Self>) -> Vec<Cache> {
        let numbers = 1..=self.plan.options.len() as u16;
        numbers.map(|n| Cache::new(self.clone(), n)).collect()
    }

    /// Milliseconds on the scale that all shards share.
    pub(crate) fn now_ms(&self) -> Millis {
        self.plan.origin.elapsed().as_millis() as Millis
    }

    /// Of changes made elsewhere, if the app has one.
    pub(crate) fn feed(&self) -> Option<&Feed> {
        self.plan.feed.as_ref()
    }

    /// The era of the change feed as far as it concerns a cache.
    fn era(&self, cache: u16) -> u64 {
        match &self.plan.feed {
            Some(feed) if self.options(cache).is_some_and(|o| o.fed) => feed.era(),
            _ => 0,
        }
    }

    fn options(&self, cache: u16) -> Option<&CacheOptions> {
        self.plan.options.get(usize::from(cache).checked_sub(1)?)
    }

    fn coherence(&self, cache: u16) -> Coherence {
        self.options(cache)
            .map_or(Coherence::Strict, |o| o.coherence)
    }

    /// The home of a key. Without coherence every shard is home to all keys, but
    /// for that of the admin listener, which is home to none.
    fn home_of(&self, cache: u16, key: &CacheKey) -> usize {
        match self.coherence(cache) {
            Coherence::Off if self.me < self.shards => self.me,
            _ => key.as_ref().home(self.shards),
        }
    }

    /// Every shard that may have the key in its directory.
    fn homes_of(&self, cache: u16, key: &CacheKey) -> Range<usize> {
        match self.coherence(cache) {
            Coherence::Off => 0..self.shards,
            Coherence::Strict | Coherence::Lazy => {
                let home = key.as_ref().home(self.shards);
                home..home + 1
            }
        }
    }

    fn count(&self, cache: u16, count: impl FnOnce(&mut CacheCounters)) {
        count(&mut self.counters[usize::from(cache)].borrow_mut());
    }
}
