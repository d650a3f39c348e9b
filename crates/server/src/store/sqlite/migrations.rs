//! Brings a database to the schema this binary knows. Each step is a numbered
//! SQL file applied once, in its own transaction, and remembered with a
//! checksum; a file that was released is never edited.

use std::path::Path;

use rusqlite::{Connection, OptionalExtension, TransactionBehavior, params};

use super::connection::open_error;
use crate::store::OpenError;
use crate::store::migration::Migration;
use corelane::internals::clock::unix_ms;

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
        name: "sessions",
        sql: include_str!("migrations/0003_sessions.sql"),
    },
    Migration {
        version: 4,
        name: "updated",
        sql: include_str!("migrations/0004_updated.sql"),
    },
];

/// Applies the steps the database lacks. Two processes may do so at once: one
/// waits for the other and then finds nothing to do.
///
/// # Errors
/// The database is a newer corelane's, another build's or another program's,
/// or could not be written. Steps before the failing one stay applied.
pub(super) fn migrate(
    connection: &mut Connection,
    path: &Path,
    migrations: &[Migration],
) -> Result<(), OpenError> {
    let fail = |error: rusqlite::Error| open_error(path, &error);
    create_ledger(connection, path)?;
    let known = migrations.last().map_or(0, |last| last.version);
    let found: i64 = connection
        .query_row(
            "SELECT coalesce(max(version), 0) FROM schema_migrations",
            [],
            |row| row.get(0),
        )
        .map_err(fail)?;
    if found > known {
        return Err(OpenError::NewerSchema {
            path: path.to_owned(),
            found,
            known,
        });
    }
    migrations
        .iter()
        .try_for_each(|migration| apply(connection, path, migration))
}

/// Makes the table of applied steps, unless the database is somebody else's.
fn create_ledger(connection: &mut Connection, path: &Path) -> Result<(), OpenError> {
    let fail = |error: rusqlite::Error| open_error(path, &error);
    let transaction = connection
        .transaction_with_behavior(TransactionBehavior::Immediate)
        .map_err(fail)?;
    let (tables, ledgers): (i64, i64) = transaction
        .query_row(
            "SELECT count(*), count(*) FILTER (WHERE name = 'schema_migrations')
             FROM sqlite_schema WHERE type = 'table'",
            [],
            |row| Ok((row.get(0)?, row.get(1)?)),
        )
        .map_err(fail)?;
    if ledgers == 0 {
        if tables > 0 {
            return Err(OpenError::Foreign {
                path: path.to_owned(),
            });
        }
        transaction.execute_batch(LEDGER).map_err(fail)?;
    }
    transaction.commit().map_err(fail)
}

/// Applies one step unless it was applied, in which case it must be the same.
fn apply(connection: &mut Connection, path: &Path, migration: &Migration) -> Result<(), OpenError> {
    let fail = |error: rusqlite::Error| open_error(path, &error);
    let transaction = connection
        .transaction_with_behavior(TransactionBehavior::Immediate)
        .map_err(fail)?;
    let applied: Option<String> = transaction
        .query_row(
            "SELECT checksum FROM schema_migrations WHERE version = ?1",
            [migration.version],
            |row| row.get(0),
        )
        .optional()
        .map_err(|_| OpenError::Foreign {
            path: path.to_owned(),
        })?;
    let checksum = migration.checksum();
    match applied {
        Some(applied) if applied == checksum => return Ok(()),
        Some(_) => {
            return Err(OpenError::MigrationChanged {
                path: path.to_owned(),
                version: migration.version,
                name: migration.name.to_owned(),
            });
        }
        None => {}
    }
    transaction.execute_batch(migration.sql).map_err(fail)?;
    transaction
        .execute(
            "INSERT INTO schema_migrations VALUES (?1, ?2, ?3, ?4)",
            params![migration.version, migration.name, checksum, unix_ms()],
        )
        .map_err(fail)?;
    transaction.commit().map_err(fail)
}

const LEDGER: &str = "CREATE TABLE schema_migrations (
    version INTEGER PRIMARY KEY,
    name TEXT NOT NULL,
    checksum TEXT NOT NULL,
    applied_at_ms INTEGER NOT NULL
) STRICT;";

