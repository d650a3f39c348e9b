//! Migrations: many nodes at once, and databases that are not ours.

use std::sync::Barrier;

use super::super::Failure;
use super::super::migrations::{MIGRATIONS, migrate};
use super::connected;
use crate::store::migration::Migration;
use crate::store::tests::{Kind, TestDatabase, migrated};
use crate::store::{Database, OpenError, StoreOptions};

fn open(url: &str) -> Result<std::sync::Arc<Database>, OpenError> {
    let options = StoreOptions {
        url: url.parse().unwrap(),
        ..StoreOptions::default()
    };
    Database::open(&options)
}

fn run(database: &TestDatabase, migrations: &[Migration]) -> Result<(), Failure> {
    connected(&database.url(), async |connection| {
        migrate(connection, "there", migrations, 10_000).await
    })
}

fn refusal(database: &TestDatabase, migrations: &[Migration]) -> OpenError {
    match run(database, migrations).unwrap_err() {
        Failure::Open(error) => error,
        Failure::Store(error) => panic!("{error}"),
    }
}

#[test]
fn a_table_in_use_is_tried_again_instead_of_waited_for() {
    let database = migrated();
    let next = Migration {
        version: MIGRATIONS.len() as i64 + 1,
        name: "next",
        sql: "ALTER TABLE posts ADD COLUMN next int",
    };
    let all: Vec<Migration> = MIGRATIONS.iter().copied().chain([next]).collect();
    std::thread::scope(|scope| {
        let reading = scope.spawn(|| {
            let sql = "BEGIN; SELECT count(*) FROM posts; SELECT pg_sleep(2); COMMIT";
            database.psql(sql)
        });
        let is_reading = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%pg_sleep(2)%' \
                          AND state = 'active' AND pid <> pg_backend_pid()";
        while database.psql(is_reading) == "0" {
            assert!(!reading.is_finished(), "it was not seen");
        }
        run(&database, &all).unwrap();
    });
    assert_eq!(database.psql("SELECT count(next) FROM posts"), "0");
}

#[test]
fn many_nodes_may_start_at_once() {
    let database = TestDatabase::new();
    let barrier = Barrier::new(8);
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                barrier.wait();
                open(&database.url()).unwrap();
            });
        }
    });
    let applied = database.psql("SELECT string_agg(version::text, ' ') FROM schema_migrations");
    let all: Vec<String> = (1..=MIGRATIONS.len()).map(|n| n.to_string()).collect();
    assert_eq!(applied, all.join(" "));
    assert_eq!(
        database.psql(
            "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND database =
             (SELECT oid FROM pg_database WHERE datname = current_database())"
        ),
        "0"
    );
}

#[test]
fn a_released_migration_cannot_be_edited() {
    let database = migrated();
    let released = database.psql("SELECT checksum FROM schema_migrations ORDER BY version");
    // These lines never change; a new migration adds one.
    assert_eq!(released, RELEASED);
    let mut edited = MIGRATIONS.to_vec();
    edited[1].sql = "CREATE TABLE posts (id bigint)";
    let error = refusal(&database, &edited);
    assert!(
        matches!(error, OpenError::MigrationChanged { version: 2, .. }),
        "{error}"
    );
}

const RELEASED: &str = "e5fb291bc10b02b4\nb1bd2db94eb191f0\n8d7735f543ec8cd6\n\
    a02d338b1fa9b52c\nc5c127383fc0f65f\n75ffe0c0fa0bf424\n\
    1f860c3bb91cf956";

#[test]
fn numbers_rise_by_one_and_a_newer_database_is_refused() {
    for (index, migration) in MIGRATIONS.iter().enumerate() {
        assert_eq!(migration.version, index as i64 + 1, "{}", migration.name);
    }
    let database = migrated();
    let error = refusal(&database, &MIGRATIONS[..1]);
    let newer = matches!(
        error,
        OpenError::NewerSchema { found, known: 1, .. } if found == MIGRATIONS.len() as i64
    );
    assert!(
        newer && error.to_string().contains("newer corelane"),
        "{error}"
    );
}

#[test]
fn another_programs_tables_are_refused_and_left_alone() {
    for (sql, named) in [
        ("CREATE TABLE users (x text)", "users"),
        ("CREATE VIEW posts AS SELECT 1", "posts"),
        (
            "CREATE TABLE schema_migrations (version varchar)",
            "schema_migrations",
        ),
    ] {
        let database = TestDatabase::new();
        database.psql(sql);
        let count = "SELECT count(*) FROM pg_class";
        let before = database.psql(count);
        let error = refusal(&database, MIGRATIONS);
        let table = named.to_owned();
        let place = "there".to_owned();
        assert_eq!(error, OpenError::ForeignTable { place, table });
        assert_eq!(database.psql(count), before);
    }
    // Others' tables of other names are no matter.
    let database = TestDatabase::new();
    database.psql("CREATE TABLE invoices (x text)");
    run(&database, MIGRATIONS).unwrap();
}

