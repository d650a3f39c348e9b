//! One logical cache over per-core shards, as a directory protocol (Censier
//! and Feautrier 1978; leases as in Gray and Cheriton 1989).
//!
//! Every key has a **home** shard, whose [`Home`] knows the cached copy, which
//! shards hold it, and who is loading or writing it; it runs no user code. On
//! every shard a [`Holder`] keeps the shard's own copies and speaks for the
//! shard's requests. Both are pure: messages and `now` in, messages and answers
//! out (`poll_output`). `message` says what is said, and on which lane.
//!
//! What holds, in strict use: once a write's lease is granted no shard has a
//! copy of the key, and none gets one before the lease is released. A load that
//! raced with a write is answered to those who asked before it, and kept by
//! nobody.

mod entry_store;
mod holder;
mod home;
mod message;
mod rules;
mod shard_set;

#[cfg(test)]
mod tests;

pub use entry_store::EntryStore;
pub use holder::{
    Answer, HeldCopy, Hit, Holder, HolderCounters, HolderOutput, LoadId, ValueSource, WaitId,
    WriteId, WriteOutcome,
};
pub use home::{Home, HomeCounters, Idle};
pub use message::{
    Freshness, FromHome, Lease, Outcome, Release, Replica, Request, RequestTicket, ToHome,
    WriteMode,
};
pub use rules::{Rules, Sound};
pub use shard_set::ShardSet;
