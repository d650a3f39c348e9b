//! `corelane topology`: the machine as a tree with the shards placed in it.
//!
//! Compact enough for 256 CPUs: under each L3 a grid with one column per core
//! and its SMT siblings below one another, each CPU with what runs there. Pure
//! text, no colour, at most [`LINE_CHARS`] wide for CPU and shard numbers of
//! up to three digits.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::core_map::{Placement, ShardSlot};
use super::format_core_list;
use super::machine::{Core, L3Group, Machine, NumaNode, Package, Pu, Source};

/// Draws the machine, and the placement in it if there is one. Ends with a
/// newline.
pub fn render_tree(machine: &Machine, placement: Option<&Placement>) -> String {
    let grid = Grid::new(machine, placement);
    let mut out = String::new();
    write_head(&mut out, machine);
    for package in &machine.packages {
        write_package(&mut out, package, &grid);
    }
    write_legend(&mut out, machine, placement);
    if let Some(placement) = placement {
        write_placement(&mut out, placement);
    }
    let notes = machine
        .notes
        .iter()
        .chain(placement.iter().flat_map(|placed| &placed.notes));
    for note in notes {
        line(&mut out, &format!("note: {note}"));
    }
    out
}

/// How the CPUs are drawn.
struct Grid {
    marks: BTreeMap<usize, String>,
    cpu_chars: usize,
    mark_chars: usize,
    columns: usize,
}

impl Grid {
    fn new(machine: &Machine, placement: Option<&Placement>) -> Self {
        let marks: BTreeMap<_, _> = machine
            .pus()
            .map(|pu| (pu.cpu, mark(pu, placement)))
            .collect();
        let cpu_chars = marks
            .keys()
            .next_back()
            .map_or(1, |cpu| cpu.to_string().len());
        let mark_chars = marks
            .values()
            .map(|mark| mark.chars().count())
            .max()
            .unwrap_or(0);
        let mut grid = Self {
            marks,
            cpu_chars,
            mark_chars,
            columns: 4,
        };
        // Rows of 8 or 4 cores, so that numbers are easy to find.
        if INDENT_CHARS_MAX + 8 * grid.cell_chars() <= LINE_CHARS {
            grid.columns = 8;
        }
        grid
    }

    fn cell_chars(&self) -> usize {
        self.cpu_chars + 1 + self.mark_chars + GAP_CHARS
    }

    /// The threads number `thread` of some cores, one cell per core.
    fn row(&self, cores: &[Core], thread: usize) -> String {
        let mut row = String::new();
        for core in cores {
            let cell = match core.pus.get(thread) {
                Some(pu) => format!(
                    "{:>width$} {}",
                    pu.cpu,
                    self.marks[&pu.cpu],
                    width = self.cpu_chars
                ),
                None => String::new(),
            };
            let _ = write!(row, "{cell:<width$}", width = self.cell_chars());
        }
        row
    }
}

/// What runs on a CPU: `s3`, `hk`, `s3+hk`, `·` for nothing, `×` for not
/// allowed. Without a placement only the last is known.
fn mark(pu: Pu, placement: Option<&Placement>) -> String {
    if !pu.allowed {
        return NOT_ALLOWED.to_owned();
    }
    let Some(placement) = placement else {
        return String::new();
    };
    let shard = placement.shards.iter().find(|slot| slot.cpu == pu.cpu);
    match (shard, placement.housekeeping.contains(&pu.cpu)) {
        (Some(slot), false) => format!("s{}", slot.index),
        (Some(slot), true) => format!("s{}+{HOUSEKEEPING}", slot.index),
        (None, true) => HOUSEKEEPING.to_owned(),
        (None, false) => FREE.to_owned(),
    }
}

fn write_head(out: &mut String, machine: &Machine) {
    let nodes: BTreeMap<_, _> = numa_nodes(machine)
        .filter_map(|node| Some((node.os_index?, node.memory_bytes)))
        .collect();
    let l3_count = numa_nodes(machine)
        .flat_map(|node| &node.l3_groups)
        .filter(|group| group.size_bytes > 0)
        .count();
    let counts = [
        (machine.packages.len(), "package", "packages"),
        (nodes.len(), "NUMA node", "NUMA nodes"),
        (l3_count, "L3 cache", "L3 caches"),
        (machine.core_count(), "core", "cores"),
        (machine.pu_count(), "CPU", "CPUs"),
    ];
    let mut parts: Vec<_> = counts
        .into_iter()
        .filter(|&(count, ..)| count > 0)
        .map(|(count, one, many)| format!("{count} {}", if count == 1 { one } else { many }))
        .collect();
    let memory_bytes: u64 = nodes.values().sum();
    if memory_bytes > 0 {
        parts.push(format_bytes(memory_bytes));
    }
    line(out, &parts.join(" · "));
    line(
        out,
        match (machine.is_synthetic, machine.source) {
            (true, _) => "not this machine: described to hwloc by its environment variables",
            (false, Source::Hwloc) => "this machine, read by hwloc",
            (false, Source::Sys) => "this machine, read from /sys",
        },
    );
    if !machine.offline.is_empty() {
        line(
            out,
            &format!("offline: {}", format_core_list(&machine.offline)),
        );
    }
}

