//! Floor 2: the machine a process runs on, and which cores its shards get.
//!
//! Read once at start, before any thread is pinned: [`Machine::read`] asks
//! hwloc (feature `hwloc`) or `/sys`, [`place`] turns a core map into one
//! [`ShardSlot`] per shard or says what would be valid, [`render_tree`] shows
//! both, and each shard's thread calls [`pin_current_thread`] as its first act.
//!
//! Invariants: a core number is a Linux CPU number everywhere (what `taskset`,
//! `isolcpus` and `/proc/cpuinfo` call it); a placement never names a CPU that
//! does not exist, is not allowed or is named twice; only `hwloc.rs` names
//! hwloc2.

mod affinity;
mod core_list;
mod core_map;
mod error;
#[cfg(feature = "hwloc")]
mod hwloc;
mod machine;
mod place;
mod quota;
mod sysfs;
mod tree;
mod uniform;

pub use crate::EngineKind;

pub use affinity::{allowed_cpus, confine_current_thread, pin_current_thread};
pub use core_list::{CoreListError, format_core_list, parse_core_list};
pub use core_map::{
    CoreMapOptions, CoreSelection, Pinning, Placement, PlacementError, ShardPlacement, ShardSlot,
};
pub use error::TopologyError;
pub use machine::{Core, L3Group, Machine, NumaNode, Package, Pu, Source};
pub use place::place;
pub use quota::cpu_quota;
pub use tree::render_tree;

#[cfg(test)]
mod fixtures;
