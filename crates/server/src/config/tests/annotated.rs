//! The annotated `tuning/server.toml` against the code.

use super::*;
use crate::config::core_map::CORE_MAP_KEYS;

/// `corelane config --defaults > tuning/server.toml` rights it.
#[test]
fn the_annotated_file_is_what_the_code_writes() {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tuning/server.toml");
    let text = std::fs::read_to_string(file).unwrap();
    let written = annotate(&Config::default(), None);
    let first_difference = text
        .lines()
        .zip(written.lines())
        .find(|(file, code)| file != code);
    assert_eq!(
        first_difference, None,
        "run: corelane config --defaults > tuning/server.toml"
    );
    assert_eq!(text, written);
}

#[test]
fn the_annotated_file_equals_the_defaults_and_names_every_knob() {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tuning/server.toml");
    let loaded = load(&Sources {
        file: Some(file.into()),
        ..Sources::default()
    })
    .unwrap();
    let mut defaults = Config::default();
    defaults.resolve();
    assert_eq!(loaded.config, defaults);
    for knob in knobs() {
        assert!(
            loaded.origins.contains_key(knob.name),
            "{} is not in the file",
            knob.name
        );
    }
}

#[test]
fn every_key_of_a_core_map_is_a_knob() {
    for key in CORE_MAP_KEYS.into_iter().filter(|key| *key != "shards") {
        assert!(
            knobs().any(|knob| knob.name == format!("core_map.{key}")),
            "{key}"
        );
    }
}

/// Fields that no operator sets: they follow from other settings, or from the
/// number of shards, or from the routes.
const DERIVED_FIELDS: &[&str] = &[
    "admin",
    "require_io_uring",
    "lane_messages",
    "cache_doubt_ms",
    "doubt_ms",
    "shards",
    // Where the program routes them.
    "mount",
];

/// The `Debug` form of the defaults names every field of every `Options`; one
/// without a knob would be a setting nobody can change.
#[test]
fn every_field_of_the_options_has_a_knob() {
    let debug = format!("{:#?}", Config::default());
    let leaf = |line: &str| {
        let (name, value) = line.trim().split_once(": ")?;
        let is_name = name.chars().all(|c| c.is_ascii_lowercase() || c == '_');
        let is_leaf = !value.ends_with(" {") || value.starts_with("Sqlite");
        (is_name && is_leaf).then(|| name.to_owned())
    };
    let renamed = |name: &str| match name {
        "data_dir" => "data".to_owned(),
        // The store's URL is a variant with a path in it.
        "path" => "url".to_owned(),
        name => name.to_owned(),
    };
    let leaves: Vec<_> = debug
        .lines()
        .filter_map(leaf)
        .map(|name| renamed(&name))
        .collect();
    assert!(leaves.len() > 30, "{leaves:?}");
    for name in leaves
        .iter()
        .filter(|name| !DERIVED_FIELDS.contains(&name.as_str()))
    {
        assert!(knobs().any(|knob| knob.key() == name), "{name} has no knob");
    }
}