#[test]
fn a_failing_step_leaves_nothing_of_itself() {
    let database = TestDatabase::new();
    let mut broken = MIGRATIONS.to_vec();
    broken[1].sql = "CREATE TABLE half (x text); CREATE TABLE users (there already)";
    assert!(matches!(
        refusal(&database, &broken),
        OpenError::Server { .. }
    ));
    assert_eq!(database.psql("SELECT to_regclass('half') IS NULL"), "t");
    run(&database, MIGRATIONS).unwrap();
}

#[test]
fn a_role_that_may_not_make_the_extension_is_told_the_cure() {
    let database = TestDatabase::new();
    let role = &format!("maker_of_{}", database.name());
    let made = format!(
        "CREATE ROLE {role} LOGIN PASSWORD 'p';
         GRANT CREATE ON SCHEMA public TO {role}"
    );
    database.psql(&made);
    let error = open(&database.url_as(role, "p")).unwrap_err();
    let text = error.to_string();
    assert!(matches!(&error, OpenError::Extension { .. }), "{error:?}");
    assert!(
        text.contains("superuser") && text.contains("CREATE EXTENSION IF NOT EXISTS cube"),
        "{text}"
    );

    // The cure works as it is told, also when the role could make one of them.
    // With the extensions there, it can do the rest itself.
    let (_, cure) = text.split_once("run ").unwrap();
    let (cure, _) = cure.split_once(" in it").unwrap();
    database.psql(&format!("CREATE EXTENSION IF NOT EXISTS cube; {cure}"));
    open(&database.url_as(role, "p")).unwrap();
    database.psql(&format!("DROP OWNED BY {role}; DROP ROLE {role}"));
}

#[test]
fn a_lock_that_is_not_let_go_is_told_in_time() {
    let database = TestDatabase::new();
    connected(&database.url(), async |holder| {
        let lock = "SELECT pg_advisory_lock(x'636f72656c616e65'::bigint)";
        holder.client().batch_execute(lock).await.unwrap();
        let waited = connected(&database.url(), async |connection| {
            migrate(connection, "there", MIGRATIONS, 50).await
        });
        let error = match waited.unwrap_err() {
            Failure::Open(error) => error,
            Failure::Store(error) => panic!("{error}"),
        };
        assert!(
            matches!(error, OpenError::MigrationLock { waited_ms: 50, .. }),
            "{error:?}"
        );
        assert!(error.to_string().contains("pg_locks"), "{error}");
    });
}

#[test]
fn a_dump_can_be_restored() {
    let fixture = Kind::Postgres.fixture();
    super::fill(fixture.server(), 10, "'n', n || '@x', 30, 1, 1");
    let restored = TestDatabase::new();
    fixture.server().dump_into(&restored);
    assert_eq!(restored.psql("SELECT count(*) FROM users"), "10");
    assert_eq!(
        restored.psql("SELECT to_regclass('users_by_place') IS NOT NULL"),
        "t"
    );
    open(&restored.url()).unwrap();
}

#[test]
fn a_role_that_may_not_ask_for_the_cluster_s_identity_can_use_the_database() {
    let database = migrated();
    let open_as_plain = || {
        let options = StoreOptions {
            url: database.url_as("plain", "secret").parse().unwrap(),
            ..StoreOptions::default()
        };
        Database::open(&options).map(|database| database.identity())
    };
    database.psql(
        "DO $$ BEGIN CREATE ROLE plain LOGIN PASSWORD 'secret'; \
         EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL; END $$; \
         GRANT SELECT ON schema_migrations, users, posts TO plain",
    );
    let usual = open_as_plain().unwrap();
    database.psql("REVOKE EXECUTE ON FUNCTION pg_control_system() FROM PUBLIC");
    let (one, other) = (open_as_plain().unwrap(), open_as_plain().unwrap());
    assert_eq!(one, other);
    assert_ne!(one, usual);
}

#[test]
fn a_start_that_was_killed_before_the_first_step_is_gone_on_with() {
    let database = migrated();
    // What kill -9 leaves there.
    database.psql(
        "DROP TABLE credentials, sessions, posts, users CASCADE;
         DROP FUNCTION users_place, corelane_notify, corelane_count_version CASCADE;
         DELETE FROM schema_migrations",
    );
    run(&database, MIGRATIONS).unwrap();
    let applied = database.psql("SELECT count(*) FROM schema_migrations");
    assert_eq!(applied, MIGRATIONS.len().to_string());
}
