//! The directory protocol without a reactor: homes and holders of all shards on
//! one thread, with the product's stores, keys and budgets, messages carried
//! at once.
#![allow(dead_code, unreachable_pub)]

use std::collections::VecDeque;

use corelane::internals::cache::{Bounded, ByBytes, CacheKey, KeyHasher, Payload};
use corelane::internals::coherence::{
    Answer, EntryStore, Freshness, FromHome, HeldCopy, Hit, Holder, HolderOutput, Home, Idle,
    Outcome, Replica, Request, ShardSet, ToHome, ValueSource, WaitId, WriteMode, WriteOutcome,
};

pub type BenchHome = Home<CacheKey, Payload, (), BoundedStore<Idle<Payload>>>;
pub type BenchHolder = Holder<CacheKey, Payload, (), BoundedStore<HeldCopy<Payload>>>;

/// A store bounded by bytes, as the product's are.
pub struct BoundedStore<T> {
    pub map: Bounded<Weighed<T>>,
}

/// What is kept, and what of its weight is not the value's.
pub struct Weighed<T> {
    pub entry: T,
    bytes: usize,
}

impl<T> ByBytes for Weighed<T> {
    fn weight_bytes(&self) -> usize {
        self.bytes
    }
}

/// What entries weigh.
pub trait Weight {
    fn weight_bytes(&self) -> usize;
}

/// As the product counts an entry of the directory: not by its holders.
impl Weight for Idle<Payload> {
    fn weight_bytes(&self) -> usize {
        size_of::<Self>() + self.replica.value.weight_bytes()
    }
}

/// As the product counts a copy: itself, and the counted item beside it.
impl Weight for HeldCopy<Payload> {
    fn weight_bytes(&self) -> usize {
        let item = size_of::<Replica<Payload>>() + 3 * size_of::<usize>();
        size_of::<Self>() + item + self.replica.value.weight_bytes()
    }
}

impl<T> BoundedStore<T> {
    pub fn new(bytes_max: u64) -> Self
    where
        T: Weight,
    {
        Self {
            map: Bounded::new(bytes_max, None),
        }
    }
}

impl<T: Weight> EntryStore<CacheKey, T> for BoundedStore<T> {
    fn find(&self, key: &CacheKey) -> Option<&T> {
        self.map.find(key.as_ref()).map(|weighed| &weighed.entry)
    }

    fn update(&mut self, key: &CacheKey, change: impl FnOnce(&mut T)) -> bool {
        let change = |weighed: &mut Weighed<T>| change(&mut weighed.entry);
        self.map.update(key.as_ref(), change)
    }

    fn insert(&mut self, key: CacheKey, entry: T, evicted: &mut Vec<(CacheKey, T)>) {
        let bytes = entry.weight_bytes();
        let mut gone = Vec::new();
        self.map.insert(key, Weighed { entry, bytes }, &mut gone);
        evicted.extend(gone.into_iter().map(|(key, weighed)| (key, weighed.entry)));
    }

    fn remove(&mut self, key: &CacheKey) -> Option<T> {
        self.map.remove(key.as_ref()).map(|weighed| weighed.entry)
    }

    fn clear(&mut self) {
        self.map.clear();
    }
}

/// All shards' homes and holders.
pub struct Directory {
    pub homes: Vec<BenchHome>,
    pub holders: Vec<BenchHolder>,
    queue: VecDeque<(usize, usize, Message)>,
    answers: VecDeque<Answer<Payload, ()>>,
    waits: u64,
}

enum Message {
    Request(Request<CacheKey>),
    ToHome(ToHome<CacheKey, Payload, ()>),
    FromHome(FromHome<CacheKey, Payload, ()>),
}

/// How a read was answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Read {
    L1,
    Home,
    Loaded,
}

impl Directory {
    /// Each shard has its equal part of `bytes_max` for its directory, and as
    /// much again for its copies.
    pub fn new(shards: usize, bytes_max: u64) -> Self {
        let bytes = bytes_max.div_ceil(shards as u64);
        let peers = |me: usize| -> ShardSet { (0..shards).filter(|peer| *peer != me).collect() };
        let home = |me| Home::new(me, peers(me), 0, BoundedStore::new(bytes), 10_000, 0);
        let holder = |me| Holder::new(me, shards, peers(me), BoundedStore::new(bytes));
        let mut homes: Vec<BenchHome> = (0..shards).map(home).collect();
        for (me, home) in homes.iter_mut().enumerate() {
            for peer in (0..shards).filter(|peer| *peer != me) {
                home.on_message(peer, ToHome::Hello { writes: Vec::new() }, 0);
            }
        }
        Self {
            homes,
            holders: (0..shards).map(holder).collect(),
            queue: VecDeque::new(),
            answers: VecDeque::new(),
            waits: 0,
        }
    }

