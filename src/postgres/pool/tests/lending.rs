//! Two shards and one budget.

use futures_util::future::join_all;
use services::{Database, Postgres, PostgresOptions as ServerOptions};

use super::*;
use crate::postgres::ServerLimits;

/// What two pools may have together, the one apart not counted.
const SHARED: u32 = 4;

fn pair(url: &str) -> (Pool, Pool) {
    let narrow = PostgresOptions {
        in_flight_per_connection_max: 1,
        pool_max: 8,
        ..patient()
    };
    let server = server_of(url, narrow, Budget::new(SHARED, 1)).unwrap();
    (Pool::new(&server), Pool::new(&server))
}

async fn load(pool: &Pool, calls: usize) {
    let answers = join_all((0..calls).map(|_| ask(pool, "SELECT 1 FROM pg_sleep(0.01)"))).await;
    assert!(
        answers.iter().all(|answer| answer.as_deref() == Ok("1")),
        "{answers:?}"
    );
}

#[test]
fn a_busy_shard_borrows_and_gives_back_when_the_other_is_hungry() {
    let postgres = Database::new();
    on_both(async || {
        let (one, other) = pair(&postgres.url());
        until(|| one.inner.links.borrow().len() + other.inner.links.borrow().len() == 2).await;
        load(&one, 40).await;
        assert_eq!(
            one.inner.links.borrow().len(),
            3,
            "its two and one of the other's"
        );
        // The one goes on and on; the other must come to its share.
        let done = std::cell::Cell::new(false);
        let going_on = async {
            while !done.get() {
                load(&one, 12).await;
            }
        };
        let coming = async {
            let share = async { until(|| other.inner.links.borrow().len() >= 2).await };
            futures_util::future::join(share, load(&other, 60)).await;
            done.set(true);
        };
        futures_util::future::join(going_on, coming).await;
        drop(one);
        closed(other).await;
    });
}

#[test]
fn the_server_never_sees_more_connections_than_allowed() {
    // One more would be refused and counted as a failure to connect.
    let postgres = Database::new();
    let role = format!("app_of_{}", postgres.name());
    postgres.psql(&format!(
        "CREATE ROLE {role} LOGIN PASSWORD 'secret' CONNECTION LIMIT {SHARED}"
    ));
    let url = postgres.url_as(&role, "secret");
    on_both(async || {
        let restless = PostgresOptions {
            in_flight_per_connection_max: 1,
            pool_max: 8,
            idle_timeout_ms: 10,
            max_lifetime_ms: 30,
            ..patient()
        };
        let server = server_of(&url, restless, Budget::new(SHARED, 1)).unwrap();
        let (one, other) = (Pool::new(&server), Pool::new(&server));
        let start = Instant::now();
        while start.elapsed() < Duration::from_secs(2) {
            futures_util::future::join(load(&one, 8), load(&other, 8)).await;
            assert!(postgres.connections() <= SHARED);
        }
        let stats = server.snapshot();
        assert!(
            stats.connects > 20,
            "they were replaced: {}",
            stats.connects
        );
        assert_eq!(stats.connect_failures, 0);
        drop(one);
        closed(other).await;
    });
}

#[test]
fn shards_on_threads_of_their_own_share_one_budget() {
    let postgres = Database::new();
    for kind in [EngineKind::IoUring, EngineKind::Epoll] {
        let narrow = PostgresOptions {
            in_flight_per_connection_max: 1,
            pool_max: 8,
            ..patient()
        };
        let server = server_of(&postgres.url(), narrow, Budget::new(SHARED, 1)).unwrap();
        let done = std::sync::atomic::AtomicU32::new(0);
        let shard = || {
            on(kind, async || {
                let pool = Pool::new(&server);
                load(&pool, 50).await;
                done.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
                // Both are there until both have had their turn.
                until(|| done.load(std::sync::atomic::Ordering::SeqCst) == 2).await;
                closed(pool).await;
            });
        };
        std::thread::scope(|scope| {
            scope.spawn(shard);
            scope.spawn(shard);
            while done.load(std::sync::atomic::Ordering::SeqCst) < 2 {
                assert!(postgres.connections() <= SHARED);
            }
        });
        assert_eq!(server.snapshot().connect_failures, 0);
    }
}

#[test]
fn the_budget_is_what_the_server_says() {
    let postgres = Postgres::start_with(ServerOptions {
        connections_max: 30,
        ..ServerOptions::default()
    });
    on_both(async || {
        let dialed = server(&postgres.url(), options())
            .dialer
            .dial()
            .await
            .ok()
            .unwrap();
        let limits = ServerLimits::ask(dialed.client()).await.unwrap().unwrap();
        assert_eq!((limits.connections_max, limits.reserved), (30, 3));
        assert_eq!(limits.allowed(0), 22);
    });
}
