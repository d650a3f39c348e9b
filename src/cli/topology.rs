//! `corelane topology`: the machine as a tree, with the shards of a core map.

use super::args::TopologyArgs;
use super::failure::Failure;
use super::{output, settings};
use crate::config::ConfigErrors;
use crate::topology::{Machine, render_tree};

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
    Machine::read().map_err(|error| Failure::with_cure_inside("the machine cannot be read", error))
}
