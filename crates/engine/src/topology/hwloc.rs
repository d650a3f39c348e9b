//! Reads the machine by libhwloc. The only file that names hwloc2.
//!
//! hwloc2 2.2 has holes behind safe functions: `Display` of an object writes
//! 2,048 bytes into a one-byte string, `name()` frees a string that hwloc
//! owns, and every bitmap an object gives out (`cpuset()`, `nodeset()`) points
//! into the topology without borrowing it. So this file takes plain numbers,
//! copies them out while the topology lives, and lets nothing of hwloc2
//! escape. Each call below says why it is sound for libhwloc 2.x (soname 15),
//! whose object layout hwloc2 repeats (it skips `symmetric_subtree`, which
//! fills padding before `memory_first_child`, so all offsets used here match).

use hwloc2::{ObjectType, Topology, TopologyFlag, TopologyObject};

use super::TopologyError;
use super::machine::{Machine, PuRecord, Source};

/// Reads the machine that hwloc sees: this one, or the one its variables
/// describe. PUs outside the cpuset are included; the caller marks them.
pub(super) fn read() -> Result<Machine, TopologyError> {
    // Sound: init, set flags, load; a failed load is destroyed and None.
    let topology = Topology::with_flags(vec![TopologyFlag::IncludeDisallowed]).ok_or(
        TopologyError::Hwloc {
            what: "could not load a topology",
        },
    )?;
    // Sound: an integer of the loaded topology.
    let pu_depth = topology
        .depth()
        .checked_sub(1)
        .ok_or(TopologyError::Hwloc {
            what: "gave an empty topology",
        })?;
    // Sound: the depth is below `depth()`, so it does not panic; hwloc returns
    // an object for each index under the count; the references borrow
    // `topology`. The deepest level of any hwloc topology holds its PUs.
    let pus = topology.objects_at_depth(pu_depth);
    let records: Vec<_> = pus.into_iter().map(record).collect();
    if records.is_empty() {
        return Err(TopologyError::Hwloc {
            what: "gave a topology without CPUs",
        });
    }
    let mut machine = Machine::assemble(records, Source::Hwloc);
    // Sound: both pointers are set by a load and live as long as the topology;
    // the fields are plain bytes. hwloc says it can bind a thread if, and only
    // if, the topology is that of the running system.
    machine.is_synthetic = !topology.support().cpu().set_current_thread();
    Ok(machine)
}

/// Walks from a PU to the root, noting what contains it.
fn record(pu: &TopologyObject) -> PuRecord {
    let cpu = os_index(pu);
    let numa_node = first_numa_node(pu);
    let mut record = PuRecord {
        cpu,
        package: 0,
        numa_node,
        memory_bytes: 0,
        l3: None,
        l3_bytes: 0,
        // A machine without core objects has one PU per core.
        core: usize::MAX - cpu,
    };
    // Sound: `parent` is null at the root, which becomes None, and otherwise
    // points to an object of the same topology, which the borrow keeps alive.
    for object in std::iter::successors(pu.parent(), |object| object.parent()) {
        // Sound: libhwloc 2.x knows the types 0 to 19 (DIE) and hwloc2's enum
        // has all of them. Compared by pattern: `==` would call hwloc.
        match object.object_type() {
            ObjectType::Core => record.core = object.logical_index() as usize,
            ObjectType::L3Cache => {
                record.l3 = Some(object.logical_index() as usize);
                record.l3_bytes = cache_bytes(object);
            }
            ObjectType::Package => record.package = os_index(object),
            _ => {}
        }
        // A memory node hangs beside the lowest object that covers its CPUs,
        // out of the reach of hwloc2; `total_memory` of that object is the
        // node's, as long as the object has no other node. Sound: an integer.
        if record.memory_bytes == 0 && is_only_numa_node(object, numa_node) {
            record.memory_bytes = object.total_memory();
        }
    }
    record
}

/// hwloc's index for the operating system, or its own where it has none.
fn os_index(object: &TopologyObject) -> usize {
    // Sound: integers of the object.
    match object.os_index() {
        UNKNOWN_INDEX => object.logical_index() as usize,
        index => index as usize,
    }
}

/// The lowest memory node near an object.
fn first_numa_node(object: &TopologyObject) -> Option<usize> {
    // Sound: the bitmap is a view into the topology, which the borrow of
    // `object` keeps alive to the end of this function; dropping it frees
    // nothing (`manage` is false); `first` only reads. Not iterated: a bitmap
    // may be infinite.
    let first = object.nodeset()?.first();
    usize::try_from(first).ok()
}

fn is_only_numa_node(object: &TopologyObject, node: Option<usize>) -> bool {
    // Sound: as in `first_numa_node`; `weight` is -1 for an infinite bitmap.
    let is_alone = object.nodeset().is_some_and(|nodes| nodes.weight() == 1);
    is_alone && node.is_some() && first_numa_node(object) == node
}

