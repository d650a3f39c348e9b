//! The programs of `examples`: each is started as anybody would, asked, and ended
//! by SIGTERM, after which it must end well. `tested` is run by its own tests.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

/// How long a start, an answer or an end may take on a loaded machine.
const PATIENCE: Duration = Duration::from_secs(30);

#[test]
fn background_finishes_its_jobs_when_it_is_ended() {
    let example = Example::start("background", &[]);
    example.ask("POST", "/jobs/first", "").expect(202);
    example.ask("POST", "/jobs/second", "").expect(202);
    let log = example.end();
    assert!(log.contains("job first"), "{log}");
    assert!(log.contains("2 jobs done"), "{log}");
}

#[test]
fn cached_serves_the_new_price_after_a_write() {
    let example = Example::start("cached", &[]);
    let list = || example.ask("GET", "/shops/1/prices", "").expect(200);
    example
        .ask("PUT", "/shops/1/prices/tea/200", "")
        .expect(204);
    assert_eq!(list().body, "tea 200\n");
    assert!(
        list().head.contains("\r\nx-cache: HIT\r\n"),
        "{}",
        list().head
    );
    example
        .ask("PUT", "/shops/1/prices/tea/250", "")
        .expect(204);
    let changed = list();
    assert_eq!(changed.body, "tea 250\n");
    assert!(
        changed.head.contains("\r\nx-cache: MISS\r\n"),
        "{}",
        changed.head
    );
    example.ask("POST", "/shops/1/forget", "").expect(204);
    assert!(list().head.contains("\r\nx-cache: MISS\r\n"));
    example.end();
}

