//! Limits of the database of users and posts.

mod announce;

pub use announce::*;

/// Writes waiting for the embedded store's writer. Full: 503 with Retry-After.
pub const STORE_WRITE_QUEUE_MAX: usize = 4_096;
/// Writes in one group commit.
pub const STORE_WRITE_GROUP_MAX: usize = 512;
/// A user's name, characters.
pub const USER_NAME_CHARS_MAX: usize = 100;
/// A user's email address, bytes (RFC 5321 section 4.5.3.1.3, less the
/// angle brackets).
pub const USER_EMAIL_BYTES_MAX: usize = 254;
/// A user's age, years.
pub const USER_AGE_YEARS_MAX: i64 = 150;
/// `Retry-After` of a store that cannot take a request now, seconds.
pub const STORE_RETRY_AFTER_S: u32 = 1;
/// Rows of one export batch; the shard does other work between batches.
pub const STORE_EXPORT_BATCH_ROWS: usize = 256;
/// Rows a filtered list looks at in list order before it turns to the indexes
/// by age, which cost a seek per age but are bounded for any filter.
pub const STORE_LIST_WALK_ROWS_MAX: usize = 512;
/// Index entries one search for near users may look at before it answers with
/// the nearest found so far. Only places crowded beyond reason reach it.
pub const STORE_NEAR_ROWS_MAX: usize = 200_000;
/// Users looked at who stand within metres of each other; over it, which of
/// them are listed is left to chance.
pub const STORE_NEAR_CROWD_ROWS_MAX: usize = 4_096;
/// Rows a search for near users looks at before it lets other tasks run.
pub const STORE_NEAR_SLICE_ROWS: usize = 1_024;
/// Prepared statements kept per connection.
pub const STORE_STATEMENTS_MAX: usize = 128;
/// Statement texts kept per connection for asked-for column sets.
pub const STORE_STATEMENT_TEXTS_MAX: usize = 512;
/// A reading connection waits at most this long for a lock, because its shard
/// waits with it. Readers need a lock only while the log is recovered.
pub const STORE_READ_BUSY_TIMEOUT_MS_MAX: u64 = 250;
/// Expired sessions that a login removes from the store in its own transaction:
/// more than it adds, so that they do not pile up.
pub const SESSION_EXPIRED_ROWS_PER_LOGIN: u32 = 16;
/// Rows of one transaction while seeding: other writes wait for it, which
/// should stay well below their busy timeout.
pub const STORE_SEED_BATCH_ROWS: u64 = 20_000;
/// The same for a database without users. The demo data of a first start fit
/// one, so a start that is interrupted leaves all of them or none.
pub const STORE_SEED_FIRST_BATCH_ROWS: u64 = 200_000;
/// Rows of one statement of PostgreSQL while seeding; over 1,000 the change
/// feed says that everything has changed instead of naming each.
pub const STORE_SEED_INSERT_ROWS: u64 = 2_000;
/// How long a start waits for another node that applies migrations, or for a
/// lock one of them needs, milliseconds.
pub const STORE_MIGRATION_LOCK_WAIT_MS: u64 = 60_000;

/// How long one try of a migration waits for a table, milliseconds; over it
/// the try is undone and made again, within the wait for the lock.
pub const STORE_MIGRATION_TRY_MS: u64 = 500;

/// Between two such tries, for those who queued behind it, milliseconds.
pub const STORE_MIGRATION_PAUSE_MS: u64 = 500;
/// A PostgreSQL table with more rows must not be read from end to end by a
/// request; `corelane explain` complains.
pub const STORE_SCAN_ROWS_MAX: i64 = 10_000;

const _: () = assert!(1 < SESSION_EXPIRED_ROWS_PER_LOGIN);
const _: () = assert!(STORE_WRITE_GROUP_MAX <= STORE_WRITE_QUEUE_MAX);
const _: () = assert!(STORE_NEAR_CROWD_ROWS_MAX <= STORE_NEAR_ROWS_MAX);
