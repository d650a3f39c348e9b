//! Writes, each one statement and so one transaction: the row is locked, the
//! condition checked against it as it is then, and written.

use tokio_postgres::types::ToSql;

use super::announce::{Announcer, Write};
use super::groups::USERS;
use super::queries::Query;
use super::rows::user_from;
use super::statements::RunsQueries;
use crate::store::{NewUser, StoreError, User, UserPatch, WriteCondition};
use corelane::internals::clock::unix_ms;
use corelane::postgres::{Intent, Pool, PostgresError};

pub(super) async fn create_user(
    pool: &Pool,
    announcer: &Announcer,
    user: &NewUser,
) -> Result<User, StoreError> {
    let NewUser {
        name, email, age, ..
    } = user;
    let (lat, lon) = user.location.map(|place| (place.lat, place.lon)).unzip();
    let now_ms = unix_ms();
    let write = announcer.write(None);
    let insert = pool.shared_in(USERS, Intent::Write, async |connection| {
        let mark = write.mark();
        let params: [&(dyn ToSql + Sync); 7] = [name, email, age, &lat, &lon, &now_ms, &mark];
        let row = connection.query_opt(Query::UserInsert, &params).await?;
        row.map(|row| row.try_get(0)).transpose()
    });
    let inserted = insert.await;
    let version = 1;
    let id: Option<i64> = told(write, inserted, |id| id.map(|id| (id, version))).await?;
    let id = id.ok_or(StoreError::DuplicateEmail)?;
    Ok(User {
        id,
        name: name.clone(),
        email: email.clone(),
        age: *age,
        location: user.location,
        created_at_ms: now_ms,
        updated_at_ms: now_ms,
        version,
    })
}

pub(super) async fn replace_user(
    pool: &Pool,
    announcer: &Announcer,
    id: i64,
    user: NewUser,
    condition: &WriteCondition,
) -> Result<User, StoreError> {
    if *condition == WriteCondition::Always {
        return replace(pool, announcer, id, &user).await;
    }
    let patch = UserPatch {
        name: Some(user.name),
        email: Some(user.email),
        age: Some(user.age),
        location: Some(user.location),
    };
    change(pool, announcer, id, &patch, condition).await
}

pub(super) async fn update_user(
    pool: &Pool,
    announcer: &Announcer,
    id: i64,
    patch: &UserPatch,
    condition: &WriteCondition,
) -> Result<User, StoreError> {
    if *patch != UserPatch::default() {
        return change(pool, announcer, id, patch, condition).await;
    }
    let user = super::reads::user(pool, id).await?;
    let user = user.ok_or(StoreError::NotFound)?;
    let holds = match condition {
        WriteCondition::Always => true,
        WriteCondition::VersionIn(versions) => versions.contains(&user.version),
        WriteCondition::NotModifiedSince(second) => user.updated_at_ms < end_ms(*second),
    };
    holds.then_some(user).ok_or(StoreError::ConditionFailed)
}

pub(super) async fn delete_user(
    pool: &Pool,
    id: i64,
    condition: &WriteCondition,
) -> Result<(), StoreError> {
    let (versions, before_ms) = parameters(condition);
    let (found, gone) = pool
        .shared_in(USERS, Intent::Write, async |connection| {
            let params: [&(dyn ToSql + Sync); 3] = [&id, &versions, &before_ms];
            let rows = connection.query(Query::UserDelete, &params).await?;
            match rows.first() {
                Some(row) => Ok((row.try_get(0)?, row.try_get(1)?)),
                None => Ok((false, false)),
            }
        })
        .await?;
    match (found, gone) {
        (_, true) => Ok(()),
        (true, false) => Err(StoreError::ConditionFailed),
        (false, false) => Err(StoreError::NotFound),
    }
}

/// Without a condition, which costs PostgreSQL half as much.
async fn replace(
    pool: &Pool,
    announcer: &Announcer,
    id: i64,
    user: &NewUser,
) -> Result<User, StoreError> {
    let NewUser {
        name, email, age, ..
    } = user;
    let (lat, lon) = user.location.map(|place| (place.lat, place.lon)).unzip();
    let now_ms = unix_ms();
    let write = announcer.write(Some(id));
    let update = pool.shared_in(USERS, Intent::Write, async |connection| {
        let mark = write.mark();
        let params: [&(dyn ToSql + Sync); 8] = [&id, name, email, age, &lat, &lon, &now_ms, &mark];
        let row = connection.query_opt(Query::UserReplace, &params).await?;
        row.as_ref().map(user_from).transpose()
    });
    let updated = update.await;
    let replaced = told(write, updated, |user: &Option<User>| row_of(user.as_ref())).await?;
    replaced.ok_or(StoreError::NotFound)
}

async fn change(
    pool: &Pool,
    announcer: &Announcer,
    id: i64,
    patch: &UserPatch,
    condition: &WriteCondition,
) -> Result<User, StoreError> {
    let UserPatch {
        name, email, age, ..
    } = patch;
    let moves = patch.location.is_some();
    let place = patch.location.flatten();
    let (lat, lon) = place.map(|place| (place.lat, place.lon)).unzip();
    let now_ms = unix_ms();
    let (versions, before_ms) = parameters(condition);
    let write = announcer.write(Some(id));
    let update = pool.shared_in(USERS, Intent::Write, async |connection| {
        let mark = write.mark();
        let params: [&(dyn ToSql + Sync); 11] = [
            &id, name, email, age, &lat, &lon, &moves, &now_ms, &versions, &before_ms, &mark,
        ];
        let rows = connection.query(Query::UserUpdate, &params).await?;
        let Some(row) = rows.first() else {
            return Ok((None, false));
        };
        let changed_id: Option<i64> = row.try_get(0)?;
        let changed = changed_id.map(|_| user_from(row)).transpose()?;
        Ok((changed, row.try_get("found")?))
    });
    let updated = update.await;
    let changed = told(write, updated, |(user, _)| row_of(Option::as_ref(user))).await?;
    match changed {
        (Some(user), _) => Ok(user),
        (None, true) => Err(StoreError::ConditionFailed),
        (None, false) => Err(StoreError::NotFound),
    }
}

/// What became of a write, when others know of it. `row` tells what it wrote, if
/// anything.
async fn told<T>(
    write: Write<'_>,
    outcome: Result<T, PostgresError>,
    row: impl FnOnce(&T) -> Option<(i64, i64)>,
) -> Result<T, PostgresError> {
    match outcome.as_ref().map(row) {
        Ok(Some((id, version))) => write.committed(id, version).await,
        // Dropped as it is.
        Err(PostgresError::OutcomeUnknown(_)) => drop(write),
        Ok(None) | Err(_) => write.nothing_done(),
    }
    outcome
}

/// What is told of a user.
fn row_of(user: Option<&User>) -> Option<(i64, i64)> {
    user.map(|user| (user.id, user.version))
}

/// A condition as parameters: one of these versions, not written at this time
/// or later.
fn parameters(condition: &WriteCondition) -> (Option<&[i64]>, Option<i64>) {
    match condition {
        WriteCondition::Always => (None, None),
        WriteCondition::VersionIn(versions) => (Some(versions), None),
        WriteCondition::NotModifiedSince(second) => (None, Some(end_ms(*second))),
    }
}

/// The first millisecond after a second of Unix time.
fn end_ms(second: i64) -> i64 {
    second.saturating_add(1).saturating_mul(1_000)
}
