//! Shards that die, and writes of which nobody knows whether they happened.

use corelane_proto::coherence::WriteMode;

use crate::config::{Config, Left};
use crate::exploration::{Size, explore};
use crate::witness::Witness::*;

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
