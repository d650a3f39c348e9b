//! What is SQLite's own: its file and its writer. What every store does is
//! tested in `store/tests`.

mod faults;
mod taken_away;
mod writer;

use std::future::{Future, poll_fn};
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;

use super::SqliteDatabase;
use crate::store::{Database, DatabaseBackend, Location, NewUser, Store, StoreBackend};
use crate::store::{StoreError, StoreOptions, User};
use corelane::internals::engine::{BlockingPool, EngineKind, EngineOptions, Runtime};

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

    /// Closes the database and leaves its file, for as long as the folder is
    /// held.
    fn close(self) -> (PathBuf, StoreOptions, tempfile::TempDir) {
        (self.path(), self.options, self.folder)
    }

    fn sqlite(&self) -> &SqliteDatabase {
        let DatabaseBackend::Sqlite(database) = &self.database.backend else {
            unreachable!("opened as SQLite");
        };
        database
    }

    /// Runs `job` as a write on the writer's thread and connection.
    async fn on_writer(
        &self,
        job: fn(&rusqlite::Connection) -> rusqlite::Result<()>,
    ) -> Result<(), StoreError> {
        let StoreBackend::Sqlite(session) = &self.store.backend else {
            unreachable!("opened as SQLite");
        };
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

/// Polls all, so that all are under way, until all are done.
async fn join_all<'a, T>(futures: impl IntoIterator<Item = Waiting<'a, T>>) -> Vec<T> {
    let mut futures: Vec<_> = futures.into_iter().map(Some).collect();
    let mut outputs: Vec<Option<T>> = futures.iter().map(|_| None).collect();
    poll_fn(|cx| {
        for (future, output) in futures.iter_mut().zip(&mut outputs) {
            let Some(waiting) = future else { continue };
            if let Poll::Ready(ready) = waiting.as_mut().poll(cx) {
                *output = Some(ready);
                *future = None;
            }
        }
        if futures.iter().all(Option::is_none) {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    })
    .await;
    outputs.into_iter().flatten().collect()
}

type Waiting<'a, T> = Pin<Box<dyn Future<Output = T> + 'a>>;

/// Users made at the same time.
async fn create_all(
    store: &Store,
    users: impl IntoIterator<Item = NewUser>,
) -> Vec<Result<User, StoreError>> {
    join_all(
        users
            .into_iter()
            .map(|user| -> Waiting<'_, _> { Box::pin(store.create_user(user)) }),
    )
    .await
}