fn write_package(out: &mut String, package: &Package, grid: &Grid) {
    line(out, "");
    line(out, &format!("package {}", package.os_index));
    for (node, (branch, stem)) in with_branches(&package.numa_nodes) {
        let name = match node.os_index {
            Some(index) => format!("NUMA node {index}"),
            None => "no memory of its own".to_owned(),
        };
        let memory = match node.memory_bytes {
            0 => String::new(),
            bytes => format!(" · {}", format_bytes(bytes)),
        };
        line(out, &format!("{branch}{name}{memory}"));
        for (group, (branch, inner)) in with_branches(&node.l3_groups) {
            write_l3(
                out,
                group,
                &format!("{stem}{branch}"),
                &format!("{stem}{inner}"),
                grid,
            );
        }
    }
}

fn write_l3(out: &mut String, group: &L3Group, branch: &str, stem: &str, grid: &Grid) {
    let name = match group.size_bytes {
        0 => "no L3".to_owned(),
        bytes => format!("L3 {}", format_bytes(bytes)),
    };
    line(out, &format!("{branch}{name}"));
    for cores in group.cores.chunks(grid.columns) {
        let threads = cores.iter().map(|core| core.pus.len()).max().unwrap_or(0);
        for thread in 0..threads {
            line(out, &format!("{stem}{}", grid.row(cores, thread)));
        }
    }
}

fn write_legend(out: &mut String, machine: &Machine, placement: Option<&Placement>) {
    let mut parts = vec!["one column per core"];
    if machine.pu_count() > machine.core_count() {
        parts[0] = "one column per core, its SMT siblings below one another";
    }
    if placement.is_some() {
        parts.extend(["s0 shard 0", "hk housekeeping", "· free"]);
    }
    if machine.pus().any(|pu| !pu.allowed) {
        parts.push("× not allowed by affinity mask or cpuset");
    }
    line(out, "");
    line(out, &parts.join("   "));
}

fn write_placement(out: &mut String, placement: &Placement) {
    line(out, "");
    // Shards with the same settings, in the order of the first of each.
    let mut groups: Vec<Vec<&ShardSlot>> = Vec::new();
    for slot in &placement.shards {
        match groups
            .iter_mut()
            .find(|group| settings(group[0]) == settings(slot))
        {
            Some(group) => group.push(slot),
            None => groups.push(vec![slot]),
        }
    }
    for group in groups {
        let indexes: Vec<_> = group.iter().map(|slot| slot.index).collect();
        let cpus: Vec<_> = group.iter().map(|slot| slot.cpu).collect();
        let shards = if indexes.len() == 1 {
            "shard"
        } else {
            "shards"
        };
        line(
            out,
            &format!(
                "{shards} {} on CPU {} · {}",
                format_core_list(&indexes),
                format_core_list(&cpus),
                settings(group[0])
            ),
        );
    }
    line(
        out,
        &format!(
            "housekeeping on CPU {}",
            format_core_list(&placement.housekeeping)
        ),
    );
}

fn settings(slot: &ShardSlot) -> String {
    let engine = slot
        .engine
        .map_or("io_uring, else epoll", |engine| engine.name());
    let spin = match slot.spin_us {
        0 => "parks at once".to_owned(),
        us => format!("spins {us} µs"),
    };
    format!("{engine} · {} ring entries · {spin}", slot.ring_entries)
}

fn numa_nodes(machine: &Machine) -> impl Iterator<Item = &NumaNode> {
    machine
        .packages
        .iter()
        .flat_map(|package| &package.numa_nodes)
}

/// Items with what is drawn before them and before their children.
fn with_branches<T>(items: &[T]) -> impl Iterator<Item = (&T, (&'static str, &'static str))> {
    let last = items.len().saturating_sub(1);
    items.iter().enumerate().map(move |(index, item)| {
        (
            item,
            if index == last {
                ("└─ ", "   ")
            } else {
                ("├─ ", "│  ")
            },
        )
    })
}

