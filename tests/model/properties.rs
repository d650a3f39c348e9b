//! What must hold in every state, and what must be seen in some.

use std::marker::PhantomData;

use corelane::coherence::{FromHome, HomeCounters, Rules, Shelf};
use stateright::{Model, Property};

use crate::config::{Config, Fault};
use crate::shelf::Key;
use crate::steps::Step;
use crate::world::{Doing, Link, Said, World};

/// A configuration under a set of rules, as the checker wants it.
#[derive(Debug, Clone)]
pub(crate) struct Machine<R> {
    pub(crate) config: Config,
    rules: PhantomData<R>,
}

/// Something that must have happened on some path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Witness {
    HitAtHome,
    Collapsed,
    LoadRevoked,
    Bypass,
    CalledIn,
    EvictedAtHome,
    EvictedAtHolder,
    Doubt,
    LateCommit,
    GivenUp,
    DiedWriting,
    HomeDiedUnderWriter,
    TwoWriters,
    Expired,
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
        match shard.home.shelf().find(&key) {
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

    fn any_home(&self, test: impl Fn(&HomeCounters) -> bool) -> bool {
        self.living().any(|(_, shard)| test(shard.home.counters()))
    }
}

impl Witness {
    fn property<R: Rules + Send + Sync>(self) -> Property<Machine<R>> {
        match self {
            Self::HitAtHome => sometimes("a home had the value", |_, world| {
                world.any_home(|home| home.hits > 0)
            }),
            Self::Collapsed => sometimes("a read waited for a load", |_, world| {
                world.any_home(|home| home.collapsed > 0)
            }),
            Self::LoadRevoked => sometimes("a load was revoked", |_, world| {
                world.any_home(|home| home.loads_revoked > 0)
            }),
            Self::Bypass => sometimes("a read went past the cache", |_, world| {
                world.any_home(|home| home.bypasses > 0)
            }),
            Self::CalledIn => sometimes("a copy was called in", |_, world| {
                world.any_home(|home| home.invalidations > 0)
            }),
            Self::EvictedAtHome => sometimes("a directory was full", |_, world| {
                world.any_home(|home| home.evictions > 0)
            }),
            Self::EvictedAtHolder => sometimes("a shard was full", |_, world| {
                let mut shards = world.living();
                shards.any(|(_, shard)| shard.holder.counters().evictions > 0)
            }),
            Self::Doubt => sometimes("a write was in doubt", |_, world| {
                world.any_home(|home| home.doubts > 0)
            }),
            Self::LateCommit => sometimes("a write in doubt was late", |_, world| {
                let written: u8 = world.database.iter().sum();
                let acknowledged: u8 = world.floor.iter().sum();
                world.any_home(|home| home.doubts > 0)
                    && world.clients.is_empty()
                    && written > acknowledged
            }),
            Self::GivenUp => sometimes("a wait was given up", |_, world| {
                let mut shards = world.living();
                shards.any(|(_, shard)| shard.holder.counters().given_up > 0)
            }),
            Self::DiedWriting => sometimes("a writer died", |_, world| {
                world.shards.contains(&None) && !world.late.is_empty()
            }),
            Self::HomeDiedUnderWriter => sometimes("a home died", |model, world| {
                world.clients.values().any(|client| {
                    let home = model.config.homes[usize::from(client.key)];
                    matches!(client.doing, Doing::Hold { .. }) && world.shards[home].is_none()
                })
            }),
            Self::TwoWriters => sometimes("two wrote at once", |_, world| {
                let clients = world.clients.values();
                let writers = clients.filter(|c| matches!(c.doing, Doing::Hold { .. }));
                writers.count() > 1
            }),
            Self::Expired => sometimes("a copy had expired", |model, world| {
                world.living().any(|(_, shard)| {
                    shard.holder.shelf().keys().any(|key| {
                        let was_there = shard.holder.look_up(&key, 0).is_some();
                        was_there && shard.holder.look_up(&key, world.now_ms).is_none()
                    })
                }) && model.config.left.ticks > 0
            }),
        }
    }
}

/// With the types said, so that the closures need not say them.
fn sometimes<R: Rules + Send + Sync>(
    name: &'static str,
    test: fn(&Machine<R>, &World<R>) -> bool,
) -> Property<Machine<R>> {
    Property::sometimes(name, test)
}
