//! That the check bites: with a rule, a lane or the death protocol broken, it
//! finds a way to a stale read, and shows the shortest one.

use corelane_proto::coherence::{Rules, Sound};
use stateright::{Checker, HasDiscoveries, Model};

use crate::config::{Config, Fault, Left};
use crate::properties::Machine;
use crate::steps::Step;

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct GrantsBeforeAcks;

impl Rules for GrantsBeforeAcks {
    const GRANT_BEFORE_ACKS: bool = true;
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct KeepsRevokedLoads;

impl Rules for KeepsRevokedLoads {
    const KEEP_REVOKED_LOADS: bool = true;
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct ForgetsHolders;

impl Rules for ForgetsHolders {
    const FORGET_HOLDERS: bool = true;
}

/// The shortest way to a stale read.
fn way_to_a_stale_read<R: Rules + Send + Sync>(config: Config) -> Option<Vec<Step>> {
    let property = "no read is stale";
    let name = config.name;
    let checker = Machine::<R>::new(config)
        .checker()
        .finish_when(HasDiscoveries::AnyOf([property].into()))
        .spawn_bfs()
        .join();
    let steps = checker.discovery(property)?.into_actions();
    println!("{name}: {} states, then", checker.unique_state_count());
    for step in &steps {
        println!("    {step:?}");
    }
    Some(steps)
}

fn one_write(reads: u8) -> Left {
    Left {
        reads,
        writes: 1,
        ..Left::default()
    }
}

#[test]
fn granting_before_acks_is_noticed() {
    let config = Config {
        is_warm: true,
        ..Config::pair("grants before acks", one_write(1))
    };
    assert!(way_to_a_stale_read::<GrantsBeforeAcks>(config.clone()).is_some());
    assert_eq!(way_to_a_stale_read::<Sound>(config), None);
}

#[test]
fn keeping_revoked_loads_is_noticed() {
    let config = Config::pair("keeps revoked loads", one_write(2));
    assert!(way_to_a_stale_read::<KeepsRevokedLoads>(config).is_some());
}

#[test]
fn forgetting_holders_is_noticed() {
    let config = Config {
        is_warm: true,
        ..Config::pair("forgets holders", one_write(1))
    };
    assert!(way_to_a_stale_read::<ForgetsHolders>(config).is_some());
}

/// A value that is overtaken by its invalidation is kept.
#[test]
fn replies_out_of_order_are_noticed() {
    let config = Config {
        fault: Fault::RepliesOvertake,
        ..Config::pair("replies out of order", one_write(3))
    };
    assert!(way_to_a_stale_read::<Sound>(config).is_some());
}

/// It grants a write while a peer still serves its predecessor's copy.
#[test]
fn serving_before_hello_is_noticed() {
    let left = Left {
        deaths: 1,
        ..one_write(1)
    };
    let config = Config {
        fault: Fault::ServesBeforeHello,
        is_warm: true,
        ..Config::pair("serves before hello", left)
    };
    assert!(way_to_a_stale_read::<Sound>(config).is_some());
}
