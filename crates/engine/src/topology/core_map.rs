//! Core maps: what an operator asks for, and what the machine then gives.
//!
//! [`CoreMapOptions`] is the question, [`Placement`] the answer; `place.rs`
//! stands between. Nothing here reads a file: the TOML side is floor 5.
//! A core number is a Linux CPU number, as everywhere in `topology`.

use std::fmt;
use std::str::FromStr;

use crate::EngineKind;

use super::{CoreListError, format_core_list, parse_core_list};

/// Which cores get shards, which are left, and what every shard is given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CoreMapOptions {
    /// Which cores get a shard. Default: every physical core.
    pub cores: CoreSelection,
    /// Lets [`CoreSelection::Count`] be more than there are cores: then no shard
    /// is pinned, and they take turns. Default: refused.
    pub oversubscribe: bool,
    /// Cores left for housekeeping: signals, the store's writer, the blocking
    /// pool, interrupts. They get no shard. Default, and the meaning of an
    /// empty list: what the shards leave over; see [`Placement::housekeeping`].
    pub housekeeping: Option<Vec<usize>>,
    /// The reactor of every shard that does not say otherwise. Default, none:
    /// io_uring, and epoll, loudly, where the kernel refuses it.
    pub engine: Option<EngineKind>,
    /// Submission entries of each shard's ring, a power of two. Default 1,024.
    /// Costs about 100 KiB of locked memory a shard per 1,024 (8 MiB of
    /// RLIMIT_MEMLOCK, a common default, is used up by 78 such shards).
    pub ring_entries: u32,
    /// How long a shard with nothing to do spins before it parks,
    /// microseconds. Default 0: park at once. Spinning saves the wake-up and
    /// burns the core.
    pub spin_us: u32,
}

impl Default for CoreMapOptions {
    fn default() -> Self {
        Self {
            cores: CoreSelection::All,
            oversubscribe: false,
            housekeeping: None,
            engine: None,
            ring_entries: 1_024,
            spin_us: 0,
        }
    }
}

/// Which cores get a shard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CoreSelection {
    /// One shard per physical core: the first allowed hardware thread of each
    /// core that has no housekeeping on it. SMT siblings get none: two shards
    /// on one core share its caches and each runs at about half speed.
    All,
    /// The first so many of [`All`](Self::All), in machine order: package
    /// after package, NUMA node after NUMA node, L3 after L3. Close together
    /// is the default because shards talk to each other; to spread them, list
    /// the cores.
    Count(usize),
    /// These, in this order; SMT siblings too when named.
    List(Vec<usize>),
    /// One by one, each with its own settings.
    Shards(Vec<ShardPlacement>),
}

impl FromStr for CoreSelection {
    type Err = CoreListError;

    /// `all`, or a list such as `2-8,10`. A lone number is a list of one core,
    /// not a count.
    fn from_str(text: &str) -> Result<Self, CoreListError> {
        match text.trim() {
            "all" => Ok(Self::All),
            list => parse_core_list(list).map(Self::List),
        }
    }
}

impl fmt::Display for CoreSelection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All => f.write_str("all"),
            Self::Count(count) => write!(f, "{count} shards"),
            Self::List(cores) => f.write_str(&format_core_list(cores)),
            Self::Shards(shards) => {
                let cores: Vec<_> = shards.iter().map(|shard| shard.core).collect();
                f.write_str(&format_core_list(&cores))
            }
        }
    }
}

/// One shard of [`CoreSelection::Shards`]; what it leaves out it takes from
/// [`CoreMapOptions`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ShardPlacement {
    /// The Linux CPU number.
    pub core: usize,
    /// See [`CoreMapOptions::engine`].
    pub engine: Option<EngineKind>,
    /// See [`CoreMapOptions::ring_entries`].
    pub ring_entries: Option<u32>,
    /// See [`CoreMapOptions::spin_us`].
    pub spin_us: Option<u32>,
}

/// Where every shard goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Placement {
    /// The shards; `shards[i].index` is `i`.
    pub shards: Vec<ShardSlot>,
    /// CPUs for everything that is not a shard, ascending, never empty. As the
    /// map says; else the cores without a shard; else the free SMT siblings of
    /// the shards' cores; else the shards' own CPUs.
    pub housekeeping: Vec<usize>,
    /// Whether a shard's thread is pinned to its CPU.
    pub pinning: Pinning,
    /// What an operator should know about this placement, one sentence each.
    pub notes: Vec<String>,
}

/// What pinning the shards is worth.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Pinning {
    /// The cores were named: shards run there or not at all.
    Required,
    /// Nobody asked for these cores: where pinning is refused the scheduler
    /// places the shards, which is said.
    #[default]
    Wanted,
    /// There are more shards than cores.
    Off,
}

/// One shard and its CPU.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShardSlot {
    /// The shard's number.
    pub index: usize,
    /// Linux CPU number, for [`pin_current_thread`](super::pin_current_thread).
    pub cpu: usize,
    /// Number of the memory node; none for a CPU without memory of its own.
    pub numa_node: Option<usize>,
    /// Number of the package.
    pub package: usize,
    /// The first shard before this one on the same physical core, if any.
    pub shares_core_with: Option<usize>,
    /// See [`CoreMapOptions::engine`].
    pub engine: Option<EngineKind>,
    /// See [`CoreMapOptions::ring_entries`].
    pub ring_entries: u32,
    /// See [`CoreMapOptions::spin_us`].
    pub spin_us: u32,
}

/// A core map that does not fit the machine, and what would.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlacementError {
    /// Which key is wrong: `cores`, `shards[3].core`, ... The reader of the
    /// file turns it into a line.
    pub key: String,
    /// What is wrong.
    pub what: String,
    /// What would be valid.
    pub cure: String,
}

impl fmt::Display for PlacementError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}; {}", self.key, self.what, self.cure)
    }
}

impl std::error::Error for PlacementError {}
