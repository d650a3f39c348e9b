//! The product's rules, all shards alive: no configuration breaks a promise.

use corelane_proto::coherence::WriteMode;

use crate::config::{Config, Left};
use crate::exploration::{Size, explore};
use crate::witness::Witness::*;

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
        reads: 1,
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
