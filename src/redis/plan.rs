//! What all shards of a server have in common of Redis.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::exclusive::ExclusivePool;
use super::options::Address;
use super::{RedisOptions, RedisUrlError};
use crate::bridge::Bridge;
use crate::error_log::ErrorLog;

/// Options taken apart, the pool of exclusive connections, and who tells the
/// log.
pub(crate) struct RedisPlan {
    pub(super) options: RedisOptions,
    pub(super) address: Address,
    pub(super) exclusive: ExclusivePool,
    pub(super) bridge: Bridge,
    errors: ErrorLog,
    /// Shards that have none. The first to lose it and the last to have it
    /// again tell the log: one line each, however many shards there are.
    shards_without: AtomicUsize,
}

impl RedisPlan {
    /// `None` when there are no options.
    ///
    /// # Errors
    /// When the URL cannot be used.
    pub(crate) fn new(
        options: Option<RedisOptions>,
        bridge: Bridge,
        errors: ErrorLog,
    ) -> Result<Option<Arc<Self>>, RedisUrlError> {
        let Some(options) = options else {
            return Ok(None);
        };
        let address = options.url.address()?;
        Ok(Some(Arc::new(Self {
            exclusive: ExclusivePool::new(&options, &address)?,
            options,
            address,
            bridge,
            errors,
            shards_without: AtomicUsize::new(0),
        })))
    }

    /// A shard has lost it, or could not reach it.
    pub(super) fn lost(&self, why: &str) {
        if self.shards_without.fetch_add(1, Ordering::Relaxed) == 0 {
            let address = &self.address;
            self.errors.log(format!(
                "warning: Redis at {address} is not there ({why}); going on without it"
            ));
        }
    }

    /// A shard that had none has one.
    pub(super) fn found(&self) {
        if self.shards_without.fetch_sub(1, Ordering::Relaxed) == 1 {
            let address = &self.address;
            self.errors.log(format!("Redis at {address} is there"));
        }
    }

    /// A shard that had none has ended.
    pub(super) fn forget(&self) {
        self.shards_without.fetch_sub(1, Ordering::Relaxed);
    }
}

impl std::fmt::Debug for RedisPlan {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("RedisPlan").field(&self.options).finish()
    }
}
