//! What holds up the statements of one group holds up no others.

use futures_util::future::{join, join_all};
use services::Database;

use super::*;

const LOCKED: Group = Group(1);
const OTHERS: Group = Group(2);

async fn ask_in(pool: &Pool, group: Group, sql: &str) -> Result<String, PostgresError> {
    let work = async |connection: &Connection| first_field(connection, sql).await;
    pool.shared_in(group, Intent::Read, work).await
}

/// Somebody else who holds the table `t` until they are dropped.
async fn locked(pool: &Pool) -> Exclusive {
    let own = pool.exclusive().await.unwrap();
    own.client()
        .batch_execute("BEGIN; LOCK TABLE t")
        .await
        .unwrap();
    own
}

async fn passes_by(postgres: &Database, options: PostgresOptions, crowd: usize) {
    let pool = Pool::new(&server(&postgres.url(), options));
    let elsewhere = Pool::new(&server(&postgres.url(), patient()));
    ask_in(&pool, LOCKED, "SELECT count(*) FROM t")
        .await
        .unwrap();
    ask_in(&pool, OTHERS, "SELECT 1").await.unwrap();
    let lock = locked(&elsewhere).await;
    let waiting = join_all((0..crowd).map(|_| ask_in(&pool, LOCKED, "SELECT count(*) FROM t")));
    let passing = async {
        // Some come with the crowd, others when it is known to be stuck.
        for _ in 0..20 {
            let begun = Instant::now();
            assert_eq!(ask_in(&pool, OTHERS, "SELECT 1").await.as_deref(), Ok("1"));
            let took = begun.elapsed();
            assert!(
                took < Duration::from_millis(1_000),
                "{took:?} behind a crowd of {crowd}"
            );
            engine::sleep(Duration::from_millis(20)).await;
        }
        until(|| pool.inner.server.stuck() == [LOCKED]).await;
        lock.client().batch_execute("ROLLBACK").await.unwrap();
    };
    let (waited, ()) = join(waiting, passing).await;
    assert!(waited.iter().all(Result::is_ok), "{waited:?}");
    closed(pool).await;
    drop(lock);
    closed(elsewhere).await;
}

#[test]
fn calls_after_a_rest_share_the_connection_there_is() {
    let postgres = Database::new();
    on_both(async || {
        let pool = Pool::new(&server(&postgres.url(), patient()));
        for _ in 0..4 {
            ask_in(&pool, OTHERS, "SELECT 1").await.unwrap();
            ask_in(&pool, LOCKED, "SELECT 1").await.unwrap();
            engine::sleep(Duration::from_millis(400)).await;
        }
        assert_eq!(pool.inner.links.borrow().len(), 1);
        closed(pool).await;
    });
}

#[test]
fn a_locked_table_costs_its_own_readers_only() {
    let postgres = Database::new();
    postgres.psql("CREATE TABLE t (n int)");
    // Few, as many as fit on all connections, and more than fit.
    for crowd in [1, 16, 60] {
        on_both(async || passes_by(&postgres, patient(), crowd).await);
    }
}

#[test]
fn two_connections_are_enough_to_pass_by() {
    let postgres = Database::new();
    postgres.psql("CREATE TABLE t (n int)");
    let two = PostgresOptions {
        pool_max: 2,
        ..patient()
    };
    for crowd in [1, 4, 30] {
        on_both(async || passes_by(&postgres, two.clone(), crowd).await);
    }
}

#[test]
fn statements_that_are_given_up_one_after_another_are_no_outage() {
    let postgres = Database::new();
    postgres.psql("CREATE TABLE t (n int)");
    on_both(async || {
        let one = PostgresOptions {
            pool_max: 1,
            ..options()
        };
        let pool = Pool::new(&server(&postgres.url(), one));
        let elsewhere = Pool::new(&server(&postgres.url(), patient()));
        let lock = locked(&elsewhere).await;
        let asked = (0..4).map(|_| ask_in(&pool, LOCKED, "SELECT count(*) FROM t"));
        let answers = join_all(asked).await;
        assert!(answers.iter().all(is_unavailable), "{answers:?}");
        assert_eq!(pool.inner.server.snapshot().outages, 0, "{answers:?}");
        drop(lock);
        pool.ping().await.unwrap();
        closed(pool).await;
        closed(elsewhere).await;
    });
}
