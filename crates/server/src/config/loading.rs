//! A configuration while it is loaded: what is read so far, who gave it, and
//! what is wrong with it.

use std::collections::BTreeMap;
use std::path::Path;

use super::Config;
use super::core_map::ParsedCoreMap;
use super::error::{ConfigError, Origin};
use super::file::Document;

/// A configuration being loaded.
#[derive(Default)]
pub(super) struct Loading {
    pub(super) config: Config,
    pub(super) origins: BTreeMap<&'static str, Origin>,
    pub(super) core_map: ParsedCoreMap,
    pub(super) errors: Vec<ConfigError>,
    pub(super) warnings: Vec<String>,
}

impl Loading {
    /// Who gave a knob its value.
    pub(super) fn origin(&self, name: &str) -> Origin {
        self.origins.get(name).cloned().unwrap_or(Origin::Default)
    }

    pub(super) fn refuse(&mut self, origin: Origin, what: String, cure: String) {
        self.errors.push(ConfigError { origin, what, cure });
    }

    pub(super) fn push(&mut self, error: ConfigError) {
        self.errors.push(error);
    }

    /// Reads a file of TOML; `None` and an error if it cannot be.
    pub(super) fn read(&mut self, path: &Path) -> Option<Document> {
        match Document::read(path) {
            Ok(document) => Some(document),
            Err(error) => {
                self.errors.push(error);
                None
            }
        }
    }
}

/// Variables of corelane by name.
pub(super) type Environment = BTreeMap<String, String>;

/// The flag that names the config file; it has no key in it.
pub(crate) const CONFIG_FLAG: &str = "config";
/// The flag and top-level key that name a core map file.
pub(crate) const CORE_MAP_FLAG: &str = "core-map";
