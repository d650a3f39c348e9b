//! The command line beside `serve`: help, explain, seed, topology, config.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use tempfile::TempDir;

use crate::harness::corelane;

fn run(command: &mut Command) -> (String, String, Option<i32>) {
    let Output {
        status,
        stdout,
        stderr,
    } = command.output().expect("the binary runs");
    let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
    (text(stdout), text(stderr), status.code())
}

#[track_caller]
fn succeed(command: &mut Command) -> String {
    let (stdout, stderr, code) = run(command);
    assert_eq!(code, Some(0), "{stdout}\n{stderr}");
    stdout
}

#[test]
fn help_says_every_flag_with_default_variable_and_key() {
    let help = succeed(corelane().args(["serve", "--help"]));
    for flag in [
        "--listen",
        "--admin",
        "--data",
        "--store",
        "--shards",
        "--engine",
        "--core-map",
        "--config",
        "--static",
        "--no-demo",
        "--access-log",
    ] {
        assert!(help.contains(flag), "{flag}");
    }
    for part in [
        "127.0.0.1:3000",
        "CORELANE_LISTEN",
        "[default:",
        "[env:",
        "[key:",
    ] {
        assert!(help.contains(part), "{part}");
    }
}

#[test]
fn version_is_that_of_the_package() {
    let version = succeed(corelane().arg("--version"));
    assert_eq!(
        version.trim(),
        format!("corelane {}", env!("CARGO_PKG_VERSION"))
    );
}

#[test]
fn an_unknown_command_is_a_usage_error() {
    let (_, stderr, code) = run(corelane().arg("sreve"));
    assert_eq!(code, Some(2));
    assert!(stderr.contains("serve"), "{stderr}");
}

#[test]
fn a_closed_pipe_is_no_panic() {
    for arguments in [&["--help"][..], &["config", "--defaults"], &["topology"]] {
        let mut command = corelane();
        command.args(arguments).stdout(std::process::Stdio::piped());
        command.stderr(std::process::Stdio::piped());
        let mut child = command.spawn().expect("the binary runs");
        drop(child.stdout.take());
        let output = child.wait_with_output().expect("it ends");
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(!stderr.contains("panicked"), "{arguments:?}: {stderr}");
    }
}

#[test]
fn seed_adds_what_it_says() {
    let folder = TempDir::new().expect("a folder");
    let seed = |users: &str, posts: &str| {
        let mut command = corelane();
        command.args(["seed", "--users", users, "--posts", posts, "--data"]);
        command.arg(folder.path().join("data"));
        command
    };
    succeed(&mut seed("300", "700"));
    succeed(&mut seed("10", "0"));
    let database = folder.path().join("data/corelane.db");
    let connection = rusqlite::Connection::open(database).expect("a database");
    let count = |table: &str| -> i64 {
        let query = format!("SELECT count(*) FROM {table}");
        connection
            .query_row(&query, [], |row| row.get(0))
            .expect("a count")
    };
    assert_eq!((count("users"), count("posts")), (310, 700));
    let (_, stderr, code) = run(&mut seed("many", "1"));
    assert_eq!(code, Some(2), "{stderr}");
}

#[test]
fn seed_without_anybody_to_write_the_posts_says_what_to_add() {
    let folder = TempDir::new().expect("a folder");
    let mut seed = corelane();
    seed.args(["seed", "--users", "0", "--posts", "5", "--data"]);
    seed.arg(folder.path().join("data"));
    let (_, stderr, code) = run(&mut seed);
    assert_eq!(code, Some(2), "{stderr}");
    assert!(stderr.contains("give --users too"), "{stderr}");
    assert!(!stderr.contains("disk"), "{stderr}");
}

#[test]
fn a_machine_that_cannot_be_read_from_its_description_is_refused() {
    for (variable, value) in [
        ("HWLOC_SYNTHETIC", "no such machine"),
        ("HWLOC_XMLFILE", "/no/such/file"),
    ] {
        let (stdout, stderr, code) = run(corelane().arg("topology").env(variable, value));
        assert_eq!(code, Some(2), "{stdout}\n{stderr}");
        assert!(stderr.contains(variable), "{stderr}");
    }
}

