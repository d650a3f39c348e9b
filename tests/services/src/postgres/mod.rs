//! A private PostgreSQL server, for tests that kill, freeze or configure one:
//! the others take a [`Database`]. `fsync` is off, so a power cut would hurt it,
//! and `kill -9` does not; nor does it end in good order, which takes longer.

mod cluster;
mod database;
mod place;

use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::child::{PATIENCE, Server, becomes, free_port};
use cluster::{binary, copy, make_certificate, open_to_all, template};
pub(crate) use database::CONNECTIONS_MAX;
pub use database::Database;
pub(crate) use place::Place;

/// How a server is started.
#[derive(Debug, Clone)]
pub struct PostgresOptions {
    /// `max_connections`.
    pub connections_max: u32,
    /// More settings, `name=value`.
    pub settings: Vec<String>,
    /// Serves TLS with a certificate for `localhost` that it signed itself
    /// (`certificate` of [`Postgres`]).
    pub tls: bool,
}

impl Default for PostgresOptions {
    fn default() -> Self {
        Self {
            connections_max: 50,
            settings: Vec::new(),
            tls: false,
        }
    }
}

/// A running server with an empty database `corelane`, which this stands for
/// too. Owner and superuser is `postgres` with the password `secret` (SCRAM over
/// TCP; trusted on the Unix socket).
#[derive(Debug)]
pub struct Postgres {
    server: Server,
    folder: TempDir,
    database: Database,
    options: PostgresOptions,
}

/// The password of `postgres`.
const PASSWORD: &str = "secret";
const USER: &str = "postgres";

impl Postgres {
    /// Starts one with the defaults.
    pub fn start() -> Self {
        Self::start_with(PostgresOptions::default())
    }

    /// Starts one.
    ///
    /// # Panics
    /// When there is no PostgreSQL on this machine; `apt-get install
    /// postgresql` brings it.
    pub fn start_with(options: PostgresOptions) -> Self {
        let folder = TempDir::new().expect("a folder");
        open_to_all(folder.path());
        copy(&template(), &folder.path().join("data"));
        if options.tls {
            make_certificate(folder.path());
        }
        for _ in 0..5 {
            let port = free_port();
            let mut server = launch(folder.path(), port, &options);
            let socket = folder.path().join(format!(".s.PGSQL.{port}"));
            if becomes(&mut server, || answers(&socket)) {
                let place = Place::new(folder.path().to_owned(), port);
                return Self {
                    server,
                    database: Database::of_its_server(place, "corelane"),
                    folder,
                    options,
                };
            }
        }
        let log = std::fs::read_to_string(folder.path().join("data/log.txt"));
        panic!("PostgreSQL does not start: {log:?}");
    }

    /// The process all others of the server are children of.
    pub fn pid(&self) -> u32 {
        self.server.id()
    }

    /// The certificate that signs itself, PEM, if it was started with `tls`.
    pub fn certificate(&self) -> PathBuf {
        self.folder.path().join("server.crt")
    }

    /// [`psql`](Database::psql) in another database of the server.
    ///
    /// # Panics
    /// When psql says no.
    pub fn psql_in(&self, database: &str, sql: &str) -> String {
        self.database.place().psql(database, sql)
    }

    /// `kill -9` of the postmaster; its children notice and are gone when this
    /// returns: until then they answer those who are connected to them.
    pub fn kill(&mut self) {
        let children = children(self.postmaster());
        self.server.kill();
        let begun = Instant::now();
        while children.iter().any(|pid| is_alive(*pid)) {
            assert!(begun.elapsed() < PATIENCE, "children of PostgreSQL stay");
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    /// Starts it again on the same port and data after [`kill`](Self::kill).
    pub fn start_again(&mut self) {
        // While a child of the killed one's last moment is there it refuses to.
        for _ in 0..100 {
            self.server = launch(self.folder.path(), self.port(), &self.options);
            let socket = self.folder.path().join(format!(".s.PGSQL.{}", self.port()));
            if becomes(&mut self.server, || answers(&socket)) {
                return;
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        panic!("PostgreSQL does not start again");
    }

    /// SIGSTOP to the whole server: connections stay, nothing is answered.
    pub fn freeze(&self) {
        self.signal_all(Signal::STOP);
    }

    /// SIGCONT after [`freeze`](Self::freeze).
    pub fn thaw(&self) {
        self.signal_all(Signal::CONT);
    }

    fn signal_all(&self, signal: Signal) {
        // The postmaster first, so that it starts no more children meanwhile.
        let postmaster = self.postmaster();
        let _ = kill_process(postmaster, signal);
        for child in children(postmaster) {
            let _ = kill_process(child, signal);
        }
    }

    fn postmaster(&self) -> Pid {
        let file = std::fs::read_to_string(self.folder.path().join("data/postmaster.pid"));
        let file = file.expect("it runs");
        let pid = file.lines().next().and_then(|pid| pid.parse().ok());
        pid.and_then(Pid::from_raw).expect("a pid")
    }
}

fn children(parent: Pid) -> Vec<Pid> {
    let parent = parent.as_raw_nonzero();
    let children = std::fs::read_to_string(format!("/proc/{parent}/task/{parent}/children"));
    let children = children.unwrap_or_default();
    children
        .split_whitespace()
        .map(|pid| pid.parse().ok().and_then(Pid::from_raw).expect("a pid"))
        .collect()
}

/// Whether there is such a process that is more than an entry its parent has
/// not read.
fn is_alive(pid: Pid) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero()));
    stat.is_ok_and(|stat| !stat.contains(") Z "))
}

impl Deref for Postgres {
    type Target = Database;

    fn deref(&self) -> &Database {
        &self.database
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        if self.folder.path().join("data/postmaster.pid").exists() {
            self.thaw();
        }
    }
}

fn launch(folder: &Path, port: u16, options: &PostgresOptions) -> Server {
    let data = folder.join("data");
    let mut settings = vec![
        format!("port={port}"),
        "listen_addresses=127.0.0.1".to_owned(),
        format!("unix_socket_directories={}", folder.display()),
        format!("max_connections={}", options.connections_max),
        "fsync=off".to_owned(),
        "shared_buffers=32MB".to_owned(),
        "max_wal_size=256MB".to_owned(),
        "logging_collector=off".to_owned(),
        "autovacuum=off".to_owned(),
    ];
    if options.tls {
        settings.push("ssl=on".to_owned());
        settings.push(format!(
            "ssl_cert_file={}",
            folder.join("server.crt").display()
        ));
        settings.push(format!(
            "ssl_key_file={}",
            folder.join("server.key").display()
        ));
    }
    settings.extend(options.settings.iter().cloned());
    let (program, data) = (binary("postgres"), data.display().to_string());
    let program = program.display().to_string();
    let mut command = vec![program.as_str(), "-D", &data];
    for setting in &settings {
        command.extend(["-c", setting]);
    }
    Server::start(&command, USER, Signal::QUIT)
}

/// Whether somebody takes connections on this socket and can be asked.
fn answers(socket: &Path) -> bool {
    let Some((folder, name)) = socket.parent().zip(socket.file_name()) else {
        return false;
    };
    let port = name.to_string_lossy().replace(".s.PGSQL.", "");
    let mut command = Command::new(binary("pg_isready"));
    command.args(["-q", "-p", &port, "-h"]).arg(folder);
    socket.exists() && command.status().is_ok_and(|status| status.success())
}
