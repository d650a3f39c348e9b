//! A PostgreSQL client for shards: connections on the shard's own reactor,
//! pooled, pipelined, within one budget for the process.

pub(crate) mod client;
mod error;
pub(crate) mod pool;
pub mod sql;
