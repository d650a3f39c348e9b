//! The product's rules: no configuration breaks a promise.

use std::time::Instant;

use corelane::coherence::{Sound, WriteMode};
use stateright::{Checker, Model};

use crate::config::{Config, Left};
use crate::properties::Machine;
use crate::witness::Witness::*;

/// How much is explored; each includes those before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Size {
    Small,
    Full,
    Long,
}

const THREADS: usize = 2;

fn wanted() -> Size {
    match std::env::var("CORELANE_MODEL").as_deref() {
        Err(_) | Ok("small") => Size::Small,
        Ok("full") => Size::Full,
        Ok("long") => Size::Long,
        Ok(other) => panic!("CORELANE_MODEL is small, full or long, not '{other}'"),
    }
}

/// Explores all of it and shows the way to what is wrong.
fn explore(size: Size, config: Config) {
    let name = config.name;
    if size > wanted() {
        let size = format!("{size:?}").to_lowercase();
        println!("{name}: left out, CORELANE_MODEL={size} explores it");
        return;
    }
    let begun = Instant::now();
    // Depth first keeps few states in memory.
    let machine = Machine::<Sound>::new(config);
    let checker = machine.checker().threads(THREADS).spawn_dfs().join();
    println!(
        "{name}: {} states, {} steps, at most {} in a row, {:.1} s",
        checker.unique_state_count(),
        checker.state_count(),
        checker.max_depth(),
        begun.elapsed().as_secs_f64()
    );
    for property in checker.model().properties() {
        let found = checker.discovery(property.name);
        match found {
            Some(path) if property.expectation.discovery_is_failure() => {
                let steps = path.into_actions().into_iter();
                let way: Vec<String> = steps.map(|step| format!("\n    {step:?}")).collect();
                panic!("{name}: broken: {}, by{}", property.name, way.concat());
            }
            None if !property.expectation.discovery_is_failure() => {
                panic!("{name}: never seen: {}", property.name);
            }
            _ => {}
        }
    }
}

#[test]
fn two_readers_and_a_writer() {
    let left = Left {
        reads: 2,
        writes: 1,
        ..Left::default()
    };
    let witnesses = &[HitAtHome, Collapsed, LoadRevoked, CalledIn];
    explore(
        Size::Small,
        Config {
            witnesses,
            ..Config::pair("two readers and a writer", left)
        },
    );
}

/// Any shard dies at any moment, the home and the writer among them.
#[test]
fn a_death() {
    let left = Left {
        reads: 1,
        writes: 1,
        deaths: 1,
        ..Left::default()
    };
    let witnesses = &[DiedWriting, HomeDiedUnderWriter, GivenUp, Doubt];
    explore(
        Size::Small,
        Config {
            witnesses,
            is_warm: true,
            ..Config::pair("a death", left)
        },
    );
}

/// The write may happen until the doubt has passed, and nothing is kept.
#[test]
fn a_write_in_doubt() {
    let left = Left {
        reads: 1,
        writes: 1,
        doubts: 1,
        ticks: 1,
        ..Left::default()
    };
    let witnesses = &[Doubt, LateCommit, Bypass];
    explore(
        Size::Small,
        Config {
            witnesses,
            ..Config::pair("a write in doubt", left)
        },
    );
}

/// The late write comes between a later one and the end of its lease.
#[test]
fn a_write_after_one_in_doubt() {
    let left = Left {
        reads: 1,
        writes: 2,
        doubts: 1,
        ticks: 1,
        ..Left::default()
    };
    let witnesses = &[Doubt, LateCommit, Bypass];
    explore(
        Size::Full,
        Config {
            witnesses,
            ..Config::pair("a write after one in doubt", left)
        },
    );
}

/// A home dies, and a writer that it knew of does not know how it ended.
#[test]
fn a_death_and_a_doubt() {
    let left = Left {
        reads: 1,
        writes: 1,
        deaths: 1,
        doubts: 1,
        ticks: 2,
        ..Left::default()
    };
    let witnesses = &[DiedWriting, HomeDiedUnderWriter, LateCommit];
    explore(
        Size::Full,
        Config {
            witnesses,
            ..Config::pair("a death and a doubt", left)
        },
    );
}

