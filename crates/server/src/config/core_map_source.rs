//! Which core map is in effect: `--core-map FILE` over `CORELANE_CORE_MAP`
//! over `core_map` in the config file, which is a section or the name of a
//! file. One map is taken as a whole; `--shards`, `--engine` and the variables
//! of single keys then change it.

use std::path::Path;

use toml::de::DeValue;

use super::core_map::{self, CORE_MAP_KEYS, CoreMapError, ParsedCoreMap};
use super::error::{ConfigError, Origin};
use super::file::Document;
use super::knob::variable_of;
use super::knobs::{self, CORE_MAP_SECTION};
use super::loading::{CORE_MAP_FLAG, Environment, Loading};

/// Puts the core map in effect into `loading`.
pub(super) fn apply(
    loading: &mut Loading,
    document: Option<&Document>,
    environment: &Environment,
    flags: &[(&'static str, String)],
) {
    let flag = flags.iter().find(|(flag, _)| *flag == CORE_MAP_FLAG);
    if let Some((_, file)) = flag {
        return apply_file(loading, Path::new(file));
    }
    if let Some(file) = environment.get(&variable_of(CORE_MAP_FLAG)) {
        return apply_file(loading, Path::new(file));
    }
    if let Some(document) = document {
        apply_document(loading, document);
    }
}

/// A file of its own.
fn apply_file(loading: &mut Loading, path: &Path) {
    if let Some(document) = loading.read(path) {
        let parsed = core_map::parse(document.text(), &path.to_string_lossy());
        take(loading, path, parsed);
    }
}

/// `core_map` of the config file.
fn apply_document(loading: &mut Loading, document: &Document) {
    // A file that is not TOML was already refused.
    let Some(root) = document.root(&mut Vec::new()) else {
        return;
    };
    let Some(value) = root.get(CORE_MAP_SECTION) else {
        return;
    };
    match value.get_ref() {
        DeValue::String(file) => apply_file(loading, Path::new(file.as_ref())),
        DeValue::Table(_) => {
            let path = document.path();
            let parsed = core_map::parse_section(document.text(), &path.to_string_lossy());
            take(loading, path, parsed);
        }
        _ => loading.refuse(
            document.origin(value.span().start),
            "core_map is neither a section nor the name of a file".to_owned(),
            "write a [core_map] section, or core_map = \"/etc/corelane/core-map.toml\"".to_owned(),
        ),
    }
}

fn take(loading: &mut Loading, path: &Path, parsed: Result<ParsedCoreMap, CoreMapError>) {
    let at = |line| Origin::File {
        path: path.to_owned(),
        line,
    };
    match parsed {
        Ok(parsed) => {
            for key in CORE_MAP_KEYS {
                if let (Some(line), Some(knob)) = (first_line(&parsed, key), knob_of(key)) {
                    loading.origins.insert(knob, at(Some(line)));
                }
            }
            loading.config.core_map = parsed.options.clone();
            loading.core_map = parsed;
        }
        Err(CoreMapError {
            line, what, cure, ..
        }) => {
            loading.push(ConfigError {
                origin: at(line),
                what,
                cure,
            });
        }
    }
}

fn first_line(parsed: &ParsedCoreMap, key: &str) -> Option<usize> {
    parsed
        .line_of(key)
        .or_else(|| parsed.line_of(&format!("{key}[0]")))
}

/// The knob of a key of a core map, as a placement error names it:
/// `shards[3].core` chooses cores like `cores` does.
pub(super) fn knob_of(key: &str) -> Option<&'static str> {
    let key = match key.split(['[', '.']).next() {
        Some("shards") | None => "cores",
        Some(key) => key,
    };
    knobs::find(&format!("{CORE_MAP_SECTION}.{key}")).map(|knob| knob.name)
}
