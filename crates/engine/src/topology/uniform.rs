//! Machines that are not there: regular ones of any shape.

use super::machine::PuRecord;
use super::{Machine, Source};

impl Machine {
    /// A regular machine, to try a core map on. CPUs are numbered as Linux does on x86: first thread 0
    /// of every core, then thread 1 of every core. L3 is 32 MiB, a node 256 GiB.
    pub fn uniform(
        packages: usize,
        nodes_per_package: usize,
        l3_per_node: usize,
        cores_per_l3: usize,
        threads_per_core: usize,
    ) -> Self {
        let nodes = packages * nodes_per_package;
        let cores = nodes * l3_per_node * cores_per_l3;
        let record = |core: usize, thread: usize| {
            let l3 = core / cores_per_l3;
            let node = l3 / l3_per_node;
            PuRecord {
                cpu: thread * cores + core,
                package: node / nodes_per_package,
                numa_node: Some(node),
                memory_bytes: 256 << 30,
                l3: Some(l3),
                l3_bytes: 32 << 20,
                core,
            }
        };
        let records =
            (0..cores).flat_map(|core| (0..threads_per_core).map(move |t| record(core, t)));
        Self::assemble(records.collect(), Source::Sys)
    }
}
