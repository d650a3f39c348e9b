//! Where sessions are kept.

use std::rc::Rc;
use std::time::Duration;

use crate::limits::{SESSION_REFRESH_WAIT_MS, STORE_RETRY_AFTER_S};
use crate::session::{SessionHash, SessionRecord};
use crate::store::{Store, StoreError};
use crate::{Error, engine};

/// One shard's way to them.
pub(crate) enum Shelf {
    Store(Rc<Store>),
}

impl Shelf {
    /// Whether a deleted user's sessions go with the user.
    pub(crate) fn forgets_users(&self) -> bool {
        matches!(self, Self::Store(_))
    }

    pub(super) async fn read(&self, hash: &SessionHash) -> Result<Option<SessionRecord>, Error> {
        match self {
            Self::Store(store) => store.session(hash).await.map_err(store_fault),
        }
    }

    /// False when there is no such user.
    pub(super) async fn begin(
        &self,
        hash: &SessionHash,
        record: &SessionRecord,
        replaced: Option<SessionHash>,
        _now_ms: i64,
    ) -> Result<bool, Error> {
        match self {
            Self::Store(store) => match store.begin_session(*hash, *record, replaced).await {
                Err(StoreError::NotFound) => Ok(false),
                begun => begun.map(|()| true).map_err(store_fault),
            },
        }
    }

    /// Whether it was written down; not waited for longer than
    /// [`SESSION_REFRESH_WAIT_MS`].
    pub(super) async fn refresh(
        &self,
        hash: &SessionHash,
        record: &SessionRecord,
        _now_ms: i64,
    ) -> bool {
        match self {
            Self::Store(store) => {
                let limit = Duration::from_millis(SESSION_REFRESH_WAIT_MS);
                let refreshed = engine::timeout(limit, store.refresh_session(*hash, *record)).await;
                matches!(refreshed, Ok(Ok(())))
            }
        }
    }

    pub(crate) async fn end(&self, hash: &SessionHash) -> Result<(), Error> {
        match self {
            Self::Store(store) => store.end_session(*hash).await.map_err(store_fault),
        }
    }
}

/// Without its session a request cannot be answered, but later perhaps.
pub(crate) fn store_fault(error: StoreError) -> Error {
    match error {
        StoreError::Failed(_) => Error::internal(error),
        _ => Error::unavailable(
            "sessions are not available now; try again",
            STORE_RETRY_AFTER_S,
        )
        .with_log(error),
    }
}
