//! Password hashes and sessions, each operation one statement.

use tokio_postgres::Row;
use tokio_postgres::types::ToSql;

use super::fault::write_error;
use super::groups::{LOGGED_IN, LOGINS, SESSIONS};
use super::queries::Query;
use super::session::Session;
use super::statements::RunsQueries;
use super::{PostgresDatabase, blocking};
use crate::store::limits::SESSION_EXPIRED_ROWS_PER_LOGIN;
use crate::store::{Login, StoreError};
use corelane::internals::clock::unix_ms;
use corelane::postgres::{Connection, Group, Intent};
use corelane::session::{SessionHash, SessionRecord};

impl PostgresDatabase {
    /// See [`crate::store::Database::set_password`].
    pub(in crate::store) fn set_password(
        &self,
        email: &str,
        password_hash: &str,
    ) -> Result<(), StoreError> {
        if email.contains('\0') {
            return Err(StoreError::NotFound);
        }
        blocking::run(async || {
            let connection = self.chore().await?;
            let params: [&(dyn ToSql + Sync); 3] = [&email, &password_hash, &unix_ms()];
            let set = connection.query_opt(Query::PasswordSet, &params).await;
            set.map_err(write_error)?
                .map_or(Err(StoreError::NotFound), |_| Ok(()))
        })
    }
}

impl Session {
    pub(in crate::store) async fn login(&self, email: &str) -> Result<Option<Login>, StoreError> {
        // PostgreSQL cannot store NUL, so nobody has such an email.
        if email.contains('\0') {
            return Ok(None);
        }
        let find = self
            .pool
            .shared_in(LOGINS, Intent::Read, async |connection| {
                let row = connection.query_opt(Query::LoginByEmail, &[&email]).await?;
                let login = row.map(|row| {
                    Ok(Login {
                        user_id: row.try_get(0)?,
                        password_hash: row.try_get(1)?,
                    })
                });
                login.transpose()
            });
        find.await.map_err(StoreError::from)
    }

    pub(in crate::store) async fn session(
        &self,
        hash: &SessionHash,
    ) -> Result<Option<SessionRecord>, StoreError> {
        let hash: &[u8] = hash.as_bytes();
        let find = self
            .pool
            .shared_in(SESSIONS, Intent::Read, async |connection| {
                let row = connection.query_opt(Query::SessionByHash, &[&hash]).await?;
                row.as_ref().map(record_from).transpose()
            });
        find.await.map_err(StoreError::from)
    }

    pub(in crate::store) async fn begin_session(
        &self,
        hash: SessionHash,
        record: SessionRecord,
        replaced: Option<SessionHash>,
    ) -> Result<(), StoreError> {
        let hash: &[u8] = hash.as_bytes();
        let replaced: Option<&[u8]> = replaced.as_ref().map(|hash| &hash.as_bytes()[..]);
        let most = i64::from(SESSION_EXPIRED_ROWS_PER_LOGIN);
        let params: [&(dyn ToSql + Sync); 9] = [
            &hash,
            &record.user_id,
            &record.created_at_ms,
            &record.seen_at_ms,
            &record.expires_at_ms,
            &record.ends_at_ms,
            &replaced,
            &unix_ms(),
            &most,
        ];
        let begun = self.write(LOGGED_IN, Query::SessionBegin, &params).await?;
        begun.map_or(Err(StoreError::NotFound), |_| Ok(()))
    }

    pub(in crate::store) async fn refresh_session(
        &self,
        hash: SessionHash,
        record: SessionRecord,
    ) -> Result<(), StoreError> {
        let hash: &[u8] = hash.as_bytes();
        let params: [&(dyn ToSql + Sync); 3] = [&hash, &record.seen_at_ms, &record.expires_at_ms];
        self.write(SESSIONS, Query::SessionRefresh, &params)
            .await
            .map(drop)
    }

    pub(in crate::store) async fn end_session(&self, hash: SessionHash) -> Result<(), StoreError> {
        let hash: &[u8] = hash.as_bytes();
        self.write(SESSIONS, Query::SessionDelete, &[&hash])
            .await
            .map(drop)
    }

    async fn write(
        &self,
        group: Group,
        query: Query,
        params: &[&(dyn ToSql + Sync)],
    ) -> Result<Option<Row>, StoreError> {
        let write = async |connection: &Connection| connection.query_opt(query, params).await;
        self.pool
            .shared_in(group, Intent::Write, write)
            .await
            .map_err(StoreError::from)
    }
}

fn record_from(row: &Row) -> Result<SessionRecord, tokio_postgres::Error> {
    Ok(SessionRecord {
        user_id: row.try_get(0)?,
        created_at_ms: row.try_get(1)?,
        seen_at_ms: row.try_get(2)?,
        expires_at_ms: row.try_get(3)?,
        ends_at_ms: row.try_get(4)?,
    })
}
