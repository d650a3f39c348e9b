//! The machine model: packages > NUMA nodes > L3 groups > cores > PUs.
//!
//! Both readers, `hwloc.rs` and `sysfs.rs`, hand over one flat [`PuRecord`] per
//! PU and this file builds the tree, so the two agree on order by
//! construction: packages and NUMA nodes by the number the firmware gave them,
//! everything below by its lowest CPU number.

use std::collections::BTreeMap;

use super::{TopologyError, affinity, sysfs};

/// The machine as the shards see it. Read once, at start, never changed after.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Machine {
    /// Packages (sockets), by number.
    pub packages: Vec<Package>,
    /// CPUs that are present but switched off, ascending.
    pub offline: Vec<usize>,
    /// Whether this is some other machine, described by `HWLOC_SYNTHETIC`,
    /// `HWLOC_XMLFILE` or `HWLOC_FSROOT`: fit to be looked at, not to be
    /// pinned to.
    pub is_synthetic: bool,
    /// Who read it.
    pub source: Source,
    /// What an operator should know about the reading, one sentence each.
    pub notes: Vec<String>,
}

/// Who read the machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// libhwloc.
    Hwloc,
    /// The files under `/sys/devices/system`.
    Sys,
}

/// One socket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Package {
    /// Its number, as in `physical_package_id`.
    pub os_index: usize,
    /// The part of each NUMA node that lies in this package.
    pub numa_nodes: Vec<NumaNode>,
}

/// One memory node, or the part of it that lies in one package.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NumaNode {
    /// Its number, as in `/sys/devices/system/node`; none for CPUs without
    /// memory of their own.
    pub os_index: Option<usize>,
    /// Memory of the node, bytes; 0 when unknown.
    pub memory_bytes: u64,
    /// The L3 caches in it.
    pub l3_groups: Vec<L3Group>,
}

/// Cores that share an L3 cache, or that have none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct L3Group {
    /// Size of the cache, bytes; 0 when there is none or it is unknown.
    pub size_bytes: u64,
    /// The cores, by lowest CPU number.
    pub cores: Vec<Core>,
}

/// A physical core.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Core {
    /// Its hardware threads, ascending; never empty.
    pub pus: Vec<Pu>,
}

/// A processing unit: one hardware thread, what Linux calls a CPU.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pu {
    /// The Linux CPU number, what `sched_setaffinity` takes.
    pub cpu: usize,
    /// Whether the affinity mask and cpuset of this process contain it.
    pub allowed: bool,
}

/// A core with everything that contains it.
#[derive(Debug, Clone, Copy)]
pub(super) struct CoreRef<'a> {
    pub(super) package: &'a Package,
    pub(super) numa_node: &'a NumaNode,
    pub(super) core: &'a Core,
}

impl Machine {
    /// Reads the machine: by hwloc where the feature is on, else from `/sys`,
    /// and marks what this process may use. Call it from the main thread
    /// before anything is pinned.
    ///
    /// hwloc's own variables work: with `HWLOC_SYNTHETIC` or `HWLOC_XMLFILE`
    /// the result is that machine, [`is_synthetic`](Self::is_synthetic) is set
    /// and every PU is allowed. A description hwloc does not understand makes
    /// it read this machine instead, so a caller that sees the variable set
    /// and `is_synthetic` unset should refuse.
    ///
    /// # Errors
    ///
    /// [`TopologyError`] when neither source can be read or the affinity mask
    /// is unknown.
    pub fn read() -> Result<Self, TopologyError> {
        let mut machine = Self::read_hardware()?;
        if !machine.is_synthetic {
            machine.allow_only(&affinity::allowed_cpus()?);
            // hwloc names no offline CPUs; a kernel without the file has none.
            machine.offline = sysfs::offline_cpus(sysfs::ROOT.as_ref()).unwrap_or_default();
        }
        Ok(machine)
    }

    #[cfg(feature = "hwloc")]
    fn read_hardware() -> Result<Self, TopologyError> {
        match super::hwloc::read() {
            Ok(machine) => Ok(machine),
            // Two readers are there to be used; the fallback is not silent.
            Err(error) => match sysfs::read(sysfs::ROOT.as_ref()) {
                Ok(mut machine) => {
                    machine
                        .notes
                        .push(format!("{error}. Read from /sys instead"));
                    Ok(machine)
                }
                Err(_) => Err(error),
            },
        }
    }

    #[cfg(not(feature = "hwloc"))]
    fn read_hardware() -> Result<Self, TopologyError> {
        sysfs::read(sysfs::ROOT.as_ref())
    }

    /// Builds the tree from one record per PU; every PU starts allowed.
    pub(super) fn assemble(records: Vec<PuRecord>, source: Source) -> Self {
        Self {
            packages: assemble_packages(records),
            offline: Vec::new(),
            is_synthetic: false,
            source,
            notes: Vec::new(),
        }
    }

    /// Marks the PUs in `allowed`, and only those, as usable.
    pub(super) fn allow_only(&mut self, allowed: &[usize]) {
        for pu in self.pus_mut() {
            pu.allowed = allowed.contains(&pu.cpu);
        }
    }

