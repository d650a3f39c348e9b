//! What each mistake is told: where, what, and the cure.

use std::ffi::OsString;
use std::path::PathBuf;

use super::*;
use crate::config::limits::CONFIG_BYTES_MAX;
use corelane::internals::topology::Machine;

#[track_caller]
fn assert_refused(toml: &str, expected: &str) {
    assert_eq!(Case::new(toml).errors(), expected, "of\n{toml}");
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
        "[cache]\nttl = 5\n",
        "server.toml:2: unknown key `cache.ttl`\n  \
         cure: did you mean `cache.ttl_ms`? (section [cache])",
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
            "[cache]\ncoherence = \"loose\"\n",
            "server.toml:2: cache.coherence is \"loose\", which is not valid\n  \
             cure: give \"strict\", \"lazy\" or \"off\"",
        ),
        (
            "[cache]\n\nusers_bytes_max = 1\n",
            "server.toml:3: cache.users_bytes_max is 1, out of range\n  \
             cure: give a whole number from 4096 to 1099511627776, in bytes",
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
             cure: the scheme must be sqlite or postgres, as in sqlite:./data/corelane.db or \
             postgres://user@host/database",
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
