//! What must hold in every state.

use std::marker::PhantomData;

use corelane_proto::coherence::{EntryStore, FromHome, Rules};
use stateright::{Model, Property};

use crate::config::{Config, Fault};
use crate::entry_store::Key;
use crate::steps::Step;
use crate::world::{Doing, Link, Said, World};

/// A configuration under a set of rules, as the checker wants it.
#[derive(Debug, Clone)]
pub(crate) struct Machine<R> {
    pub(crate) config: Config,
    rules: PhantomData<R>,
}

impl<R: Rules + Send + Sync> Machine<R> {
    pub(crate) fn new(config: Config) -> Self {
        let rules = PhantomData;
        Self { config, rules }
    }
}

impl<R: Rules + Send + Sync> Model for Machine<R> {
    type State = World<R>;
    type Action = Step;

    fn init_states(&self) -> Vec<Self::State> {
        vec![World::started(&self.config)]
    }

    fn actions(&self, world: &Self::State, steps: &mut Vec<Self::Action>) {
        world.steps(self.config.fault == Fault::RepliesOvertake, steps);
    }

    fn next_state(&self, world: &Self::State, step: Self::Action) -> Option<Self::State> {
        let mut next = world.clone();
        next.carry_out(&self.config, step);
        Some(next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        let mut properties = vec![
            Property::always("no read is stale", |_, world: &World<R>| {
                world.stale.is_none()
            }),
            Property::always("no copy under a write", |_, world: &World<R>| {
                world.has_no_copy_under_a_write()
            }),
            Property::always("every copy is listed", |model: &Self, world: &World<R>| {
                world.lists_every_copy(&model.config)
            }),
            Property::always("every copy is current", |_, world: &World<R>| {
                world.has_no_old_copy()
            }),
            Property::always("nobody is left waiting", |_, world: &World<R>| {
                world.leaves_nobody_waiting()
            }),
        ];
        let witnesses = self.config.witnesses.iter();
        properties.extend(witnesses.map(|witness| witness.property()));
        properties
    }
}

impl<R: Rules> World<R> {
    /// From when a writer has its lease until it gives it back.
    fn has_no_copy_under_a_write(&self) -> bool {
        let held = self.clients.values();
        let mut held = held.filter(|client| matches!(client.doing, Doing::Hold { .. }));
        held.all(|client| {
            self.living()
                .all(|(_, shard)| shard.holder.look_up(&client.key, self.now_ms).is_none())
        })
    }

    /// Copies are gone before the database changes, and none comes, nor is there
    /// one in a directory, while a write may still happen. Not so while a purge
    /// or flush is on its way that follows a write made elsewhere.
    fn has_no_old_copy(&self) -> bool {
        self.living().all(|(_, shard)| {
            (0..).zip(&self.database).all(|(key, current)| {
                let copy = shard.holder.look_up(&key, self.now_ms);
                let entry = shard.home.entries().find(&key).map(|entry| &entry.replica);
                let entry = entry.filter(|entry| entry.freshness.is_fresh(self.now_ms));
                let mut found = copy.map(|(_, copy)| copy).into_iter().chain(entry);
                found.all(|replica| replica.value == *current) || self.awaits_purge(key)
            })
        })
    }

    fn awaits_purge(&self, key: Key) -> bool {
        let mut clients = self.clients.values();
        clients.any(|client| client.key == key && matches!(client.doing, Doing::Forget { .. }))
    }

    /// The directory is inclusive: a copy that may be served is listed by its
    /// home, or something is being done with its key, or word that it is void
    /// is on its way.
    fn lists_every_copy(&self, config: &Config) -> bool {
        self.living().all(|(at, shard)| {
            (0..config.homes.len() as Key).all(|key| {
                shard.holder.look_up(&key, self.now_ms).is_none()
                    || self.is_listed(key, config.homes[usize::from(key)], at)
            })
        })
    }

    fn is_listed(&self, key: Key, home: usize, at: usize) -> bool {
        if self.link(at, home) != Link::Open {
            return true;
        }
        let lane = &self.replies[self.lane(home, at)];
        let is_flushed = |said: &Said| matches!(said, Said::ByHome(FromHome::InvalidateAll));
        if lane.iter().any(is_flushed) {
            return true;
        }
        let Some(shard) = &self.shards[home] else {
            return false;
        };
        match shard.home.entries().find(&key) {
            Some(entry) => entry.holders.contains(at),
            // Which keys are busy cannot be seen, only how many.
            None => shard.home.busy_count() > 0,
        }
    }

    fn leaves_nobody_waiting(&self) -> bool {
        let mut steps = Vec::new();
        self.steps(false, &mut steps);
        if steps.iter().any(Step::is_due) || self.stale.is_some() {
            return true;
        }
        let is_idle = |(_, shard): (usize, &crate::world::Shard<R>)| {
            shard.holder.is_quiet() && shard.home.busy_count() == 0 && shard.home.is_ready()
        };
        self.clients.is_empty() && self.living().all(is_idle)
    }
}
