//! Where sessions are kept: in Redis, or in the application's database.

use std::rc::Rc;
use std::time::Duration;

use super::SessionBackend;
use super::in_redis::RedisSessions;
use crate::limits::SESSION_REFRESH_WAIT_MS;
use crate::redis::Redis;
use crate::session::{SessionHash, SessionRecord};
use crate::{Error, engine};

/// One shard's way to them.
pub(crate) enum SessionStore {
    Backend(Rc<dyn SessionBackend>),
    Redis(RedisSessions),
}

impl SessionStore {
    /// `prefix` is what keys there start with.
    pub(crate) fn in_redis(redis: Redis, prefix: Rc<str>) -> Self {
        Self::Redis(RedisSessions::new(redis, prefix))
    }

    /// Whether a deleted user's sessions go with the user.
    pub(crate) fn forgets_users(&self) -> bool {
        matches!(self, Self::Backend(_))
    }

    pub(super) async fn read(&self, hash: &SessionHash) -> Result<Option<SessionRecord>, Error> {
        match self {
            Self::Backend(backend) => backend.session(hash).await,
            Self::Redis(sessions) => sessions.read(hash).await,
        }
    }

    /// False when there is no such user; Redis knows of none.
    pub(super) async fn begin(
        &self,
        hash: &SessionHash,
        record: &SessionRecord,
        replaced: Option<SessionHash>,
        now_ms: i64,
    ) -> Result<bool, Error> {
        match self {
            Self::Backend(backend) => backend.begin_session(*hash, *record, replaced).await,
            Self::Redis(sessions) => {
                let begun = sessions.begin(hash, record, replaced, now_ms);
                begun.await.map(|()| true)
            }
        }
    }

    /// Whether it was written down; not waited for longer than
    /// [`SESSION_REFRESH_WAIT_MS`].
    pub(super) async fn refresh(
        &self,
        hash: &SessionHash,
        record: &SessionRecord,
        now_ms: i64,
    ) -> bool {
        let limit = Duration::from_millis(SESSION_REFRESH_WAIT_MS);
        match self {
            Self::Backend(backend) => {
                let refreshed = engine::timeout(limit, backend.refresh_session(*hash, *record));
                matches!(refreshed.await, Ok(Ok(())))
            }
            Self::Redis(sessions) => {
                let refreshed = engine::timeout(limit, sessions.refresh(hash, record, now_ms));
                matches!(refreshed.await, Ok(true))
            }
        }
    }

    pub(crate) async fn end(&self, hash: &SessionHash) -> Result<(), Error> {
        match self {
            Self::Backend(backend) => backend.end_session(*hash).await,
            Self::Redis(sessions) => sessions.end(hash).await,
        }
    }
}
