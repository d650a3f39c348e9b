//! Shards whose messages a test delivers.

use std::collections::{BTreeMap, VecDeque};

use super::super::{
    Answer, EntryStore, Freshness, FromHome, HeldCopy, Hit, Holder, HolderOutput, Home, Idle,
    Request, ShardSet, ToHome, WaitId, WriteMode,
};

pub(super) const DOUBT_MS: u64 = 100;

pub(super) fn until(until_ms: u64) -> Freshness {
    Freshness::until(until_ms)
}

type Failure = &'static str;

/// A store with room for everything.
#[derive(Debug, Clone, Default)]
pub(super) struct Roomy<T>(BTreeMap<u32, T>);

impl<T> EntryStore<u32, T> for Roomy<T> {
    fn find(&self, key: &u32) -> Option<&T> {
        self.0.get(key)
    }

    fn update(&mut self, key: &u32, change: impl FnOnce(&mut T)) -> bool {
        self.0.get_mut(key).map(change).is_some()
    }

    fn insert(&mut self, key: u32, entry: T, _evicted: &mut Vec<(u32, T)>) {
        self.0.insert(key, entry);
    }

    fn remove(&mut self, key: &u32) -> Option<T> {
        self.0.remove(key)
    }

    fn clear(&mut self) {
        self.0.clear();
    }
}

pub(super) struct Shard {
    pub(super) holder: Holder<u32, u32, Failure, Roomy<HeldCopy<u32>>>,
    pub(super) home: Home<u32, u32, Failure, Roomy<Idle<u32>>>,
    answers: BTreeMap<WaitId, Answer<u32, Failure>>,
}

#[derive(Debug)]
enum Message {
    Request(Request<u32>),
    FromHome(FromHome<u32, u32, Failure>),
    ToHome(ToHome<u32, u32, Failure>),
}

/// Every key has shard 0 as its home.
pub(super) struct World {
    pub(super) shards: Vec<Shard>,
    lanes: BTreeMap<(usize, usize), VecDeque<Message>>,
    pub(super) now_ms: u64,
    restarts: u32,
}

impl World {
    pub(super) fn new(count: usize) -> Self {
        let shard = |me| Shard {
            holder: Holder::new(me, count, others(me, count), Roomy(BTreeMap::new())),
            home: Home::new(me, ShardSet::new(), 0, Roomy(BTreeMap::new()), DOUBT_MS, 0),
            answers: BTreeMap::new(),
        };
        let mut world = Self {
            shards: (0..count).map(shard).collect(),
            lanes: BTreeMap::new(),
            now_ms: 0,
            restarts: 0,
        };
        for me in 0..count {
            others(me, count)
                .iter()
                .for_each(|peer| world.shards[me].home.peer_up(peer));
        }
        world
    }

    pub(super) fn read(&mut self, shard: usize, key: u32, wait: WaitId) {
        self.shards[shard]
            .holder
            .read(key, 0, false, wait, self.now_ms);
        self.collect(shard);
    }

    pub(super) fn write(&mut self, shard: usize, key: u32, mode: WriteMode, wait: WaitId) {
        self.shards[shard]
            .holder
            .write(key, 0, mode, wait, self.now_ms);
        self.collect(shard);
    }

    pub(super) fn look_up(&self, shard: usize, key: u32) -> Option<(Hit, u32)> {
        let found = self.shards[shard].holder.look_up(&key, self.now_ms);
        found.map(|(hit, replica)| (hit, replica.value))
    }

    pub(super) fn answer(&mut self, shard: usize, wait: WaitId) -> Option<Answer<u32, Failure>> {
        self.collect(shard);
        self.shards[shard].answers.remove(&wait)
    }

    pub(super) fn in_flight(&self, from: usize, to: usize) -> usize {
        self.lanes.get(&(from, to)).map_or(0, VecDeque::len)
    }

    /// Shard `shard` dies and starts again at once.
    pub(super) fn restart(&mut self, shard: usize) {
        self.restarts += 1;
        let (count, now_ms) = (self.shards.len(), self.now_ms);
        self.lanes
            .retain(|(from, to), _| *from != shard && *to != shard);
        let peers = others(shard, count);
        self.shards[shard] = Shard {
            holder: Holder::new(shard, count, peers.clone(), Roomy(BTreeMap::new())),
            home: Home::new(
                shard,
                peers.clone(),
                self.restarts,
                Roomy(BTreeMap::new()),
                DOUBT_MS,
                now_ms,
            ),
            answers: BTreeMap::new(),
        };
        for peer in peers.iter() {
            self.shards[shard].holder.peer_up(peer);
            let living = &mut self.shards[peer];
            living.holder.peer_down(shard, now_ms);
            living.home.peer_down(shard, now_ms);
            living.holder.peer_up(shard);
            living.home.peer_up(shard);
        }
        (0..count).for_each(|shard| self.collect(shard));
    }

    /// Everything that is under way from one shard to another.
    pub(super) fn deliver(&mut self, from: usize, to: usize) {
        let lane = self.lanes.remove(&(from, to)).unwrap_or_default();
        for message in lane {
            let (shard, now_ms) = (&mut self.shards[to], self.now_ms);
            match message {
                Message::Request(request) => shard.home.on_request(from, request, now_ms),
                Message::FromHome(message) => shard.holder.on_message(from, message, now_ms),
                Message::ToHome(message) => shard.home.on_message(from, message, now_ms),
            }
            self.collect(to);
        }
    }

    /// What a shard says to itself.
    pub(super) fn settle_loopback(&mut self, shard: usize) {
        while self.in_flight(shard, shard) > 0 {
            self.deliver(shard, shard);
        }
    }

    pub(super) fn deliver_all(&mut self) {
        (0..self.shards.len()).for_each(|shard| self.collect(shard));
        while let Some((from, to)) = self.lanes.keys().next().copied() {
            self.deliver(from, to);
        }
    }

    pub(super) fn is_quiet(&self) -> bool {
        self.lanes.is_empty()
            && self
                .shards
                .iter()
                .all(|shard| shard.holder.is_quiet() && shard.home.busy_count() == 0)
    }

    fn collect(&mut self, me: usize) {
        let shard = &mut self.shards[me];
        while let Some((to, message)) = shard.home.poll_output() {
            let lane = self.lanes.entry((me, to)).or_default();
            lane.push_back(Message::FromHome(message));
        }
        while let Some(output) = shard.holder.poll_output() {
            let (to, message) = match output {
                HolderOutput::Request { to, request } => (to, Message::Request(request)),
                HolderOutput::Message { to, message } => (to, Message::ToHome(message)),
                HolderOutput::Answer { wait, answer } => {
                    shard.answers.insert(wait, answer);
                    continue;
                }
            };
            self.lanes.entry((me, to)).or_default().push_back(message);
        }
    }
}

fn others(me: usize, count: usize) -> ShardSet {
    (0..count).filter(|shard| *shard != me).collect()
}
