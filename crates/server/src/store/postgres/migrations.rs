//! Brings a database to the schema this binary knows. Each step is a numbered
//! SQL file applied once, in its own transaction, and remembered with a
//! checksum; a file that was released is never edited.
//!
//! Many nodes may start at once: one takes an advisory lock and works, the
//! others wait for it and find nothing to do.

use std::time::{Duration, Instant};

use tokio_postgres::error::SqlState;

use super::Failure;
use super::fault::read_error;
use crate::store::OpenError;
use crate::store::limits::{STORE_MIGRATION_PAUSE_MS, STORE_MIGRATION_TRY_MS};
use crate::store::migration::Migration;
use corelane::internals::clock::unix_ms;
use corelane::internals::engine;
use corelane::postgres::Connection;

/// All steps, oldest first, numbered from 1.
pub(super) const MIGRATIONS: &[Migration] = &[
    Migration {
        version: 1,
        name: "users",
        sql: include_str!("migrations/0001_users.sql"),
    },
    Migration {
        version: 2,
        name: "posts",
        sql: include_str!("migrations/0002_posts.sql"),
    },
    Migration {
        version: 3,
        name: "changes",
        sql: include_str!("migrations/0003_changes.sql"),
    },
    Migration {
        version: 4,
        name: "sessions",
        sql: include_str!("migrations/0004_sessions.sql"),
    },
    Migration {
        version: 5,
        name: "versions",
        sql: include_str!("migrations/0005_versions.sql"),
    },
    Migration {
        version: 6,
        name: "announced",
        sql: include_str!("migrations/0006_announced.sql"),
    },
    Migration {
        version: 7,
        name: "updated",
        sql: include_str!("migrations/0007_updated.sql"),
    },
];

/// Applies the steps the database lacks; waits for another node's at most
/// `lock_wait_ms`.
///
/// # Errors
/// The database is a newer corelane's, another build's or another program's,
/// or may not be changed. Steps before the failing one stay applied.
pub(super) async fn migrate(
    connection: &Connection,
    place: &str,
    migrations: &[Migration],
    lock_wait_ms: u64,
) -> Result<(), Failure> {
    let work = Work {
        connection,
        place,
        migrations,
        lock_wait_ms,
    };
    work.check_server().await?;
    // A role that may not change the schema can serve one that is complete,
    // and nodes that start need not queue up to find that.
    if work.check_ledger().await? == migrations.len() {
        return Ok(());
    }
    work.lock().await?;
    let applied = work.apply_missing().await;
    // Closing the connection would let go of it too, but it may be kept.
    let unlock = format!("SELECT pg_advisory_unlock({LOCK_KEY}); RESET lock_timeout");
    let unlocked = work.run(&unlock).await;
    applied?;
    unlocked
}

/// "corelane" in ASCII: the advisory lock of those who migrate. It is the
/// database's own, other databases of the server have theirs.
const LOCK_KEY: i64 = i64::from_be_bytes(*b"corelane");

/// The oldest server with functions whose body is bound when they are made.
const SERVER_VERSION_MIN: i64 = 140_000;

struct Work<'a> {
    connection: &'a Connection,
    place: &'a str,
    migrations: &'a [Migration],
    lock_wait_ms: u64,
}

