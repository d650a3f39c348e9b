//! Telling other processes of writes, after their commit and before they are
//! acknowledged: who tells ([`Announcer`], one per shard that writes), and who
//! listens ([`Peers`], one per process). Both are pure: `now` is an argument, what
//! is to be sent comes out, what was heard goes in.
//!
//! What if a shard dies between a commit and telling of it? The others know of
//! it: it *beats*, before its first such write and every
//! [`DATABASE_BEAT_MS`](crate::limits::DATABASE_BEAT_MS) after that; when it falls
//! silent without a goodbye they take everything for changed, until what it may
//! have begun has ended. It holds itself to that: it begins such writes only while
//! its *lease* lasts, counted from the last beat that was surely heard.

mod announcer;
mod peers;
mod queue;
mod rules;

pub use announcer::{Announcer, Message, Output, Patience};
pub use peers::{Peers, Word};
pub use queue::Rows;
pub use rules::{Rules, Sound};

/// A row as a write left it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WrittenRow {
    /// Its primary key.
    pub id: i64,
    /// The version it has now; `None` when it was deleted, or when it is not known
    /// what was written.
    pub version: Option<i64>,
}
