//! What a runtime is built from, and why building one fails.

use super::EngineKind;

/// Options of one shard's runtime.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EngineOptions {
    /// io_uring or epoll.
    pub kind: EngineKind,
    /// Submission queue entries of the ring (io_uring) or events per poll
    /// (epoll); at least 256. A ring of 1,024 entries takes about 100 KiB of
    /// locked memory.
    pub ring_entries: u32,
}

impl Default for EngineOptions {
    fn default() -> Self {
        Self {
            kind: EngineKind::IoUring,
            ring_entries: 1_024,
        }
    }
}

/// Why a runtime could not be built; `Display` names the cure.
#[derive(Debug)]
pub enum BuildError {
    /// The kernel, a seccomp filter or `kernel.io_uring_disabled` refuses
    /// io_uring.
    IoUringRefused(std::io::Error),
    /// Not enough lockable memory for the ring.
    LockedMemory {
        /// What the kernel said.
        source: std::io::Error,
        /// The soft RLIMIT_MEMLOCK, bytes; `None` is unlimited.
        limit_bytes: Option<u64>,
        /// Entries that were asked for.
        ring_entries: u32,
    },
    /// Anything else, descriptors exhausted for example.
    Io(std::io::Error),
}

impl BuildError {
    /// What io_uring_setup(2) and its kin said.
    pub(crate) fn of_ring(error: std::io::Error) -> Self {
        use rustix::io::Errno;
        match Errno::from_io_error(&error) {
            Some(Errno::PERM | Errno::ACCESS | Errno::NOSYS | Errno::INVAL | Errno::OPNOTSUPP) => {
                Self::IoUringRefused(error)
            }
            _ => Self::Io(error),
        }
    }
}

impl std::fmt::Display for BuildError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::IoUringRefused(source) => write!(
                f,
                "the kernel refuses io_uring ({source}). Check `sysctl kernel.io_uring_disabled` \
                 (0 allows it), a container's seccomp profile, and that the kernel is 6.0 or \
                 newer; or run with --engine epoll"
            ),
            Self::LockedMemory {
                source,
                limit_bytes,
                ring_entries,
            } => {
                write!(
                    f,
                    "not enough locked memory for a ring of {ring_entries} entries ({source}"
                )?;
                if let Some(bytes) = limit_bytes {
                    write!(
                        f,
                        "; the limit is {} KiB for all rings of this user",
                        bytes / 1024
                    )?;
                }
                f.write_str(
                    "). Raise it: `LimitMEMLOCK=infinity` in the systemd unit, `ulimit -l unlimited` \
                     in the shell, or `memlock` in /etc/security/limits.conf; or use fewer \
                     ring_entries, or --engine epoll",
                )
            }
            Self::Io(source) => write!(
                f,
                "the reactor could not be built: {source}. If descriptors ran out, raise \
                 LimitNOFILE or `ulimit -n`"
            ),
        }
    }
}

impl std::error::Error for BuildError {}

/// Why a descriptor cannot be a server's listener.
#[derive(Debug)]
pub enum NotListening {
    /// It is a file, a pipe or the like.
    NoSocket,
    /// It is a socket of another kind.
    NotTcp,
    /// It is bound, or connected, and nobody has called listen(2) on it.
    Silent,
    /// The kernel refused to say.
    Io(std::io::Error),
}

impl std::fmt::Display for NotListening {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::NoSocket => f.write_str("it is no socket"),
            Self::NotTcp => f.write_str("it is no TCP socket over IPv4 or IPv6"),
            Self::Silent => f.write_str("it does not listen"),
            Self::Io(source) => source.fmt(f),
        }
    }
}

impl std::error::Error for NotListening {}