impl Work<'_> {
    async fn check_server(&self) -> Result<(), Failure> {
        let row = self
            .one(
                "SELECT current_setting('server_version_num')::bigint,
                 current_setting('server_encoding'), current_schema()",
            )
            .await?;
        let (version, encoding): (i64, &str) = (row.get(0), row.get(1));
        let schema: Option<&str> = row.get(2);
        if version < SERVER_VERSION_MIN {
            return self.refuse(format!(
                "it is PostgreSQL {}; corelane needs 14 or newer: upgrade it, or use another server",
                version / 10_000
            ));
        }
        if encoding != "UTF8" {
            return self.refuse(format!(
                "its encoding is {encoding}: make one that can hold every name, with \
                 CREATE DATABASE name ENCODING 'UTF8' TEMPLATE template0"
            ));
        }
        if schema.is_none() {
            return self.refuse(
                "none of the schemas in its search_path exists: create one, or set the role's \
                 search_path"
                    .to_owned(),
            );
        }
        Ok(())
    }

    /// How many steps have been applied; those are this binary's.
    async fn check_ledger(&self) -> Result<usize, Failure> {
        let row = self
            .one(
                "SELECT to_regclass('schema_migrations') IS NOT NULL, EXISTS (
                     SELECT FROM pg_attribute
                     WHERE attrelid = to_regclass('schema_migrations') AND attname = 'checksum'
                 ), (
                     SELECT relname::text FROM pg_class
                     WHERE relname IN ('users', 'posts') AND relkind IN ('r', 'p', 'v', 'm', 'f')
                     AND relnamespace = current_schema()::regnamespace ORDER BY relname DESC LIMIT 1
                 )",
            )
            .await?;
        let (is_there, is_ours): (bool, bool) = (row.get(0), row.get(1));
        let table: Option<String> = row.get(2);
        let foreign = |table| OpenError::ForeignTable {
            place: self.place.to_owned(),
            table,
        };
        match (is_there, is_ours, table) {
            (true, true, _) => {}
            (true, false, _) => return Err(foreign("schema_migrations".to_owned()).into()),
            (false, _, Some(table)) => return Err(foreign(table).into()),
            (false, _, None) => return Ok(0),
        }
        let client = self.connection.client();
        let sql = "SELECT version, checksum FROM schema_migrations ORDER BY version";
        let rows = client
            .query(sql, &[])
            .await
            .map_err(|error| self.failure(error))?;
        let known = self.migrations.last().map_or(0, |last| last.version);
        let found = rows.last().map_or(0, |row| row.get::<_, i64>(0));
        if found > known {
            return Err(Failure::Open(OpenError::NewerSchema {
                path: self.place.into(),
                found,
                known,
            }));
        }
        for (migration, row) in self.migrations.iter().zip(&rows) {
            let (version, applied): (i64, &str) = (row.get(0), row.get(1));
            if version != migration.version || applied != migration.checksum() {
                return Err(Failure::Open(OpenError::MigrationChanged {
                    path: self.place.into(),
                    version: migration.version,
                    name: migration.name.to_owned(),
                }));
            }
        }
        Ok(rows.len())
    }

    /// Waits until nobody else migrates.
    async fn lock(&self) -> Result<(), Failure> {
        let sql = format!(
            "SET lock_timeout = {}; SELECT pg_advisory_lock({LOCK_KEY})",
            self.lock_wait_ms
        );
        let locked = self.connection.client().batch_execute(&sql).await;
        locked.map_err(|error| match error.code() {
            Some(&SqlState::LOCK_NOT_AVAILABLE) => OpenError::MigrationLock {
                place: self.place.to_owned(),
                waited_ms: self.lock_wait_ms,
            }
            .into(),
            _ => self.failure(error),
        })
    }

    async fn apply_missing(&self) -> Result<(), Failure> {
        let applied = self.check_ledger().await?;
        if applied == 0 {
            for extension in EXTENSIONS {
                self.create_extension(extension).await?;
            }
            self.run(LEDGER).await?;
        }
        for migration in &self.migrations[applied..] {
            let Migration { version, name, sql } = migration;
            let checksum = migration.checksum();
            self.step(&format!(
                "BEGIN; SET LOCAL lock_timeout = {STORE_MIGRATION_TRY_MS}; {sql};
                 INSERT INTO schema_migrations
                 VALUES ({version}, '{name}', '{checksum}', {}); COMMIT",
                unix_ms()
            ))
            .await?;
        }
        Ok(())
    }

    /// Waits for a table's lock only shortly at a time: whoever asks for that
    /// table queues behind the wait, on nodes that serve meanwhile.
    async fn step(&self, sql: &str) -> Result<(), Failure> {
        let deadline = Instant::now() + Duration::from_millis(self.lock_wait_ms);
        let client = self.connection.client();
        loop {
            let Err(error) = client.batch_execute(sql).await else {
                return Ok(());
            };
            // After the failure of a BEGIN or COMMIT there is nothing to undo.
            let _ = client.batch_execute("ROLLBACK").await;
            let is_locked = error.code() == Some(&SqlState::LOCK_NOT_AVAILABLE);
            if !is_locked || Instant::now() >= deadline {
                return Err(self.failure(error));
            }
            engine::sleep(Duration::from_millis(STORE_MIGRATION_PAUSE_MS)).await;
        }
    }

    async fn create_extension(&self, name: &str) -> Result<(), Failure> {
        let sql = format!("SELECT count(*) FROM pg_extension WHERE extname = '{name}'");
        if self.one(&sql).await?.get::<_, i64>(0) > 0 {
            return Ok(());
        }
        let sql = format!("CREATE EXTENSION IF NOT EXISTS {name}");
        let made = self.connection.client().batch_execute(&sql).await;
        made.map_err(|error| match error.code() {
            Some(&SqlState::INSUFFICIENT_PRIVILEGE) => self.extension(name, "privilege"),
            Some(&SqlState::UNDEFINED_FILE | &SqlState::FEATURE_NOT_SUPPORTED) => {
                self.extension(name, "files")
            }
            _ => self.failure(error),
        })
    }

    fn extension(&self, name: &str, lacks: &str) -> Failure {
        let cure = match lacks {
            "files" => {
                "install PostgreSQL's contrib modules on the server (Debian has them in \
                        postgresql-NN, others in postgresql-contrib)"
            }
            _ => {
                // The attempt may just have made the first one.
                "let a superuser run CREATE EXTENSION IF NOT EXISTS cube; \
                 CREATE EXTENSION IF NOT EXISTS earthdistance; in it once"
            }
        };
        Failure::Open(OpenError::Extension {
            place: self.place.to_owned(),
            name: name.to_owned(),
            cure: cure.to_owned(),
        })
    }

    /// Several statements; an open transaction ends with the first failure.
    async fn run(&self, sql: &str) -> Result<(), Failure> {
        let client = self.connection.client();
        let done = client.batch_execute(sql).await;
        if done.is_err() {
            // After the failure of a BEGIN or COMMIT there is nothing to undo.
            let _ = client.batch_execute("ROLLBACK").await;
        }
        done.map_err(|error| self.failure(error))
    }

    async fn one(&self, sql: &str) -> Result<tokio_postgres::Row, Failure> {
        let client = self.connection.client();
        let row = client.query_one(sql, &[]).await;
        row.map_err(|error| self.failure(error))
    }

    fn refuse<T>(&self, why: String) -> Result<T, Failure> {
        Err(Failure::Open(OpenError::Server {
            place: self.place.to_owned(),
            why,
        }))
    }

    fn failure(&self, error: tokio_postgres::Error) -> Failure {
        let Some(db) = error.as_db_error() else {
            return Failure::Store(read_error(error));
        };
        let cure = match *db.code() {
            SqlState::INSUFFICIENT_PRIVILEGE => {
                ": let its owner run corelane once, or GRANT USAGE, CREATE ON SCHEMA and the \
                 tables to this role"
            }
            SqlState::READ_ONLY_SQL_TRANSACTION => {
                ": it lacks steps of the schema and takes no writes, as a replica does: let the \
                 store's address lead to the primary"
            }
            _ => "",
        };
        Failure::Open(OpenError::Server {
            place: self.place.to_owned(),
            why: format!("{} ({}){cure}", db.message(), db.code().code()),
        })
    }
}

/// What the place of a user is made of; the second gives the Earth its size.
const EXTENSIONS: [&str; 2] = ["cube", "earthdistance"];

/// Who was here before may have been killed between this and the first step.
const LEDGER: &str = "CREATE TABLE IF NOT EXISTS schema_migrations (
    version bigint PRIMARY KEY,
    name text NOT NULL,
    checksum text NOT NULL,
    applied_at_ms bigint NOT NULL
)";
