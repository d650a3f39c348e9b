//! Whole configurations: who wins, what each mistake is told, and that the
//! annotated file says what the code does.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use super::core_map::CORE_MAP_KEYS;
use super::*;
use crate::access_log::LogFormat;
use crate::limits::CONFIG_BYTES_MAX;
use crate::log_sink::LogTarget;
use crate::topology::Machine;

/// A folder with a config file in it, and what else is given.
struct Case {
    folder: tempfile::TempDir,
    sources: Sources,
}

impl Case {
    fn new(toml: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("server.toml");
        std::fs::write(&file, toml).unwrap();
        Self {
            folder,
            sources: Sources {
                file: Some(file),
                ..Sources::default()
            },
        }
    }

    fn variable(mut self, name: &str, value: &str) -> Self {
        self.sources.environment.push((name.into(), value.into()));
        self
    }

    fn flag(mut self, name: &'static str, value: &str) -> Self {
        self.sources.flags.push((name, value.to_owned()));
        self
    }

    fn write(&self, name: &str, text: &str) -> String {
        let path = self.folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.to_string_lossy().into_owned()
    }

    fn load(&self) -> Loaded {
        load(&self.sources).unwrap_or_else(|errors| panic!("{errors}"))
    }

    fn config(&self) -> Config {
        self.load().config
    }

    /// The errors, without the folder in them.
    fn errors(&self) -> String {
        let text = load(&self.sources)
            .expect_err("must be refused")
            .to_string();
        text.replace(&format!("{}/", self.folder.path().display()), "")
    }
}

#[track_caller]
fn assert_refused(toml: &str, expected: &str) {
    assert_eq!(Case::new(toml).errors(), expected, "of\n{toml}");
}

#[test]
fn flag_wins_over_variable_over_file_over_default() {
    let listen = |case: Case| case.config().server.listen.to_string();
    let file = || Case::new("[server]\nlisten = \"127.0.0.1:1\"\n");
    assert_eq!(listen(Case::new("")), "127.0.0.1:3000");
    assert_eq!(listen(file()), "127.0.0.1:1");
    let variable = || file().variable("CORELANE_LISTEN", "127.0.0.1:2");
    assert_eq!(listen(variable()), "127.0.0.1:2");
    assert_eq!(
        listen(variable().flag("listen", "127.0.0.1:3")),
        "127.0.0.1:3"
    );
}

#[test]
fn origins_say_who_gave_what() {
    let loaded = Case::new("\n[http]\nheaders_max = 50\n[core_map]\nspin_us = 5\n")
        .variable("CORELANE_HTTP_BACKLOG", "9")
        .flag("no-demo", "true")
        .load();
    let origin = |name: &str| {
        let origin = loaded
            .origins
            .get(name)
            .unwrap_or(&Origin::Default)
            .to_string();
        origin.rsplit('/').next().unwrap().to_owned()
    };
    assert_eq!(origin("http.headers_max"), "server.toml:3");
    assert_eq!(origin("core_map.spin_us"), "server.toml:5");
    assert_eq!(origin("http.backlog"), "CORELANE_HTTP_BACKLOG");
    assert_eq!(origin("server.no_demo"), "--no-demo");
    assert_eq!(origin("server.listen"), "default");
    assert!(
        annotate(&loaded.config, Some(&loaded.origins))
            .contains("# from: --no-demo\nno_demo = true\n")
    );
}

