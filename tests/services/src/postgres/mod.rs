//! A private PostgreSQL server. The cluster is made once per user and version
//! and copied for each server; `fsync` is off, so a power cut would hurt it,
//! and `kill -9` does not.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use rustix::fs::{FlockOperation, flock};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::child::{PATIENCE, Server, as_user, becomes, free_port};

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

/// A running server with an empty database `corelane`, whose owner and
/// superuser is `postgres` with the password `secret` (SCRAM over TCP; trusted
/// on the Unix socket).
#[derive(Debug)]
pub struct Postgres {
    server: Server,
    folder: TempDir,
    port: u16,
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
                return Self {
                    server,
                    folder,
                    port,
                    options,
                };
            }
        }
        let log = std::fs::read_to_string(folder.path().join("data/log.txt"));
        panic!("PostgreSQL does not start: {log:?}");
    }

    /// The TCP port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The process all others of the server are children of.
    pub fn pid(&self) -> u32 {
        self.server.id()
    }

    /// The address over TCP, with the password.
    pub fn url(&self) -> String {
        self.url_through(self.port)
    }

    /// The address through a proxy on that port.
    pub fn url_through(&self, port: u16) -> String {
        format!("postgres://{USER}:{PASSWORD}@127.0.0.1:{port}/corelane")
    }

    /// The address of the Unix socket.
    pub fn unix_url(&self) -> String {
        let folder = self.folder.path().display().to_string().replace('/', "%2F");
        format!("postgres://{USER}@{folder}:{}/corelane", self.port)
    }

    /// The certificate that signs itself, PEM, if it was started with `tls`.
    pub fn certificate(&self) -> PathBuf {
        self.folder.path().join("server.crt")
    }

    /// Runs SQL with psql, as somebody outside; its output without headers,
    /// fields by `|`.
    ///
    /// # Panics
    /// When psql says no.
    pub fn psql(&self, sql: &str) -> String {
        match self.try_psql(sql) {
            Ok(output) => output,
            Err(refusal) => panic!("{sql}: {refusal}"),
        }
    }

    /// [`psql`](Self::psql) in another database of the server.
    ///
    /// # Panics
    /// When psql says no.
    pub fn psql_in(&self, database: &str, sql: &str) -> String {
        match self.run_psql(database, sql) {
            Ok(output) => output,
            Err(refusal) => panic!("{sql}: {refusal}"),
        }
    }

    /// [`psql`](Self::psql), or what it complained of.
    ///
    /// # Errors
    /// psql's standard error.
    pub fn try_psql(&self, sql: &str) -> Result<String, String> {
        self.run_psql("corelane", sql)
    }

    /// pg_dump of one database of the server, restored into another by psql.
    ///
    /// # Panics
    /// When either says no.
    pub fn dump_into(&self, from: &str, to: &str) {
        let (folder, port) = (self.folder.path().display(), self.port);
        let at = format!("-U {USER} -h {folder} -p {port}");
        let (dump, psql) = (binary("pg_dump"), binary("psql"));
        let file = self.folder.path().join(format!("{from}.sql"));
        run(Command::new("sh").arg("-c").arg(format!(
            "{} {at} {from} > {file} && {} {at} -X -q -v ON_ERROR_STOP=1 -d {to} -f {file}",
            dump.display(),
            psql.display(),
            file = file.display(),
        )));
    }

    fn run_psql(&self, database: &str, sql: &str) -> Result<String, String> {
        let output = Command::new(binary("psql"))
            .args(["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-U", USER])
            .args(["-d", database, "-p", &self.port.to_string()])
            .arg("-h")
            .arg(self.folder.path())
            .args(["-c", sql])
            .output()
            .expect("psql runs");
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
        match output.status.success() {
            true => Ok(text(&output.stdout)),
            false => Err(text(&output.stderr)),
        }
    }

    /// How many connections to the database there are, psql's own not counted.
    pub fn connections(&self) -> u32 {
        let count = self.psql(
            "SELECT count(*) FROM pg_stat_activity
             WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()",
        );
        count.parse().expect("a number")
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
            self.server = launch(self.folder.path(), self.port, &self.options);
            let socket = self.folder.path().join(format!(".s.PGSQL.{}", self.port));
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

impl Drop for Postgres {
    fn drop(&mut self) {
        self.thaw_if_there();
    }
}

impl Postgres {
    fn thaw_if_there(&self) {
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
    Server::start(&command, USER, Signal::INT)
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

/// A cluster to copy: made by whoever comes first, the others wait.
fn template() -> PathBuf {
    let user = rustix::process::geteuid().as_raw();
    let version = version();
    let path = std::env::temp_dir().join(format!("corelane-postgres-{version}-{user}-1"));
    let lock = File::create(path.with_extension("lock")).expect("a lock file");
    flock(&lock, FlockOperation::LockExclusive).expect("the lock");
    if !path.join("made").exists() {
        let _ = std::fs::remove_dir_all(&path);
        std::fs::create_dir(&path).expect("a folder");
        open_to_all(&path);
        make_cluster(&path);
        std::fs::write(path.join("made"), "").expect("a mark");
    }
    path.join("data")
}

fn make_cluster(folder: &Path) {
    let data = folder.join("data");
    let password = folder.join("password");
    std::fs::write(&password, PASSWORD).expect("the password file");
    run(Command::new("sh").arg("-c").arg(format!(
        "{} {} -D {} -U {USER} --pwfile {} --auth-local trust --auth-host scram-sha-256 \
         --encoding UTF8 --locale C --no-sync",
        as_user(USER).join(" "),
        binary("initdb").display(),
        data.display(),
        password.display(),
    )));
    let sql = "CREATE DATABASE corelane;\n";
    run(Command::new("sh").arg("-c").arg(format!(
        "echo '{sql}' | {} {} --single -D {} postgres",
        as_user(USER).join(" "),
        binary("postgres").display(),
        data.display(),
    )));
}

fn run(command: &mut Command) {
    let output = command.output().expect("it runs");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {said}");
}

fn copy(from: &Path, to: &Path) {
    run(Command::new("cp")
        .arg("-a")
        .arg("--reflink=auto")
        .arg(from)
        .arg(to));
}

/// PostgreSQL is another user, if we are root.
fn open_to_all(folder: &Path) {
    use std::os::unix::fs::PermissionsExt;
    let open = std::fs::Permissions::from_mode(0o777);
    std::fs::set_permissions(folder, open).expect("our own folder");
}

fn make_certificate(folder: &Path) {
    let (key, certificate) = (folder.join("server.key"), folder.join("server.crt"));
    run(Command::new("openssl")
        .args([
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:prime256v1",
        ])
        .args(["-nodes", "-days", "2", "-subj", "/CN=localhost"])
        .args(["-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"])
        .arg("-keyout")
        .arg(&key)
        .arg("-out")
        .arg(&certificate));
    if !as_user(USER).is_empty() {
        run(Command::new("chown").arg(USER).arg(&key));
    }
    run(Command::new("chmod").arg("600").arg(&key));
}

fn version() -> String {
    let folder = binary("postgres");
    let name = folder.iter().rev().nth(2).unwrap_or_default();
    name.to_string_lossy().into_owned()
}

/// A program of the newest PostgreSQL installed as Debian does, else by PATH.
fn binary(name: &str) -> PathBuf {
    let versions = std::fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten();
    let folders = versions.filter_map(|entry| Some(entry.ok()?.path().join("bin").join(name)));
    let newest = folders.filter(|path| path.exists()).max();
    newest.unwrap_or_else(|| PathBuf::from(name))
}
