//! The servers start, answer, die and come again; those of a run end with it.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use services::{Database, Keyspace, Postgres, PostgresOptions, Proxy, Redis};

#[test]
fn postgres_starts_dies_and_comes_again() {
    let mut postgres = Postgres::start_with(PostgresOptions {
        tls: true,
        ..PostgresOptions::default()
    });
    postgres.psql("CREATE TABLE t (x int); INSERT INTO t VALUES (7)");
    assert_eq!(postgres.psql("SELECT x FROM t"), "7");
    assert_eq!(postgres.psql("SHOW ssl"), "on");
    postgres.kill();
    assert!(postgres.try_psql("SELECT 1").is_err());
    postgres.start_again();
    assert_eq!(postgres.psql("SELECT x FROM t"), "7");
    // A backend ends a moment after its psql.
    let deadline = Instant::now() + Duration::from_secs(10);
    while postgres.connections() > 0 {
        assert!(
            Instant::now() < deadline,
            "{} are left",
            postgres.connections()
        );
        std::thread::sleep(Duration::from_millis(20));
    }
    postgres.freeze();
    postgres.thaw();
    assert_eq!(postgres.psql("SELECT 1"), "1");
    postgres.freeze();
}

#[test]
fn redis_starts_and_is_reached_through_the_proxy() {
    let mut redis = Redis::start();
    assert_eq!(redis.cli(&["SET", "k", "v"]), "OK");
    let proxy = Proxy::to(redis.port());
    let ask = || -> std::io::Result<String> {
        use std::io::{Read, Write};
        let mut stream = std::net::TcpStream::connect(("127.0.0.1", proxy.port()))?;
        stream.write_all(b"GET k\r\n")?;
        let mut answer = [0; 7];
        stream.read_exact(&mut answer)?;
        Ok(String::from_utf8_lossy(&answer).into_owned())
    };
    assert_eq!(ask().unwrap(), "$1\r\nv\r\n");
    proxy.refuse(true);
    assert!(ask().is_err());
    proxy.refuse(false);
    redis.kill();
    redis.start_again();
    assert_eq!(redis.cli(&["GET", "k"]), "");
    redis.cli(&["SET", "k", "w"]);
    assert_eq!(ask().unwrap(), "$1\r\nw\r\n");
    assert_eq!(proxy.accepted(), 3);
}

#[test]
fn a_database_is_empty_ones_own_and_gone_afterwards() {
    let (one, other) = (Database::new(), Database::new());
    assert_ne!(one.name(), other.name());
    assert_eq!(one.port(), other.port(), "one server");
    one.psql("CREATE TABLE t (x int); INSERT INTO t VALUES (7)");
    let tables = "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'";
    assert_eq!(
        (one.psql(tables), other.psql(tables)),
        ("1".into(), "0".into())
    );
    one.dump_into(&other);
    assert_eq!(other.psql("SELECT x FROM t"), "7");
    let is_there = format!(
        "SELECT count(*) FROM pg_database WHERE datname = '{}'",
        one.name()
    );
    assert_eq!(other.psql(&is_there), "1");
    drop(one);
    assert_eq!(other.psql(&is_there), "0");
}

#[test]
fn a_template_is_made_once() {
    let made = std::sync::atomic::AtomicU32::new(0);
    let server = Database::new();
    let template = format!("template_{}", std::process::id());
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let copy = Database::copy_of(&template, |database| {
                    made.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
                    database.psql("CREATE TABLE t (x int); INSERT INTO t VALUES (7)");
                });
                assert_eq!(copy.psql("DELETE FROM t RETURNING x"), "7");
            });
        }
    });
    assert_eq!(made.into_inner(), 1);
    server.psql(&format!("DROP DATABASE {template}"));
}

#[test]
fn keys_are_ones_own() {
    let (one, other) = (Keyspace::take(), Keyspace::take());
    one.cli(&["SET", "k", "v"]);
    assert_eq!(
        (one.cli(&["DBSIZE"]), other.cli(&["DBSIZE"])),
        ("1".into(), "0".into())
    );
    assert_ne!(one.url(), other.url());
}

/// A run that says where its servers are, and goes on for a minute.
fn run(folder: &Path) -> Child {
    let says = "echo $CORELANE_TEST_POSTGRES >urls; echo $CORELANE_TEST_REDIS >>urls; \
                mv urls ready; exec sleep 60";
    let mut command = Command::new(env!("CARGO_BIN_EXE_services"));
    command
        .arg(folder)
        .args(["sh", "-c", says])
        .current_dir(folder);
    command.stdin(Stdio::null()).spawn().expect("it runs")
}

/// The processes that are in that folder: the run, its command, the servers.
fn processes(folder: &Path) -> usize {
    let all = std::fs::read_dir("/proc").expect("processes").flatten();
    let places = all.filter_map(|process| std::fs::read_link(process.path().join("cwd")).ok());
    places.filter(|place| place.starts_with(folder)).count()
}

#[test]
fn the_servers_of_a_run_end_when_it_is_killed() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut run = run(folder.path());
    let deadline = Instant::now() + Duration::from_secs(60);
    let ready = folder.path().join("ready");
    while !ready.exists() {
        assert!(Instant::now() < deadline, "it does not start");
        std::thread::sleep(Duration::from_millis(10));
    }
    let said = std::fs::read_to_string(ready).expect("what it says");
    let lines: Vec<&str> = said.lines().collect();
    assert!(lines[0].starts_with("postgres://postgres@"), "{said}");
    assert!(lines[1].starts_with("redis://127.0.0.1:"), "{said}");
    assert!(processes(folder.path()) >= 4);
    run.kill().expect("it runs");
    run.wait().expect("a child");
    while processes(folder.path()) > 0 {
        assert!(Instant::now() < deadline, "something outlives it");
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn a_run_ends_as_its_command_does() {
    let folder = tempfile::tempdir().expect("a folder");
    for (script, code) in [("exit 7", 7), ("kill -9 $$", 137)] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_services"));
        let status = command
            .arg(folder.path())
            .args(["sh", "-c", script])
            .status();
        assert_eq!(status.expect("it runs").code(), Some(code), "{script}");
    }
    assert_eq!(processes(folder.path()), 0);
}
