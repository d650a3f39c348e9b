//! (being written)

/// Which reactor a shard runs on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EngineKind {
    /// io_uring.
    IoUring,
    /// epoll.
    Epoll,
}