/// A line without trailing spaces.
fn line(out: &mut String, text: &str) {
    out.push_str(text.trim_end());
    out.push('\n');
}

/// `32 MiB`, `15.1 MiB`.
fn format_bytes(bytes: u64) -> String {
    let (unit, name) = match bytes {
        0..0x10_0000 => (1 << 10, "KiB"),
        0x10_0000..0x4000_0000 => (1 << 20, "MiB"),
        _ => (1 << 30, "GiB"),
    };
    let tenths = (bytes as f64 / unit as f64 * 10.0).round() / 10.0;
    format!("{tenths} {name}")
}

/// Width the grid keeps to.
const LINE_CHARS: usize = 100;
/// Two levels of branches.
const INDENT_CHARS_MAX: usize = 6;
/// Between two cells.
const GAP_CHARS: usize = 2;
const HOUSEKEEPING: &str = "hk";
const FREE: &str = "·";
const NOT_ALLOWED: &str = "×";

#[cfg(test)]
mod tests {
    use super::super::core_map::{CoreMapOptions, CoreSelection, ShardPlacement};
    use super::super::fixtures::{LAPTOP, OFFLINE, RecordedTree};
    use super::super::{parse_core_list, place, sysfs};
    use super::*;
    use crate::EngineKind;

    /// Compares with the recorded drawing; on a difference shows the new one.
    #[track_caller]
    fn assert_drawn(drawn: &str, expected: &str) {
        assert!(drawn == expected, "drawn:\n{drawn}\nexpected:\n{expected}");
        let mut grid_lines = drawn.lines().filter(|line| line.starts_with([' ', '│']));
        assert!(grid_lines.all(|line| line.chars().count() <= LINE_CHARS));
    }

    #[test]
    fn a_laptop_with_the_default_map() {
        let tree = RecordedTree::unpack(LAPTOP);
        let machine = sysfs::read(&tree.system()).unwrap();
        let placement = place(&machine, &CoreMapOptions::default()).unwrap();
        let drawn = render_tree(&machine, Some(&placement));
        assert_drawn(&drawn, include_str!("fixtures/laptop.tree"));
    }

    #[test]
    fn two_sockets_of_128_cores_with_a_core_of_each_for_housekeeping() {
        let mut machine = Machine::uniform(2, 1, 8, 8, 2);
        machine.is_synthetic = true;
        let map = CoreMapOptions {
            housekeeping: Some(vec![0, 64]),
            ring_entries: 256,
            ..CoreMapOptions::default()
        };
        let placement = place(&machine, &map).unwrap();
        let drawn = render_tree(&machine, Some(&placement));
        assert_drawn(&drawn, include_str!("fixtures/two_sockets.tree"));
    }

    #[test]
    fn a_machine_with_offline_cpus_and_a_mask() {
        let tree = RecordedTree::unpack(OFFLINE);
        let mut machine = sysfs::read(&tree.system()).unwrap();
        machine.allow_only(&parse_core_list("4-15").unwrap());
        let shard = |core, engine, spin_us| ShardPlacement {
            core,
            engine,
            ring_entries: None,
            spin_us,
        };
        let cores = CoreSelection::Shards(vec![
            shard(4, None, None),
            shard(6, None, None),
            shard(5, Some(EngineKind::Epoll), Some(50)),
        ]);
        let map = CoreMapOptions {
            cores,
            housekeeping: Some(vec![15]),
            ..CoreMapOptions::default()
        };
        let placement = place(&machine, &map).unwrap();
        let drawn = render_tree(&machine, Some(&placement));
        assert_drawn(&drawn, include_str!("fixtures/offline.tree"));
    }

    #[test]
    fn two_cores_that_share_and_a_machine_without_a_map() {
        let machine = Machine::uniform(1, 1, 1, 2, 1);
        let placement = place(&machine, &CoreMapOptions::default()).unwrap();
        let drawn = render_tree(&machine, Some(&placement));
        assert!(drawn.contains("0 s0+hk  1 s1+hk\n"), "{drawn}");
        assert!(
            drawn.contains("note: housekeeping shares the shards' cores"),
            "{drawn}"
        );
        let bare = render_tree(&machine, None);
        assert!(
            bare.contains("0   1\n") && !bare.contains("shard"),
            "{bare}"
        );
    }

    #[test]
    fn sizes_have_one_decimal_at_most() {
        assert_eq!(format_bytes(512 << 10), "512 KiB");
        assert_eq!(format_bytes((15 << 20) + (1 << 17)), "15.1 MiB");
        assert_eq!(format_bytes(32_489_480 << 10), "31 GiB");
        assert_eq!(format_bytes(2_048 << 30), "2048 GiB");
    }
}
