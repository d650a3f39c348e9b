//! What the server says it did not do is done again, and only that.

use std::cell::RefCell;

use futures_util::future::join_all;
use services::Database;
use tokio_postgres::Statement;

use super::*;

/// A statement that is prepared once per connection.
#[derive(Default)]
struct Prepared(RefCell<Option<Statement>>);

async fn run_prepared(pool: &Pool, intent: Intent, sql: &str) -> Result<u64, PostgresError> {
    let work = async |connection: &Connection| {
        let prepared = connection.kept::<Prepared>();
        let known = prepared.0.borrow().clone();
        let statement = match known {
            Some(known) => known,
            None => connection.client().prepare(sql).await?,
        };
        *prepared.0.borrow_mut() = Some(statement.clone());
        let rows = connection.client().query(&statement, &[]).await?;
        Ok(rows.len() as u64)
    };
    pool.shared(intent, work).await
}

/// Opens all connections a pool may have, each with its statement.
async fn warm(pool: &Pool, sql: &str) {
    let asked = (0..64).map(|_| run_prepared(pool, Intent::Read, sql));
    let answers = join_all(asked).await;
    assert!(answers.iter().all(Result::is_ok), "{answers:?}");
}

#[test]
fn a_statement_whose_table_has_changed_is_prepared_anew_on_every_connection() {
    let postgres = Database::new();
    on_both(async || {
        postgres.psql("DROP TABLE IF EXISTS t; CREATE TABLE t (n text); INSERT INTO t VALUES (1)");
        let pool = Pool::new(&server(&postgres.url(), patient()));
        let sql = "SELECT * FROM t";
        warm(&pool, sql).await;
        assert!(pool.inner.links.borrow().len() > 1);
        for change in ["ALTER n TYPE varchar(9)", "ADD m int DEFAULT 5", "DROP m"] {
            postgres.psql(&format!("ALTER TABLE t {change}"));
            warm(&pool, sql).await;
        }
        // Also a write: the server has refused it before it did anything.
        let (sql, intent) = ("UPDATE t SET n = n RETURNING *", Intent::Write);
        let other = Pool::new(&server(&postgres.url(), patient()));
        assert_eq!(run_prepared(&other, intent, sql).await, Ok(1));
        postgres.psql("ALTER TABLE t ADD k int");
        assert_eq!(run_prepared(&other, intent, sql).await, Ok(1));
        closed(pool).await;
        closed(other).await;
    });
}

#[test]
fn a_session_that_has_forgotten_its_statements_is_left() {
    let postgres = Database::new();
    on_both(async || {
        postgres.psql("DROP TABLE IF EXISTS t; CREATE TABLE t (n int)");
        for (intent, sql) in [
            (Intent::Read, "SELECT 1"),
            (Intent::Write, "INSERT INTO t VALUES (1) RETURNING n"),
        ] {
            let one = PostgresOptions {
                pool_max: 1,
                ..options()
            };
            let pool = Pool::new(&server(&postgres.url(), one));
            assert_eq!(run_prepared(&pool, intent, sql).await, Ok(1));
            run(&pool, Intent::Read, "DISCARD ALL").await.unwrap();
            assert_eq!(run_prepared(&pool, intent, sql).await, Ok(1));
            let timeout = ask(&pool, "SHOW statement_timeout").await;
            assert_eq!(
                timeout.as_deref(),
                Ok("1200ms"),
                "a session as it should be"
            );
            closed(pool).await;
        }
        assert_eq!(postgres.psql("SELECT count(*) FROM t"), "2");
    });
}

#[test]
fn who_was_in_anothers_way_tries_again_for_a_while() {
    let postgres = Database::new();
    on_both(async || {
        for code in ["40001", "40P01"] {
            postgres.psql(&format!(
                "DROP SEQUENCE IF EXISTS tries; CREATE SEQUENCE tries; DROP TABLE IF EXISTS t;
                 CREATE TABLE t (n int);
                 CREATE OR REPLACE FUNCTION third() RETURNS int LANGUAGE plpgsql AS $$ BEGIN
                     IF nextval('tries') % 3 <> 0 THEN
                         RAISE EXCEPTION 'not yet' USING ERRCODE = '{code}';
                     END IF;
                     RETURN 3; END $$"
            ));
            let pool = Pool::new(&server(&postgres.url(), options()));
            let write = "INSERT INTO t SELECT third()";
            assert_eq!(run(&pool, Intent::Write, write).await, Ok(()));
            assert_eq!(ask(&pool, "SELECT third()").await.as_deref(), Ok("3"));
            assert_eq!(pool.inner.server.snapshot().retries, 4);
            assert_eq!(postgres.psql("SELECT count(*) FROM t"), "1");
            let never = format!("DO $$ BEGIN RAISE SQLSTATE '{code}'; END $$");
            let begun = Instant::now();
            let given_up = run(&pool, Intent::Write, &never).await;
            assert_eq!(given_up, Err(PostgresError::Busy));
            assert!(begun.elapsed() < pool.deadline(), "{:?}", begun.elapsed());
            closed(pool).await;
        }
    });
}

#[test]
fn writes_of_one_row_all_succeed_where_transactions_are_serializable() {
    let postgres = Database::new();
    let role = format!("strict_of_{}", postgres.name());
    postgres.psql(&format!(
        "CREATE ROLE {role} LOGIN SUPERUSER PASSWORD 'secret';
         ALTER ROLE {role} SET default_transaction_isolation = 'serializable'"
    ));
    let url = postgres.url_as(&role, "secret");
    on_both(async || {
        postgres.psql("DROP TABLE IF EXISTS t; CREATE TABLE t AS SELECT 0 AS n");
        let pool = Pool::new(&server(&url, patient()));
        for _ in 0..10 {
            let writes = (0..4).map(|_| run(&pool, Intent::Write, "UPDATE t SET n = n + 1"));
            let writes = join_all(writes).await;
            assert!(writes.iter().all(Result::is_ok), "{writes:?}");
        }
        assert_eq!(postgres.psql("SELECT n FROM t"), "40");
        closed(pool).await;
    });
    postgres.psql(&format!("DROP ROLE {role}"));
}
