//! What the hot path costs in instructions of user space: the cases of `micro`,
//! and whole requests through a server. No other load disturbs them, so a
//! change of a few instructions shows; what they cost in time, caches missed
//! and the kernel's part are for the clock.
//!
//! `cargo bench --bench instructions -- [--case WORD] [--out DIR]`. Runs itself
//! under callgrind (apt-get install valgrind) twice for each case, with a number
//! of operations and with more of them, and divides the difference: what starts
//! and ends the program is in both. A server is on its epoll reactor, because
//! valgrind knows no io_uring; it has one client with one connection, so that
//! every request, or batch, is a turn of its own. Nothing but valgrind is needed;
//! iai-callgrind and its successor need a runner of their own version installed.

#[path = "support/directory.rs"]
mod directory;
#[path = "support/hop.rs"]
mod hop;
#[path = "support/hot_cases.rs"]
mod hot_cases;
mod support;

use std::fmt::Write as _;
use std::hint::black_box;
use std::io::{Read, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Command;

use corelane::internals::topology::EngineKind;
use corelane::{App, Response};
use corelane_server::handlers::cached::ApiCacheOptions;
use corelane_server::handlers::{self, ApiOptions};
use corelane_server::store::{Database, SeedPlan, StoreOptions};

use hot_cases::Cases;
use support::{ServerProcess, args, corelane_command, free_port, raw_epoll, run};

/// Operations of the shorter and of the longer run; multiples of every batch.
const OPERATIONS: [u64; 2] = [1_280, 11_520];
/// Messages of the mesh go in batches of this many.
const BATCH: u64 = 64;

fn main() {
    support::serve_app_if_asked(app);
    if let Some(case) = args::text("--run") {
        let count = args::number("--count").expect("--count");
        return run_case(&case, count);
    }
    let mut rows = Vec::new();
    let mut measured = |case: &str, count: &dyn Fn(u64) -> u64| {
        let word = args::text("--case").unwrap_or_default();
        if case.contains(&word) {
            let [few, many] = OPERATIONS.map(count);
            let each = (many - few) as f64 / (OPERATIONS[1] - OPERATIONS[0]) as f64;
            eprintln!("{case:36} {each:9.1}");
            rows.push((case.to_owned(), each));
        }
    };
    for case in names() {
        measured(&case, &|count| count_case(&case, count));
    }
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a folder");
    let database = folder.path().join("users.db");
    seed(&database);
    for request in REQUESTS {
        measured(request.case, &|count| request.count(&database, count));
    }
    report(&rows);
}

fn report(rows: &[(String, f64)]) {
    let mut table = String::from("| operation | instructions |\n|---|---:|\n");
    let mut csv = String::from("operation,instructions\n");
    for (case, each) in rows {
        // Writing to a String cannot fail.
        let _ = writeln!(table, "| {case} | {each:.0} |");
        let _ = writeln!(csv, "\"{case}\",{each:.2}");
    }
    run::report("Instructions of the hot path", "instructions", &table, &csv);
}

/// Runs a program under callgrind until `during` is done with it, and gives the
/// instructions of all its threads.
fn instructions(program: &Command, during: impl FnOnce(Command)) -> u64 {
    let log = tempfile::NamedTempFile::new_in(env!("CARGO_TARGET_TMPDIR")).expect("a file");
    let profile = args::text("--profile").unwrap_or_else(|| "/dev/null".to_owned());
    let mut command = Command::new("valgrind");
    command
        .arg("--tool=callgrind")
        .arg(format!("--callgrind-out-file={profile}"))
        .arg(format!("--log-file={}", log.path().display()))
        .arg(program.get_program())
        .args(program.get_args())
        .envs(
            program
                .get_envs()
                .filter_map(|(name, value)| Some((name, value?))),
        );
    during(command);
    let log = std::fs::read_to_string(log.path()).expect("valgrind's log");
    let collected = log.lines().find_map(|line| line.split_once("Collected : "));
    let (_, number) = collected.unwrap_or_else(|| panic!("callgrind did not end well: {log}"));
    number.trim().parse().expect("a number of instructions")
}

const NO_VALGRIND: &str = "valgrind is installed: apt-get install valgrind";

fn this() -> PathBuf {
    std::env::current_exe().expect("this executable")
}

/// The names of the cases of `hot_cases`, and of one of our own.
fn names() -> Vec<String> {
    struct Names(Vec<String>);
    impl Cases for Names {
        fn wants(&self, _name: &str) -> bool {
            true
        }

        fn case<T>(&mut self, name: &str, _run: impl FnMut() -> T) {
            self.0.push(name.to_owned());
        }
    }
    let mut names = Names(Vec::new());
    hot_cases::all(&mut names);
    names.0.push(MESH_HOP.to_owned());
    names.0
}

const MESH_HOP: &str = "mesh hop/message in a batch of 64, one thread";

fn count_case(case: &str, count: u64) -> u64 {
    let mut program = Command::new(this());
    program.args(["--run", case, "--count", &count.to_string()]);
    instructions(&program, |mut command| {
        let status = command.status().expect(NO_VALGRIND);
        assert!(status.success(), "{case} failed");
    })
}

fn run_case(case: &str, count: u64) {
    struct Repeated<'a>(&'a str, u64);
    impl Cases for Repeated<'_> {
        fn wants(&self, name: &str) -> bool {
            name == self.0
        }

        fn case<T>(&mut self, name: &str, mut run: impl FnMut() -> T) {
            for _ in 0..if name == self.0 { self.1 } else { 0 } {
                black_box(run());
            }
        }
    }
    match case {
        MESH_HOP => drop(hop::batches(count, BATCH)),
        _ => hot_cases::all(&mut Repeated(case, count)),
    }
}

