//! The world of a shard, for what no request started: see `lifecycle`.

use std::rc::Rc;
use std::time::Duration;

use super::{ShardContext, ShardInfo};
use crate::caches::{Cache, Feed};
use crate::error_log::ErrorLog;
use crate::{Error, engine};

/// The world of a shard, for a task that no request started.
#[derive(Clone)]
pub struct Background {
    pub(super) shard: Rc<ShardContext>,
    errors: ErrorLog,
}

impl Background {
    pub(super) fn new(shard: Rc<ShardContext>, errors: ErrorLog) -> Self {
        Self { shard, errors }
    }

    /// The shard's state of type `S`; `None` when the app has none.
    #[must_use]
    pub fn state<S: 'static>(&self) -> Option<Rc<S>> {
        self.shard.states.find::<S>()
    }

    /// The cache of this name, the same from every shard.
    ///
    /// # Panics
    /// When the app has no cache of that name.
    #[must_use]
    pub fn cache(&self, name: &str) -> Cache {
        match self.shard.caches.find(name) {
            Some(cache) => cache,
            None => panic!("the app has no cache named {name:?}; add App::cache"),
        }
    }

    /// Every cache of the app.
    #[must_use]
    pub fn caches(&self) -> Vec<Cache> {
        self.shard.caches.all()
    }

    /// Forgets everything that depends on a tag, in every cache of the app.
    ///
    /// # Errors
    /// 503 when that cannot be had in time.
    pub async fn invalidate_tag(&self, tag: &str) -> Result<(), Error> {
        self.shard.caches.invalidate_tag(tag).await
    }

    /// The app's feed of changes made elsewhere.
    #[must_use]
    pub fn feed(&self) -> Option<&Feed> {
        self.shard.caches.feed()
    }

    /// The shard it runs on.
    #[must_use]
    pub fn shard(&self) -> &ShardInfo {
        &self.shard.info
    }

    /// Whether the server is shutting down.
    #[must_use]
    pub fn is_draining(&self) -> bool {
        self.shard.draining.has_begun()
    }

    /// Waits until the server is shutting down.
    pub async fn draining(&self) {
        self.shard.draining.wait().await;
    }

    /// Sleeps; the beginning of a drain ends it early. A sleep that begins in a
    /// drain takes its whole time.
    pub async fn sleep(&self, duration: Duration) {
        if self.is_draining() {
            engine::sleep(duration).await;
        } else {
            let _ = engine::timeout(duration, self.draining()).await;
        }
    }

    /// Writes a line to the error log. Never waits; a full log drops it and
    /// counts.
    pub fn log(&self, line: impl Into<String>) {
        self.errors.log(line.into());
    }
}