/// A data folder with a hundred users and posts; it lives as long as its guard.
fn seeded() -> (TempDir, PathBuf) {
    let folder = TempDir::new().expect("a folder");
    let data = folder.path().join("data");
    succeed(
        corelane()
            .args(["seed", "--users", "100", "--posts", "100", "--data"])
            .arg(&data),
    );
    (folder, data)
}

#[test]
fn explain_prints_every_plan_and_finds_no_scan() {
    let (_folder, data) = seeded();
    let plans = succeed(corelane().args(["explain", "--data"]).arg(&data));
    assert!(plans.contains("SEARCH"), "{plans}");
    for part in ["users", "posts", "INDEX"] {
        assert!(plans.contains(part), "{part} in {plans}");
    }
}

#[test]
fn explain_fails_when_an_index_is_missing() {
    let (_folder, data) = seeded();
    let connection = rusqlite::Connection::open(data.join("corelane.db")).expect("a database");
    let names: Vec<String> = connection
        .prepare("SELECT name FROM sqlite_schema WHERE type = 'index' AND tbl_name = 'posts' AND sql IS NOT NULL")
        .and_then(|mut query| query.query_map([], |row| row.get(0))?.collect())
        .expect("the indexes of posts");
    assert!(!names.is_empty());
    for name in names {
        connection
            .execute_batch(&format!("DROP INDEX \"{name}\""))
            .expect("dropped");
    }
    drop(connection);
    let (stdout, stderr, code) = run(corelane().args(["explain", "--data"]).arg(&data));
    assert_eq!(code, Some(1), "{stdout}\n{stderr}");
    assert!(
        format!("{stdout}{stderr}").contains("SCAN"),
        "{stdout}\n{stderr}"
    );
}

#[test]
fn topology_shows_this_machine_with_its_shards() {
    let tree = succeed(corelane().arg("topology"));
    assert!(tree.contains("shard 0") || tree.contains("shard"), "{tree}");
}

/// Two sockets of 64 cores, from hwloc's own description language.
#[cfg(feature = "hwloc")]
#[test]
fn topology_places_a_map_on_a_machine_that_is_not_here() {
    let folder = TempDir::new().expect("a folder");
    let map = folder.path().join("map.toml");
    std::fs::write(
        &map,
        "cores = \"2-63,66-127\"\nhousekeeping = \"0-1,64-65\"\n",
    )
    .expect("a file");
    let mut command = corelane();
    command.arg("topology").arg("--core-map").arg(&map);
    command.env("HWLOC_SYNTHETIC", "package:2 numa:1 l3:8 core:8 pu:1");
    command.env("HWLOC_THISSYSTEM", "0");
    let tree = succeed(&mut command);
    assert!(tree.contains("shard 123") || tree.contains("123"), "{tree}");
    std::fs::write(&map, "cores = \"2-128\"\n").expect("a file");
    let (_, stderr, code) = run(&mut command);
    assert_eq!(code, Some(2), "{stderr}");
    assert!(
        stderr.contains("128") && stderr.contains("map.toml:1"),
        "{stderr}"
    );
}

#[test]
fn the_annotated_file_is_what_config_prints_and_is_accepted() {
    let defaults = succeed(corelane().args(["config", "--defaults"]));
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tuning/server.toml");
    let annotated = std::fs::read_to_string(&file).expect("tuning/server.toml");
    assert_eq!(annotated, defaults);
    succeed(corelane().args(["serve", "--check", "--config"]).arg(&file));
}

#[test]
fn config_says_who_gave_a_value() {
    let folder = TempDir::new().expect("a folder");
    let file = folder.path().join("server.toml");
    std::fs::write(&file, "[http]\nheaders_max = 50\nbacklog = 77\n").expect("a file");
    let mut command = corelane();
    command
        .args(["config", "--listen", "127.0.0.1:4444", "--config"])
        .arg(&file);
    command.env("CORELANE_HTTP_BACKLOG", "88");
    let text = succeed(&mut command);
    for part in [
        "127.0.0.1:4444",
        "headers_max = 50",
        "backlog = 88",
        "server.toml",
        "CORELANE_HTTP_BACKLOG",
    ] {
        assert!(text.contains(part), "{part} in {text}");
    }
}