/// A whole request, or several in one segment.
struct Request {
    case: &'static str,
    server: Server,
    path: &'static str,
    header: &'static str,
    batch: u64,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Server {
    RawEpoll,
    Corelane,
}

const fn request(case: &'static str, server: Server, path: &'static str, batch: u64) -> Request {
    Request {
        case,
        server,
        path,
        header: "",
        batch,
    }
}

const USER: &str = "/api/users/7";

const REQUESTS: [Request; 7] = [
    request(
        "request/constant, raw epoll",
        Server::RawEpoll,
        "/constant",
        1,
    ),
    request(
        "request/pipelined x16, raw epoll",
        Server::RawEpoll,
        "/constant",
        16,
    ),
    request("request/constant", Server::Corelane, "/constant", 1),
    request("request/pipelined x16", Server::Corelane, "/constant", 16),
    request("request/cached user", Server::Corelane, USER, 1),
    request(
        "request/cached user, pipelined x16",
        Server::Corelane,
        USER,
        16,
    ),
    Request {
        header: "If-None-Match: \"u7-v1\"\r\n",
        ..request("request/304 of the cached user", Server::Corelane, USER, 1)
    },
];

impl Request {
    fn count(&self, database: &Path, count: u64) -> u64 {
        let port = free_port();
        let server = match self.server {
            Server::RawEpoll => raw_epoll(port, CPU),
            Server::Corelane => {
                let mut command = corelane_command(EngineKind::Epoll, port, CPU);
                command.arg("--database").arg(database);
                command
            }
        };
        instructions(&server, |command| {
            let server = ServerProcess::start(command, port);
            self.ask(port, count);
            server.terminate();
        })
    }

    /// Asks `count` times and compares every answer with the first but one (the
    /// first of all may have missed the cache), the date aside.
    fn ask(&self, port: u16, count: u64) {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).expect("a connection");
        stream.set_nodelay(true).expect("a TCP option");
        let one = format!(
            "GET {} HTTP/1.1\r\nHost: bench\r\n{}\r\n",
            self.path, self.header
        );
        let mut model = Vec::new();
        for _ in 0..2 {
            model = exchange(&mut stream, one.as_bytes(), &mut [0; 4_096]);
        }
        let status = if self.header.is_empty() { "200" } else { "304" };
        let start = format!("HTTP/1.1 {status} ");
        assert!(
            model.starts_with(start.as_bytes()),
            "{}",
            model.escape_ascii()
        );
        let batch = one.repeat(self.batch as usize);
        let mut answers = vec![0; model.len() * self.batch as usize];
        for _ in 0..count / self.batch {
            stream.write_all(batch.as_bytes()).expect("it is sent");
            stream.read_exact(&mut answers).expect("as many answers");
            for answer in answers.chunks_exact(model.len()) {
                let differing = answer.iter().zip(&model).filter(|(a, b)| a != b);
                assert!(differing.count() <= 29, "{}", answer.escape_ascii());
            }
        }
    }
}

/// The CPU that servers are pinned to.
const CPU: usize = 0;

/// Sends one request; whatever comes back at once.
fn exchange(stream: &mut TcpStream, request: &[u8], buffer: &mut [u8]) -> Vec<u8> {
    stream.write_all(request).expect("it is sent");
    let received = stream.read(buffer).expect("an answer");
    buffer[..received].to_vec()
}

/// The shipped API, and beside it a constant.
fn app() -> App {
    let path = args::text("--database").expect("--database");
    let database = Database::open(&StoreOptions::sqlite(path)).expect("the database");
    let options = ApiOptions {
        cache: ApiCacheOptions {
            // So that nothing expires while it is counted.
            ttl_ms: 3_600_000,
            ..ApiCacheOptions::default()
        },
        ..ApiOptions::default()
    };
    let app = handlers::app(options, database).expect("good options");
    app.get("/constant", async |_| Ok(Response::text("Hello, World!")))
}

fn seed(path: &Path) {
    let database = Database::open(&StoreOptions::sqlite(path)).expect("a database");
    let plan = SeedPlan {
        users: 10,
        posts: 0,
        ..SeedPlan::default()
    };
    database.seed(&plan, &mut |_, _| {}).expect("users");
    database.close();
}
