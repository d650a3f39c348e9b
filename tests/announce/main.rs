//! Telling of writes after their commit, in a simulated world: one shard that
//! writes, a database that may stand still, connections that break, a listener
//! that caches what it reads. Time is virtual, everything is drawn from a seed.
//!
//! What must hold: once all is quiet, nothing is cached that the database has no
//! more. `CORELANE_SIM_SEED` replays one run, `CORELANE_SIM_RUNS` says how many.

mod broken;
mod ended;
mod world;

use corelane_proto::announce::{Rules, Sound};

use broken::{
    DoubtOnce, ForgetPeers, ForgetUntold, IgnoreLease, LeaveWritesBehind, TellDoubtsOnce,
};
use ended::Ended;
use world::run;

/// Without optimisation this takes some seconds.
const RUNS_DEFAULT: u64 = 3_000;

/// Runs in which a mistake must show.
const MISTAKE_RUNS_MAX: u64 = 20_000;

fn number_of(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    let number = text.replace('_', "").parse();
    Some(number.unwrap_or_else(|_| panic!("{variable}={text}: a number is wanted")))
}

#[test]
fn nothing_old_stays_cached() {
    let seeds = match number_of("CORELANE_SIM_SEED") {
        Some(seed) => seed..=seed,
        None => 1..=number_of("CORELANE_SIM_RUNS").unwrap_or(RUNS_DEFAULT),
    };
    let mut all = Ended::default();
    let is_one = seeds.clone().count() == 1;
    for seed in seeds {
        let ended = run::<Sound>(seed);
        assert_eq!(ended.stale, None, "CORELANE_SIM_SEED={seed}: {ended:?}");
        all.add(&ended);
    }
    println!("{all:?}");
    // A world in which nothing happens shows nothing.
    for (name, count) in all.counts() {
        assert!(count > 0 || is_one, "{name} never happened");
    }
}

/// The number of the first run in which the mistake shows.
fn shows<R: Rules>(name: &str) {
    let seed = (1..=MISTAKE_RUNS_MAX).find(|seed| run::<R>(*seed).stale.is_some());
    let seed = seed.unwrap_or_else(|| panic!("{name} is not noticed"));
    println!("{name}: run {seed}");
}

#[test]
fn every_mistake_is_noticed() {
    shows::<LeaveWritesBehind>("a goodbye with writes under way");
    shows::<IgnoreLease>("writes without a lease");
    shows::<TellDoubtsOnce>("doubts that are told once");
    shows::<ForgetUntold>("rows that could not be told and are forgotten");
    shows::<DoubtOnce>("a silence that is doubted once");
    shows::<ForgetPeers>("peers that are forgotten when somebody listens anew");
}

#[test]
fn a_seed_is_a_run() {
    for seed in [1, 2, 99] {
        assert_eq!(run::<Sound>(seed), run::<Sound>(seed));
    }
}
