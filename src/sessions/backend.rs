//! What sessions ask of an application's database: who logs in, and where there
//! is no Redis the sessions themselves.

use std::fmt;
use std::pin::Pin;

use crate::Error;
use crate::limits::SESSION_RETRY_AFTER_S;
use crate::session::{SessionHash, SessionRecord};

/// What a [`SessionBackend`] answers with; it stays on its shard.
pub type BackendFuture<'a, T> = Pin<Box<dyn Future<Output = Result<T, Error>> + 'a>>;

/// A database of users that keeps their sessions: state of an app, named by
/// [`App::session_backend`](crate::App::session_backend).
///
/// Every shard and every process over the same database must see the same
/// sessions, and one that was ended is over for all of them at once. Those of a
/// user go with the user. Redis takes over where the app has one, all but
/// [`login`](Self::login).
///
/// Each answers with an error when the database cannot be asked now:
/// [`unavailable`], or [`Error::internal`] for what is a mistake.
pub trait SessionBackend {
    /// What a login with this email is checked against; `None` when nobody has
    /// the email.
    fn login<'a>(&'a self, email: &'a str) -> BackendFuture<'a, Option<Login>>;

    /// The session with this hash, expired or not.
    fn session<'a>(&'a self, hash: &'a SessionHash) -> BackendFuture<'a, Option<SessionRecord>>;

    /// Adds a session and removes the one it replaces, both or neither; false
    /// when there is no such user.
    fn begin_session(
        &self,
        hash: SessionHash,
        record: SessionRecord,
        replaced: Option<SessionHash>,
    ) -> BackendFuture<'_, bool>;

    /// Writes down that a session was used; does nothing when it is gone. Nobody
    /// waits longer for it than
    /// [`SESSION_REFRESH_WAIT_MS`](crate::limits::SESSION_REFRESH_WAIT_MS).
    fn refresh_session(&self, hash: SessionHash, record: SessionRecord) -> BackendFuture<'_, ()>;

    /// Removes a session; does nothing when it is gone.
    fn end_session(&self, hash: SessionHash) -> BackendFuture<'_, ()>;
}

/// What a login is checked against.
#[derive(Clone, PartialEq, Eq)]
pub struct Login {
    /// Whose it is.
    pub user_id: i64,
    /// In the PHC string format; a user without one cannot log in.
    pub password_hash: Option<String>,
}

/// Without the hash.
impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Login")
            .field("user_id", &self.user_id)
            .field("has_password", &self.password_hash.is_some())
            .finish()
    }
}

/// 503 with `Retry-After`: without its session a request cannot be answered, but
/// later perhaps. `why` is for the log.
pub fn unavailable(why: impl fmt::Display) -> Error {
    let detail = "sessions are not available now; try again";
    Error::unavailable(detail, SESSION_RETRY_AFTER_S).with_log(why)
}