    /// Reads a key on a shard; `load` is what the database has. The value, and
    /// how it was come by.
    pub fn read(
        &mut self,
        shard: usize,
        key: &CacheKey,
        now_ms: u64,
        load: impl FnOnce() -> Replica<Payload>,
    ) -> (Payload, Read) {
        if let Some((Hit::Fresh, replica)) = self.holders[shard].look_up(key, now_ms) {
            // As the product does: an own directory that has to choose sees own hits.
            let home = &self.homes[shard];
            if key.as_ref().home(self.homes.len()) == shard && home.counters().evictions > 0 {
                let _ = home.entries().find(key);
            }
            return (replica.value.clone(), Read::L1);
        }
        let (home, wait) = (key.as_ref().home(self.homes.len()), self.new_wait());
        self.holders[shard].read(key.clone(), home, false, wait, now_ms);
        match self.settle(shard, now_ms) {
            Some(Answer::Value {
                replica,
                source: ValueSource::Home,
            }) => (replica.value, Read::Home),
            Some(Answer::Lead { load: id, .. }) => {
                let replica = load();
                let value = replica.value.clone();
                self.holders[shard].finish_load(id, Outcome::Value(replica));
                self.settle(shard, now_ms);
                (value, Read::Loaded)
            }
            other => panic!("nobody else loads or writes: {other:?}"),
        }
    }

    /// Writes a key on a shard; `write` is done while the lease is held.
    pub fn write(&mut self, shard: usize, key: &CacheKey, now_ms: u64, write: impl FnOnce()) {
        let (home, wait) = (key.as_ref().home(self.homes.len()), self.new_wait());
        self.holders[shard].write(key.clone(), home, WriteMode::Exclusive, wait, now_ms);
        let Some(Answer::Granted(id)) = self.settle(shard, now_ms) else {
            panic!("nobody else writes");
        };
        write();
        self.holders[shard].finish_write(id, WriteOutcome::Done(None));
        self.settle(shard, now_ms);
    }

    /// Has a key forgotten everywhere.
    pub fn invalidate(&mut self, shard: usize, key: &CacheKey, now_ms: u64) {
        let (home, wait) = (key.as_ref().home(self.homes.len()), self.new_wait());
        self.holders[shard].invalidate(key.clone(), home, Some(wait), now_ms);
        assert!(matches!(
            self.settle(shard, now_ms),
            Some(Answer::Invalidated(_))
        ));
    }

    fn new_wait(&mut self) -> WaitId {
        self.waits += 1;
        WaitId(self.waits)
    }

    /// Carries messages until there are none, beginning with what `shard` says;
    /// the answer that came of it.
    fn settle(&mut self, shard: usize, now_ms: u64) -> Option<Answer<Payload, ()>> {
        self.collect_holder(shard);
        while let Some((from, to, message)) = self.queue.pop_front() {
            match message {
                Message::Request(request) => self.homes[to].on_request(from, request, now_ms),
                Message::ToHome(message) => self.homes[to].on_message(from, message, now_ms),
                Message::FromHome(message) => self.holders[to].on_message(from, message, now_ms),
            }
            self.collect_holder(to);
            while let Some((receiver, message)) = self.homes[to].poll_output() {
                let message = Message::FromHome(message);
                self.queue.push_back((to, receiver, message));
            }
        }
        self.answers.pop_front()
    }

    fn collect_holder(&mut self, shard: usize) {
        while let Some(output) = self.holders[shard].poll_output() {
            match output {
                HolderOutput::Request { to, request } => {
                    let message = Message::Request(request);
                    self.queue.push_back((shard, to, message));
                }
                HolderOutput::Message { to, message } => {
                    let message = Message::ToHome(message);
                    self.queue.push_back((shard, to, message));
                }
                HolderOutput::Answer { answer, .. } => self.answers.push_back(answer),
            }
        }
    }
}

/// Of the keys' hasher.
pub const HASH_SEED: u64 = 7;

/// The key of a row.
pub fn key_of(id: u64) -> CacheKey {
    let mut buffer = itoa::Buffer::new();
    let text = buffer.format(id);
    KeyHasher::new(HASH_SEED).key(1, text.as_bytes()).to_key()
}

/// A value that is good until `until_ms`.
pub fn replica(value: Payload, until_ms: u64) -> Replica<Payload> {
    Replica {
        value,
        freshness: Freshness::until(until_ms),
    }
}
