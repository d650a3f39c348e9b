//! Limits of the PostgreSQL client.

/// Prepared statements kept per connection of a library user's own SQL.
pub const SQL_STATEMENTS_MAX: usize = 256;
/// Connections of a process to a PostgreSQL of a library user's own, when the
/// options name no number.
pub const SQL_CONNECTIONS_DEFAULT: u32 = 16;
/// `Retry-After` of a request that PostgreSQL cannot answer now, seconds.
pub const POSTGRES_RETRY_AFTER_S: u32 = 1;
/// Calls of one shard that wait for a connection to PostgreSQL. Over it: 503
/// with Retry-After.
pub const POSTGRES_WAITERS_MAX: usize = 4_096;
/// Connections left to others (psql, backups, another node's start) when
/// `connections_max` is taken from the server.
pub const POSTGRES_RESERVE_CONNECTIONS: u32 = 5;
/// Connections of a shard's pool when `pool_max` is 0 and its share of
/// the budget is not less: so many writes at once, less one kept for reads,
/// wait for a commit, and more would hardly fill the server's group commit.
pub const POSTGRES_POOL_MAX: u32 = 16;
/// The same for a shard whose share is less; it borrows what others leave.
pub const POSTGRES_POOL_MAX_LEAST: u32 = 8;
/// How long asking PostgreSQL to cancel a statement may take.
pub const POSTGRES_CANCEL_TIMEOUT_MS: u64 = 1_000;
/// How long a session may take, at the start, to show that it has a process of
/// the server for itself; one that waits longer waits for another's.
pub const POSTGRES_SESSION_CHECK_MS: u64 = 2_000;
/// How often a call is done again, at most, for which the server has said that
/// nothing was done: its statement had to be prepared anew, its connection led
/// to the wrong server.
pub const POSTGRES_RETRIES_MAX: u32 = 3;
/// The same where another transaction was in the way (40001, 40P01), within the
/// call's deadline.
pub const POSTGRES_CONFLICT_RETRIES_MAX: u32 = 12;
/// Longest pause before that; the first is a sixteenth of it.
pub const POSTGRES_CONFLICT_PAUSE_MAX_MS: u64 = 64;
/// How often, at most, a pool leaves all connections to a server that takes no
/// writes, to look for another.
pub const POSTGRES_LEAVE_SERVER_MS: u64 = 1_000;
/// A read that is first on its connection and was not answered for so long holds
/// up those behind it: others go around it.
pub const POSTGRES_STUCK_MS: u64 = 150;
/// How long a connection is kept from statements that were stuck on another one.
pub const POSTGRES_STUCK_KEPT_MS: u64 = 5_000;
/// From when on it is told of, in `/health`.
pub const POSTGRES_STUCK_TOLD_AFTER_MS: u64 = 1_000;
/// How long it is told after that statements were stuck: a little more than from
/// one statement that the server gives up to the next.
pub const POSTGRES_STUCK_TOLD_MS: u64 = 2_000;
/// How long a connection has to become free after its statement was cancelled,
/// or after its user left it; then it is cut.
pub const POSTGRES_SETTLE_MS: u64 = 500;
/// How long a closed connection is waited for until the server has closed it
/// too; as long it counts against the budget.
pub const POSTGRES_GOODBYE_MS: u64 = 2_000;
/// First pause before connecting to a server that could not be reached.
pub const POSTGRES_RECONNECT_FIRST_MS: u64 = 50;
/// Longest pause of that kind: how late a server that is back is noticed.
pub const POSTGRES_RECONNECT_MAX_MS: u64 = 1_000;
/// How often a pool looks at its deadlines while calls are in flight, and at
/// what it owes other shards.
pub const POSTGRES_SWEEP_MS: u64 = 50;
/// The same while calls wait for a connection.
pub const POSTGRES_SWEEP_HUNGRY_MS: u64 = 10;
/// The same while nothing is asked.
pub const POSTGRES_SWEEP_IDLE_MS: u64 = 500;

const _: () = assert!(POSTGRES_POOL_MAX_LEAST <= POSTGRES_POOL_MAX);
const _: () = assert!(POSTGRES_RECONNECT_FIRST_MS < POSTGRES_RECONNECT_MAX_MS);
const _: () = assert!(
    POSTGRES_SWEEP_HUNGRY_MS <= POSTGRES_SWEEP_MS && POSTGRES_SWEEP_MS <= POSTGRES_SWEEP_IDLE_MS
);
