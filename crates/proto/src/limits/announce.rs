//! Limits of telling other processes of writes after their commit.

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
/// Rows of one shard that wait to be told. Over it: everything has changed.
pub const DATABASE_ANNOUNCED_ROWS_MAX: usize = 4_096;
/// Shards of other processes whose presence is followed. Over it: everything
/// has changed.
pub const DATABASE_PEERS_MAX: usize = 4_096;

const _: () = assert!(
    DATABASE_BEAT_MS < DATABASE_LEASE_MS && DATABASE_LEASE_MS < DATABASE_SILENCE_MS,
    "who has lost its lease is not believed for long"
);
