//! What every store does, run against each: SQLite on a file, PostgreSQL on a
//! server of the tests' own.

/// Makes two tests of each `fn name(kind: Kind)`: `name::sqlite` and
/// `name::postgres`.
macro_rules! both_stores {
    ($($name:ident),+ $(,)?) => {$(
        mod $name {
            use crate::store::tests::Kind;

            #[test]
            fn sqlite() {
                super::$name(Kind::Sqlite);
            }

            #[test]
            fn postgres() {
                super::$name(Kind::Postgres);
            }
        }
    )+};
}

mod crud;
mod engines;
mod lists;
mod logins;
mod near;
mod seed;
mod server;

pub(super) use server::{filled, migrated};
pub(super) use services::Database as TestDatabase;

use std::cell::RefCell;
use std::fmt::Write;
use std::sync::Arc;

use super::{Database, Location, NewUser, Store, StoreOptions, StoreUrl, User};
use corelane::internals::engine::{BlockingPool, EngineKind, EngineOptions, Runtime};

/// Which store a test runs against.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Sqlite,
    Postgres,
}

impl Kind {
    /// An empty database of this kind.
    pub(super) fn fixture(self) -> Fixture {
        match self {
            Self::Sqlite => {
                let folder = tempfile::tempdir().unwrap();
                let url = StoreOptions::sqlite(folder.path().join("data/c.db")).url;
                Fixture::open(Place::Folder(folder), url)
            }
            Self::Postgres => Fixture::on(migrated()),
        }
    }
}

/// A database of its own.
pub(super) struct Fixture {
    pub(super) database: Arc<Database>,
    pub(super) options: StoreOptions,
    place: Place,
}

enum Place {
    Folder(#[allow(dead_code)] tempfile::TempDir),
    Server(TestDatabase),
}

impl Fixture {
    /// Over a database of the tests' server.
    pub(super) fn on(database: TestDatabase) -> Self {
        let url = database.url().parse().unwrap();
        Self::open(Place::Server(database), url)
    }

    fn open(place: Place, url: StoreUrl) -> Self {
        // Not durable: these tests do not cut the power.
        let options = StoreOptions {
            url,
            durable: false,
            ..StoreOptions::default()
        };
        let database = Database::open(&options).unwrap();
        Self {
            database,
            options,
            place,
        }
    }

    /// Runs `work` with a door to the database on a shard. epoll, because
    /// locked memory may be scarce where tests run in parallel.
    pub(super) fn on_shard<T>(&self, work: impl AsyncFnOnce(&Store) -> T) -> T {
        self.on_engine(EngineKind::Epoll, work)
    }

    /// [`on_shard`](Self::on_shard) on that engine.
    pub(super) fn on_engine<T>(&self, kind: EngineKind, work: impl AsyncFnOnce(&Store) -> T) -> T {
        let mut runtime = runtime(kind);
        let output = runtime.block_on(async {
            let store = self.database.connect().unwrap();
            work(&store).await
        });
        runtime.shutdown();
        output
    }

    /// Runs SQL behind the store's back.
    pub(super) fn sql(&self, sql: &str) {
        match (&self.place, &self.options.url) {
            (Place::Server(database), _) => {
                database.psql(sql);
            }
            (Place::Folder(_), StoreUrl::Sqlite { path }) => {
                let connection = rusqlite::Connection::open(path).unwrap();
                connection.execute_batch(sql).unwrap();
            }
            (Place::Folder(_), _) => unreachable!("a folder is SQLite's"),
        }
    }

    /// Adds users with these ids.
    pub(super) fn insert(&self, users: impl IntoIterator<Item = User>) {
        let users: Vec<User> = users.into_iter().collect();
        let identity = match self.place {
            Place::Server(_) => "OVERRIDING SYSTEM VALUE ",
            Place::Folder(_) => "",
        };
        for some in users.chunks(800) {
            let mut sql = format!(
                "INSERT INTO users (id, name, email, age, lat, lon, created_at_ms, updated_at_ms, \
                 version) {identity}VALUES"
            );
            for (index, user) in some.iter().enumerate() {
                let separator = if index == 0 { "" } else { "," };
                let null = || "NULL".to_owned();
                let (lat, lon) = user
                    .location
                    .map(|place| (format!("{:?}", place.lat), format!("{:?}", place.lon)))
                    .unwrap_or_else(|| (null(), null()));
                write!(
                    sql,
                    "{separator}({}, '{}', '{}', {}, {lat}, {lon}, {}, {}, {})",
                    user.id,
                    user.name,
                    user.email,
                    user.age,
                    user.created_at_ms,
                    user.updated_at_ms,
                    user.version
                )
                .unwrap();
            }
            self.sql(&sql);
        }
    }

    /// The database on the tests' server alone, to be opened anew.
    pub(super) fn into_server(self) -> TestDatabase {
        match self.place {
            Place::Server(database) => database,
            Place::Folder(_) => panic!("not PostgreSQL"),
        }
    }

    /// The database on the tests' server.
    pub(super) fn server(&self) -> &TestDatabase {
        match &self.place {
            Place::Server(database) => database,
            Place::Folder(_) => panic!("not PostgreSQL"),
        }
    }
}

fn runtime(kind: EngineKind) -> Runtime {
    let options = EngineOptions {
        kind,
        ring_entries: 256,
    };
    let pool = BlockingPool::start(1).unwrap();
    Runtime::build(&options, pool).unwrap()
}

/// An empty database for one case after the other. A login at PostgreSQL and a
/// database of its own cost far more than a case: all have the same ones.
pub(super) struct Cases {
    kind: Kind,
    shard: RefCell<Option<(Fixture, Runtime, Store)>>,
}

impl Cases {
    pub(super) fn of(kind: Kind) -> Self {
        let shard = RefCell::default();
        Self { kind, shard }
    }

    /// Runs a case on an empty database that holds `users`.
    pub(super) fn run<T>(
        &self,
        users: impl IntoIterator<Item = User>,
        work: impl AsyncFnOnce(&Store) -> T,
    ) -> T {
        let mut shard = self.shard.borrow_mut();
        if self.kind == Kind::Sqlite {
            Self::end(shard.take());
        }
        if let Some((fixture, ..)) = &*shard {
            fixture.sql("TRUNCATE users RESTART IDENTITY CASCADE");
        }
        let (fixture, runtime, store) = shard.get_or_insert_with(|| self.begin());
        fixture.insert(users);
        runtime.block_on(work(store))
    }

    fn begin(&self) -> (Fixture, Runtime, Store) {
        let fixture = self.kind.fixture();
        let mut runtime = runtime(EngineKind::Epoll);
        let store = runtime.block_on(async { fixture.database.connect().unwrap() });
        (fixture, runtime, store)
    }

    fn end(shard: Option<(Fixture, Runtime, Store)>) {
        if let Some((_fixture, mut runtime, store)) = shard {
            runtime.block_on(async { drop(store) });
            runtime.shutdown();
        }
    }
}

impl Drop for Cases {
    fn drop(&mut self) {
        Self::end(self.shard.take());
    }
}

pub(super) fn person(number: usize) -> NewUser {
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
