//! A PostgreSQL client for shards: connections on the shard's own reactor,
//! pooled and pipelined, within one budget for the process.
//!
//! [`SqlDatabase`] and [`Sql`] run a service's own SQL and are all that most
//! need. What they stand on is here too, for who keeps more with a connection
//! than statements by their text: a [`Dialer`] makes connections, a
//! [`PostgresServer`] is what the pools of all shards have in common, a
//! [`Pool`] has one shard's connections, a [`DirectConnection`] stands beside
//! them, for commands and `LISTEN`.

mod client;
mod connect_error;
mod error;
mod options;
mod pool;
mod sql;

pub use client::{
    ChannelBinding, Connection, DialError, Dialer, DirectConnection, Intent, PostgresUrl, Secret,
    SessionAttrs, StatementCache, TlsMode, describe,
};
pub use connect_error::ConnectError;
pub use error::{PostgresError, Refusal};
pub use options::PostgresOptions;
pub use pool::{Budget, Exclusive, Group, Pool, PostgresServer, ServerLimits};
pub use sql::{Params, Row, Sql, SqlDatabase, ToSql, types};
