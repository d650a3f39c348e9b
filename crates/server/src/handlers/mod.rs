//! The shipped application: the users and posts API and its neighbours,
//! written on the public API of [`corelane::internals::app`] like any user's code.
//!
//! Modules with routes have an `install` that adds them, and a `CACHE_CONTROL`
//! where an operator may change it; [`app`] puts them together. The others are
//! what the handlers share: reading (`query`, `validate`, `page`, `cursor`),
//! answering (`json`, `cached`, `conditional`, `cache_control`, `store_fault`).

pub mod admin;
pub mod cache_admin;
pub mod health;
pub mod index;
pub mod metrics;
pub mod posts;
pub mod redis_cache;
pub mod resource;
pub mod session;
pub mod users;

pub mod cache_control;
pub mod cached;
mod changes;
pub mod conditional;
pub mod cursor;
pub mod json;
pub mod limits;
mod list_key;
mod named_list;
pub mod page;
pub mod query;
pub mod store_fault;
pub mod validate;

use std::fmt;
use std::sync::Arc;

use cache_control::{CacheControl, CacheControlError};
use health::HealthOptions;
use redis_cache::{RedisRoutes, RedisRoutesError};

use crate::store::{Database, Store};
use corelane::cache::CacheOptionsError;
use corelane::session::{SessionOptions, SessionOptionsError};
use corelane::{App, Background, Feed};

/// What an operator may say about the shipped application.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ApiOptions {
    /// Of `/health` and its neighbours.
    pub health: HealthOptions,
    /// `Cache-Control` by route pattern, such as `/api/users/{id}`, instead of
    /// the defaults; an empty value sends none. Default: none given.
    pub cache_control: Vec<(String, String)>,
    /// Routes that keep their answers in Redis, by pattern, with how long, such
    /// as `60s`. Default: none.
    pub redis_cache: RedisRoutes,
    /// Of its caches.
    pub cache: cached::ApiCacheOptions,
    /// Of its sessions.
    pub session: SessionOptions,
}

/// The shipped application over this database.
///
/// # Errors
/// [`ApiOptionsError`]: when `options.cache_control` names a route there is
/// none of, names one twice, or has a value no header may have; when a cache
/// of `options.cache` cannot be made; when `options.session` cannot be meant.
pub fn app(options: ApiOptions, database: Arc<Database>) -> Result<App, ApiOptionsError> {
    // Checked here, where the operator sees it; built on each shard.
    check(&options)?;
    let configured = options.cache_control;
    let app = match database.tells_changes() {
        true => App::new().feed(Feed::new()).daemon(changes::follow),
        false => App::new(),
    };
    let policies = CacheControl::new(&default_cache_control(), &configured)?;
    let identity = database.identity();
    let app = cached::install(app, &options.cache, &identity)
        .state(move |_| {
            let database = database.clone();
            async move { database.connect().map_err(store_fault::store_fault) }
        })
        .on_shard_end(async |shard: Background| {
            if let Some(store) = shard.state::<Store>() {
                store.leave().await;
            }
        })
        .state(move |_| {
            let policies = CacheControl::new(&default_cache_control(), &configured);
            async move { Ok(policies?) }
        });
    let app = app.get("/", index::index).get("/metrics", metrics::metrics);
    let app = health::install(app, &options.health);
    let prefix = format!("{}:{identity}", options.cache.redis_prefix);
    let app = session::install(app, &options.session).session_key_prefix(prefix.clone());
    let app = install_cacheable(app);
    Ok(options.redis_cache.install(app, &policies, &prefix)?)
}

/// Checks options as [`app`] does.
///
/// # Errors
/// As [`app`].
pub fn check(options: &ApiOptions) -> Result<(), ApiOptionsError> {
    options.session.check()?;
    let policies = CacheControl::new(&default_cache_control(), &options.cache_control)?;
    options.redis_cache.check(&policies)?;
    let cache = &options.cache;
    if cache.redis_tombstone_ms > cache.redis_ttl_ms {
        return Err(ApiOptionsError::Tombstone {
            tombstone_ms: cache.redis_tombstone_ms,
            ttl_ms: cache.redis_ttl_ms,
        });
    }
    Ok(cache.check()?)
}

/// Options of the shipped application that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ApiOptionsError {
    /// In [`ApiOptions::cache_control`].
    CacheControl(CacheControlError),
    /// In [`ApiOptions::redis_cache`].
    RedisCache(RedisRoutesError),
    /// In [`ApiOptions::cache`].
    Cache(CacheOptionsError),
    /// In [`ApiOptions::session`].
    Session(SessionOptionsError),
    /// In [`ApiOptions::cache`]: what is written there must outlive a tombstone,
    /// in whose place it is put.
    Tombstone {
        /// `redis_tombstone_ms`.
        tombstone_ms: u64,
        /// `redis_ttl_ms`.
        ttl_ms: u64,
    },
}

impl From<RedisRoutesError> for ApiOptionsError {
    fn from(error: RedisRoutesError) -> Self {
        Self::RedisCache(error)
    }
}

impl From<CacheControlError> for ApiOptionsError {
    fn from(error: CacheControlError) -> Self {
        Self::CacheControl(error)
    }
}

impl From<CacheOptionsError> for ApiOptionsError {
    fn from(error: CacheOptionsError) -> Self {
        Self::Cache(error)
    }
}

impl From<SessionOptionsError> for ApiOptionsError {
    fn from(error: SessionOptionsError) -> Self {
        Self::Session(error)
    }
}

impl fmt::Display for ApiOptionsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::CacheControl(error) => error.fmt(f),
            Self::RedisCache(error) => error.fmt(f),
            Self::Cache(error) => error.fmt(f),
            Self::Session(error) => error.fmt(f),
            Self::Tombstone {
                tombstone_ms,
                ttl_ms,
            } => write!(
                f,
                "cache.redis_tombstone_ms is {tombstone_ms}, over cache.redis_ttl_ms, {ttl_ms}; \
                 give cache.redis_ttl_ms at least {tombstone_ms}"
            ),
        }
    }
}

impl std::error::Error for ApiOptionsError {}

/// The routes whose `Cache-Control` can be configured; a module that joins
/// them has its defaults below.
fn install_cacheable(app: App) -> App {
    let app = users::install(app);
    let app = posts::install(app);
    resource::install(app)
}

/// The `Cache-Control` of every route that has one, by pattern.
pub(crate) fn default_cache_control() -> Vec<(&'static str, &'static str)> {
    [
        users::CACHE_CONTROL,
        posts::CACHE_CONTROL,
        resource::CACHE_CONTROL,
    ]
    .concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_get_route_has_a_cache_policy_and_every_policy_a_route() {
        let routes = format!("{:?}", install_cacheable(App::new()));
        let defaults = default_cache_control();
        for (pattern, _) in &defaults {
            assert!(routes.contains(&format!("(GET, {pattern:?})")), "{pattern}");
        }
        assert_eq!(routes.matches("(GET, ").count(), defaults.len());
        CacheControl::new(&defaults, &[]).unwrap();
    }

    #[test]
    fn a_cache_that_cannot_be_made_is_told() {
        let mut options = ApiOptions::default();
        check(&options).unwrap();
        options.cache.lists_bytes_max = 1;
        let ApiOptionsError::Cache(error) = check(&options).unwrap_err() else {
            panic!("of another kind");
        };
        assert_eq!(error.cache(), cached::LISTS_CACHE);
    }

    #[test]
    fn the_routes_do_not_conflict() {
        install_cacheable(App::new()).check().unwrap();
    }
}
