//! What may be said about connections to a PostgreSQL server.

/// How many connections there are, how long each lives, and how long a caller
/// waits. `connections_max` is for the process, the others are for each shard,
/// which has a pool of its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PostgresOptions {
    /// Connections of the whole process. Default 0:
    /// [`SQL_CONNECTIONS_DEFAULT`](crate::limits::SQL_CONNECTIONS_DEFAULT) for
    /// a [`SqlDatabase`](super::SqlDatabase); who has asked the server may take
    /// what it allows, see [`ServerLimits`](super::ServerLimits).
    pub connections_max: u32,
    /// Connections a shard keeps open while it has nothing to do. Default 1.
    pub pool_min: u32,
    /// Connections a shard may have. Default 0: its share of
    /// `connections_max`, at least
    /// [`crate::limits::POSTGRES_POOL_MAX_LEAST`] and at most
    /// [`crate::limits::POSTGRES_POOL_MAX`].
    pub pool_max: u32,
    /// Statements sent over one connection before the first is answered.
    /// Default 16. Of these one is a write. When all connections of the shard
    /// have that many or a write, another is opened, or callers wait.
    pub in_flight_per_connection_max: u32,
    /// A connection over `pool_min` that had nothing to do for this long is
    /// closed, milliseconds. Default 60,000.
    pub idle_timeout_ms: u64,
    /// How long making a connection may take, login included, milliseconds.
    /// Default 3,000.
    pub connect_timeout_ms: u64,
    /// How long a call waits for a connection, milliseconds. Default 2,000.
    pub checkout_timeout_ms: u64,
    /// A connection is replaced when it is about this old (a tenth less at
    /// most, so that not all are at once), milliseconds. Default 1,800,000.
    pub max_lifetime_ms: u64,
    /// A connection that had nothing to do for this long is asked whether it
    /// still answers, milliseconds. Default 10,000.
    pub health_check_ms: u64,
    /// When a call is given up, waiting for a connection included,
    /// milliseconds. Default 5,000.
    pub deadline_ms: u64,
    /// When the server gives up a statement (`statement_timeout`),
    /// milliseconds. Default 4,000; below `deadline_ms`, so that the server
    /// ends it and says so.
    pub statement_timeout_ms: u64,
    /// When the server ends a transaction in which nothing happens,
    /// milliseconds. Default 10,000.
    pub idle_in_transaction_timeout_ms: u64,
}

impl Default for PostgresOptions {
    fn default() -> Self {
        Self {
            connections_max: 0,
            pool_min: 1,
            pool_max: 0,
            in_flight_per_connection_max: 16,
            idle_timeout_ms: 60_000,
            connect_timeout_ms: 3_000,
            checkout_timeout_ms: 2_000,
            max_lifetime_ms: 1_800_000,
            health_check_ms: 10_000,
            deadline_ms: 5_000,
            statement_timeout_ms: 4_000,
            idle_in_transaction_timeout_ms: 10_000,
        }
    }
}
