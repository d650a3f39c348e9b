//! What is PostgreSQL's own: migrations, the change feed, plans, streams.

mod announced;
mod changes;
mod concurrency;
mod export;
mod migrations;
mod outdated;
mod plans;

use super::PostgresDatabase;
use super::{StoreError, blocking, unhurried};
use crate::store::tests::{Fixture, TestDatabase};
use crate::store::{DatabaseBackend, StoreOptions, StoreUrl};
use corelane::postgres::{Connection, Dialer};

/// Runs `work` with a connection of its own to that database.
fn connected<T: Send>(url: &str, work: impl AsyncFnOnce(&Connection) -> T + Send) -> T {
    let options = StoreOptions::default();
    let url = url.parse().unwrap();
    let done: Result<T, StoreError> = blocking::run(async || {
        let StoreUrl::Postgres(url) = &url else {
            panic!("not PostgreSQL")
        };
        let dialer = Dialer::new(url, &options.database, &[("corelane.origin", "test")]).unwrap();
        let dialed = dialer.dial().await.unwrap();
        let connection = unhurried(dialed).await.unwrap();
        Ok(work(&connection).await)
    });
    done.unwrap()
}

fn postgres(fixture: &Fixture) -> &PostgresDatabase {
    match &fixture.database.backend {
        DatabaseBackend::Postgres(database) => database,
        DatabaseBackend::Sqlite(_) => panic!("not PostgreSQL"),
    }
}

/// The database's users and posts by id, made by one statement.
fn fill(database: &TestDatabase, users: u64, columns: &str) {
    database.psql(&format!(
        "ALTER TABLE users DISABLE TRIGGER USER;
         INSERT INTO users (name, email, age, lat, lon, created_at_ms, updated_at_ms, version)
         SELECT {columns}, 5, 6, 7 FROM generate_series(1::bigint, {users}) AS n;
         ALTER TABLE users ENABLE TRIGGER USER"
    ));
}
