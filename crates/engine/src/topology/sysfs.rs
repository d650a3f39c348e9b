//! Reads the machine from the files under `/sys/devices/system`.
//!
//! The only reader without the feature `hwloc`, and the one that the hwloc
//! reading is tested against. Kernels, architectures and virtual machines
//! leave files out; only `cpu/online` is required, and what is missing means
//! the simplest machine: one package, one core per CPU, no L3.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::Path;

use super::TopologyError;
use super::core_list::{CoreListError, parse_core_list};
use super::machine::{Machine, PuRecord, Source};

/// Where Linux shows the machine.
pub(super) const ROOT: &str = "/sys/devices/system";

/// Reads the machine under `root`, which is [`ROOT`] or a recorded copy of it.
pub(super) fn read(root: &Path) -> Result<Machine, TopologyError> {
    let nodes = read_numa_nodes(&root.join("node"))?;
    let online = read_list(&root.join("cpu/online"))?;
    let records = online
        .into_iter()
        .map(|cpu| read_cpu(&root.join(format!("cpu/cpu{cpu}")), cpu, &nodes))
        .collect::<Result<Vec<_>, _>>()?;
    let mut machine = Machine::assemble(records, Source::Sys);
    machine.offline = offline_cpus(root)?;
    Ok(machine)
}

/// CPUs that are present and not online. `cpu/offline` would not do: it also
/// lists the CPUs that a machine could have and has not.
pub(super) fn offline_cpus(root: &Path) -> Result<Vec<usize>, TopologyError> {
    let online = read_list(&root.join("cpu/online"))?;
    let present = optional(read_list(&root.join("cpu/present")))?.unwrap_or_default();
    Ok(present
        .into_iter()
        .filter(|cpu| !online.contains(cpu))
        .collect())
}

/// Which memory node each CPU belongs to. None at all: a kernel without NUMA.
struct NumaNodes {
    node_of_cpu: BTreeMap<usize, usize>,
    memory_bytes: BTreeMap<usize, u64>,
}

fn read_numa_nodes(folder: &Path) -> Result<Option<NumaNodes>, TopologyError> {
    let Some(online) = optional(read_list(&folder.join("online")))? else {
        return Ok(None);
    };
    let mut nodes = NumaNodes {
        node_of_cpu: BTreeMap::new(),
        memory_bytes: BTreeMap::new(),
    };
    for node in online {
        let folder = folder.join(format!("node{node}"));
        // Empty for a node that is memory alone.
        for cpu in optional(read_list(&folder.join("cpulist")))?.unwrap_or_default() {
            nodes.node_of_cpu.insert(cpu, node);
        }
        let bytes = optional(read_memory_bytes(&folder.join("meminfo")))?.unwrap_or(0);
        nodes.memory_bytes.insert(node, bytes);
    }
    Ok(Some(nodes))
}

fn read_cpu(
    folder: &Path,
    cpu: usize,
    nodes: &Option<NumaNodes>,
) -> Result<PuRecord, TopologyError> {
    let topology = folder.join("topology");
    let package = optional(read_text(&topology.join("physical_package_id")))?;
    // The kernel writes -1 where the firmware gave no number.
    let package = package.and_then(|text| text.parse().ok()).unwrap_or(0);
    let siblings = match optional(read_list(&topology.join("core_cpus_list")))? {
        Some(siblings) => Some(siblings),
        // The name before Linux 5.3.
        None => optional(read_list(&topology.join("thread_siblings_list")))?,
    };
    let core = siblings
        .and_then(|cpus| cpus.into_iter().min())
        .unwrap_or(cpu);
    let l3 = read_l3(&folder.join("cache"))?;
    let numa_node = match nodes {
        Some(nodes) => nodes.node_of_cpu.get(&cpu).copied(),
        None => Some(0),
    };
    let memory_bytes = nodes
        .as_ref()
        .zip(numa_node)
        .and_then(|(nodes, node)| nodes.memory_bytes.get(&node).copied())
        .unwrap_or(0);
    Ok(PuRecord {
        cpu,
        package,
        numa_node,
        memory_bytes,
        l3: l3.map(|(first_cpu, _)| first_cpu),
        l3_bytes: l3.map_or(0, |(_, bytes)| bytes),
        core,
    })
}

/// The lowest CPU under the L3 of a CPU, and its size, bytes.
fn read_l3(folder: &Path) -> Result<Option<(usize, u64)>, TopologyError> {
    for index in 0..CACHE_INDEXES_MAX {
        let folder = folder.join(format!("index{index}"));
        let Some(level) = optional(read_text(&folder.join("level")))? else {
            continue;
        };
        let kind = optional(read_text(&folder.join("type")))?.unwrap_or_default();
        if level != "3" || kind == "Instruction" {
            continue;
        }
        let shared = optional(read_list(&folder.join("shared_cpu_list")))?.unwrap_or_default();
        let Some(first_cpu) = shared.into_iter().min() else {
            continue;
        };
        let size = optional(read_text(&folder.join("size")))?.unwrap_or_default();
        return Ok(Some((first_cpu, parse_cache_bytes(&size))));
    }
    Ok(None)
}

/// `32768K` and, on some architectures, `32M`; 0 when it says something else.
fn parse_cache_bytes(text: &str) -> u64 {
    let (digits, unit) = match text.strip_suffix(['K', 'M']) {
        Some(digits) if text.ends_with('K') => (digits, 1 << 10),
        Some(digits) => (digits, 1 << 20),
        None => (text, 1),
    };
    digits
        .parse::<u64>()
        .ok()
        .and_then(|count| count.checked_mul(unit))
        .unwrap_or(0)
}

