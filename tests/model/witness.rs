//! What must be seen in some state, so that nothing is proved vacuously.

use corelane_proto::coherence::{HomeCounters, Rules};
use stateright::Property;

use crate::properties::Machine;
use crate::world::{Doing, World};

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

impl Witness {
    pub(crate) fn property<R: Rules + Send + Sync>(self) -> Property<Machine<R>> {
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
                    shard.holder.entries().keys().any(|key| {
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

impl<R: Rules> World<R> {
    fn any_home(&self, test: impl Fn(&HomeCounters) -> bool) -> bool {
        self.living().any(|(_, shard)| test(shard.home.counters()))
    }
}
