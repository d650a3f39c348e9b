//! A shard's side: its own copies, and its requests to the homes of keys.
//!
//! What runs on the shard (a task that reads, say) is a **wait**: it asks once
//! and is told once, by an [`Answer`]. Reads of one key share one request
//! (`reads`); when the home calls the key in, that group is closed, so that
//! nobody who comes later is answered with what was asked before. A load is
//! run by the one wait that is told to [`Answer::Lead`]. `changes` is about
//! writes, invalidations and the like, `messages` about what homes say.

mod changes;
mod messages;
mod reads;

use std::collections::{BTreeMap, VecDeque};
use std::marker::PhantomData;

pub use changes::WriteOutcome;

use super::{
    EntryStore, Freshness, Lease, Outcome, Release, Replica, Request, RequestTicket, Rules,
    ShardSet, Sound, ToHome, WriteMode,
};
use crate::clock::Millis;

/// Whoever waits for an answer; named by the caller, who does not use a name
/// again while it waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WaitId(pub u64);

/// A load that a wait leads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LoadId(pub u64);

/// A write whose lease is held.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WriteId(pub u64);

/// Where a value came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ValueSource {
    /// The key's home had it.
    Home,
    /// Somebody else's load, which was under way.
    Collapsed,
    /// It has expired, and loading it anew failed.
    StaleOnError,
}

/// What a wait is told.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Answer<V, E> {
    /// The value.
    Value {
        /// The value.
        replica: Replica<V>,
        /// Where from.
        source: ValueSource,
    },
    /// Load it, then call [`Holder::finish_load`], whatever happens.
    Lead {
        /// Names the load.
        load: LoadId,
        /// May be served should the load fail.
        stale: Option<Replica<V>>,
        /// Whether the result may be kept; it may still turn out not.
        keeps: bool,
    },
    /// The load it waited for has failed.
    Failed(E),
    /// Not cached.
    Absent,
    /// Write, then call [`Holder::finish_write`], whatever happens.
    Granted(WriteId),
    /// Invalidated, or touched; what there was.
    Invalidated(Option<Replica<V>>),
    /// All keys of that home are forgotten.
    Flushed,
    /// The key's home has died, and nothing was done. Its successor will do it.
    HomeGone,
    /// It took longer than waits may, or could not even be sent; nothing was
    /// done.
    TimedOut,
}

/// What to do next.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum HolderOutput<K, V, E> {
    /// Send a request; it may wait.
    Request {
        /// The home.
        to: usize,
        /// What.
        request: Request<K>,
    },
    /// Send a message that never waits.
    Message {
        /// The home.
        to: usize,
        /// What.
        message: ToHome<K, V, E>,
    },
    /// Tell a wait.
    Answer {
        /// Whom.
        wait: WaitId,
        /// What.
        answer: Answer<V, E>,
    },
}

/// A copy on this shard.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct HeldCopy<V> {
    /// The value.
    pub replica: Replica<V>,
    home: usize,
    /// Good only while its home's epoch is this.
    epoch: u32,
}

impl<V> HeldCopy<V> {
    /// The shard it came from.
    pub fn home(&self) -> usize {
        self.home
    }
}

/// What looking at this shard's copies came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Hit {
    /// To be served.
    Fresh,
    /// To be served, and loaded anew meanwhile.
    Stale,
}

/// The copies and requests of one shard.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Holder<K: Ord, V, E, S, R = Sound> {
    me: usize,
    alive: ShardSet,
    entries: S,
    /// By home: raised when everything from there is void.
    epochs: Vec<u32>,
    /// Of the change feed; see [`Freshness::era`](super::Freshness::era).
    era: u64,
    reads: BTreeMap<RequestTicket, ReadGroup<K>>,
    /// Where who asks for a key now can join.
    open: BTreeMap<K, Joinable>,
    loads: BTreeMap<LoadId, Load<K, V>>,
    /// The load of a key whose result will be kept; there is one at most.
    leased: BTreeMap<K, LoadId>,
    changes: BTreeMap<RequestTicket, PendingChange<K>>,
    writes: BTreeMap<WriteId, Held<K>>,
    waits: BTreeMap<WaitId, WaitPlace>,
    last_number: u64,
    output: VecDeque<HolderOutput<K, V, E>>,
    evicted: Vec<(K, HeldCopy<V>)>,
    counters: HolderCounters,
    rules: PhantomData<R>,
}

/// What a holder has done since it started.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct HolderCounters {
    /// Copies dropped because their home said so.
    pub invalidations: u64,
    /// Copies dropped for want of room.
    pub evictions: u64,
    /// Waits that went on without their home, which took too long or died.
    pub given_up: u64,
}

/// Reads of one key that share a request.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct ReadGroup<K> {
    key: K,
    home: usize,
    waits: VecDeque<WaitId>,
    since_ms: Millis,
}

