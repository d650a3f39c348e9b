//! A database of the tests' PostgreSQL with the store's schema.

use services::Database as TestDatabase;

use crate::store::{Database, StoreOptions};

/// One with the schema and no rows.
pub(in crate::store) fn migrated() -> TestDatabase {
    TestDatabase::copy_of("migrated", migrate)
}

/// A copy of the database `name`, which is filled once.
pub(in crate::store) fn filled(name: &str, fill: impl FnOnce(&TestDatabase)) -> TestDatabase {
    TestDatabase::copy_of(name, |database| {
        migrate(database);
        fill(database);
    })
}

fn migrate(database: &TestDatabase) {
    let options = StoreOptions {
        url: database.url().parse().unwrap(),
        ..StoreOptions::default()
    };
    Database::open(&options).unwrap();
}
