//! Which reactor a shard runs on.

use std::fmt;

/// A reactor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum EngineKind {
    /// Completion-based, one ring per shard.
    IoUring,
    /// Readiness-based.
    Epoll,
}

impl EngineKind {
    /// `io_uring` or `epoll`, as in configuration, logs and metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::IoUring => "io_uring",
            Self::Epoll => "epoll",
        }
    }

    /// The engine with this [`name`](Self::name).
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::IoUring, Self::Epoll]
            .into_iter()
            .find(|kind| kind.name() == name)
    }
}

impl fmt::Display for EngineKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}
