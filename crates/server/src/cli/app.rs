//! The shipped application as `corelane serve` serves it: the API and its
//! neighbours, and static files.

use std::path::PathBuf;
use std::sync::Arc;

use super::failure::Failure;
use super::first_start;
use crate::config::{Config, ConfigError, ConfigErrors, CorsOptions, Loaded, Origin};
use crate::handlers;
use crate::handlers::ApiOptionsError;
use crate::store::Database;
use corelane::static_files::{self, StaticError, StaticFiles, StaticOptions};
use corelane::{App, Error};

/// Builds the application; every shard makes its own state from it.
pub(super) fn build(config: &Config, database: Arc<Database>) -> Result<App, Failure> {
    let app = handlers::app(config.api.clone(), database)
        .map_err(|error| Failure::with_cure_inside("the API cannot be built", error))?;
    let limits = config.rate_limit.rules();
    let limits = limits
        .map_err(|error| Failure::with_cure_inside("the rate limits cannot be used", error))?;
    let compression = config.compression.middleware();
    let compression = compression
        .map_err(|error| Failure::with_cure_inside("answers cannot be compressed", error))?;
    let cors = config.cors.middleware();
    let cors =
        cors.map_err(|error| Failure::with_cure_inside("other sites cannot be let in", error))?;
    // Outermost, so that pages can read what the others answer.
    let app = match cors {
        Some(cors) => app.middleware(cors),
        None => app,
    };
    let app = match config.compression.enabled {
        true => app.middleware(compression),
        false => app,
    };
    let options = config.static_files.clone();
    Ok(app
        .rate_limits(limits)
        .state(move |_| {
            let options = options.clone();
            async move { StaticFiles::new(options).map_err(Error::from) }
        })
        .redis(config.redis.clone())
        .get("/static", static_files::serve)
        .get("/static/", static_files::serve)
        .get("/static/{*path}", static_files::serve)
        .admin(handlers::admin::app(&config.api.health)))
}

/// Checks the options as the handlers will, while they can still be traced to
/// a line, a variable or a flag.
pub(super) fn check(loaded: &Loaded) -> Result<(), Failure> {
    let refuse = |knob: &str, error: &dyn std::fmt::Display| {
        let origin = loaded.origin(knob);
        let what = format!("{knob} cannot be used");
        ConfigErrors(vec![ConfigError {
            origin,
            what,
            cure: error.to_string(),
        }])
    };
    let api = &loaded.config.api;
    handlers::check(api).map_err(|error| refuse(&knob_of(&error), &error))?;
    if let Err(error) = loaded.config.compression.middleware() {
        return Err(refuse("compression.types", &error).into());
    }
    if let Err(error) = loaded.config.cors.middleware() {
        return Err(refuse(CorsOptions::key_of(&error), &error).into());
    }
    // Only checked: for that the files need not be read.
    let mut options = StaticOptions {
        fingerprints: false,
        ..loaded.config.static_files.clone()
    };
    if first_start::makes_static(&loaded.config) && !options.root.exists() {
        // It will be made; the other options can be checked all the same.
        options = StaticOptions {
            root: PathBuf::from("."),
            ..options
        };
    }
    match StaticFiles::new(options) {
        Ok(_) => Ok(()),
        Err(error) => {
            let given = |knob: &&&str| loaded.origin(knob) != Origin::Default;
            let knobs = knobs_of(&error);
            let knob = knobs.iter().find(given).unwrap_or(&knobs[0]);
            Err(refuse(knob, &error).into())
        }
    }
}

/// The knob an error of the API comes from. Of a cache only the size can be
/// wrong, and each has its own.
fn knob_of(error: &ApiOptionsError) -> String {
    match error {
        ApiOptionsError::CacheControl(_) => "api.cache_control".to_owned(),
        ApiOptionsError::RedisCache(_) => "api.redis_cache".to_owned(),
        ApiOptionsError::Tombstone { .. } => "cache.redis_tombstone_ms".to_owned(),
        ApiOptionsError::Cache(error) => format!("cache.{}_bytes_max", error.cache()),
        ApiOptionsError::Session(error) => format!("session.{}", error.field),
    }
}

/// The knobs an error can come from; never none.
fn knobs_of(error: &StaticError) -> &'static [&'static str] {
    match error {
        StaticError::Root { .. } | StaticError::NoOpenBeneath => &["static.root"],
        StaticError::CacheRule(_) => &["static.cache_control"],
        StaticError::Index(_) => &["static.index"],
        StaticError::CdnUrl(_) => &["static.cdn_url"],
        // The program's own.
        StaticError::Mount(_) => &["static.root"],
        StaticError::CacheSize { .. } => &["static.cached_file_bytes_max", "static.cache_bytes"],
    }
}
