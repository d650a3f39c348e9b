//! Redis on the shard's own ring: one multiplexed connection per shard, whose
//! commands go out pipelined, each with a deadline.
//!
//! `client` is what handlers use, `link` keeps the connection and its circuit,
//! `pending` the deadlines. Work that needs a connection for itself
//! (`MULTI` with `WATCH`, blocking commands) runs on the tokio bridge with one
//! of a small pool (`exclusive`).
//!
//! The server works without it: a command fails within its deadline, and at
//! once while the circuit is open.

mod client;
mod exclusive;
mod fault;
mod link;
mod options;
mod pending;
mod plan;

pub use client::Redis;
pub use fault::RedisFault;
pub use options::{RedisOptions, RedisUrl, RedisUrlError};

pub(crate) use plan::RedisPlan;

/// An exclusive connection, of the `redis` crate, for
/// [`Redis::exclusive`].
pub use ::redis::aio::MultiplexedConnection as ExclusiveConnection;
