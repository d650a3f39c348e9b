//! The home of some keys: who holds them, who loads, who writes.
//!
//! A key is **idle** (perhaps with a cached value and its holders, on a bounded
//! store) or **busy** (being loaded, called in or written). `requests` starts
//! things, `replies` ends them, `peers` deals with shards that come and go and
//! with forgetting everything.

mod busy;
mod peers;
mod replies;
mod requests;

use std::collections::{BTreeMap, VecDeque};
use std::marker::PhantomData;

use busy::{Asker, Busy, BusyPhase, Flush, Late, Then};

use super::{
    EntryStore, FromHome, Lease, Replica, Request, RequestTicket, Rules, ShardSet, Sound,
    ValueSource, WriteMode,
};
use crate::clock::Millis;

/// A cached value and the shards that may have a copy of it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Idle<V> {
    /// The value.
    pub replica: Replica<V>,
    /// Never fewer than there are: a shard drops copies without saying so.
    pub holders: ShardSet,
}

/// The directory of the keys that have this shard as their home.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Home<K: Ord, V, E, S, R = Sound> {
    me: usize,
    alive: ShardSet,
    /// Peers whose hello has to come before any request is taken.
    before_hello: ShardSet,
    doubt_ms: u64,
    /// Until then nothing is kept: a predecessor may have left writes behind.
    doubt_all_until_ms: Millis,
    idle: S,
    busy: BTreeMap<K, Busy<K, V>>,
    /// Loads under way that have not been revoked.
    loads: BTreeMap<Lease, K>,
    late: BTreeMap<Lease, Late>,
    writes: BTreeMap<Lease, K>,
    /// Keys with a write that may still happen, and until when.
    doubts: BTreeMap<K, Millis>,
    flush: Option<Flush<K>>,
    next_lease: u64,
    /// Of the change feed; see [`Freshness::era`](super::Freshness::era).
    era: u64,
    output: VecDeque<(usize, FromHome<K, V, E>)>,
    evicted: Vec<(K, Idle<V>)>,
    counters: HomeCounters,
    rules: PhantomData<R>,
}

/// What a home has done since it started.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct HomeCounters {
    /// Reads answered from the directory.
    pub hits: u64,
    /// Loads granted.
    pub loads: u64,
    /// Reads that waited for a load under way.
    pub collapsed: u64,
    /// Reads sent to load for themselves.
    pub bypasses: u64,
    /// Loads whose result was not kept because of a write.
    pub loads_revoked: u64,
    /// Writes granted.
    pub writes: u64,
    /// Copies called in.
    pub invalidations: u64,
    /// Entries dropped for want of room.
    pub evictions: u64,
    /// Writes that ended without a clear outcome.
    pub doubts: u64,
}

/// Keys in doubt at a time. One more, and all keys are in doubt.
const DOUBTS_MAX: usize = 4_096;

/// Leases of one incarnation; the next one's are all higher.
const LEASES_PER_INCARNATION: u64 = 1 << 40;

