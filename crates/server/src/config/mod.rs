//! What corelane is started with: flag over environment variable over config
//! file over default.
//!
//! Reads once, before any thread starts; nothing below this floor reads TOML,
//! argv or the environment. Every setting is one [`Knob`], stated once in
//! `knobs/`, from which the annotated file, `--help`, the variables and the
//! messages are made. The values land in the `Options` of the floors below.

mod access_log;
mod admin;
mod annotate;
mod check;
mod compression;
pub mod core_map;
mod core_map_source;
mod cors;
mod error;
mod file;
mod knob;
mod knobs;
pub mod limits;
mod load;
mod loading;
mod rate_limit;
mod valid;
mod value;

#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};

pub use access_log::AccessLogOptions;
pub use admin::{AdminListener, AdminToken};
pub use annotate::annotate;
pub use compression::CompressionOptions;
pub use cors::CorsOptions;
pub use error::{ConfigError, ConfigErrors, Origin};
pub use knob::Knob;
pub use knobs::all as knobs;
pub use load::{Loaded, Sources, load};
pub use rate_limit::{RateLimitOptions, RuleTexts};
pub use valid::Valid;

pub(crate) use loading::CORE_MAP_FLAG;

use crate::handlers::{ApiOptions, default_cache_control};
use crate::store::{StoreOptions, StoreUrl};
use corelane::internals::topology::{CoreMapOptions, CoreSelection, EngineKind};
use corelane::redis::RedisOptions;
use corelane::server::ServerOptions;
use corelane::static_files::StaticOptions;

/// Everything an operator may change.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// Folder of everything corelane keeps.
    pub data_dir: PathBuf,
    /// Leave an empty store empty.
    pub no_demo: bool,
    /// The process, its connections and requests.
    pub server: ServerOptions,
    /// The listener for an operator.
    pub admin: AdminListener,
    /// Which cores get shards.
    pub core_map: CoreMapOptions,
    /// The database behind the API.
    pub store: StoreOptions,
    /// Redis, if the application has one.
    pub redis: RedisOptions,
    /// Files served under `/static/`.
    pub static_files: StaticOptions,
    /// How often each client may ask; what it takes to count them is in
    /// `server`.
    pub rate_limit: RateLimitOptions,
    /// Pages of other sites.
    pub cors: CorsOptions,
    /// Compressed answers.
    pub compression: CompressionOptions,
    /// One line per request.
    pub access_log: AccessLogOptions,
    /// The users and posts API and the health endpoints.
    pub api: ApiOptions,
}

impl Default for Config {
    /// What `tuning/server.toml` says; [`DATA_PLACEHOLDER`] is not resolved.
    fn default() -> Self {
        let in_data = |name: &str| Path::new(DATA_PLACEHOLDER).join(name);
        Self {
            data_dir: PathBuf::from("./data"),
            no_demo: false,
            server: ServerOptions::default(),
            admin: AdminListener::default(),
            core_map: CoreMapOptions::default(),
            store: StoreOptions::sqlite(in_data("corelane.db")),
            redis: RedisOptions::default(),
            static_files: StaticOptions {
                root: in_data("static"),
                ..StaticOptions::default()
            },
            rate_limit: RateLimitOptions::default(),
            cors: CorsOptions::default(),
            compression: CompressionOptions::default(),
            access_log: AccessLogOptions::default(),
            api: ApiOptions {
                cache_control: route_defaults().collect(),
                ..ApiOptions::default()
            },
        }
    }
}

impl Config {
    /// Puts the data folder where [`DATA_PLACEHOLDER`] stands, and fills in
    /// what follows from other settings.
    fn resolve(&mut self) {
        let data_dir = &self.data_dir;
        let resolve = |path: &mut PathBuf| {
            if let Ok(rest) = path.strip_prefix(DATA_PLACEHOLDER) {
                *path = data_dir.join(rest);
            }
        };
        if let StoreUrl::Sqlite { path } = &mut self.store.url {
            resolve(path);
        }
        resolve(&mut self.static_files.root);
        let policies = &mut self.api.cache_control;
        for (route, value) in route_defaults() {
            if !policies.iter().any(|(given, _)| *given == route) {
                policies.push((route, value));
            }
        }
        self.rate_limit.resolve();
        self.server.admin = self.admin.options();
        let store_waits_ms = match self.store.url {
            StoreUrl::Sqlite { .. } => self.store.busy_timeout_ms,
            StoreUrl::Postgres(_) => self.store.database.deadline_ms,
        };
        let doubt_ms = &mut self.server.cache_doubt_ms;
        *doubt_ms = (*doubt_ms).max(store_waits_ms.saturating_add(STORE_WRITE_GRACE_MS));
        self.api.cache.doubt_ms = *doubt_ms;
        self.server.require_io_uring = insists_on_io_uring(&self.core_map);
    }
}

/// `Cache-Control` of every route that has one, as text.
fn route_defaults() -> impl Iterator<Item = (String, String)> {
    let owned = |(route, value): (&str, &str)| (route.to_owned(), value.to_owned());
    default_cache_control().into_iter().map(owned)
}

/// Whether epoll in the place of io_uring would not be what was asked for.
fn insists_on_io_uring(core_map: &CoreMapOptions) -> bool {
    let is_io_uring = |engine| engine == Some(EngineKind::IoUring);
    let by_shard = match &core_map.cores {
        CoreSelection::Shards(shards) => shards.iter().any(|shard| is_io_uring(shard.engine)),
        _ => false,
    };
    by_shard || is_io_uring(core_map.engine)
}

/// What a write may take beside waiting for the store's locks.
const STORE_WRITE_GRACE_MS: u64 = 5_000;

/// Stands for the data folder at the start of other paths.
pub const DATA_PLACEHOLDER: &str = "{data}";