#[test]
fn notes_postgres_keeps_notes() {
    let database = services::Database::new();
    let example = Example::start("notes_postgres", &[("DATABASE_URL", &database.url())]);
    let begun = Instant::now();
    // Its table is made beside the first requests.
    while example.ask("GET", "/notes", "").status() != 200 {
        assert!(begun.elapsed() < PATIENCE, "no table");
    }
    let note = example
        .ask("POST", "/notes", r#"{"title":"tea"}"#)
        .expect(201);
    assert_eq!(note.body, r#"{"id":1,"title":"tea"}"#);
    let changed = example.ask("PUT", "/notes/1", r#"{"title":"coffee"}"#);
    assert_eq!(changed.expect(200).body, r#"{"id":1,"title":"coffee"}"#);
    let all = example.ask("GET", "/notes", "").expect(200);
    assert_eq!(all.body, r#"[{"id":1,"title":"coffee"}]"#);
    example.ask("DELETE", "/notes/1", "").expect(204);
    example.ask("GET", "/notes/1", "").expect(404);
    assert_eq!(database.psql("SELECT count(*) FROM notes"), "0");
    example.end();
}

#[test]
fn sessions_know_who_logged_in() {
    let example = Example::start("sessions", &[]);
    let form = "Content-Type: application/x-www-form-urlencoded\r\n";
    let log_in = |password: &str| {
        let body = format!("email=ada@example.com&password={password}");
        example.ask_with("POST", "/login", form, &body)
    };
    example.ask("GET", "/me", "").expect(401);
    log_in("wrong").expect(401);
    let welcome = log_in("correct horse").expect(200);
    let cookie = welcome.head.split_once("set-cookie: ").expect("a cookie").1;
    let cookie = format!("Cookie: {}\r\n", cookie.split(';').next().expect("a pair"));
    // On many connections, so that each shard is asked.
    for _ in 0..8 {
        let me = example.ask_with("GET", "/me", &cookie, "");
        assert_eq!(me.expect(200).body, "user 1\n");
    }
    example.ask_with("POST", "/logout", &cookie, "").expect(200);
    example.ask_with("GET", "/me", &cookie, "").expect(401);
    example.end();
}

#[test]
fn shared_state_is_seen_through_every_connection() {
    let example = Example::start("shared_state", &[]);
    example
        .ask("PUT", "/board/door", "gone fishing")
        .expect(204);
    for _ in 0..8 {
        let text = example.ask("GET", "/board/door", "").expect(200);
        assert_eq!(text.body, "gone fishing\n");
    }
    let count = example.ask("GET", "/", "").expect(200);
    assert!(
        count.body.starts_with("request 1 of shard "),
        "{}",
        count.body
    );
    example.end();
}

#[test]
fn streaming_goes_both_ways() {
    let example = Example::start("streaming", &[]);
    let counted = example
        .ask("POST", "/count", &"x".repeat(3_000_000))
        .expect(200);
    assert!(
        counted.body.starts_with("3000000 bytes in "),
        "{}",
        counted.body
    );
    let numbers = example.ask("GET", "/numbers?to=2500", "").expect(200);
    assert!(numbers.body.contains("\n2499\n2500\n"), "{}", numbers.body);
    let ticks = example.ask("GET", "/ticks", "").expect(200);
    assert_eq!(
        ticks.body.matches("event: tick\n").count(),
        5,
        "{}",
        ticks.body
    );
    example.end();
}

#[test]
fn tokio_bridge_fetches() {
    let example = Example::start("tokio_bridge", &[]);
    let itself = format!("/fetch/127.0.0.1/{}", example.address.port());
    let line = example.ask("GET", &itself, "").expect(200);
    assert_eq!(line.body, "HTTP/1.1 200 OK\n");
    example.end();
}

/// Every program is asked here, or says that it has tests.
#[test]
fn every_example_is_asked() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/examples");
    for entry in std::fs::read_dir(folder).expect("the examples") {
        let path = entry.expect("a file").path();
        let name = path.file_stem().expect("a name").to_string_lossy();
        let started = format!("Example::start(\"{name}\"");
        let is_asked = include_str!("examples.rs").contains(&started);
        let text = std::fs::read_to_string(&path).expect("a program");
        assert!(is_asked || text.contains("#[cfg(test)]"), "{name}");
    }
}

/// One of them, running; killed when a test fails.
struct Example {
    child: Child,
    address: SocketAddr,
    /// Reads its standard error to the end.
    log: Option<JoinHandle<String>>,
}

impl Example {
    fn start(name: &str, environment: &[(&str, &str)]) -> Self {
        let address = SocketAddr::from(([127, 0, 0, 1], free_port()));
        let mut command = Command::new(program(name));
        command
            .arg(address.to_string())
            .envs(environment.iter().copied());
        let mut child = command
            .stdin(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("it runs");
        let stderr = BufReader::new(child.stderr.take().expect("piped"));
        let log = std::thread::spawn(move || {
            let lines = stderr.lines().map_while(Result::ok);
            lines.map(|line| line + "\n").collect()
        });
        let mut example = Self {
            child,
            address,
            log: Some(log),
        };
        let begun = Instant::now();
        while TcpStream::connect(address).is_err() {
            if let Some(status) = example.child.try_wait().expect("a child") {
                panic!("{name} ended, {status}: {}", example.read_log());
            }
            assert!(begun.elapsed() < PATIENCE, "{name} does not listen");
            std::thread::sleep(Duration::from_millis(10));
        }
        example
    }

    fn ask(&self, method: &str, target: &str, body: &str) -> Answer {
        let json = match body.starts_with('{') {
            true => "Content-Type: application/json\r\n",
            false => "",
        };
        self.ask_with(method, target, json, body)
    }

    /// On a connection of its own.
    fn ask_with(&self, method: &str, target: &str, lines: &str, body: &str) -> Answer {
        let mut stream = TcpStream::connect(self.address).expect("it listens");
        stream.set_read_timeout(Some(PATIENCE)).expect("a time");
        let length = body.len();
        let head = format!(
            "{method} {target} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\
             {lines}Content-Length: {length}\r\n\r\n"
        );
        stream.write_all(head.as_bytes()).expect("it reads");
        stream.write_all(body.as_bytes()).expect("it reads");
        let mut text = String::new();
        stream.read_to_string(&mut text).expect("an answer");
        let (head, body) = text.split_once("\r\n\r\n").expect("a head");
        Answer {
            head: format!("{head}\r\n"),
            body: body.to_owned(),
        }
    }

    /// Drains it; what it said on standard error.
    fn end(mut self) -> String {
        let pid = Pid::from_child(&self.child);
        kill_process(pid, Signal::TERM).expect("it runs");
        let begun = Instant::now();
        let status = loop {
            if let Some(status) = self.child.try_wait().expect("a child") {
                break status;
            }
            assert!(begun.elapsed() < PATIENCE, "it does not end");
            std::thread::sleep(Duration::from_millis(10));
        };
        let log = self.read_log();
        assert!(status.success(), "{status}: {log}");
        log
    }

    fn read_log(&mut self) -> String {
        let log = self.log.take().expect("read once");
        log.join().expect("no panic")
    }
}

impl Drop for Example {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

struct Answer {
    head: String,
    body: String,
}

impl Answer {
    fn status(&self) -> u16 {
        let status = self.head.split(' ').nth(1).expect("a status");
        status.parse().expect("a number")
    }

    #[track_caller]
    fn expect(self, status: u16) -> Self {
        assert_eq!(self.status(), status, "{}{}", self.head, self.body);
        self
    }
}

/// Cargo builds the examples with the tests, beside them.
fn program(name: &str) -> PathBuf {
    let test = std::env::current_exe().expect("this test");
    let profile = test.ancestors().nth(2).expect("deps, and above it");
    let program = profile.join("examples").join(name);
    let there = program.is_file();
    assert!(
        there,
        "{}: `cargo build --examples` makes it",
        program.display()
    );
    program
}

/// Below those that the kernel gives to whoever asks for any, so that nobody gets
/// it between here and the start of the program.
fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let process = std::process::id().wrapping_mul(16) % 8_000;
    loop {
        let step = u32::from(NEXT.fetch_add(1, Ordering::Relaxed));
        let port = 11_000 + (process + step) % 8_000;
        let port = u16::try_from(port).expect("less than 19,000");
        if TcpListener::bind(("0.0.0.0", port)).is_ok() {
            return port;
        }
    }
}
