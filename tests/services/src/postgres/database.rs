//! A database of a test's own, on the server of the whole run of the suite if
//! there is one, else on one of this process's: making it takes a tenth of a
//! second, and starting a server ten times that.

use std::fs::File;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use rustix::fs::{FlockOperation, flock};

use super::{PASSWORD, Place, Postgres, PostgresOptions, USER};
use crate::run::POSTGRES;

/// An empty database that is dropped with this.
#[derive(Debug)]
pub struct Database {
    place: Place,
    name: String,
    home: Home,
}

/// Whose server a database is on.
#[derive(Debug)]
enum Home {
    /// Its own: it ends with its server.
    Own,
    /// That of the run, which outlives all tests.
    Run,
    /// That of this process, which ends with the last database on it.
    Process(#[allow(dead_code)] Arc<ProcessServer>),
}

/// The database statements are sent to that make and drop databases.
const MAINTENANCE: &str = "postgres";

/// What all tests together may use: each takes a few dozen at most.
pub(crate) const CONNECTIONS_MAX: u32 = 500;

impl Database {
    /// One with nothing in it.
    ///
    /// # Panics
    /// When the server says no.
    pub fn new() -> Self {
        Server::join().take("template0")
    }

    /// A copy of the template `name`, which whoever of all processes comes first
    /// has `make` fill, and which stays as long as the server.
    ///
    /// # Panics
    /// When the server says no.
    pub fn copy_of(name: &str, make: impl FnOnce(&Self)) -> Self {
        let server = Server::join();
        server.make_template(name, make);
        server.take(name)
    }

    pub(super) fn of_its_server(place: Place, name: &str) -> Self {
        let (name, home) = (name.to_owned(), Home::Own);
        Self { place, name, home }
    }

    pub(crate) fn place(&self) -> &Place {
        &self.place
    }

    /// Its name, which no other test's has.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The TCP port.
    pub fn port(&self) -> u16 {
        self.place.port()
    }

    /// The address over TCP, with the password.
    pub fn url(&self) -> String {
        self.url_through(self.port())
    }

    /// The address through a proxy on that port.
    pub fn url_through(&self, port: u16) -> String {
        url(USER, PASSWORD, port, &self.name)
    }

    /// The address for another role. Roles belong to the whole server: they
    /// need names of their own, or must be fit to be shared.
    pub fn url_as(&self, role: &str, password: &str) -> String {
        url(role, password, self.port(), &self.name)
    }

    /// The address of the Unix socket.
    pub fn unix_url(&self) -> String {
        self.place.unix_url(&self.name)
    }

    /// Runs SQL with psql, as somebody outside and the superuser; its output
    /// without headers, fields by `|`.
    ///
    /// # Panics
    /// When psql says no.
    pub fn psql(&self, sql: &str) -> String {
        self.place.psql(&self.name, sql)
    }

    /// [`psql`](Self::psql), or what it complained of.
    ///
    /// # Errors
    /// psql's standard error.
    pub fn try_psql(&self, sql: &str) -> Result<String, String> {
        self.place.try_psql(&self.name, &[sql])
    }

    /// pg_dump of it, restored into another one by psql.
    ///
    /// # Panics
    /// When either says no.
    pub fn dump_into(&self, other: &Self) {
        self.place.dump(&self.name, &other.name);
    }

    /// How many connections to it there are, psql's own not counted.
    pub fn connections(&self) -> u32 {
        let count = self.psql(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()
             AND backend_type = 'client backend' AND pid <> pg_backend_pid()",
        );
        count.parse().expect("a number")
    }
}

impl Default for Database {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        if !matches!(self.home, Home::Own) {
            let sql = format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", self.name);
            // It is gone with the run, if that was interrupted.
            let _ = self.place.try_psql(MAINTENANCE, &[&sql]);
        }
    }
}

fn url(role: &str, password: &str, port: u16, database: &str) -> String {
    format!("postgres://{role}:{password}@127.0.0.1:{port}/{database}")
}

/// A server that tests share.
struct Server {
    place: Place,
    process: Option<Arc<ProcessServer>>,
}

impl Server {
    fn join() -> Self {
        let Ok(url) = std::env::var(POSTGRES) else {
            let process = ProcessServer::join();
            let place = process.postgres.place().clone();
            return Self {
                place,
                process: Some(process),
            };
        };
        let place = Place::of_unix_url(&url);
        let place = place.unwrap_or_else(|| panic!("{POSTGRES} is no address of ours: {url}"));
        let process = None;
        Self { place, process }
    }

    fn take(&self, template: &str) -> Database {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("corelane_{}_{number}", std::process::id());
        self.create(name, template)
    }

    /// A process of the same number, which was killed, may have left one.
    fn create(&self, name: String, template: &str) -> Database {
        let statements = [
            format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)"),
            format!("CREATE DATABASE {name} TEMPLATE {template}"),
        ];
        self.maintain(&statements);
        let home = match &self.process {
            Some(process) => Home::Process(process.clone()),
            None => Home::Run,
        };
        Database {
            place: self.place.clone(),
            name,
            home,
        }
    }

    fn make_template(&self, name: &str, make: impl FnOnce(&Database)) {
        let path = self.place.folder().join(format!("{name}.lock"));
        let lock = File::create(path).expect("a lock file");
        flock(&lock, FlockOperation::LockExclusive).expect("the lock");
        let is_there = format!("SELECT count(*) FROM pg_database WHERE datname = '{name}'");
        if self.place.psql(MAINTENANCE, &is_there) == "1" {
            return;
        }
        let unfinished = self.create(format!("{name}_unfinished"), "template0");
        make(&unfinished);
        let rename = format!("ALTER DATABASE {} RENAME TO {name}", unfinished.name);
        self.maintain(&[rename]);
    }

    fn maintain(&self, statements: &[String]) {
        let statements: Vec<&str> = statements.iter().map(String::as_str).collect();
        if let Err(refusal) = self.place.try_psql(MAINTENANCE, &statements) {
            panic!("{statements:?}: {refusal}");
        }
    }
}

/// One server for all tests of a process that run at the same time.
#[derive(Debug)]
struct ProcessServer {
    postgres: Postgres,
    /// The kernel ends the server with the thread that started it, which must
    /// not be a test's: that one ends when this is dropped.
    _starter: Sender<()>,
}

static PROCESS: Mutex<Weak<ProcessServer>> = Mutex::new(Weak::new());

impl ProcessServer {
    fn join() -> Arc<Self> {
        let mut process = PROCESS.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(server) = process.upgrade() {
            return server;
        }
        let (started, server) = channel();
        let (starter, ended) = channel::<()>();
        std::thread::spawn(move || {
            let options = PostgresOptions {
                connections_max: CONNECTIONS_MAX,
                ..PostgresOptions::default()
            };
            started.send(Postgres::start_with(options)).unwrap();
            let _ = ended.recv();
        });
        let new = Arc::new(Self {
            postgres: server.recv().expect("PostgreSQL starts"),
            _starter: starter,
        });
        *process = Arc::downgrade(&new);
        new
    }
}