#[test]
fn every_section_reaches_its_options() {
    let case = Case::new(
        r#"
        [server]
        data = "/srv/c"
        request_id = "always"
        [http]
        body_bytes_max = 0x100000
        [core_map]
        cores = "0-1"
        engine = "io_uring"
        [store]
        cache_kib = 1_024
        durable = false
        [static]
        index = ""
        [static.cache_control]
        "z*" = "no-store"
        "a*" = "no-cache"
        [access_log]
        format = "json"
        target = "/var/log/c.log"
        [health]
        store_timeout_ms = 7
        [api.cache_control]
        "/resource" = ""
        "#,
    );
    let config = case.config();
    assert_eq!(
        config.server.request_id,
        crate::server::RequestIdMode::Always
    );
    assert_eq!(config.server.http.body_bytes_max, 1_048_576);
    assert_eq!(config.core_map.cores.to_string(), "0-1");
    assert!(
        config.server.require_io_uring,
        "named, io_uring is insisted on"
    );
    assert_eq!(config.store.url.to_string(), "sqlite:/srv/c/corelane.db");
    assert_eq!(
        (config.store.cache_kib, config.store.durable),
        (1_024, false)
    );
    assert_eq!(config.static_files.root, Path::new("/srv/c/static"));
    assert_eq!(config.static_files.index, None);
    let rules = [("z*", "no-store"), ("a*", "no-cache")].map(|(p, v)| (p.into(), v.into()));
    assert_eq!(
        config.static_files.cache_control, rules,
        "in the order written"
    );
    assert_eq!(config.access_log.format, Some(LogFormat::Json));
    assert_eq!(
        config.access_log.target,
        LogTarget::File("/var/log/c.log".into())
    );
    assert_eq!(config.api.health.store_timeout_ms, 7);
    assert_eq!(
        config.api.cache_control[0],
        ("/resource".to_owned(), String::new())
    );
    assert_eq!(
        config.api.cache_control.len(),
        route_defaults().count(),
        "the others stay"
    );
}

#[test]
fn keys_that_are_not_known_are_refused_with_the_nearest() {
    assert_refused(
        "[http]\nidle_timeout = 5\n",
        "server.toml:2: unknown key `http.idle_timeout`\n  \
         cure: did you mean `http.idle_timeout_ms`? (section [http])",
    );
    assert_refused(
        "# a\n\nlisten = \"127.0.0.1:1\"\n",
        "server.toml:3: unknown key `listen`\n  \
         cure: did you mean `server.listen`? (section [server])",
    );
    assert_refused(
        "[sever]\nlisten = \"127.0.0.1:1\"\n",
        "server.toml:1: unknown key `sever`\n  cure: did you mean the section [server]?",
    );
    assert_refused(
        "[store]\nturbo = true\n",
        "server.toml:2: unknown key `store.turbo`\n  \
         cure: take it out; `corelane config` lists every key",
    );
    assert_refused(
        "http = 5\n",
        "server.toml:1: `http` is a section, not a key\n  cure: write it as a heading: [http]",
    );
    assert_refused(
        "[core_map]\ncore = \"2-4\"\n",
        "server.toml:2: unknown key `core`\n  cure: did you mean `cores`?",
    );
}

#[test]
fn values_that_do_not_fit_are_refused_with_their_line_and_what_would() {
    for (toml, expected) in [
        (
            "[http]\n\nheaders_max = \"many\"\n",
            "server.toml:3: http.headers_max is \"many\", a string\n  \
             cure: give a whole number from 8 to 1000, in header lines",
        ),
        (
            "[http]\nheaders_max = 5\n",
            "server.toml:2: http.headers_max is 5, out of range\n  \
             cure: give a whole number from 8 to 1000, in header lines",
        ),
        (
            "[access_log]\nformat = \"xml\"\n",
            "server.toml:2: access_log.format is \"xml\", which is not valid\n  \
             cure: give \"off\", \"text\" or \"json\"",
        ),
        (
            "server.listen = \"localhost\"\n",
            "server.toml:1: server.listen is \"localhost\", which is not valid\n  \
             cure: give an address and a port such as \"0.0.0.0:3000\" or \"[::]:3000\"",
        ),
        (
            "[server]\nno_demo = \"maybe\"\n",
            "server.toml:2: server.no_demo is \"maybe\", a string\n  cure: give true or false",
        ),
        (
            "[store]\nurl = \"mysql://joe:hunter2@db\"\n",
            "server.toml:2: store.url is not an address corelane can use\n  \
             cure: the scheme must be sqlite, as in sqlite:./data/corelane.db",
        ),
        (
            "[static.cache_control]\n\"*\" = \"no-cache\"\n\"*.js\" = 60\n",
            "server.toml:3: static.cache_control has \"*.js\" = 60, a whole number\n  \
             cure: give lines of \"PATTERN\" = \"VALUE\"",
        ),
        (
            "static.cache_control = \"no-cache\"\n",
            "server.toml:1: static.cache_control is \"no-cache\", a string\n  \
             cure: give lines of \"PATTERN\" = \"VALUE\"",
        ),
        (
            "[core_map]\ncores = \"8-2\"\n",
            "server.toml:2: cores: the range 8-2 runs backwards; write 2-8\n  \
             cure: valid are \"all\", a count such as 4, or a list such as \"2-8,10\"",
        ),
        (
            "core_map = 5\n",
            "server.toml:1: core_map is neither a section nor the name of a file\n  \
             cure: write a [core_map] section, or core_map = \"/etc/corelane/core-map.toml\"",
        ),
    ] {
        assert_refused(toml, expected);
    }
}

