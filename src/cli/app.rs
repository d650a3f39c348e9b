//! The shipped application as `corelane serve` serves it: the API, health,
//! metrics, static files and the page that lists them.

use std::sync::Arc;

use super::failure::Failure;
use crate::config::Config;
use crate::handlers::static_files::{self, StaticFiles};
use crate::handlers::{self, health, index, metrics};
use crate::store::Database;
use crate::{App, Error};

/// Builds the application; every shard makes its own state from it.
pub(super) fn build(config: &Config, database: Arc<Database>) -> Result<App, Failure> {
    check(config)?;
    let app = handlers::app(config.api.clone(), database)
        .map_err(|error| Failure::usage(error, "right it in the section [api.cache_control]"))?;
    let static_options = config.static_files.clone();
    Ok(health::install(app, &config.health)
        .get("/", index::index)
        .get("/metrics", metrics::metrics)
        .state(move |_| {
            let options = static_options.clone();
            async move { StaticFiles::new(options).map_err(Error::from) }
        })
        .get("/static/", static_files::serve)
        .get("/static/{*path}", static_files::serve))
}

/// Checks what a shard would otherwise find out at its start.
///
/// # Errors
/// What is wrong with the options, named as the operator wrote them.
pub(super) fn check(config: &Config) -> Result<(), Failure> {
    if !config.static_files.root.starts_with(&config.data_dir) {
        StaticFiles::new(config.static_files.clone())
            .map_err(|error| Failure::usage("static files cannot be served", error))?;
    }
    Ok(())
}
