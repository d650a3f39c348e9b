//! Limits of how the store tells of writes to PostgreSQL and hears of them.

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
/// How often a shard that tells of its writes itself says that it is there;
/// others believe it is for [`DATABASE_SILENCE_MS`].
pub const DATABASE_BEAT_MS: u64 = 1_000;
/// A shard that was not heard of for so long may have left writes untold:
/// nothing cached counts as fresh then.
pub const DATABASE_SILENCE_MS: u64 = 3_000;
/// How long after it was last heard a shard begins writes that it tells of
/// itself; later ones are told by the trigger, in their transaction.
pub const DATABASE_LEASE_MS: u64 = 2_000;
/// A shard that has not written for so long says goodbye to the others. Much
/// longer than any write may take.
pub const DATABASE_PRESENCE_MS: u64 = 60_000;
/// How long a committed write waits for the others to be told; then it is
/// acknowledged, and they are told when they can be.
pub const DATABASE_ANNOUNCE_WAIT_MS: u64 = 1_000;
/// How long telling may take before its connection is given up.
pub const DATABASE_ANNOUNCE_TIMEOUT_MS: u64 = 2_000;
/// Rows of one shard that wait to be told. Over it: everything has changed.
pub const DATABASE_ANNOUNCED_ROWS_MAX: usize = 4_096;
/// Bytes of one notification; PostgreSQL takes 7,999.
pub const DATABASE_NOTIFICATION_BYTES_MAX: usize = 7_900;
/// Shards of other processes whose presence is followed. Over it: everything
/// has changed.
pub const DATABASE_PEERS_MAX: usize = 4_096;
/// Connections of a process that belong to no shard: the one that listens for
/// changes.
pub const DATABASE_FEED_CONNECTIONS: u32 = 1;
/// The connection with which a shard tells of its writes is given to each when
/// so many are left to it for its calls; else triggers tell.
pub const DATABASE_CALL_CONNECTIONS_MIN: u32 = 2;

const _: () = assert!(
    DATABASE_BEAT_MS < DATABASE_LEASE_MS && DATABASE_LEASE_MS < DATABASE_SILENCE_MS,
    "who has lost its lease is not believed for long"
);
