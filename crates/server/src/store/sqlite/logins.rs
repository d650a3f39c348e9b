//! Password hashes and sessions in the embedded store.

use rusqlite::{Connection, OptionalExtension, Row, TransactionBehavior, params};

use super::SqliteDatabase;
use super::connection::{Role, store_error};
use super::queries::Query;
use super::session::Session;
use super::writes::Write;
use crate::store::limits::SESSION_EXPIRED_ROWS_PER_LOGIN;
use crate::store::{Login, StoreError};
use corelane::internals::clock::unix_ms;
use corelane::session::{SessionHash, SessionRecord};

impl SqliteDatabase {
    /// See [`crate::store::Database::set_password`]. On a connection of its
    /// own, since the writer answers shards only.
    pub(in crate::store) fn set_password(
        &self,
        email: &str,
        password_hash: &str,
    ) -> Result<(), StoreError> {
        let mut connection = self.target.connect(Role::Writer).map_err(store_error)?;
        let transaction = connection
            .transaction_with_behavior(TransactionBehavior::Immediate)
            .map_err(store_error)?;
        let login = find_login(&transaction, email).map_err(store_error)?;
        let user_id = login.ok_or(StoreError::NotFound)?.user_id;
        write_password(&transaction, user_id, password_hash, unix_ms()).map_err(store_error)?;
        execute(&transaction, Query::SessionsOfUserDelete, [user_id]).map_err(store_error)?;
        transaction.commit().map_err(store_error)
    }
}

impl Session {
    pub(in crate::store) fn login(&self, email: &str) -> Result<Option<Login>, StoreError> {
        find_login(self.reader.connection(), email).map_err(store_error)
    }

    pub(in crate::store) fn session(
        &self,
        hash: &SessionHash,
    ) -> Result<Option<SessionRecord>, StoreError> {
        let statement = self.reader.prepare(Query::SessionByHash);
        let found = statement.and_then(|mut statement| {
            statement
                .query_row([hash.as_bytes()], record_from)
                .optional()
        });
        found.map_err(store_error)
    }

    pub(in crate::store) async fn begin_session(
        &self,
        hash: SessionHash,
        record: SessionRecord,
        replaced: Option<SessionHash>,
    ) -> Result<(), StoreError> {
        let write = Write::BeginSession {
            hash,
            record,
            replaced,
        };
        self.write(write).await.map(drop)
    }

    pub(in crate::store) async fn refresh_session(
        &self,
        hash: SessionHash,
        record: SessionRecord,
    ) -> Result<(), StoreError> {
        let write = Write::RefreshSession { hash, record };
        self.write(write).await.map(drop)
    }

    pub(in crate::store) async fn end_session(&self, hash: SessionHash) -> Result<(), StoreError> {
        // What was committed is seen; what is not there costs no commit.
        if self.session(&hash)?.is_none() {
            return Ok(());
        }
        self.write(Write::EndSession { hash }).await.map(drop)
    }
}

/// Inside the writer's savepoint.
pub(super) fn begin(
    connection: &Connection,
    hash: &SessionHash,
    record: &SessionRecord,
    replaced: Option<&SessionHash>,
    now_ms: i64,
) -> Result<(), StoreError> {
    if let Some(replaced) = replaced {
        end(connection, replaced)?;
    }
    let limits = params![now_ms, SESSION_EXPIRED_ROWS_PER_LOGIN];
    execute(connection, Query::SessionsExpiredDelete, limits).map_err(store_error)?;
    let fields = params![
        hash.as_bytes(),
        record.user_id,
        record.created_at_ms,
        record.seen_at_ms,
        record.expires_at_ms,
        record.ends_at_ms
    ];
    match execute(connection, Query::SessionInsert, fields).map_err(store_error)? {
        0 => Err(StoreError::NotFound),
        _ => Ok(()),
    }
}

/// Inside the writer's savepoint.
pub(super) fn refresh(
    connection: &Connection,
    hash: &SessionHash,
    record: &SessionRecord,
) -> Result<(), StoreError> {
    let fields = params![hash.as_bytes(), record.seen_at_ms, record.expires_at_ms];
    let refreshed = execute(connection, Query::SessionRefresh, fields);
    refreshed.map(drop).map_err(store_error)
}

/// Inside the writer's savepoint.
pub(super) fn end(connection: &Connection, hash: &SessionHash) -> Result<(), StoreError> {
    let ended = execute(connection, Query::SessionDelete, [hash.as_bytes()]);
    ended.map(drop).map_err(store_error)
}

/// Adds or replaces a user's password.
pub(super) fn write_password(
    connection: &Connection,
    user_id: i64,
    password_hash: &str,
    now_ms: i64,
) -> rusqlite::Result<()> {
    let fields = params![user_id, password_hash, now_ms];
    execute(connection, Query::PasswordSet, fields).map(drop)
}

fn find_login(connection: &Connection, email: &str) -> rusqlite::Result<Option<Login>> {
    let mut statement = connection.prepare_cached(Query::LoginByEmail.template())?;
    let from = |row: &Row<'_>| {
        Ok(Login {
            user_id: row.get(0)?,
            password_hash: row.get(1)?,
        })
    };
    statement.query_row([email], from).optional()
}

fn record_from(row: &Row<'_>) -> rusqlite::Result<SessionRecord> {
    Ok(SessionRecord {
        user_id: row.get(0)?,
        created_at_ms: row.get(1)?,
        seen_at_ms: row.get(2)?,
        expires_at_ms: row.get(3)?,
        ends_at_ms: row.get(4)?,
    })
}

fn execute(
    connection: &Connection,
    query: Query,
    params: impl rusqlite::Params,
) -> rusqlite::Result<usize> {
    connection.prepare_cached(query.template())?.execute(params)
}
