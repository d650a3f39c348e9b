//! Sessions where they are kept: in Redis, or in the application's database when
//! there is none.
//!
//! Every shard and every node over the same Redis (or database) sees the same
//! sessions; no shard keeps one for itself, so one that was ended is over
//! everywhere at once. If they cannot be read, requests that need one get a 503:
//! a session cannot be invented.

mod backend;
#[cfg_attr(not(feature = "redis"), path = "in_redis_absent.rs")]
mod in_redis;
mod passwords;
mod session_store;

pub use backend::{BackendFuture, Login, SessionBackend, unavailable};
pub use passwords::Passwords;
pub(crate) use session_store::SessionStore;

use std::rc::Rc;

use http::HeaderValue;

use corelane_proto::http::Origin;

use crate::Error;
use crate::clock::unix_ms;
use crate::session::{
    RequestOrigin, SessionHash, SessionId, SessionOptions, SessionRecord, SessionState,
    expired_cookie, may_use_session, set_cookie,
};

/// A user's session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Session {
    /// Whose it is.
    pub user_id: i64,
    /// When it began, Unix milliseconds.
    pub created_at_ms: i64,
    /// When it is over unless it is used before, Unix milliseconds.
    pub expires_at_ms: i64,
    hash: SessionHash,
}

impl Session {
    fn of(record: &SessionRecord, hash: SessionHash) -> Self {
        Self {
            user_id: record.user_id,
            created_at_ms: record.created_at_ms,
            expires_at_ms: record.expires_at_ms,
            hash,
        }
    }

    /// What it is known by inside: the same for all its requests, and of no use
    /// to who reads it. The key of a rate limit, for one.
    pub fn hash(&self) -> SessionHash {
        self.hash
    }
}

/// A session that has just begun.
#[derive(Debug, Clone)]
pub struct BegunSession {
    /// The session.
    pub session: Session,
    /// The `Set-Cookie` of the answer; nobody has the session without it.
    pub set_cookie: HeaderValue,
}

/// One shard's way with sessions.
#[derive(Debug)]
pub(crate) struct Sessions {
    pub(crate) options: SessionOptions,
    pub(crate) passwords: Passwords,
    allowed: Vec<Origin>,
    /// Of what is kept in Redis.
    pub(crate) key_prefix: Rc<str>,
}

impl Sessions {
    pub(crate) fn new(options: SessionOptions, passwords: Passwords, key_prefix: &str) -> Self {
        let allowed = options.origins();
        Self {
            options,
            passwords,
            allowed,
            key_prefix: key_prefix.into(),
        }
    }

    /// Whether a request may use a session to change something.
    pub(crate) fn may_use(&self, request: &RequestOrigin<'_>) -> bool {
        may_use_session(request, &self.allowed)
    }

    /// The session of an id, if it is not over; that it was used is written
    /// down when that is due.
    ///
    /// # Errors
    /// 503 when sessions cannot be read.
    pub(crate) async fn find(
        &self,
        store: &SessionStore,
        id: &SessionId,
    ) -> Result<Option<Session>, Error> {
        let hash = id.hash();
        let Some(record) = store.read(&hash).await? else {
            return Ok(None);
        };
        let now_ms = unix_ms();
        match record.judge(now_ms, &self.options) {
            SessionState::Expired => Ok(None),
            SessionState::Live => Ok(Some(Session::of(&record, hash))),
            SessionState::Refreshed(used) => {
                let written = store.refresh(&hash, &used, now_ms).await;
                // A use that could not be written down is one all the same; the
                // next request tries again.
                let record = if written { used } else { record };
                Ok(Some(Session::of(&record, hash)))
            }
        }
    }

    /// Begins a session in the place of another.
    ///
    /// # Errors
    /// 503 when it cannot be kept; `None` when there is no such user.
    pub(crate) async fn begin(
        &self,
        store: &SessionStore,
        user_id: i64,
        replaced: Option<&SessionId>,
        is_secure: bool,
    ) -> Result<Option<BegunSession>, Error> {
        let mut bytes = [0; crate::limits::SESSION_ID_BYTES];
        getrandom::fill(&mut bytes).map_err(|error| Error::internal(format!("{error}")))?;
        let id = SessionId::of_random(bytes);
        let now_ms = unix_ms();
        let record = SessionRecord::begin(user_id, now_ms, &self.options);
        let replaced = replaced.map(SessionId::hash);
        if !store.begin(&id.hash(), &record, replaced, now_ms).await? {
            return Ok(None);
        }
        let SessionOptions {
            cookie, same_site, ..
        } = &self.options;
        let max_age_s = self.options.absolute_ttl_ms.div_ceil(1_000);
        let line = set_cookie(cookie, is_secure, *same_site, &id, max_age_s);
        Ok(Some(BegunSession {
            session: Session::of(&record, id.hash()),
            set_cookie: secret(&line)?,
        }))
    }

    /// The `Set-Cookie` that makes a client forget its session.
    pub(crate) fn expired_cookie(&self, is_secure: bool) -> Result<HeaderValue, Error> {
        let SessionOptions {
            cookie, same_site, ..
        } = &self.options;
        secret(&expired_cookie(cookie, is_secure, *same_site))
    }
}

/// A header value that no `Debug` shows.
fn secret(line: &str) -> Result<HeaderValue, Error> {
    let mut value = HeaderValue::try_from(line)?;
    value.set_sensitive(true);
    Ok(value)
}
