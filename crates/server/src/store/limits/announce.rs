//! Limits of how the store tells of writes to PostgreSQL and hears of them; those
//! of the protocol itself stand with it.

pub use corelane::internals::limits::{
    DATABASE_ANNOUNCED_ROWS_MAX, DATABASE_BEAT_MS, DATABASE_LEASE_MS, DATABASE_PEERS_MAX,
    DATABASE_PRESENCE_MS, DATABASE_SILENCE_MS,
};

/// How often the connection that listens for changes is asked for a sign of
/// life, and how long it has: after both a silent loss is noticed.
pub const DATABASE_FEED_HEARTBEAT_MS: u64 = 1_000;
/// See [`DATABASE_FEED_HEARTBEAT_MS`].
pub const DATABASE_FEED_TIMEOUT_MS: u64 = 2_000;
/// How much longer than a statement may take own writes are listened for after
/// one of them ended without a known outcome.
pub const DATABASE_SURPRISE_MS: u64 = 60_000;
/// Notifications that wait to be worked through. Over it: everything counts as
/// changed.
pub const DATABASE_FEED_NOTIFICATIONS_MAX: usize = 4_096;
/// How long a committed write waits for the others to be told; then it is
/// acknowledged, and they are told when they can be.
pub const DATABASE_ANNOUNCE_WAIT_MS: u64 = 1_000;
/// How long telling may take before its connection is given up.
pub const DATABASE_ANNOUNCE_TIMEOUT_MS: u64 = 2_000;
/// Bytes of one notification; PostgreSQL takes 7,999.
pub const DATABASE_NOTIFICATION_BYTES_MAX: usize = 7_900;
/// Connections of a process that belong to no shard: the one that listens for
/// changes.
pub const DATABASE_FEED_CONNECTIONS: u32 = 1;
/// The connection with which a shard tells of its writes is given to each when
/// so many are left to it for its calls; else triggers tell.
pub const DATABASE_CALL_CONNECTIONS_MIN: u32 = 2;
