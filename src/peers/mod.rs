//! The road between the shards of a process, and what travels on it.
//!
//! A `mesh` knows who lives and hands out the ends of `lane`s, an `endpoint`
//! is one shard's end of all of them, and `notifier` is how a sender gets a
//! receiver to look. The `pump` takes what has come to the `service`s it is
//! for. `control` is the inbox through which the supervisor and `/metrics`
//! reach a shard.
//!
//! Invariants: messages of one class from one shard to another arrive in order
//! or, when one of the two dies, not at all; the class of replies is always
//! drained and never waits for requests, so shards that ask each other do not
//! deadlock; nobody blocks; a shard that parks is woken for what comes.

mod control;
mod endpoint;
mod lane;
mod membership;
mod mesh;
mod message;
mod notifier;
mod peer_set;
mod pump;
mod service;

pub(crate) use control::{ControlInbox, ControlInboxes, ControlMessage, SendError};
pub use endpoint::{Counters, Endpoint, Event, Left, Refused};
pub use mesh::{Mesh, lane_messages_for};
pub(crate) use message::{
    CacheMessage, CacheMessageBody, LimitMessage, LimitMessageBody, PeerMessage,
};
pub(crate) use pump::{Peers, PeersPlan};
pub(crate) use service::{PeerLanes, PeerService, PeerServices};

#[cfg(test)]
mod tests;
