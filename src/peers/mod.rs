//! Messages between the threads of one process.
//!
//! `control` is the inbox through which the supervisor and `/metrics` reach a
//! shard. The rest carries the shards' own traffic: a `fabric` knows who lives
//! and hands out the ends of `lane`s, an `endpoint` is one shard's end of all
//! of them, and `attention` is how a sender gets a receiver to look.
//!
//! Invariants: messages of one class from one shard to another arrive in order
//! or, when one of the two dies, not at all; the class of replies is always
//! drained and never waits for requests, so shards that ask each other do not
//! deadlock; nobody blocks; a shard that parks is woken for what comes.

mod attention;
mod control;
mod endpoint;
mod fabric;
mod lane;
mod membership;
mod peer_set;

pub(crate) use control::{Inbox, Mesh, Message, SendError};
pub use endpoint::{Counters, Endpoint, Event, Left, Refused};
pub use fabric::{Fabric, lane_messages_for};

#[cfg(test)]
mod tests;
