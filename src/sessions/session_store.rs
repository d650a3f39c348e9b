//! Where sessions are kept, and how each place does it.
//!
//! In Redis a session is a key `PREFIX:sess:` with the hash of its id, its record
//! the value, and it goes when it expires. The prefix stands for whose users
//! those are: user 7 of one database is not user 7 of another. Every operation is one command or one
//! script, so none is ever half done: one round trip for a read, and one more
//! when a use is to be written down.

use std::rc::Rc;
use std::sync::LazyLock;
use std::time::Duration;

use ::redis::{Script, cmd};

use super::{SessionBackend, unavailable};
use crate::limits::SESSION_REFRESH_WAIT_MS;
use crate::redis::{Redis, RedisFault};
use crate::session::{SessionHash, SessionRecord};
use crate::{Error, engine};

/// One shard's way to them.
pub(crate) enum SessionStore {
    Backend(Rc<dyn SessionBackend>),
    /// And what keys there start with.
    Redis(Redis, Rc<str>),
}

impl SessionStore {
    /// Whether a deleted user's sessions go with the user.
    pub(crate) fn forgets_users(&self) -> bool {
        matches!(self, Self::Backend(_))
    }

    pub(super) async fn read(&self, hash: &SessionHash) -> Result<Option<SessionRecord>, Error> {
        match self {
            Self::Backend(backend) => backend.session(hash).await,
            Self::Redis(redis, prefix) => {
                let mut command = cmd("GET");
                let read = redis.run::<Option<Vec<u8>>>(command.arg(key(prefix, hash)));
                let bytes = read.await.map_err(redis_fault)?;
                // What another version wrote is no session of this one.
                Ok(bytes.and_then(|bytes| SessionRecord::decode(&bytes)))
            }
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
            Self::Redis(redis, prefix) => {
                let (key, replaced) = (
                    key(prefix, hash),
                    replaced.as_ref().map(|hash| key(prefix, hash)),
                );
                let mut keys = vec![key.as_bytes()];
                keys.extend(replaced.as_ref().map(String::as_bytes));
                let left = left_ms(record, now_ms).to_string();
                let arguments = [&record.encode()[..], left.as_bytes()];
                let begun = redis.script::<()>(&BEGIN, &keys, &arguments);
                begun.await.map(|()| true).map_err(redis_fault)
            }
        }
    }

    /// Whether it was written down; not waited for longer than
    /// [`SESSION_REFRESH_WAIT_MS`]. One that was ended meanwhile stays so.
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
            Self::Redis(redis, prefix) => {
                let mut set = cmd("SET");
                set.arg(key(prefix, hash))
                    .arg(&record.encode()[..])
                    .arg("XX");
                set.arg("PX").arg(left_ms(record, now_ms));
                let refreshed = engine::timeout(limit, redis.run::<Option<String>>(&set));
                matches!(refreshed.await, Ok(Ok(Some(_))))
            }
        }
    }

    pub(crate) async fn end(&self, hash: &SessionHash) -> Result<(), Error> {
        match self {
            Self::Backend(backend) => backend.end_session(*hash).await,
            Self::Redis(redis, prefix) => {
                let mut command = cmd("DEL");
                let ended = redis.run::<u64>(command.arg(key(prefix, hash)));
                ended.await.map(drop).map_err(redis_fault)
            }
        }
    }
}

/// The new session first: should there be no room for it, the old one stays.
static BEGIN: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        "redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
         if KEYS[2] then redis.call('DEL', KEYS[2]) end",
    )
});

fn key(prefix: &str, hash: &SessionHash) -> String {
    format!("{prefix}:sess:{hash}")
}

/// How long Redis is to keep it; never 0, which it refuses.
fn left_ms(record: &SessionRecord, now_ms: i64) -> u64 {
    let left = record.expires_at_ms.saturating_sub(now_ms);
    u64::try_from(left).unwrap_or(0).max(1)
}

/// What a full or misconfigured Redis says passes too: 503 as when it is down.
fn redis_fault(fault: RedisFault) -> Error {
    unavailable(fault)
}
