//! The embedded store as its users see it, on a shard and a real file.

mod crud;
mod faults;
mod lists;
mod measure;
mod near;
mod seed;
mod writer;

use std::path::PathBuf;
use std::sync::Arc;

use super::SqliteDatabase;
use crate::engine::{BlockingPool, EngineKind, EngineOptions, Runtime};
use crate::store::{Database, DatabaseBackend, Location, NewUser, Store, StoreBackend};
use crate::store::{StoreError, StoreOptions};

/// A shard's runtime. epoll, because locked memory may be scarce where tests
/// run in parallel; the store does not know the difference.
fn shard() -> Runtime {
    let options = EngineOptions {
        kind: EngineKind::Epoll,
        ..EngineOptions::default()
    };
    Runtime::build(&options, BlockingPool::start(1).unwrap()).unwrap()
}

/// A database in a folder of its own, and a shard's door to it.
struct Fixture {
    database: Arc<Database>,
    store: Store,
    options: StoreOptions,
    folder: tempfile::TempDir,
}

impl Fixture {
    /// Not durable: most tests do not cut the power.
    fn new() -> Self {
        Self::with(StoreOptions {
            durable: false,
            ..StoreOptions::default()
        })
    }

    fn with(mut options: StoreOptions) -> Self {
        let folder = tempfile::tempdir().unwrap();
        options.url = StoreOptions::sqlite(folder.path().join("data/c.db")).url;
        let database = Database::open(&options).unwrap();
        let store = database.connect().unwrap();
        Self {
            database,
            store,
            options,
            folder,
        }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("data/c.db")
    }

    fn sqlite(&self) -> &SqliteDatabase {
        let DatabaseBackend::Sqlite(database) = &self.database.backend;
        database
    }

    /// Runs `job` as a write on the writer's thread and connection.
    async fn on_writer(
        &self,
        job: fn(&rusqlite::Connection) -> rusqlite::Result<()>,
    ) -> Result<(), StoreError> {
        let StoreBackend::Sqlite(session) = &self.store.backend;
        session
            .write(super::writes::Write::Test(job))
            .await
            .map(drop)
    }
}

fn person(number: usize) -> NewUser {
    NewUser {
        name: format!("Person {number}"),
        email: format!("person{number}@example.com"),
        age: 30,
        location: Some(Location {
            lat: 48.85,
            lon: 2.35,
        }),
    }
}