#[test]
fn what_is_not_toml_is_refused_with_its_line() {
    let errors = Case::new("[server]\nlisten = \n").errors();
    assert!(
        errors.starts_with("server.toml:2: this is not TOML: "),
        "{errors}"
    );
    assert_eq!(errors.lines().count(), 2, "{errors}");
    let errors = Case::new("[http]\nheaders_max = 8\nheaders_max = 9\n").errors();
    assert!(
        errors.starts_with("server.toml:3: this is not TOML: duplicate key"),
        "{errors}"
    );
}

#[test]
fn files_that_cannot_be_read_are_refused_by_name() {
    let missing = Sources {
        file: Some(PathBuf::from("/nowhere/c.toml")),
        ..Sources::default()
    };
    let errors = load(&missing).unwrap_err().to_string();
    assert!(
        errors.starts_with("/nowhere/c.toml: cannot be read: No such file"),
        "{errors}"
    );

    let long = "#".repeat(CONFIG_BYTES_MAX + 1);
    let errors = Case::new(&long).errors();
    assert!(
        errors.starts_with("server.toml: is longer than "),
        "{errors}"
    );

    let case = Case::new("");
    std::fs::write(case.folder.path().join("server.toml"), b"# \xff\n").unwrap();
    assert!(
        case.errors()
            .starts_with("server.toml: is not UTF-8\n  cure: ")
    );
}

#[test]
fn all_mistakes_are_told_in_one_run() {
    let errors = Case::new("[http]\nheaders_max = 1\nbacklogs = 2\n")
        .variable("CORELANE_LISTEN", "here")
        .flag("engine", "kqueue")
        .errors();
    let places: Vec<_> = errors
        .lines()
        .filter(|line| !line.starts_with("  cure: "))
        .map(|line| line.split(": ").next().unwrap())
        .collect();
    assert_eq!(
        places,
        [
            "server.toml:3",
            "server.toml:2",
            "CORELANE_LISTEN",
            "--engine"
        ]
    );
}

#[test]
fn variables_are_read_by_the_rules_of_their_knob() {
    let config = Case::new("")
        .variable("CORELANE_STORE_DURABLE", "no")
        .variable("CORELANE_NO_DEMO", "1")
        .variable("CORELANE_HTTP_HEADERS_MAX", " 12 ")
        .variable("CORELANE_DATA", "/d")
        .variable("CORELANE_STATIC_CACHE_CONTROL", "{ \"*\" = \"no-store\" }")
        .variable("HTTP_HEADERS_MAX", "nonsense")
        .config();
    assert!(!config.store.durable && config.no_demo);
    assert_eq!(config.server.http.headers_max, 12);
    assert_eq!(config.static_files.root, Path::new("/d/static"));
    assert_eq!(
        config.static_files.cache_control,
        [("*".to_owned(), "no-store".to_owned())]
    );

    let errors = Case::new("")
        .variable("CORELANE_HTTP_HEADERS_MAX", "many")
        .errors();
    assert_eq!(
        errors,
        "CORELANE_HTTP_HEADERS_MAX: http.headers_max is \"many\", a string\n  \
         cure: give a whole number from 8 to 1000, in header lines"
    );
}