/// Size of a cache object, bytes. Call it on caches only.
fn cache_bytes(cache: &TopologyObject) -> u64 {
    // Sound: hwloc allocates the attributes of every object with the object,
    // those of a cache are the cache member of the union, and hwloc2 declares
    // that member as the C header does. No other reference to them exists.
    cache
        .cache_attributes()
        .map_or(0, |attributes| attributes.size())
}

/// `HWLOC_UNKNOWN_INDEX`.
const UNKNOWN_INDEX: u32 = u32::MAX;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::topology::fixtures::{self, RecordedTree};
    use crate::topology::sysfs;
    use std::path::Path;
    use std::process::Command;

    /// hwloc takes its description from the environment, which belongs to the
    /// whole process. So such a test runs itself again in a child that has the
    /// variables: false in the parent, once the child has passed; true in the
    /// child.
    fn in_child_with(test: &str, variables: &[(&str, &str)]) -> bool {
        const CHILD: &str = "CORELANE_TEST_TOPOLOGY_CHILD";
        if std::env::var_os(CHILD).is_some() {
            return true;
        }
        let name = format!("topology::hwloc::tests::{test}");
        let output = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", &name, "--nocapture"])
            .env(CHILD, "1")
            .envs(variables.iter().copied())
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(
            output.status.success(),
            "{said}{}",
            String::from_utf8_lossy(&output.stderr)
        );
        assert!(
            said.contains("1 passed"),
            "the child ran another test than {name}: {said}"
        );
        false
    }

    /// The same machine, whoever read it.
    fn as_if_from_sys(mut machine: Machine) -> Machine {
        machine.source = Source::Sys;
        machine.is_synthetic = false;
        machine
    }

    #[test]
    fn hwloc_and_sys_read_the_same_machine_here() {
        let mut by_hwloc = read().unwrap();
        assert!(!by_hwloc.is_synthetic);
        let by_sys = sysfs::read(Path::new(sysfs::ROOT)).unwrap();
        by_hwloc.offline.clone_from(&by_sys.offline);
        assert_eq!(as_if_from_sys(by_hwloc), by_sys);
    }

    #[test]
    fn a_synthetic_description_gives_two_sockets_of_128_cores() {
        // `indexes` numbers the PUs as Linux does: siblings 128 apart.
        let description = "package:2 [numa(memory=274877906944)] l3:8(size=33554432) core:8 \
                           pu:2(indexes=2*128:128*1)";
        let test = "a_synthetic_description_gives_two_sockets_of_128_cores";
        if in_child_with(test, &[("HWLOC_SYNTHETIC", description)]) {
            let machine = Machine::read().unwrap();
            assert!(machine.is_synthetic);
            assert_eq!(machine.allowed_cpus().len(), 256);
            assert_eq!(as_if_from_sys(machine), Machine::uniform(2, 1, 8, 8, 2));
        }
    }

    #[test]
    fn an_xml_file_is_a_machine_too() {
        let xml = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/topology/fixtures/two_cores.xml");
        let test = "an_xml_file_is_a_machine_too";
        if in_child_with(test, &[("HWLOC_XMLFILE", xml.to_str().unwrap())]) {
            let machine = Machine::read().unwrap();
            assert!(machine.is_synthetic);
            let node = &machine.packages[0].numa_nodes[0];
            assert_eq!(
                (node.memory_bytes, node.l3_groups[0].size_bytes),
                (8 << 30, 4 << 20)
            );
            assert_eq!(
                machine.pus().map(|pu| pu.cpu).collect::<Vec<_>>(),
                [0, 2, 1, 3]
            );
        }
    }

    #[test]
    fn hwloc_and_sys_read_the_same_recorded_laptop() {
        let tree = RecordedTree::unpack(fixtures::LAPTOP);
        compare_recorded("hwloc_and_sys_read_the_same_recorded_laptop", &tree);
    }

    #[test]
    fn hwloc_and_sys_read_the_same_machine_with_offline_cpus() {
        let tree = RecordedTree::unpack(fixtures::OFFLINE);
        compare_recorded(
            "hwloc_and_sys_read_the_same_machine_with_offline_cpus",
            &tree,
        );
    }

    fn compare_recorded(test: &str, tree: &RecordedTree) {
        let root = tree.fs_root();
        // `linux` alone: the x86 backend would ask this machine's CPU.
        let variables = [
            ("HWLOC_FSROOT", root.to_str().unwrap()),
            ("HWLOC_COMPONENTS", "linux,stop"),
        ];
        if in_child_with(test, &variables) {
            let mut by_hwloc = read().unwrap();
            assert!(by_hwloc.is_synthetic);
            let by_sys = sysfs::read(&tree.system()).unwrap();
            by_hwloc.offline.clone_from(&by_sys.offline);
            assert_eq!(as_if_from_sys(by_hwloc), by_sys);
        }
    }
}
