//! The app's Redis: how it is given, and the ways to it.

use super::{App, AppError, Background, Ctx};
use crate::redis::{Redis, RedisOptions};

impl App {
    /// Gives the app a Redis, which handlers reach with
    /// [`Ctx::redis`](super::Ctx::redis): one connection on every shard. The
    /// server starts and works without it, and connects when it can. Options
    /// without a URL are no Redis.
    #[must_use]
    pub fn redis(mut self, options: RedisOptions) -> Self {
        match &self.redis {
            Some(_) => self.faults.push(AppError::RedisTwice),
            None if options.url.is_empty() => {}
            None => {
                self.redis = Some(options);
                self.checks.push(check_address);
            }
        }
        self
    }
}

fn check_address(app: &App) -> Result<(), AppError> {
    let checked = app.redis.as_ref().map(|options| options.url.check());
    checked.transpose().map(drop).map_err(AppError::Redis)
}

impl Ctx {
    /// The app's Redis, from this shard; `None` when
    /// [`App::redis`](super::App::redis) gave it none. That it is there does
    /// not mean that the server answers.
    pub fn redis(&self) -> Option<Redis> {
        self.shard.redis.clone()
    }
}

impl Background {
    /// The shard's Redis; `None` when the app has none.
    #[must_use]
    pub fn redis(&self) -> Option<Redis> {
        self.shard.redis.clone()
    }
}