#[test]
fn variables_nobody_knows_are_told_only_when_they_look_meant() {
    let loaded = Case::new("")
        .variable("CORELANE_LISTNE", "x")
        .variable("CORELANE_PORT_3000_TCP_PROTO", "tcp")
        .load();
    assert_eq!(
        loaded.warnings,
        [
            "the variable CORELANE_LISTNE is not one of corelane's and is ignored; \
          did you mean CORELANE_LISTEN?"
        ]
    );
}

#[test]
fn a_variable_that_is_not_utf_8_is_refused() {
    use std::os::unix::ffi::OsStringExt;
    let mut case = Case::new("");
    case.sources
        .environment
        .push(("CORELANE_DATA".into(), OsString::from_vec(vec![0xff])));
    assert!(
        case.errors()
            .starts_with("CORELANE_DATA: is not UTF-8\n  cure: ")
    );
}

#[test]
fn the_config_file_can_be_named_by_a_variable() {
    let mut case = Case::new("[server]\nno_demo = true\n");
    let file = case.sources.file.take().unwrap();
    let loaded = case
        .variable("CORELANE_CONFIG", &file.to_string_lossy())
        .load();
    assert!(loaded.config.no_demo);
    assert_eq!(loaded.file, Some(file));
    assert!(loaded.warnings.is_empty(), "{:?}", loaded.warnings);
}

#[test]
fn one_core_map_is_in_effect_and_single_keys_change_it() {
    let case = || Case::new("[core_map]\ncores = 1\nspin_us = 5\n");
    let map = |case: &Case| {
        let map = case.config().core_map;
        (map.cores.to_string(), map.spin_us)
    };
    let outer = Case::new("");
    let three = outer.write("three.toml", "cores = \"3\"\n");
    let four = outer.write("four.toml", "cores = \"4\"\n");
    assert_eq!(map(&case()), ("1 shards".to_owned(), 5));
    assert_eq!(
        map(&Case::new(&format!("core_map = \"{three}\"\n"))),
        ("3".to_owned(), 0)
    );
    let variable = || case().variable("CORELANE_CORE_MAP", &three);
    assert_eq!(map(&variable()), ("3".to_owned(), 0));
    assert_eq!(
        map(&variable().flag("core-map", &four)),
        ("4".to_owned(), 0)
    );
    assert_eq!(
        map(&variable().variable("CORELANE_SHARDS", "2")),
        ("2 shards".to_owned(), 0)
    );
    assert_eq!(
        map(&variable().flag("shards", "5-6")),
        ("5-6".to_owned(), 0)
    );
    assert_eq!(map(&case().flag("shards", "all")), ("all".to_owned(), 5));
}

#[test]
fn a_map_that_does_not_fit_the_machine_is_refused_where_it_was_given() {
    let machine = Machine::read().unwrap();
    let place = |case: &Case| {
        let error = case
            .load()
            .place(&machine)
            .expect_err("no machine has a core 1023");
        let origin = error.origin.to_string();
        origin.rsplit('/').next().unwrap().to_owned()
    };
    assert_eq!(
        place(&Case::new("\n[core_map]\ncores = \"1023\"\n")),
        "server.toml:3"
    );
    let shards = "[core_map]\n[[core_map.shards]]\ncore = 1023\n";
    assert_eq!(place(&Case::new(shards)), "server.toml:3");
    assert_eq!(
        place(&Case::new(shards).flag("shards", "1022-1023")),
        "--shards"
    );
    assert_eq!(
        place(&Case::new("").variable("CORELANE_SHARDS", "1000")),
        "CORELANE_SHARDS"
    );
}

#[test]
fn knobs_that_contradict_each_other_are_refused() {
    assert_refused(
        "[server]\nrestart_delay_ms = 50_000\n",
        "server.toml:2: server.restart_delay_ms is 50000, over server.restart_delay_max_ms, 10000\n  \
         cure: give server.restart_delay_max_ms at least 50000",
    );
}

/// `corelane config --defaults > tuning/server.toml` rights it.
#[test]
fn the_annotated_file_is_what_the_code_writes() {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/tuning/server.toml");
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
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/tuning/server.toml");
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

/// Fields that no operator sets: they follow from other settings.
const DERIVED_FIELDS: &[&str] = &["require_io_uring"];

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
