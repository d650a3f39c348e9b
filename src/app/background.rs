//! What runs beside the requests, once per process: on the first shard, until
//! it ends. A shard that is restarted starts it anew.

use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use super::{ShardContext, ShardInfo};
use crate::Error;
use crate::caches::{Cache, Feed};
use crate::engine::{self, Guarded};
use crate::error_log::ErrorLog;

/// See [`App::background`](super::App::background).
pub(crate) type BackgroundTask =
    Arc<dyn Fn(Background) -> Pin<Box<dyn Future<Output = ()>>> + Send + Sync>;

/// The world of a shard, for a task that no request started.
#[derive(Clone)]
pub struct Background {
    shard: Rc<ShardContext>,
    errors: ErrorLog,
}

impl Background {
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
        self.shard.draining.get()
    }

    /// Writes a line to the error log. Never waits; a full log drops it and
    /// counts.
    pub fn log(&self, line: impl Into<String>) {
        self.errors.tell(line.into());
    }
}

/// Starts the app's tasks on the current shard.
pub(crate) fn start(tasks: &[BackgroundTask], shard: &Rc<ShardContext>, errors: &ErrorLog) {
    for task in tasks {
        let world = Background {
            shard: shard.clone(),
            errors: errors.clone(),
        };
        let task = task.clone();
        engine::spawn_local(async move {
            while Guarded::new(task(world.clone())).await.is_err() {
                world.log("a background task panicked and is started again in a second");
                engine::sleep(AGAIN).await;
            }
        });
    }
}

const AGAIN: Duration = Duration::from_secs(1);
