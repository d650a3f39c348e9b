//! Sessions in Redis: each is a key `PREFIX:sess:` with the hash of its id, its
//! record the value, and it goes when it expires. The prefix stands for whose
//! users those are: user 7 of one database is not user 7 of another.
//!
//! Every operation is one command or one script, so none is ever half done: one
//! round trip for a read, and one more when a use is to be written down.

use std::rc::Rc;
use std::sync::LazyLock;

use ::redis::{Script, cmd};

use super::unavailable;
use crate::Error;
use crate::redis::{Redis, RedisFault};
use crate::session::{SessionHash, SessionRecord};

/// One shard's way to them.
pub(crate) struct RedisSessions {
    redis: Redis,
    prefix: Rc<str>,
}

impl RedisSessions {
    pub(super) fn new(redis: Redis, prefix: Rc<str>) -> Self {
        Self { redis, prefix }
    }

    pub(super) async fn read(&self, hash: &SessionHash) -> Result<Option<SessionRecord>, Error> {
        let mut command = cmd("GET");
        let command = command.arg(self.key(hash));
        let read = self.redis.run::<Option<Vec<u8>>>(command);
        let bytes = read.await.map_err(redis_fault)?;
        // What another version wrote is no session of this one.
        Ok(bytes.and_then(|bytes| SessionRecord::decode(&bytes)))
    }

    pub(super) async fn begin(
        &self,
        hash: &SessionHash,
        record: &SessionRecord,
        replaced: Option<SessionHash>,
        now_ms: i64,
    ) -> Result<(), Error> {
        let key = self.key(hash);
        let replaced = replaced.as_ref().map(|hash| self.key(hash));
        let mut keys = vec![key.as_bytes()];
        keys.extend(replaced.as_ref().map(String::as_bytes));
        let left = left_ms(record, now_ms).to_string();
        let arguments = [&record.encode()[..], left.as_bytes()];
        let begun = self.redis.script::<()>(&BEGIN, &keys, &arguments);
        begun.await.map_err(redis_fault)
    }

    /// Whether it was written down. One that was ended meanwhile stays so.
    pub(super) async fn refresh(
        &self,
        hash: &SessionHash,
        record: &SessionRecord,
        now_ms: i64,
    ) -> bool {
        let mut set = cmd("SET");
        set.arg(self.key(hash)).arg(&record.encode()[..]).arg("XX");
        set.arg("PX").arg(left_ms(record, now_ms));
        matches!(self.redis.run::<Option<String>>(&set).await, Ok(Some(_)))
    }

    pub(super) async fn end(&self, hash: &SessionHash) -> Result<(), Error> {
        let mut command = cmd("DEL");
        let ended = self.redis.run::<u64>(command.arg(self.key(hash)));
        ended.await.map(drop).map_err(redis_fault)
    }

    fn key(&self, hash: &SessionHash) -> String {
        format!("{}:sess:{hash}", self.prefix)
    }
}

/// The new session first: should there be no room for it, the old one stays.
static BEGIN: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        "redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
         if KEYS[2] then redis.call('DEL', KEYS[2]) end",
    )
});

/// How long Redis is to keep it; never 0, which it refuses.
fn left_ms(record: &SessionRecord, now_ms: i64) -> u64 {
    let left = record.expires_at_ms.saturating_sub(now_ms);
    u64::try_from(left).unwrap_or(0).max(1)
}

/// What a full or misconfigured Redis says passes too: 503 as when it is down.
fn redis_fault(fault: RedisFault) -> Error {
    unavailable(fault)
}
