//! The shipped application: the users and posts API and its neighbours,
//! written on the public API of [`crate::app`] like any user's code.
//!
//! Modules with routes have an `install` that adds them, and a `CACHE_CONTROL`
//! where an operator may change it; [`app`] puts them together. The others are
//! what the handlers share: reading (`query`, `validate`, `page`, `cursor`),
//! answering (`json`, `cached`, `conditional`, `cache_control`, `store_fault`).

pub mod admin;
pub mod health;
pub mod index;
pub mod metrics;
pub mod posts;
pub mod resource;
pub mod static_files;
pub mod users;

pub mod cache_control;
pub mod cached;
pub mod conditional;
pub mod cursor;
pub mod json;
pub mod page;
pub mod query;
pub mod store_fault;
pub mod validate;

use std::sync::Arc;

use cache_control::{CacheControl, CacheControlError};
use health::HealthOptions;

use crate::App;
use crate::store::Database;

/// What an operator may say about the shipped application.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ApiOptions {
    /// Of `/health` and its neighbours.
    pub health: HealthOptions,
    /// `Cache-Control` by route pattern, such as `/api/users/{id}`, instead of
    /// the defaults; an empty value sends none. Default: none given.
    pub cache_control: Vec<(String, String)>,
    /// Of its caches.
    pub cache: cached::ApiCacheOptions,
}

/// The shipped application over this database.
///
/// # Errors
/// When `options.cache_control` names a route there is none of, names one
/// twice, or has a value no header may have.
pub fn app(options: ApiOptions, database: Arc<Database>) -> Result<App, CacheControlError> {
    // Checked here, where the operator sees it; built on each shard.
    check(&options)?;
    let configured = options.cache_control;
    let app = cached::install(App::new(), &options.cache)
        .state(move |_| {
            let database = database.clone();
            async move { database.connect().map_err(store_fault::store_fault) }
        })
        .state(move |_| {
            let policies = CacheControl::new(&default_cache_control(), &configured);
            async move { Ok(policies?) }
        });
    let app = app.get("/", index::index).get("/metrics", metrics::metrics);
    let app = health::install(app, &options.health);
    Ok(install_cacheable(app))
}

/// Checks options as [`app`] does.
///
/// # Errors
/// As [`app`].
pub fn check(options: &ApiOptions) -> Result<(), CacheControlError> {
    CacheControl::new(&default_cache_control(), &options.cache_control).map(drop)
}

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
    fn the_routes_do_not_conflict() {
        install_cacheable(App::new()).compile().unwrap();
    }
}