impl<K, V, E, S, R> Home<K, V, E, S, R>
where
    K: Clone + Ord,
    V: Clone,
    E: Clone,
    S: EntryStore<K, Idle<V>>,
    R: Rules,
{
    /// The home on shard `me`, with nothing cached. `peers` are the other
    /// shards alive now; each is expected to send
    /// [`ToHome::Hello`](super::ToHome::Hello) first. A predecessor (an
    /// `incarnation` over 0) may have left writes behind, so that nothing is
    /// kept before all of them have said so and `doubt_ms` have passed.
    pub fn new(
        me: usize,
        peers: ShardSet,
        incarnation: u32,
        entries: S,
        doubt_ms: u64,
        now_ms: Millis,
    ) -> Self {
        let mut alive = peers.clone();
        alive.insert(me);
        Self {
            me,
            alive,
            before_hello: peers,
            doubt_ms,
            doubt_all_until_ms: match incarnation {
                0 => 0,
                _ => now_ms.saturating_add(doubt_ms),
            },
            idle: entries,
            busy: BTreeMap::new(),
            loads: BTreeMap::new(),
            late: BTreeMap::new(),
            writes: BTreeMap::new(),
            doubts: BTreeMap::new(),
            flush: None,
            next_lease: u64::from(incarnation) * LEASES_PER_INCARNATION,
            era: 0,
            output: VecDeque::new(),
            evicted: Vec::new(),
            counters: HomeCounters::default(),
            rules: PhantomData,
        }
    }

    /// Whether requests may be given to it. Until then they wait.
    pub fn is_ready(&self) -> bool {
        self.before_hello.is_empty()
    }

    /// The next message to send, and to whom; `me` among them. In order.
    pub fn poll_output(&mut self) -> Option<(usize, FromHome<K, V, E>)> {
        self.output.pop_front()
    }

    /// What is cached and not under way.
    pub fn entries(&self) -> &S {
        &self.idle
    }

    /// From now on values of another era of the change feed are not fresh.
    pub fn set_era(&mut self, era: u64) {
        self.era = era;
    }

    fn is_fresh(&self, replica: &Replica<V>, now_ms: Millis) -> bool {
        replica.freshness.seen_in(self.era).is_fresh(now_ms)
    }

    fn is_usable_on_error(&self, replica: &Replica<V>, now_ms: Millis) -> bool {
        let freshness = replica.freshness.seen_in(self.era);
        freshness.is_usable_on_error(now_ms)
    }

    /// Keys under way.
    pub fn busy_count(&self) -> usize {
        self.busy.len()
    }

    /// What it has done.
    pub fn counters(&self) -> &HomeCounters {
        &self.counters
    }

    /// Forgets doubts that have passed. Once a second or so.
    pub fn handle_timeout(&mut self, now_ms: Millis) {
        self.doubts.retain(|_, until_ms| *until_ms > now_ms);
    }

    fn reply(&mut self, to: usize, message: FromHome<K, V, E>) {
        self.output.push_back((to, message));
    }

    fn bypass(&mut self, (to, ticket): Asker) {
        self.counters.bypasses += 1;
        self.reply(to, FromHome::Bypass { ticket });
    }

    fn give(&mut self, (to, ticket): Asker, replica: &Replica<V>, source: ValueSource) {
        let message = FromHome::Value {
            ticket,
            replica: replica.clone(),
            source,
        };
        self.reply(to, message);
    }

    fn new_lease(&mut self) -> Lease {
        self.next_lease += 1;
        Lease(self.next_lease)
    }

    fn is_in_doubt(&self, key: &K, now_ms: Millis) -> bool {
        now_ms < self.doubt_all_until_ms
            || self.doubts.get(key).is_some_and(|until| now_ms < *until)
    }

    /// A write of `key` may still happen: until that is past, nothing is kept.
    fn doubt(&mut self, key: K, now_ms: Millis) {
        self.counters.doubts += 1;
        let until_ms = now_ms.saturating_add(self.doubt_ms);
        if self.doubts.len() >= DOUBTS_MAX {
            self.doubt_all_until_ms = self.doubt_all_until_ms.max(until_ms);
            // What is in the store is of other keys and stays good.
            return;
        }
        self.doubts.insert(key, until_ms);
    }

    /// Puts an entry into the store and calls in the copies of what had to go.
    fn keep(&mut self, key: K, entry: Idle<V>, now_ms: Millis) {
        debug_assert!(!self.busy.contains_key(&key), "busy keys are in no store");
        self.idle.insert(key, entry, &mut self.evicted);
        while let Some((key, entry)) = self.evicted.pop() {
            self.counters.evictions += 1;
            let mut holders = entry.holders;
            holders.retain(&self.alive);
            if !holders.is_empty() {
                self.invalidate_copies(key, holders, Then::Evicted, VecDeque::new(), now_ms);
            }
        }
    }

    /// Invalidates the copies that `holders` may have, and then goes on.
    fn invalidate_copies(
        &mut self,
        key: K,
        holders: ShardSet,
        then: Then<V>,
        queue: VecDeque<(usize, Request<K>)>,
        now_ms: Millis,
    ) {
        let mut acks = holders;
        acks.retain(&self.alive);
        for shard in acks.iter().collect::<Vec<_>>() {
            self.counters.invalidations += 1;
            self.reply(shard, FromHome::Invalidate { key: key.clone() });
        }
        if R::GRANT_BEFORE_ACKS {
            acks = ShardSet::new();
        }
        let done = acks.is_empty();
        let phase = BusyPhase::Revoking { acks, then };
        self.busy.insert(key.clone(), Busy { phase, queue });
        if done {
            self.proceed(key, now_ms);
        }
    }

    /// All copies have been invalidated.
    fn proceed(&mut self, key: K, now_ms: Millis) {
        let Some(busy) = self.busy.get_mut(&key) else {
            return;
        };
        let BusyPhase::Revoking { then, .. } = &mut busy.phase else {
            return;
        };
        match std::mem::replace(then, Then::Evicted) {
            Then::Grant { mode, to } if !to.is_empty() => self.grant(&key, mode, &to, now_ms),
            Then::Grant { .. } | Then::Evicted => self.finish_busy(&key, None, now_ms),
            Then::Invalidated { to, had } => {
                if let Some((to, ticket)) = to {
                    self.reply(to, FromHome::Invalidated { ticket, had });
                }
                self.finish_busy(&key, None, now_ms);
            }
            Then::Touched { to, replica } => {
                if let Some((to, ticket)) = to {
                    let had = Some(replica.clone());
                    self.reply(to, FromHome::Invalidated { ticket, had });
                }
                self.finish_busy(&key, Some(replica), now_ms);
            }
        }
    }

    fn grant(&mut self, key: &K, mode: WriteMode, to: &[Asker], now_ms: Millis) {
        // An earlier write may still happen after this one, though its doubt
        // passes before this one ends.
        let tainted = self.is_in_doubt(key, now_ms);
        let mut leases = Vec::with_capacity(to.len());
        for (shard, ticket) in to.iter().copied() {
            let lease = self.new_lease();
            self.counters.writes += 1;
            self.writes.insert(lease, key.clone());
            self.reply(shard, FromHome::Granted { ticket, lease });
            leases.push((lease, shard));
        }
        let Some(busy) = self.busy.get_mut(key) else {
            return;
        };
        busy.phase = BusyPhase::Writing {
            mode,
            leases,
            tainted,
        };
        if mode == WriteMode::Shared {
            // An invalidation may have come meanwhile, and behind it writers who must
            // not wait for those just let in: they may hold what these want.
            for (from, request) in std::mem::take(&mut busy.queue) {
                self.on_request(from, request, now_ms);
            }
        }
    }

    /// A key is idle again, with this value: then who waited has their turn.
    fn finish_busy(&mut self, key: &K, replica: Option<Replica<V>>, now_ms: Millis) {
        let Some(busy) = self.busy.remove(key) else {
            return;
        };
        if let Some(replica) = replica
            && self.flush.is_none()
            && !self.is_in_doubt(key, now_ms)
        {
            let holders = ShardSet::new();
            self.keep(key.clone(), Idle { replica, holders }, now_ms);
        }
        let mut queue = busy.queue;
        while let Some((from, request)) = queue.pop_front() {
            self.on_request(from, request, now_ms);
            if let Some(next) = self.busy.get_mut(key)
                && next.phase.holds_up_others()
            {
                // All of them would only queue again.
                next.queue.append(&mut queue);
            }
        }
    }
}
