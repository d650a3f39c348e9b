//! Whole configurations: who wins, and what reaches the options.

mod annotated;
mod database;
mod mistakes;
mod redis;

use std::path::Path;

use super::*;
use corelane::internals::access_log::LogFormat;
use corelane::internals::log_sink::LogTarget;

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
        corelane::server::RequestIdMode::Always
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
fn the_section_of_the_cache_reaches_both_caches() {
    let config = Case::new(
        r#"
        [cache]
        ttl_ms = 0
        negative_ttl_ms = 1
        stale_while_revalidate_ms = 2
        stale_if_error_ms = 3
        users_bytes_max = 5_000
        lists_bytes_max = 6_000
        coherence = "lazy"
        "#,
    )
    .config();
    let cache = crate::handlers::cached::ApiCacheOptions {
        ttl_ms: 0,
        negative_ttl_ms: 1,
        stale_while_revalidate_ms: 2,
        stale_if_error_ms: 3,
        users_bytes_max: 5_000,
        lists_bytes_max: 6_000,
        coherence: corelane::internals::cache::Coherence::Lazy,
        ..Config::default().api.cache
    };
    assert_eq!(config.api.cache, cache);
}

#[test]
fn variables_are_read_by_the_rules_of_their_knob() {
    let config = Case::new("")
        .variable("CORELANE_STORE_DURABLE", "no")
        .variable("CORELANE_NO_DEMO", "1")
        .variable("CORELANE_HTTP_HEADERS_MAX", " 12 ")
        .variable("CORELANE_DATA", "/d")
        .variable("CORELANE_STATIC_CACHE_CONTROL", "{ \"*\" = \"no-store\" }")
        .variable("CORELANE_CACHE_TTL_MS", "250")
        .variable("CORELANE_CACHE_COHERENCE", "off")
        .variable("HTTP_HEADERS_MAX", "nonsense")
        .config();
    assert!(!config.store.durable && config.no_demo);
    assert_eq!(config.server.http.headers_max, 12);
    assert_eq!(config.api.cache.ttl_ms, 250);
    assert_eq!(config.api.cache.coherence.name(), "off");
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
fn settings_of_what_is_off_are_told_with_the_cure() {
    let text = "\
        [api.redis_cache]\n\"/resource\" = \"60s\"\n\
        [rate_limit]\nredis = false\n\
        [session]\nenabled = false\ncookie = \"sid\"\n\
        [compression]\nlevel = 6\nmin_bytes = 1024\n\
        [database]\npool_min = 3\n";
    let warnings = Case::new(text).load().warnings;
    for (knob, cure) in [
        (
            "api.redis_cache does nothing: there is no Redis",
            "redis.url",
        ),
        ("rate_limit.redis does nothing", "redis.url"),
        ("session.cookie does nothing", "session.enabled = true"),
        (
            "compression.level does nothing",
            "compression.enabled = true",
        ),
        ("database.pool_min does nothing", "store.url"),
    ] {
        let mut told = warnings.iter().filter(|warning| warning.contains(knob));
        let warning = told
            .next()
            .unwrap_or_else(|| panic!("{knob} in {warnings:?}"));
        assert!(
            warning.contains(cure) && warning.contains(".toml:"),
            "{warning}"
        );
    }
    assert_eq!(warnings.len(), 5, "{warnings:?}");
    let with_redis =
        Case::new("[redis]\nurl = \"redis://h\"\n[api.redis_cache]\n\"/resource\" = \"60s\"\n");
    assert_eq!(with_redis.load().warnings, [""; 0]);
    // Every key at its default asks for nothing.
    assert_eq!(
        Case::new(&annotate(&Config::default(), None))
            .load()
            .warnings,
        [""; 0]
    );
}

#[test]
fn the_variable_of_a_key_with_a_flag_is_found_by_the_key() {
    for (key, meant) in [
        ("CORELANE_SERVER_LISTEN", "CORELANE_LISTEN"),
        ("CORELANE_STORE_URL", "CORELANE_STORE"),
        ("CORELANE_CORE_MAP_CORES", "CORELANE_SHARDS"),
        ("CORELANE_ACCESS_LOG_FORMAT", "CORELANE_ACCESS_LOG"),
    ] {
        let warnings = Case::new("").variable(key, "x").load().warnings;
        let wanted = format!("did you mean {meant}?");
        assert!(warnings.concat().ends_with(&wanted), "{warnings:?}");
    }
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