#[cfg(test)]
mod tests {
    use super::*;

    fn memory() -> Connection {
        Connection::open_in_memory().unwrap()
    }

    fn run(connection: &mut Connection, migrations: &[Migration]) -> Result<(), OpenError> {
        migrate(connection, Path::new("/d/c.db"), migrations)
    }

    fn schema(connection: &Connection) -> Vec<String> {
        let mut statement = connection
            .prepare("SELECT coalesce(sql, name) FROM sqlite_schema ORDER BY name")
            .unwrap();
        let rows = statement.query_map([], |row| row.get(0)).unwrap();
        rows.collect::<Result<_, _>>().unwrap()
    }

    #[test]
    fn numbers_rise_by_one_and_a_second_run_changes_nothing() {
        for (index, migration) in MIGRATIONS.iter().enumerate() {
            assert_eq!(migration.version, index as i64 + 1, "{}", migration.name);
        }
        let mut connection = memory();
        run(&mut connection, MIGRATIONS).unwrap();
        let once = schema(&connection);
        let changes = connection.total_changes();
        run(&mut connection, MIGRATIONS).unwrap();
        assert_eq!(schema(&connection), once);
        assert_eq!(connection.total_changes(), changes);
        let ledger: i64 = connection
            .query_row("SELECT count(*) FROM schema_migrations", [], |row| {
                row.get(0)
            })
            .unwrap();
        assert_eq!(ledger, MIGRATIONS.len() as i64);
    }

    #[test]
    fn a_released_migration_cannot_be_edited() {
        // These numbers never change; a new migration adds a line.
        let released = [
            "82dd9455bef1e249",
            "bb2c4cbf31c75303",
            "559185a343d464bd",
            "377f4f9b35b5effe",
        ];
        let found: Vec<_> = MIGRATIONS
            .iter()
            .map(|migration| migration.checksum())
            .collect();
        assert_eq!(found, released);

        let mut connection = memory();
        run(&mut connection, MIGRATIONS).unwrap();
        let mut edited = MIGRATIONS.to_vec();
        edited[1].sql = "CREATE TABLE posts (id INTEGER PRIMARY KEY)";
        let error = run(&mut connection, &edited).unwrap_err();
        assert!(
            matches!(error, OpenError::MigrationChanged { version: 2, .. }),
            "{error}"
        );
    }

    #[test]
    fn a_newer_database_is_refused() {
        let mut connection = memory();
        run(&mut connection, MIGRATIONS).unwrap();
        let error = run(&mut connection, &MIGRATIONS[..2]).unwrap_err();
        assert!(
            matches!(
                error,
                OpenError::NewerSchema {
                    found: 4,
                    known: 2,
                    ..
                }
            ),
            "{error}"
        );
        assert!(error.to_string().contains("newer corelane"), "{error}");
    }

    #[test]
    fn another_programs_database_is_refused_and_left_alone() {
        let mut connection = memory();
        connection.execute_batch("CREATE TABLE users (x)").unwrap();
        let before = schema(&connection);
        let error = run(&mut connection, MIGRATIONS).unwrap_err();
        assert!(matches!(error, OpenError::Foreign { .. }), "{error}");
        assert_eq!(schema(&connection), before);
    }

    #[test]
    fn a_failing_step_leaves_nothing_of_itself() {
        let mut connection = memory();
        let mut broken = MIGRATIONS.to_vec();
        broken[1].sql = "CREATE TABLE half (x); CREATE TABLE users (already there);";
        run(&mut connection, &broken).unwrap_err();
        assert!(!schema(&connection).iter().any(|sql| sql.contains("half")));
        run(&mut connection, MIGRATIONS).unwrap();
    }

    #[test]
    fn a_full_disk_says_so() {
        let mut connection = memory();
        connection
            .pragma_update_and_check(None, "max_page_count", 4, |_| Ok(()))
            .unwrap();
        let error = run(&mut connection, MIGRATIONS).unwrap_err();
        assert_eq!(
            error,
            OpenError::DiskFull {
                path: "/d/c.db".into()
            }
        );
    }
}
