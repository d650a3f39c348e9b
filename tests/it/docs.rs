//! The README and the pages of `docs`, as they stand: the commands of each run in
//! order in a folder of its own against servers that they start, its settings are
//! checked by the program, its links lead somewhere.
//!
//! A block that a test cannot run has a comment above it that says why:
//! `<!-- not run: needs sudo -->`. Before a page runs, what is [`Substituted`] in it
//! is: ports and addresses of servers, nothing else. Commands must succeed, also
//! for curl, which here fails on a status of 400 and more.

mod links;
mod page;

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};

use services::{Database, Keyspace};

use crate::harness::corelane;
use page::{Block, blocks, script};

/// Makes a test of each page, and the list of all.
macro_rules! pages {
    ($($name:ident: $path:literal),+ $(,)?) => {
        $(#[test]
        fn $name() {
            run($path);
        })+

        const PAGES: &[&str] = &[$($path),+];
    };
}

pages!(
    readme: "README.md",
    api: "docs/api.md",
    architecture: "docs/architecture.md",
    benchmarks: "docs/benchmarks.md",
    cache: "docs/cache.md",
    configuration: "docs/configuration.md",
    development: "docs/development.md",
    http: "docs/http.md",
    library: "docs/library.md",
    metrics_and_health: "docs/metrics-and-health.md",
    operating: "docs/operating.md",
    postgres: "docs/postgres.md",
    rate_limits: "docs/rate-limits.md",
    redis: "docs/redis.md",
    sessions: "docs/sessions.md",
    static_files: "docs/static-files.md",
);

/// Seconds for all the commands of a page.
const PAGE_PATIENCE_S: u32 = 150;

fn run(path: &str) {
    let text = read(path);
    let here = Substituted::for_page(&text);
    let folder = tempfile::tempdir().expect("a folder");
    // Some pages say that they are read in the checkout.
    std::os::unix::fs::symlink(root().join("tuning"), folder.path().join("tuning"))
        .expect("a link");
    let commands = script(&blocks(path, &text), |text| here.substitute(text));
    let program = PathBuf::from(corelane().get_program());
    let mut bash = Command::new("timeout");
    bash.args(["--kill-after=5", &PAGE_PATIENCE_S.to_string(), "bash", "-c"])
        .arg(commands)
        .current_dir(folder.path());
    // What a person has set is not for the page.
    for (name, value) in corelane().get_envs() {
        assert!(value.is_none(), "{name:?} is only ever removed");
        bash.env_remove(name);
    }
    let output = bash
        .env("CORELANE_PROGRAM", program)
        .env("CORELANE_LISTEN", format!("127.0.0.1:{}", here.port))
        .env(
            "CORELANE_ADMIN_LISTEN",
            format!("127.0.0.1:{}", here.admin_port),
        )
        .stdin(Stdio::null())
        .output()
        .expect("bash and timeout");
    let said = String::from_utf8_lossy(&output.stdout);
    let failed = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success(),
        "{path}: {}\n{said}\n{failed}",
        output.status
    );
}

/// What a page says that is other here.
struct Substituted {
    /// For 3000, and for 3001.
    port: u16,
    admin_port: u16,
    /// For the addresses below, where the page has them.
    postgres: Option<Database>,
    redis: Option<Keyspace>,
}

const POSTGRES_ADDRESS: &str = "postgres://corelane:password@localhost/corelane";
const REDIS_ADDRESS: &str = "redis://localhost";

impl Substituted {
    fn for_page(text: &str) -> Self {
        Self {
            port: free_port(),
            admin_port: free_port(),
            postgres: text.contains(POSTGRES_ADDRESS).then(Database::new),
            redis: text.contains(REDIS_ADDRESS).then(Keyspace::take),
        }
    }

    fn substitute(&self, text: &str) -> String {
        let mut text = text
            .replace(":3000", &format!(":{}", self.port))
            .replace(":3001", &format!(":{}", self.admin_port));
        if let Some(postgres) = &self.postgres {
            text = text.replace(POSTGRES_ADDRESS, &postgres.url());
        }
        if let Some(redis) = &self.redis {
            text = text.replace(REDIS_ADDRESS, &redis.url());
        }
        text
    }
}

/// Below those that the kernel gives to whoever asks for any, so that nobody gets
/// it between here and the start of the server.
fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let process = std::process::id().wrapping_mul(16) % 12_000;
    loop {
        let step = u32::from(NEXT.fetch_add(1, Ordering::Relaxed));
        let port = 20_000 + (process + step) % 12_000;
        let port = u16::try_from(port).expect("less than 32,000");
        if TcpListener::bind(("0.0.0.0", port)).is_ok() {
            return port;
        }
    }
}

fn root() -> &'static Path {
    let mut above = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors();
    above.nth(2).expect("a crate of the workspace")
}

fn read(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

#[test]
fn every_page_is_run() {
    let folder = std::fs::read_dir(root().join("docs")).expect("docs");
    let names = folder.map(|entry| entry.expect("a file").file_name());
    let mut there: Vec<String> = names
        .map(|name| format!("docs/{}", name.to_string_lossy()))
        .collect();
    there.push("README.md".to_owned());
    there.sort();
    assert_eq!(there, PAGES);
}

#[test]
fn the_rust_of_every_page_is_a_doctest() {
    let library = read("src/lib.rs");
    for path in PAGES {
        let has_rust = blocks(path, &read(path)).iter().any(Block::is_rust);
        let included = format!("include_str!(\"../{path}\")");
        assert_eq!(has_rust, library.contains(&included), "{path}");
    }
}

#[test]
fn the_readme_is_short() {
    assert!(read("README.md").lines().count() <= 150);
}

#[test]
fn links_lead_somewhere() {
    let broken: Vec<String> = PAGES.iter().flat_map(|path| links::broken(path)).collect();
    assert!(broken.is_empty(), "{broken:#?}");
}
