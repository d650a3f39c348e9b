//! Writes demo data, a batch per transaction, on a connection of its own: the
//! caller watches the progress, so it cannot run on the writer's thread.

use std::ops::Range;
use std::time::Instant;

use rusqlite::{Connection, OptionalExtension, TransactionBehavior, params};

use super::connection::store_error;
use super::logins::write_password;
use super::queries::Query;
use crate::store::limits::{STORE_SEED_BATCH_ROWS, STORE_SEED_FIRST_BATCH_ROWS};
use crate::store::seed::{DemoRows, demo_password_hash};
use crate::store::{SeedPlan, SeedReport, StoreError};
use corelane::internals::clock::unix_ms;

/// See [`crate::store::Database::seed`].
pub(super) fn seed(
    mut connection: Connection,
    plan: &SeedPlan,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<SeedReport, StoreError> {
    let start = Instant::now();
    // Index entries of demo rows fall everywhere: without room for the pages
    // they touch, each would be written and read again many times.
    connection
        .pragma_update(None, "cache_size", -SEED_CACHE_KIB)
        .map_err(store_error)?;
    connection
        .pragma_update_and_check(
            None,
            "wal_autocheckpoint",
            SEED_CHECKPOINT_PAGES,
            |_| Ok(()),
        )
        .map_err(store_error)?;
    let last_id = last_user_id(&connection).map_err(store_error)?;
    let mut rows = DemoRows::new(plan.random_seed, last_id);
    let password_hash = demo_password_hash()?;
    let total = plan.users.saturating_add(plan.posts);
    let mut done = 0;
    // Nobody waits to write to a database without users.
    let batch_rows = if last_id == 0 {
        STORE_SEED_FIRST_BATCH_ROWS
    } else {
        STORE_SEED_BATCH_ROWS
    };
    while done < total {
        let end = (done + batch_rows).min(total);
        write_batch(
            &mut connection,
            &mut rows,
            (plan.users, &password_hash),
            done..end,
            &mut |done| {
                progress(done, total);
            },
        )?;
        done = end;
    }
    progress(total, total);
    let elapsed_ms = start.elapsed().as_millis() as u64;
    Ok(SeedReport {
        users: plan.users,
        posts: plan.posts,
        elapsed_ms,
    })
}

/// The progress is told every so many rows.
const PROGRESS_ROWS: u64 = 1_000;
/// Given back when seeding ends.
const SEED_CACHE_KIB: i64 = 256 * 1_024;
/// 256 MiB of log.
const SEED_CHECKPOINT_PAGES: i64 = 65_536;

/// One transaction: users are the first rows of the plan, posts the rest.
fn write_batch(
    connection: &mut Connection,
    rows: &mut DemoRows,
    (users, password_hash): (u64, &str),
    batch: Range<u64>,
    progress: &mut dyn FnMut(u64),
) -> Result<(), StoreError> {
    let transaction = connection
        .transaction_with_behavior(TransactionBehavior::Immediate)
        .map_err(store_error)?;
    let mut last_id = last_user_id(&transaction).map_err(store_error)?;
    for index in batch {
        if index % PROGRESS_ROWS == 0 {
            progress(index);
        }
        if index < users {
            last_id = insert_user(&transaction, rows, last_id + 1).map_err(store_error)?;
            let now_ms = unix_ms();
            write_password(&transaction, last_id, password_hash, now_ms).map_err(store_error)?;
        } else if !insert_post(&transaction, rows, last_id).map_err(store_error)? {
            return Err(StoreError::Failed(
                "posts need an author: seed users too".to_owned(),
            ));
        }
    }
    transaction.commit().map_err(store_error)
}

/// The highest id ever given to a user.
fn last_user_id(connection: &Connection) -> rusqlite::Result<i64> {
    let sql = "SELECT seq FROM sqlite_sequence WHERE name = 'users'";
    connection
        .query_row(sql, [], |row| row.get(0))
        .optional()
        .map(|id| id.unwrap_or(0))
}

/// A user, whose id is given back. Should somebody have the email, the next
/// number is tried.
fn insert_user(
    connection: &Connection,
    rows: &mut DemoRows,
    mut number: i64,
) -> rusqlite::Result<i64> {
    let mut statement = connection.prepare_cached(Query::UserInsert.template())?;
    let created_at_ms = rows.moment_ms();
    loop {
        let user = rows.user(number);
        let (lat, lon) = user.location.map(|place| (place.lat, place.lon)).unzip();
        let params = params![user.name, user.email, user.age, lat, lon, created_at_ms];
        match statement.query_row(params, |row| row.get(0)) {
            Err(error) if is_taken(&error) => number += 1,
            result => return result,
        }
    }
}

/// A post by a random user; false when there is none.
fn insert_post(
    connection: &Connection,
    rows: &mut DemoRows,
    last_id: i64,
) -> rusqlite::Result<bool> {
    let mut author = connection.prepare_cached(Query::SeedAuthor.template())?;
    // The second try is for a random id after which all users were deleted.
    let mut author_id: Option<i64> = None;
    for from in [rows.below(last_id) + 1, 1] {
        author_id = author.query_row([from], |row| row.get(0)).optional()?;
        if author_id.is_some() {
            break;
        }
    }
    let Some(author_id) = author_id else {
        return Ok(false);
    };
    let (post, created_at_ms) = (rows.post(), rows.moment_ms());
    connection
        .prepare_cached(Query::PostInsert.template())?
        .execute(params![author_id, post.title, post.body, created_at_ms])?;
    Ok(true)
}

fn is_taken(error: &rusqlite::Error) -> bool {
    error
        .sqlite_error()
        .is_some_and(|failure| failure.extended_code == rusqlite::ffi::SQLITE_CONSTRAINT_UNIQUE)
}
