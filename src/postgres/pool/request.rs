//! What a caller wants of the pool.

use std::time::Instant;

/// What a caller wants, and until when.
#[derive(Debug, Clone, Copy)]
pub(super) struct Request {
    pub(super) want: Want,
    pub(super) group: Group,
    pub(super) deadline: Instant,
}

/// What is waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Want {
    /// A place among others, for a statement that waits for no commit.
    Read,
    /// A place among others, for one that commits.
    Write,
    /// A connection alone.
    Alone,
}

/// Which of the statements that may be held up together a call is. The number
/// is the caller's; most have one group for all, 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Group(pub u8);
