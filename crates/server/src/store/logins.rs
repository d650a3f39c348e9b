//! What the store keeps of logins: password hashes, and sessions where there
//! is no Redis for them. Both go when their user is deleted.

use super::{Database, DatabaseBackend, Store, StoreBackend, StoreError};
use corelane::Error;
use corelane::session::{SessionHash, SessionRecord};
use corelane::sessions::{self, BackendFuture, Login, SessionBackend};

impl Database {
    /// Sets the password of the user with this email, and ends the user's
    /// sessions that are in the store. Blocks the caller.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] when nobody has the email; the database could
    /// not be written.
    pub fn set_password(&self, email: &str, password_hash: &str) -> Result<(), StoreError> {
        match &self.backend {
            DatabaseBackend::Sqlite(database) => database.set_password(email, password_hash),
            DatabaseBackend::Postgres(database) => database.set_password(email, password_hash),
        }
    }
}

impl Store {
    /// What a login with this email is checked against; `None` when nobody has
    /// the email.
    ///
    /// # Errors
    /// The database could not be read.
    pub async fn login(&self, email: &str) -> Result<Option<Login>, StoreError> {
        match &self.backend {
            StoreBackend::Sqlite(session) => session.login(email),
            StoreBackend::Postgres(session) => session.login(email).await,
        }
    }

    /// The session with this hash, expired or not.
    ///
    /// # Errors
    /// The database could not be read.
    pub async fn session(&self, hash: &SessionHash) -> Result<Option<SessionRecord>, StoreError> {
        match &self.backend {
            StoreBackend::Sqlite(session) => session.session(hash),
            StoreBackend::Postgres(session) => session.session(hash).await,
        }
    }

    /// Adds a session and removes the one it replaces, both or neither. Removes
    /// some that have expired on the way:
    /// [`crate::store::limits::SESSION_EXPIRED_ROWS_PER_LOGIN`] at most.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] when there is no such user.
    pub async fn begin_session(
        &self,
        hash: SessionHash,
        record: SessionRecord,
        replaced: Option<SessionHash>,
    ) -> Result<(), StoreError> {
        match &self.backend {
            StoreBackend::Sqlite(session) => session.begin_session(hash, record, replaced).await,
            StoreBackend::Postgres(session) => session.begin_session(hash, record, replaced).await,
        }
    }

    /// Writes down that a session was used; does nothing when it is gone.
    ///
    /// # Errors
    /// Those of every write.
    pub async fn refresh_session(
        &self,
        hash: SessionHash,
        record: SessionRecord,
    ) -> Result<(), StoreError> {
        match &self.backend {
            StoreBackend::Sqlite(session) => session.refresh_session(hash, record).await,
            StoreBackend::Postgres(session) => session.refresh_session(hash, record).await,
        }
    }

    /// Removes a session; does nothing when it is gone.
    ///
    /// # Errors
    /// Those of every write.
    pub async fn end_session(&self, hash: SessionHash) -> Result<(), StoreError> {
        match &self.backend {
            StoreBackend::Sqlite(session) => session.end_session(hash).await,
            StoreBackend::Postgres(session) => session.end_session(hash).await,
        }
    }
}

/// Sessions go with their user, and every shard and node sees the same.
impl SessionBackend for Store {
    fn login<'a>(&'a self, email: &'a str) -> BackendFuture<'a, Option<Login>> {
        Box::pin(async move { self.login(email).await.map_err(session_error) })
    }

    fn session<'a>(&'a self, hash: &'a SessionHash) -> BackendFuture<'a, Option<SessionRecord>> {
        Box::pin(async move { self.session(hash).await.map_err(session_error) })
    }

    fn begin_session(
        &self,
        hash: SessionHash,
        record: SessionRecord,
        replaced: Option<SessionHash>,
    ) -> BackendFuture<'_, bool> {
        Box::pin(async move {
            match self.begin_session(hash, record, replaced).await {
                Err(StoreError::NotFound) => Ok(false),
                begun => begun.map(|()| true).map_err(session_error),
            }
        })
    }

    fn refresh_session(&self, hash: SessionHash, record: SessionRecord) -> BackendFuture<'_, ()> {
        Box::pin(async move {
            let refreshed = self.refresh_session(hash, record).await;
            refreshed.map_err(session_error)
        })
    }

    fn end_session(&self, hash: SessionHash) -> BackendFuture<'_, ()> {
        Box::pin(async move { self.end_session(hash).await.map_err(session_error) })
    }
}

fn session_error(error: StoreError) -> Error {
    match error {
        StoreError::Failed(_) => Error::internal(error),
        _ => sessions::unavailable(error),
    }
}
