//! The shipped application as `corelane serve` serves it: the API and its
//! neighbours, and static files.

use std::sync::Arc;

use super::failure::Failure;
use crate::config::Config;
use crate::handlers::cache_control::CacheControlError;
use crate::handlers::static_files::{self, StaticFiles};
use crate::store::Database;
use crate::{App, Error, handlers};

/// Builds the application; every shard makes its own state from it.
pub(super) fn build(config: &Config, database: Arc<Database>) -> Result<App, Failure> {
    check_static(config)?;
    let app = handlers::app(config.api.clone(), database).map_err(bad_policy)?;
    let options = config.static_files.clone();
    Ok(app
        .state(move |_| {
            let options = options.clone();
            async move { StaticFiles::new(options).map_err(Error::from) }
        })
        .get("/static/", static_files::serve)
        .get("/static/{*path}", static_files::serve))
}

/// Checks what a shard would otherwise find out at its start.
pub(super) fn check_static(config: &Config) -> Result<(), Failure> {
    StaticFiles::new(config.static_files.clone())
        .map(drop)
        .map_err(|error| Failure::usage("static files cannot be served", error))
}

fn bad_policy(error: CacheControlError) -> Failure {
    Failure::usage(error, "right it in the section [api.cache_control]")
}
