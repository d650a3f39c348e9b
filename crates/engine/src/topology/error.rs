//! Why the machine could not be read or a thread not be pinned, and the cure.

use std::fmt;
use std::io;
use std::path::PathBuf;

use super::core_list::format_core_list;
use corelane_proto::limits::CPU_IDS_MAX;

/// A failure of the host (never of the core map: that is a
/// [`PlacementError`](super::PlacementError)). Its message names the cure.
#[derive(Debug)]
pub enum TopologyError {
    /// A file under `/sys` could not be read.
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A file under `/sys` holds something else than the kernel writes there.
    Malformed {
        /// The file.
        path: PathBuf,
        /// What it held, cut short.
        text: String,
    },
    /// libhwloc could not build a topology.
    Hwloc {
        /// What went wrong.
        what: &'static str,
    },
    /// The kernel did not tell or take an affinity mask.
    Affinity {
        /// What was asked of it.
        what: &'static str,
        /// What the system said.
        source: io::Error,
    },
    /// A CPU id over what an affinity mask holds.
    CpuIdTooLarge {
        /// The id.
        cpu: usize,
    },
    /// Setting an affinity mask is refused, whatever the mask.
    PinningRefused {
        /// What the system said.
        source: io::Error,
    },
    /// The kernel refused to pin the thread, or pinned it elsewhere.
    NotPinned {
        /// The CPUs asked for.
        asked: Vec<usize>,
        /// The CPUs the thread may run on instead.
        mask: Vec<usize>,
    },
    /// No CPU to confine a thread to.
    NoCpus,
}

impl fmt::Display for TopologyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreadable { path, source } => write!(
                f,
                "cannot read {}: {source}; mount /sys, or build with the feature `hwloc`",
                path.display()
            ),
            Self::Malformed { path, text } => {
                write!(
                    f,
                    "{} holds {text:?}, which is not what Linux writes there",
                    path.display()
                )
            }
            Self::Hwloc { what } => write!(
                f,
                "libhwloc {what}; check HWLOC_XMLFILE and HWLOC_SYNTHETIC, or build with \
                 --no-default-features to read /sys"
            ),
            Self::Affinity { what, source } => write!(
                f,
                "cannot {what} the affinity mask: {source}; machines with CPU ids of \
                 {CPU_IDS_MAX} and more are not supported, and a seccomp filter may forbid \
                 sched_getaffinity or sched_setaffinity"
            ),
            Self::CpuIdTooLarge { cpu } => write!(
                f,
                "cannot pin to CPU {cpu}: an affinity mask holds the CPUs 0-{}; choose cores \
                 under {CPU_IDS_MAX}",
                CPU_IDS_MAX - 1
            ),
            Self::PinningRefused { source } => write!(
                f,
                "threads may not be pinned to CPUs here: sched_setaffinity is refused ({source}). A \
                 seccomp filter forbids it: `SystemCallFilter=` of the systemd unit (it is in \
                 @resources), or the container's profile. Allow it, or let the scheduler place the \
                 shards: `cores = \"all\"` or a count instead of a list of cores"
            ),
            Self::NotPinned { asked, mask } => write!(
                f,
                "the kernel did not pin this thread to CPU {}; it may run on {}. The cpuset or \
                 the set of online CPUs has changed since start: look at cpuset.cpus.effective \
                 of the service's cgroup",
                format_core_list(asked),
                format_core_list(mask)
            ),
            Self::NoCpus => write!(f, "cannot confine a thread to an empty list of CPUs"),
        }
    }
}

impl std::error::Error for TopologyError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Unreadable { source, .. }
            | Self::Affinity { source, .. }
            | Self::PinningRefused { source } => Some(source),
            _ => None,
        }
    }
}