    /// Physical cores, in machine order.
    pub(super) fn cores(&self) -> impl Iterator<Item = CoreRef<'_>> {
        self.packages.iter().flat_map(|package| {
            package.numa_nodes.iter().flat_map(move |numa_node| {
                let cores = numa_node.l3_groups.iter().flat_map(|group| &group.cores);
                cores.map(move |core| CoreRef {
                    package,
                    numa_node,
                    core,
                })
            })
        })
    }

    /// Hardware threads, in machine order.
    pub fn pus(&self) -> impl Iterator<Item = Pu> {
        self.cores()
            .flat_map(|place| place.core.pus.iter().copied())
    }

    /// CPUs this process may use, ascending.
    pub fn allowed_cpus(&self) -> Vec<usize> {
        let mut cpus: Vec<_> = self
            .pus()
            .filter(|pu| pu.allowed)
            .map(|pu| pu.cpu)
            .collect();
        cpus.sort_unstable();
        cpus
    }

    /// Physical cores.
    pub fn core_count(&self) -> usize {
        self.cores().count()
    }

    /// Hardware threads.
    pub fn pu_count(&self) -> usize {
        self.pus().count()
    }

    fn pus_mut(&mut self) -> impl Iterator<Item = &mut Pu> {
        self.packages
            .iter_mut()
            .flat_map(|package| &mut package.numa_nodes)
            .flat_map(|node| &mut node.l3_groups)
            .flat_map(|group| &mut group.cores)
            .flat_map(|core| &mut core.pus)
    }
}

/// What a reader knows about one PU.
#[derive(Debug, Clone, Copy)]
pub(super) struct PuRecord {
    /// Linux CPU number.
    pub(super) cpu: usize,
    /// Number of its package.
    pub(super) package: usize,
    /// Number of its memory node.
    pub(super) numa_node: Option<usize>,
    /// Memory of that node, bytes; 0 when unknown.
    pub(super) memory_bytes: u64,
    /// Any number that PUs under one L3 have in common; none without an L3.
    pub(super) l3: Option<usize>,
    /// Size of that cache, bytes; 0 when unknown.
    pub(super) l3_bytes: u64,
    /// Any number that the PUs of one core, and no others, have in common.
    pub(super) core: usize,
}

fn assemble_packages(mut records: Vec<PuRecord>) -> Vec<Package> {
    // The readers' numbers for caches and cores mean nothing to an operator;
    // the lowest CPU in them does.
    let l3_first = lowest_cpu_by(&records, |record| record.l3);
    let core_first = lowest_cpu_by(&records, |record| record.core);
    records.sort_by_key(|record| {
        // CPUs without memory come after those with.
        let numa_order = record.numa_node.unwrap_or(usize::MAX);
        let (l3, core) = (l3_first[&record.l3], core_first[&record.core]);
        (record.package, numa_order, l3, core, record.cpu)
    });
    records
        .chunk_by(|a, b| a.package == b.package)
        .map(|package| Package {
            os_index: package[0].package,
            numa_nodes: package
                .chunk_by(|a, b| a.numa_node == b.numa_node)
                .map(assemble_numa_node)
                .collect(),
        })
        .collect()
}

/// `records` are those of one memory node in one package, in order.
fn assemble_numa_node(records: &[PuRecord]) -> NumaNode {
    NumaNode {
        os_index: records[0].numa_node,
        memory_bytes: records[0].memory_bytes,
        l3_groups: records
            .chunk_by(|a, b| a.l3 == b.l3)
            .map(|group| L3Group {
                size_bytes: group[0].l3_bytes,
                cores: group
                    .chunk_by(|a, b| a.core == b.core)
                    .map(assemble_core)
                    .collect(),
            })
            .collect(),
    }
}

fn assemble_core(records: &[PuRecord]) -> Core {
    Core {
        pus: records
            .iter()
            .map(|record| Pu {
                cpu: record.cpu,
                allowed: true,
            })
            .collect(),
    }
}

fn lowest_cpu_by<K: Ord>(records: &[PuRecord], key: fn(&PuRecord) -> K) -> BTreeMap<K, usize> {
    let mut lowest = BTreeMap::new();
    for record in records {
        let cpu = lowest.entry(key(record)).or_insert(record.cpu);
        *cpu = record.cpu.min(*cpu);
    }
    lowest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tree_does_not_depend_on_the_order_or_the_numbers_of_the_reader() {
        let record = |cpu, package, l3, core| PuRecord {
            cpu,
            package,
            numa_node: Some(package),
            memory_bytes: 1,
            l3: Some(l3),
            l3_bytes: 2,
            core,
        };
        // Two packages, CPUs dealt out alternately, siblings two apart.
        let plain = vec![
            record(0, 0, 0, 0),
            record(2, 0, 0, 0),
            record(1, 1, 1, 1),
            record(3, 1, 1, 1),
        ];
        let odd = vec![
            record(3, 1, 4, 9),
            record(2, 0, 7, 8),
            record(0, 0, 7, 8),
            record(1, 1, 4, 9),
        ];
        let machine = Machine::assemble(plain, Source::Sys);
        assert_eq!(machine, Machine::assemble(odd, Source::Sys));
        assert_eq!(
            machine.pus().map(|pu| pu.cpu).collect::<Vec<_>>(),
            [0, 2, 1, 3]
        );
        assert_eq!(
            (
                machine.packages.len(),
                machine.core_count(),
                machine.pu_count()
            ),
            (2, 2, 4)
        );
    }

    #[test]
    fn only_what_is_allowed_counts_as_allowed() {
        let mut machine = Machine::uniform(1, 1, 1, 2, 2);
        assert_eq!(machine.allowed_cpus(), [0, 1, 2, 3]);
        machine.allow_only(&[3, 1, 900]);
        assert_eq!(machine.allowed_cpus(), [1, 3]);
    }

    #[test]
    fn this_machine_is_read_and_allows_what_the_mask_allows() {
        let machine = Machine::read().unwrap();
        if !machine.is_synthetic {
            assert_eq!(machine.allowed_cpus(), affinity::allowed_cpus().unwrap());
        }
    }
}