/// A load that runs on this shard.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Load<K, V> {
    key: K,
    home: usize,
    /// None when it is for those who wait here only.
    lease: Option<Lease>,
    /// A write came in between: the result is kept by nobody.
    revoked: bool,
    stale: Option<Replica<V>>,
    /// Those who wait for it, without its leader.
    waits: VecDeque<WaitId>,
    since_ms: Millis,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Joinable {
    Read(RequestTicket),
    Load(LoadId),
}

/// A request that is no read.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct PendingChange<K> {
    home: usize,
    wait: WaitId,
    /// Of a write: what its lease will be for.
    write: Option<(K, WriteMode)>,
    since_ms: Millis,
}

/// A write lease.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Held<K> {
    key: K,
    home: usize,
    lease: Lease,
    mode: WriteMode,
}

/// Where a wait stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum WaitPlace {
    Read(RequestTicket),
    Load(LoadId),
    Change(RequestTicket),
}

impl<K, V, E, S, R> Holder<K, V, E, S, R>
where
    K: Clone + Ord,
    V: Clone,
    E: Clone,
    S: EntryStore<K, HeldCopy<V>>,
    R: Rules,
{
    /// The holder of shard `me` of `shards`, with no copies. `peers` are the
    /// other shards alive now.
    pub fn new(me: usize, shards: usize, peers: ShardSet, entries: S) -> Self {
        let mut alive = peers;
        alive.insert(me);
        Self {
            me,
            alive,
            entries,
            epochs: vec![0; shards],
            era: 0,
            reads: BTreeMap::new(),
            open: BTreeMap::new(),
            loads: BTreeMap::new(),
            leased: BTreeMap::new(),
            changes: BTreeMap::new(),
            writes: BTreeMap::new(),
            waits: BTreeMap::new(),
            last_number: 0,
            output: VecDeque::new(),
            evicted: Vec::new(),
            counters: HolderCounters::default(),
            rules: PhantomData,
        }
    }

    /// The next thing to do. In order.
    pub fn poll_output(&mut self) -> Option<HolderOutput<K, V, E>> {
        self.output.pop_front()
    }

    /// This shard's copies; each must be [`judge`](Self::judge)d before it is
    /// served.
    pub fn entries(&self) -> &S {
        &self.entries
    }

    /// From now on copies of another era of the change feed are not fresh.
    pub fn set_era(&mut self, era: u64) {
        if std::mem::replace(&mut self.era, era) != era {
            // Nor is anybody answered with what was asked before.
            self.open.clear();
        }
    }

    /// Whether a copy may be served at `now_ms`, which must not be before the
    /// request came.
    pub fn judge(&self, kept: &HeldCopy<V>, now_ms: Millis) -> Option<Hit> {
        if kept.epoch != self.epochs[kept.home] {
            return None;
        }
        let freshness = kept.replica.freshness.seen_in(self.era);
        if freshness.is_fresh(now_ms) {
            return Some(Hit::Fresh);
        }
        freshness.is_usable(now_ms).then_some(Hit::Stale)
    }

    /// This shard's copy of a key, if it may be served.
    pub fn look_up(&self, key: &K, now_ms: Millis) -> Option<(Hit, &Replica<V>)> {
        let kept = self.entries.find(key)?;
        Some((self.judge(kept, now_ms)?, &kept.replica))
    }

    /// Requests that wait for an answer.
    pub fn waits_count(&self) -> usize {
        self.waits.len()
    }

    /// Whether any request, load or write is under way here.
    pub fn is_quiet(&self) -> bool {
        self.waits.is_empty() && self.loads.is_empty() && self.writes.is_empty()
    }

    /// What it has done.
    pub fn counters(&self) -> &HolderCounters {
        &self.counters
    }

    fn number(&mut self) -> u64 {
        self.last_number += 1;
        self.last_number
    }

    fn ask(&mut self, to: usize, request: Request<K>) {
        self.output.push_back(HolderOutput::Request { to, request });
    }

    fn say(&mut self, to: usize, message: ToHome<K, V, E>) {
        if self.alive.contains(to) {
            self.output.push_back(HolderOutput::Message { to, message });
        }
    }

    fn answer(&mut self, wait: WaitId, answer: Answer<V, E>) {
        self.waits.remove(&wait);
        self.output.push_back(HolderOutput::Answer { wait, answer });
    }

    fn keep(&mut self, key: K, home: usize, replica: Replica<V>) {
        let epoch = self.epochs[home];
        let kept = HeldCopy {
            replica,
            home,
            epoch,
        };
        self.entries.insert(key, kept, &mut self.evicted);
        // The directory may list more holders than there are.
        self.counters.evictions += self.evicted.len() as u64;
        self.evicted.clear();
    }
}