/// A write in doubt comes late; the home dies that knew of it when it granted
/// another.
#[test]
fn a_death_between_writes() {
    let left = Left {
        writes: 2,
        deaths: 1,
        doubts: 1,
        ticks: 1,
        ..Left::default()
    };
    let witnesses = &[DiedWriting, HomeDiedUnderWriter];
    explore(
        Size::Full,
        Config {
            witnesses,
            ..Config::pair("a death between writes", left)
        },
    );
}

/// A home dies, then a writer before it has told the successor of its write.
#[test]
fn two_deaths() {
    let left = Left {
        reads: 1,
        writes: 1,
        deaths: 2,
        ticks: 1,
        ..Left::default()
    };
    let witnesses = &[DiedWriting, HomeDiedUnderWriter];
    explore(
        Size::Full,
        Config {
            witnesses,
            ..Config::pair("two deaths", left)
        },
    );
}

#[test]
fn two_writers() {
    let left = Left {
        reads: 2,
        writes: 2,
        ..Left::default()
    };
    let witnesses = &[HitAtHome, Collapsed, LoadRevoked, CalledIn];
    explore(
        Size::Full,
        Config {
            witnesses,
            ..Config::pair("two writers", left)
        },
    );
}

#[test]
fn copies_that_expire() {
    let left = Left {
        reads: 2,
        writes: 1,
        ticks: 2,
        ..Left::default()
    };
    let witnesses = &[Expired, HitAtHome, LoadRevoked];
    explore(
        Size::Full,
        Config {
            witnesses,
            ..Config::pair("copies that expire", left)
        },
    );
}

#[test]
fn three_shards() {
    let left = Left {
        reads: 2,
        writes: 2,
        ..Left::default()
    };
    let witnesses = &[CalledIn, HitAtHome];
    explore(
        Size::Full,
        Config {
            witnesses,
            shards: 3,
            is_warm: true,
            ..Config::pair("three shards", left)
        },
    );
}

/// The second of two keys has its own home: neither holds the other up.
#[test]
fn two_homes_and_a_death() {
    let left = Left {
        reads: 1,
        writes: 1,
        deaths: 1,
        ..Left::default()
    };
    let witnesses = &[DiedWriting, HomeDiedUnderWriter];
    explore(
        Size::Full,
        Config {
            witnesses,
            homes: &[0, 1],
            is_warm: true,
            ..Config::pair("two homes and a death", left)
        },
    );
}

/// Shards and directory have room for one of two keys.
#[test]
fn two_keys_and_room_for_one() {
    let left = Left {
        reads: 3,
        writes: 1,
        ..Left::default()
    };
    let witnesses = &[EvictedAtHome, EvictedAtHolder, CalledIn];
    explore(
        Size::Full,
        Config {
            witnesses,
            homes: &[0, 0],
            holder_room: 1,
            home_room: 1,
            is_warm: true,
            ..Config::pair("two keys and room for one", left)
        },
    );
}

/// What a load brings is too big for the directory, not for the shards.
#[test]
fn a_directory_without_room() {
    let left = Left {
        reads: 2,
        writes: 1,
        ..Left::default()
    };
    let witnesses = &[EvictedAtHome, CalledIn];
    explore(
        Size::Full,
        Config {
            witnesses,
            home_room: 0,
            ..Config::pair("a directory without room", left)
        },
    );
}

/// What the dead shard wrote may still happen; time passes it.
#[test]
fn a_death_and_time() {
    let left = Left {
        reads: 2,
        writes: 1,
        deaths: 1,
        ticks: 1,
        ..Left::default()
    };
    let witnesses = &[DiedWriting, HomeDiedUnderWriter, Expired, GivenUp];
    explore(
        Size::Full,
        Config {
            witnesses,
            is_warm: true,
            ..Config::pair("a death and time", left)
        },
    );
}

