//! What a single write does, inside the savepoint the writer gives it. The
//! condition is checked here, against the row as the writes before left it.

use rusqlite::{Connection, OptionalExtension, params};

use super::connection::store_error;
use super::logins;
use super::queries::Query;
use super::reader::user_from;
use crate::store::{NewUser, StoreError, User, UserPatch, WriteCondition};
use corelane::session::{SessionHash, SessionRecord};

/// A write a shard asks for.
#[derive(Debug)]
pub(super) enum Write {
    Create(NewUser),
    Replace {
        id: i64,
        user: NewUser,
        condition: WriteCondition,
    },
    Update {
        id: i64,
        patch: UserPatch,
        condition: WriteCondition,
    },
    Delete {
        id: i64,
        condition: WriteCondition,
    },
    /// Adds a session and removes the one it replaces.
    BeginSession {
        hash: SessionHash,
        record: SessionRecord,
        replaced: Option<SessionHash>,
    },
    RefreshSession {
        hash: SessionHash,
        record: SessionRecord,
    },
    EndSession {
        hash: SessionHash,
    },
    /// Runs on the writer's connection.
    #[cfg(test)]
    Test(fn(&Connection) -> rusqlite::Result<()>),
}

/// What it gives.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Written {
    User(User),
    Nothing,
}

impl Write {
    /// Does it at the time `now_ms`.
    ///
    /// # Errors
    /// What it did before failing is for the caller to roll back.
    pub(super) fn apply(
        &self,
        connection: &Connection,
        now_ms: i64,
    ) -> Result<Written, StoreError> {
        match self {
            Self::Create(user) => insert(connection, user, now_ms).map(Written::User),
            Self::Replace {
                id,
                user,
                condition,
            } => {
                let current = current_user(connection, *id, condition)?;
                update(connection, &current, user.clone(), now_ms).map(Written::User)
            }
            Self::Update {
                id,
                patch,
                condition,
            } => {
                let current = current_user(connection, *id, condition)?;
                if *patch == UserPatch::default() {
                    return Ok(Written::User(current));
                }
                let user = patched(&current, patch);
                update(connection, &current, user, now_ms).map(Written::User)
            }
            Self::Delete { id, condition } => {
                current_user(connection, *id, condition)?;
                let mut statement = prepare(connection, Query::UserDelete)?;
                statement.execute([id]).map_err(store_error)?;
                Ok(Written::Nothing)
            }
            Self::BeginSession {
                hash,
                record,
                replaced,
            } => logins::begin(connection, hash, record, replaced.as_ref(), now_ms)
                .map(|()| Written::Nothing),
            Self::RefreshSession { hash, record } => {
                logins::refresh(connection, hash, record).map(|()| Written::Nothing)
            }
            Self::EndSession { hash } => logins::end(connection, hash).map(|()| Written::Nothing),
            #[cfg(test)]
            Self::Test(run) => run(connection)
                .map(|()| Written::Nothing)
                .map_err(store_error),
        }
    }
}

fn insert(connection: &Connection, user: &NewUser, now_ms: i64) -> Result<User, StoreError> {
    let (lat, lon) = user.location.map(|place| (place.lat, place.lon)).unzip();
    let params = params![user.name, user.email, user.age, lat, lon, now_ms];
    let id = prepare(connection, Query::UserInsert)?
        .query_row(params, |row| row.get(0))
        .map_err(store_error)?;
    Ok(whole_user(id, user.clone(), (now_ms, now_ms), 1))
}

fn update(
    connection: &Connection,
    current: &User,
    user: NewUser,
    now_ms: i64,
) -> Result<User, StoreError> {
    // A clock set back must not make a row look older than it was.
    let updated_at_ms = now_ms.max(current.updated_at_ms);
    let version = current.version + 1;
    let (lat, lon) = user.location.map(|place| (place.lat, place.lon)).unzip();
    prepare(connection, Query::UserUpdate)?
        .execute(params![
            current.id,
            user.name,
            user.email,
            user.age,
            lat,
            lon,
            updated_at_ms,
            version
        ])
        .map_err(store_error)?;
    Ok(whole_user(
        current.id,
        user,
        (current.created_at_ms, updated_at_ms),
        version,
    ))
}

/// The row a write starts from.
fn current_user(
    connection: &Connection,
    id: i64,
    condition: &WriteCondition,
) -> Result<User, StoreError> {
    let user = prepare(connection, Query::UserById)?
        .query_row([id], user_from)
        .optional()
        .map_err(store_error)?
        .ok_or(StoreError::NotFound)?;
    let holds = match condition {
        WriteCondition::Always => true,
        WriteCondition::VersionIn(versions) => versions.contains(&user.version),
        WriteCondition::NotModifiedSince(second) => user.updated_at_ms.div_euclid(1_000) <= *second,
    };
    if holds {
        Ok(user)
    } else {
        Err(StoreError::ConditionFailed)
    }
}

fn patched(current: &User, patch: &UserPatch) -> NewUser {
    let UserPatch {
        name,
        email,
        age,
        location,
    } = patch;
    NewUser {
        name: name.clone().unwrap_or_else(|| current.name.clone()),
        email: email.clone().unwrap_or_else(|| current.email.clone()),
        age: age.unwrap_or(current.age),
        location: location.unwrap_or(current.location),
    }
}

fn whole_user(id: i64, user: NewUser, times_ms: (i64, i64), version: i64) -> User {
    let NewUser {
        name,
        email,
        age,
        location,
    } = user;
    let (created_at_ms, updated_at_ms) = times_ms;
    User {
        id,
        name,
        email,
        age,
        location,
        created_at_ms,
        updated_at_ms,
        version,
    }
}

fn prepare(
    connection: &Connection,
    query: Query,
) -> Result<rusqlite::CachedStatement<'_>, StoreError> {
    connection
        .prepare_cached(query.template())
        .map_err(store_error)
}
