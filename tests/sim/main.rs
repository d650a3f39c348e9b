//! The coherence protocol in a simulated world: shards, lanes, databases and
//! clients in virtual time, drawn from a seed; and checkers that see whether
//! every register behaved as one.
//!
//! Plain `cargo test` does few operations. `CORELANE_SIM_OPERATIONS` sets how
//! many, `CORELANE_SIM_FIRST_SEED` where to begin. `CORELANE_SIM_SEED` replays
//! one run, with `CORELANE_SIM_TRACE=1` all that happened in it. For volume:
//! `CORELANE_SIM_OPERATIONS=10000000 cargo test --profile sim --test sim`.

mod campaign;
mod chores;
mod clients;
mod climate;
mod coverage;
mod entry_store;
mod exhaustive;
mod lanes;
mod mutation;
mod operation;
mod reads;
mod register;
mod regressions;
mod schedule;
mod shards;
mod trace;
mod world;
mod writes;
mod zones;

use corelane_proto::coherence::{Rules, Sound};

use campaign::{Campaign, run_caught};
use mutation::Mutation;
use trace::Detail;

/// Without optimisation this takes some ten seconds.
const OPERATIONS_DEFAULT: u64 = 200_000;

/// From so many operations on, everything must have happened.
const OPERATIONS_COVERING: u64 = 200_000;

/// Runs in which a mistake must show.
const MISTAKE_RUNS_MAX: u64 = 400;

fn number_of(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    let number = text.replace('_', "").parse();
    Some(number.unwrap_or_else(|_| panic!("{variable}={text}: a number is wanted")))
}

#[test]
fn every_register_behaves_as_one() {
    if number_of("CORELANE_SIM_SEED").is_some() {
        return;
    }
    let operations = number_of("CORELANE_SIM_OPERATIONS").unwrap_or(OPERATIONS_DEFAULT);
    let first = number_of("CORELANE_SIM_FIRST_SEED").unwrap_or(1);
    let threads = std::thread::available_parallelism().map_or(2, usize::from);
    let campaign = Campaign::run::<Sound>(first, operations, threads);
    campaign.show();
    campaign.demand_success::<Sound>();
    if operations >= OPERATIONS_COVERING {
        let counts = campaign.coverage.counts();
        let missing: Vec<_> = counts.iter().filter(|(_, count)| *count == 0).collect();
        assert!(missing.is_empty(), "never happened: {missing:?}");
    }
}

#[test]
fn one_seed() {
    let seed = number_of("CORELANE_SIM_SEED");
    let detail = match number_of("CORELANE_SIM_TRACE") {
        Some(1..) => Detail::Everything,
        _ => Detail::Failure,
    };
    let ended = run_caught::<Sound>(seed.unwrap_or(1), Mutation::Nothing, detail);
    assert_eq!(ended.failure, None, "seed {seed:?}");
}

#[test]
fn a_seed_is_one_run() {
    let run = |seed| run_caught::<Sound>(seed, Mutation::Nothing, Detail::Nothing);
    for seed in 1..20 {
        let (one, other) = (run(seed), run(seed));
        assert_eq!(
            one.coverage.counts(),
            other.coverage.counts(),
            "seed {seed}"
        );
    }
}

/// Demands that runs under rules or with a mutation that break the protocol
/// fail, and soon.
fn demand_failure<R: Rules>(mutation: Mutation, what: &str) {
    let mut operations = 0;
    for seed in 1..=MISTAKE_RUNS_MAX {
        let ended = run_caught::<R>(seed, mutation, Detail::Nothing);
        operations += ended.coverage.operations;
        if let Some(why) = ended.failure {
            let first = why.lines().next().unwrap_or_default();
            let shown: String = first.chars().take(200).collect();
            println!("{what}: seed {seed}, after {operations} operations: {shown}");
            return;
        }
    }
    panic!("{what}: not noticed in {MISTAKE_RUNS_MAX} runs, {operations} operations");
}

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

#[test]
fn granting_before_acks_is_noticed() {
    demand_failure::<GrantsBeforeAcks>(Mutation::Nothing, "writes granted before acks");
}

#[test]
fn keeping_revoked_loads_is_noticed() {
    demand_failure::<KeepsRevokedLoads>(Mutation::Nothing, "revoked loads kept");
}

#[test]
fn forgetting_holders_is_noticed() {
    demand_failure::<ForgetsHolders>(Mutation::Nothing, "holders forgotten");
}

#[test]
fn every_mutation_is_noticed() {
    for mutation in Mutation::ALL {
        demand_failure::<Sound>(mutation, &format!("{mutation:?}"));
    }
}