/// `Node 0 MemTotal:  6383820 kB`, bytes.
fn read_memory_bytes(path: &Path) -> Result<u64, TopologyError> {
    let text = read_text(path)?;
    let kib = text
        .lines()
        .find_map(|line| line.split_once("MemTotal:"))
        .and_then(|(_, amount)| amount.trim().strip_suffix("kB")?.trim().parse::<u64>().ok());
    Ok(kib.and_then(|kib| kib.checked_mul(1 << 10)).unwrap_or(0))
}

/// A file with a CPU or node list; an empty one is an empty list.
fn read_list(path: &Path) -> Result<Vec<usize>, TopologyError> {
    let text = read_text(path)?;
    if text.is_empty() {
        return Ok(Vec::new());
    }
    parse_core_list(&text).map_err(|error| match error {
        CoreListError::TooLarge { core } => TopologyError::CpuIdTooLarge { cpu: core },
        _ => TopologyError::Malformed {
            path: path.to_owned(),
            text: text.chars().take(MALFORMED_SHOWN_CHARS).collect(),
        },
    })
}

fn read_text(path: &Path) -> Result<String, TopologyError> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(text.trim().to_owned()),
        Err(source) => Err(TopologyError::Unreadable {
            path: path.to_owned(),
            source,
        }),
    }
}

/// A file that may be left out. Some kernels answer ENODATA or ENXIO, seen as
/// `Other`, for a file that is listed and has nothing to say.
fn optional<T>(read: Result<T, TopologyError>) -> Result<Option<T>, TopologyError> {
    match read {
        Ok(value) => Ok(Some(value)),
        Err(TopologyError::Unreadable { source, .. })
            if source.kind() != io::ErrorKind::PermissionDenied =>
        {
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

/// Caches of one CPU that are looked at; Linux shows 3 to 6.
const CACHE_INDEXES_MAX: usize = 16;
const MALFORMED_SHOWN_CHARS: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::topology::fixtures::{self, RecordedTree};

    #[test]
    fn a_hybrid_laptop_is_one_package_of_big_and_small_cores() {
        let tree = RecordedTree::unpack(fixtures::LAPTOP);
        let machine = read(&tree.system()).unwrap();
        assert_eq!((machine.core_count(), machine.pu_count()), (14, 20));
        assert!(machine.offline.is_empty());
        let [package] = &machine.packages[..] else {
            panic!("{machine:?}")
        };
        let [node] = &package.numa_nodes[..] else {
            panic!("{machine:?}")
        };
        assert_eq!(
            (node.os_index, node.memory_bytes),
            (Some(0), 32_489_480 << 10)
        );
        let [l3] = &node.l3_groups[..] else {
            panic!("{machine:?}")
        };
        assert_eq!(l3.size_bytes, 24 << 20);
        let threads: Vec<_> = l3.cores.iter().map(|core| core.pus.len()).collect();
        assert_eq!(threads, [2, 2, 2, 2, 2, 2, 1, 1, 1, 1, 1, 1, 1, 1]);
        assert_eq!(
            machine.pus().map(|pu| pu.cpu).collect::<Vec<_>>(),
            (0..20).collect::<Vec<_>>()
        );
    }

    #[test]
    fn offline_cpus_are_no_part_of_the_tree_and_are_named() {
        let tree = RecordedTree::unpack(fixtures::OFFLINE);
        let machine = read(&tree.system()).unwrap();
        assert_eq!(machine.offline, [0, 1, 2, 3, 21, 22, 23]);
        let mut cpus: Vec<_> = machine.pus().map(|pu| pu.cpu).collect();
        cpus.sort_unstable();
        assert_eq!(cpus, (4..=20).collect::<Vec<_>>());
        // Node 0 lost its memory and is gone; its CPUs are not.
        let [first, second] = &machine.packages[..] else {
            panic!("{machine:?}")
        };
        assert_eq!(first.numa_nodes[0].os_index, None);
        assert_eq!(second.numa_nodes[0].os_index, Some(1));
        assert_eq!(second.numa_nodes[0].memory_bytes, 64 << 30);
    }

    #[test]
    fn a_kernel_that_shows_only_online_gives_the_simplest_machine() {
        let tree = RecordedTree::unpack("cpu/online:0,2-3\n");
        let machine = read(&tree.system()).unwrap();
        assert_eq!((machine.packages.len(), machine.core_count()), (1, 3));
        let node = &machine.packages[0].numa_nodes[0];
        assert_eq!((node.os_index, node.l3_groups[0].size_bytes), (Some(0), 0));
    }

    #[test]
    fn what_cannot_be_read_is_named_with_its_path() {
        let empty = RecordedTree::unpack("");
        let error = read(&empty.system()).unwrap_err().to_string();
        assert!(
            error.contains("cpu/online") && error.contains("mount /sys"),
            "{error}"
        );
        let garbage = RecordedTree::unpack("cpu/online:0-x\n");
        let error = read(&garbage.system()).unwrap_err();
        assert!(
            matches!(&error, TopologyError::Malformed { text, .. } if text == "0-x"),
            "{error}"
        );
        let huge = RecordedTree::unpack("cpu/online:0-2047\n");
        let error = read(&huge.system()).unwrap_err();
        assert!(
            matches!(error, TopologyError::CpuIdTooLarge { cpu: 2_047 }),
            "{error}"
        );
    }

    #[test]
    fn cache_sizes_have_units() {
        assert_eq!(parse_cache_bytes("32768K"), 32 << 20);
        assert_eq!(parse_cache_bytes("32M"), 32 << 20);
        assert_eq!(parse_cache_bytes("512"), 512);
        assert_eq!(parse_cache_bytes(""), 0);
        assert_eq!(parse_cache_bytes("99999999999999999999K"), 0);
        assert_eq!(parse_cache_bytes("18446744073709551615K"), 0);
    }
}