#[test]
fn a_death_among_three() {
    let left = Left {
        reads: 1,
        writes: 1,
        deaths: 1,
        ..Left::default()
    };
    let witnesses = &[DiedWriting, HomeDiedUnderWriter, CalledIn];
    explore(
        Size::Full,
        Config {
            witnesses,
            shards: 3,
            is_warm: true,
            ..Config::pair("a death among three", left)
        },
    );
}

/// Writers beside each other, and readers that go past the cache meanwhile.
#[test]
fn writers_who_share() {
    let left = Left {
        reads: 2,
        writes: 2,
        ..Left::default()
    };
    let witnesses = &[TwoWriters, Bypass, CalledIn];
    explore(
        Size::Full,
        Config {
            witnesses,
            mode: WriteMode::Shared,
            is_warm: true,
            ..Config::pair("writers who share", left)
        },
    );
}

#[test]
fn writers_who_share_and_die() {
    let left = Left {
        reads: 1,
        writes: 2,
        deaths: 1,
        ..Left::default()
    };
    let witnesses = &[TwoWriters, DiedWriting, HomeDiedUnderWriter];
    explore(
        Size::Full,
        Config {
            witnesses,
            mode: WriteMode::Shared,
            is_warm: true,
            ..Config::pair("writers who share and die", left)
        },
    );
}

/// Loads that fail or are abandoned, clients that leave, waits given up.
#[test]
fn clients_who_give_up() {
    let left = Left {
        reads: 2,
        writes: 1,
        failures: 1,
        abandons: 1,
        departures: 1,
        timeouts: 1,
        ..Left::default()
    };
    let witnesses = &[Collapsed, LoadRevoked, GivenUp];
    explore(
        Size::Full,
        Config {
            witnesses,
            ..Config::pair("clients who give up", left)
        },
    );
}

#[test]
fn a_purge_beside_a_write() {
    let left = Left {
        reads: 1,
        writes: 1,
        purges: 1,
        ..Left::default()
    };
    let witnesses = &[LoadRevoked, CalledIn];
    explore(
        Size::Full,
        Config {
            witnesses,
            ..Config::pair("a purge beside a write", left)
        },
    );
}

#[test]
fn a_flush_beside_a_write() {
    let left = Left {
        reads: 1,
        writes: 1,
        flushes: 1,
        ..Left::default()
    };
    let witnesses = &[LoadRevoked, Bypass];
    explore(
        Size::Full,
        Config {
            witnesses,
            ..Config::pair("a flush beside a write", left)
        },
    );
}

/// The second flush joins the first; a write granted meanwhile keeps nothing.
#[test]
fn a_flush_that_joins_another() {
    let left = Left {
        reads: 1,
        writes: 1,
        flushes: 2,
        ..Left::default()
    };
    let witnesses = &[Bypass];
    explore(
        Size::Full,
        Config {
            witnesses,
            shards: 1,
            is_warm: true,
            ..Config::pair("a flush that joins another", left)
        },
    );
}

#[test]
fn peeks_and_touches() {
    let left = Left {
        reads: 1,
        peeks: 1,
        writes: 1,
        touches: 1,
        ..Left::default()
    };
    let witnesses = &[CalledIn];
    explore(
        Size::Full,
        Config {
            witnesses,
            is_warm: true,
            ..Config::pair("peeks and touches", left)
        },
    );
}

#[test]
fn more_of_everything() {
    let left = Left {
        reads: 3,
        writes: 2,
        ..Left::default()
    };
    explore(Size::Long, Config::pair("three readers, two writers", left));
    let left = Left {
        reads: 2,
        writes: 2,
        deaths: 1,
        ticks: 1,
        ..Left::default()
    };
    let warm = Config {
        is_warm: true,
        ..Config::pair("a death between writes and reads", left)
    };
    explore(Size::Long, warm);
    let left = Left {
        reads: 2,
        writes: 1,
        deaths: 1,
        doubts: 1,
        ticks: 1,
        ..Left::default()
    };
    let three = Config {
        shards: 3,
        is_warm: true,
        ..Config::pair("three shards, a death and a doubt", left)
    };
    explore(Size::Long, three);
}
