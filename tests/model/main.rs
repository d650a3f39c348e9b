//! A model check of the cache protocol: every interleaving of small
//! configurations, on the product's own `Home` and `Holder`.
//!
//! draft head
mod clients;
mod config;
mod properties;
mod shards;
mod shelf;
mod steps;
mod world;

use corelane::coherence::Sound;
use stateright::{Checker, Model};

use config::{Config, Left};
use properties::{Machine, Witness};

#[test]
fn probe() {
    let read = |s: &str| std::env::var(s).ok().and_then(|v| v.parse().ok()).unwrap_or(0u8);
    let left = Left {
        reads: read("R"), writes: read("W"), ticks: read("T"), deaths: read("D"), purges: read("P"), flushes: read("F"),
        touches: read("TO"), peeks: read("PE"), failures: read("FA"), abandons: read("AB"), doubts: read("DO"),
        departures: read("DE"), timeouts: read("TI"),
    };
    let mut config = Config::pair("probe", left);
    if read("S") > 0 { config.shards = read("S") as usize; }
    if read("K") > 1 { config.homes = &[0, 0]; }
    if read("K") > 2 { config.homes = &[0, 1]; }
    if read("ROOM") > 0 { config.home_room = (read("ROOM") - 1) as usize; }
    if read("LROOM") > 0 { config.holder_room = (read("LROOM") - 1) as usize; }
    if read("SH") > 0 { config.mode = corelane::coherence::WriteMode::Shared; }
    let begun = std::time::Instant::now();
    let checker = Machine::<Sound>::new(config).checker().threads(2).timeout(std::time::Duration::from_secs(100)).spawn_dfs().join();
    println!("{} states, {} unique, depth {}, {:?}", checker.state_count(), checker.unique_state_count(), checker.max_depth(), begun.elapsed());
    for (name, path) in checker.discoveries() {
        println!("{name}");
        for a in path.into_actions() { println!("   {a:?}"); }
    }
    let _ = Witness::Expired;
}
