//! One PostgreSQL server for all tests that run at the same time, and a
//! database of its own for each.

use std::collections::HashSet;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use services::{Postgres, PostgresOptions};

use crate::store::{Database, StoreOptions};

/// The server; it ends with the last test that uses it.
pub(in crate::store) struct SharedServer {
    postgres: Postgres,
    /// Databases to copy that tests have made.
    templates: Mutex<HashSet<&'static str>>,
    /// The kernel ends the server with the thread that started it, which must
    /// not be a test's: that one ends when this is dropped.
    _starter: Sender<()>,
}

static SERVER: Mutex<Weak<SharedServer>> = Mutex::new(Weak::new());
static DATABASES: AtomicU32 = AtomicU32::new(0);

impl SharedServer {
    /// The running one, or a new one with a migrated database to copy.
    pub(in crate::store) fn join() -> Arc<Self> {
        let mut server = SERVER.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(server) = server.upgrade() {
            return server;
        }
        let new = Arc::new(Self::start());
        new.postgres.psql("CREATE DATABASE migrated");
        let url = new.url_of("migrated");
        let options = StoreOptions {
            url: url.parse().unwrap(),
            ..StoreOptions::default()
        };
        Database::open(&options).unwrap();
        *server = Arc::downgrade(&new);
        new
    }

    fn start() -> Self {
        let (started, server) = channel();
        let (starter, ended) = channel::<()>();
        std::thread::spawn(move || {
            let options = PostgresOptions {
                connections_max: 200,
                ..PostgresOptions::default()
            };
            started.send(Postgres::start_with(options)).unwrap();
            let _ = ended.recv();
        });
        Self {
            postgres: server.recv().expect("PostgreSQL starts"),
            templates: Mutex::default(),
            _starter: starter,
        }
    }

    fn url_of(&self, database: &str) -> String {
        let url = self.postgres.url();
        let (server, _) = url.rsplit_once('/').unwrap();
        format!("{server}/{database}")
    }
}

/// A database on the server, dropped with this.
pub(in crate::store) struct TestDatabase {
    name: String,
    server: Arc<SharedServer>,
}

impl TestDatabase {
    /// One with the schema and no rows.
    pub(in crate::store) fn migrated() -> Self {
        Self::copy_of("migrated")
    }

    /// One with nothing in it.
    pub(in crate::store) fn empty() -> Self {
        Self::copy_of("template0")
    }

    /// A copy of the database `name`, which whoever comes first makes from a
    /// migrated one.
    pub(in crate::store) fn filled(name: &'static str, fill: impl FnOnce(&Self)) -> Self {
        let server = SharedServer::join();
        let templates = server.templates.lock();
        let mut templates = templates.unwrap_or_else(PoisonError::into_inner);
        if templates.insert(name) {
            let new = Self::migrated();
            fill(&new);
            server
                .postgres
                .psql(&format!("CREATE DATABASE {name} TEMPLATE {}", new.name));
        }
        drop(templates);
        Self::copy_of(name)
    }

    fn copy_of(template: &str) -> Self {
        let server = SharedServer::join();
        let number = DATABASES.fetch_add(1, Ordering::Relaxed);
        let name = format!("test_{number}");
        let sql = format!("CREATE DATABASE {name} TEMPLATE {template}");
        server.postgres.psql(&sql);
        Self { name, server }
    }

    /// Its address over TCP.
    pub(in crate::store) fn url(&self) -> String {
        self.server.url_of(&self.name)
    }

    /// Its address for another role.
    pub(in crate::store) fn url_as(&self, role: &str, password: &str) -> String {
        let url = self.url();
        let (_, place) = url.rsplit_once('@').unwrap();
        format!("postgres://{role}:{password}@{place}")
    }

    /// Runs SQL with psql, as the superuser; its output.
    pub(in crate::store) fn psql(&self, sql: &str) -> String {
        self.server.postgres.psql_in(&self.name, sql)
    }

    /// Dumps it and restores that into another, as an operator would.
    pub(in crate::store) fn dump_into(&self, other: &Self) {
        self.server.postgres.dump_into(&self.name, &other.name);
    }
}

impl Drop for TestDatabase {
    fn drop(&mut self) {
        let sql = format!("DROP DATABASE {} WITH (FORCE)", self.name);
        // The server may be what a test has ended.
        let _ = self.server.postgres.try_psql(&sql);
    }
}
