//! Explores a configuration under the product's rules.

use std::time::Instant;

use corelane_proto::coherence::Sound;
use stateright::{Checker, Model};

use crate::config::Config;
use crate::properties::Machine;

/// How much is explored; each includes those before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Size {
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
pub(crate) fn explore(size: Size, config: Config) {
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
