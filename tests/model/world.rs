//! The state that is explored: the product's own [`Home`]s and [`Holder`]s, the
//! lanes between them, the database, and the clients' operations.
//!
//! The value of a key is the number of its commits, so that the database's
//! order of writes is the order of values, and a read is stale exactly when it
//! returns less than what was acknowledged, or read, before it began.

use std::collections::{BTreeMap, VecDeque};

use corelane_proto::clock::Millis;
use corelane_proto::coherence::{
    FromHome, HeldCopy, Holder, Home, Idle, LoadId, Request, Rules, ShardSet, ToHome, WaitId,
    WriteId, WriteMode,
};

use crate::config::{Config, Left};
use crate::entry_store::{Key, Room};
use crate::steps::{Step, What};

/// The number of the commit that wrote it.
pub(crate) type Value = u8;

pub(crate) type HolderOf<R> = Holder<Key, Value, (), Room<HeldCopy<Value>>, R>;
pub(crate) type HomeOf<R> = Home<Key, Value, (), Room<Idle<Value>>, R>;

/// How long copies and doubts last, in milliseconds; the clock moves by it.
pub(crate) const STEP_MS: u64 = 10;

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct World<R: Rules> {
    pub(crate) now_ms: Millis,
    /// None while a shard is dead.
    pub(crate) shards: Vec<Option<Shard<R>>>,
    /// Those that have died once; they do not die again.
    pub(crate) died: ShardSet,
    /// From each shard (row) to each (column), itself among them.
    pub(crate) requests: Vec<VecDeque<Request<Key>>>,
    pub(crate) replies: Vec<VecDeque<Said>>,
    /// What each shard (row) knows of the life of each (column).
    pub(crate) links: Vec<Link>,
    /// Commits of each key.
    pub(crate) database: Vec<Value>,
    /// What a read that begins now must return at least.
    pub(crate) floor: Vec<Value>,
    pub(crate) clients: BTreeMap<WaitId, Client>,
    /// Writes that may still happen: of which key, and before when.
    pub(crate) late: Vec<(Key, Millis)>,
    /// What clients may still begin, and what may still go wrong.
    pub(crate) left: Left,
    /// Others write the database too, and tell us afterwards.
    pub(crate) written_elsewhere: bool,
    /// A read has returned less than it had to.
    pub(crate) stale: Option<Stale>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Shard<R: Rules> {
    pub(crate) holder: HolderOf<R>,
    pub(crate) home: HomeOf<R>,
}

/// On the lane that never waits.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Said {
    ByHome(FromHome<Key, Value, ()>),
    ByHolder(ToHome<Key, Value, ()>),
}

/// What a shard has been told of another. Nothing goes or comes between them
/// unless the link is open.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Link {
    Open,
    /// It is dead, which is not known here.
    DownUntold,
    Down,
    /// Its successor has started; not even the death is known here.
    DownAndUpUntold,
    UpUntold,
}

/// An operation under way.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Client {
    pub(crate) shard: usize,
    pub(crate) key: Key,
    pub(crate) doing: Doing,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Doing {
    /// Waits for a value of at least `floor`.
    Read {
        floor: Value,
    },
    /// Leads a load; `read` once the database has answered.
    Lead {
        floor: Value,
        load: LoadId,
        read: Option<Value>,
    },
    /// Waits for the lease.
    Write {
        mode: WriteMode,
    },
    /// Has the lease; `written` once the database has committed.
    Hold {
        id: WriteId,
        mode: WriteMode,
        written: Option<Value>,
    },
    /// Something was written elsewhere; when the purge or flush is done,
    /// `written` is acknowledged.
    Forget {
        written: Value,
    },
    Touch,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Stale {
    pub(crate) key: Key,
    pub(crate) value: Value,
    pub(crate) floor: Value,
}

impl<R: Rules> Shard<R> {
    pub(crate) fn new(
        config: &Config,
        me: usize,
        peers: ShardSet,
        incarnation: u32,
        now_ms: Millis,
    ) -> Self {
        let entries = Room::for_entries(config.holder_room);
        let holder = Holder::new(me, config.shards, peers.clone(), entries);
        let entries = Room::for_entries(config.home_room);
        let home = Home::new(me, peers, incarnation, entries, STEP_MS, now_ms);
        Self { holder, home }
    }
}

impl<R: Rules> World<R> {
    /// All shards have started and said hello.
    pub(crate) fn started(config: &Config) -> Self {
        let count = config.shards;
        let keys = config.homes.len();
        let mut world = Self {
            now_ms: STEP_MS,
            shards: Vec::new(),
            died: ShardSet::new(),
            requests: vec![VecDeque::new(); count * count],
            replies: vec![VecDeque::new(); count * count],
            links: vec![Link::Open; count * count],
            database: vec![0; keys],
            floor: vec![0; keys],
            clients: BTreeMap::new(),
            late: Vec::new(),
            left: Left::default(),
            written_elsewhere: config.left.purges + config.left.flushes > 0,
            stale: None,
        };
        for me in 0..count {
            let peers: ShardSet = (0..count).filter(|peer| *peer != me).collect();
            let mut shard = Shard::new(config, me, peers.clone(), 0, world.now_ms);
            for peer in peers.iter() {
                let writes = Vec::new();
                let hello = ToHome::Hello { writes };
                shard.home.on_message(peer, hello, world.now_ms);
            }
            world.shards.push(Some(shard));
        }
        if config.is_warm {
            (0..count).for_each(|shard| world.warm(config, shard));
        }
        world.left = config.left;
        world
    }

    /// A read of the first key, and all that comes of it.
    fn warm(&mut self, config: &Config, shard: usize) {
        self.left = Left {
            reads: 1,
            ..Left::default()
        };
        let (key, what) = (0, What::Read);
        let mut next = Some(Step::Begin { shard, key, what });
        while let Some(step) = next {
            self.carry_out(config, step);
            let mut steps = Vec::new();
            self.steps(false, &mut steps);
            next = steps.into_iter().find(Step::is_due);
        }
    }

    pub(crate) fn living(&self) -> impl Iterator<Item = (usize, &Shard<R>)> {
        let shards = self.shards.iter().enumerate();
        shards.filter_map(|(index, shard)| Some((index, shard.as_ref()?)))
    }

    pub(crate) fn lane(&self, from: usize, to: usize) -> usize {
        from * self.shards.len() + to
    }

    pub(crate) fn link(&self, at: usize, about: usize) -> Link {
        self.links[self.lane(at, about)]
    }

    pub(crate) fn link_mut(&mut self, at: usize, about: usize) -> &mut Link {
        let index = self.lane(at, about);
        &mut self.links[index]
    }

    /// Whether what is on the lane may be taken from it.
    pub(crate) fn is_open(&self, from: usize, to: usize) -> bool {
        self.shards[to].is_some() && self.link(to, from) == Link::Open
    }
}
