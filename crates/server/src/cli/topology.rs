//! `corelane topology`: the machine as a tree, with the shards of a core map.

use super::args::TopologyArgs;
use super::failure::Failure;
use super::{output, settings};
use crate::config::ConfigErrors;
use corelane::internals::topology::{Machine, render_tree};

pub(super) fn run(args: &TopologyArgs) -> Result<(), Failure> {
    let loaded = settings::load(&args.sources())?;
    let machine = read_machine()?;
    match loaded.place(&machine) {
        Ok(placement) => output::print(&render_tree(&machine, Some(&placement))),
        Err(error) => {
            // The machine is what the operator needs to see to right the map.
            output::print(&render_tree(&machine, None))?;
            Err(ConfigErrors(vec![error]).into())
        }
    }
}

/// The machine this process runs on, or the one `HWLOC_*` variables describe.
pub(super) fn read_machine() -> Result<Machine, Failure> {
    let machine = Machine::read()
        .map_err(|error| Failure::with_cure_inside("the machine cannot be read", error))?;
    match ignored_description() {
        Some(variable) if !machine.is_synthetic => Err(Failure::usage(
            format!("{variable} describes no machine that could be read; this one would be shown"),
            "unset it, or give what `lstopo --if` takes (and build with the feature hwloc)",
        )),
        _ => Ok(machine),
    }
}

/// The variable that describes another machine, if one is set. hwloc passes
/// over a description it does not understand without a word.
fn ignored_description() -> Option<&'static str> {
    let is_set = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    // With this one hwloc takes even a description for the machine it runs on.
    if is_set("HWLOC_THISSYSTEM") {
        return None;
    }
    DESCRIPTIONS.into_iter().find(|name| is_set(name))
}

const DESCRIPTIONS: [&str; 2] = ["HWLOC_SYNTHETIC", "HWLOC_XMLFILE"];
