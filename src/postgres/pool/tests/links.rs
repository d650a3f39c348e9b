//! How long a connection lives.

use services::{Database, Proxy};

use super::*;

#[test]
fn connections_with_nothing_to_do_are_closed_down_to_the_least() {
    let postgres = Database::new();
    on_both(async || {
        let brief = PostgresOptions {
            idle_timeout_ms: 100,
            ..options()
        };
        let pool = Pool::new(&server(&postgres.url(), brief));
        let calls = (0..16).map(|_| ask(&pool, "SELECT pg_sleep(0.05)"));
        futures_util::future::join_all(calls).await;
        assert!(pool.inner.links.borrow().len() > 1);
        until(|| postgres.connections() == 1).await;
        assert_eq!(pool.inner.links.borrow().len(), 1);
        closed(pool).await;
    });
}

#[test]
fn old_connections_are_replaced_and_no_call_notices() {
    let postgres = Database::new();
    on_both(async || {
        let brief = PostgresOptions {
            max_lifetime_ms: 100,
            pool_max: 1,
            ..options()
        };
        let pool = Pool::new(&server(&postgres.url(), brief));
        let mut pids = std::collections::BTreeSet::new();
        let start = Instant::now();
        while pids.len() < 4 {
            pids.insert(ask(&pool, "SELECT pg_backend_pid()").await.unwrap());
            assert!(start.elapsed() < Duration::from_secs(20), "{pids:?}");
        }
        assert_eq!(pool.inner.server.snapshot().connections_lost, 0);
        closed(pool).await;
    });
}

#[test]
fn the_least_is_opened_and_kept_without_being_asked() {
    let postgres = Database::new();
    on_both(async || {
        let some = PostgresOptions {
            pool_min: 3,
            ..options()
        };
        let pool = Pool::new(&server(&postgres.url(), some));
        until(|| pool.inner.links.borrow().len() == 3).await;
        postgres.psql(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
             WHERE datname = current_database() AND application_name = 'corelane'",
        );
        until(|| pool.inner.server.snapshot().connects == 6).await;
        assert_eq!(pool.inner.links.borrow().len(), 3);
        closed(pool).await;
    });
}

#[test]
fn an_idle_connection_that_answers_no_more_is_found_before_it_is_used() {
    let postgres = Database::new();
    on_both(async || {
        let careful = PostgresOptions {
            health_check_ms: 100,
            ..options()
        };
        let proxy = Proxy::to(postgres.port());
        let pool = Pool::new(&server(&postgres.url_through(proxy.port()), careful));
        pool.ping().await.unwrap();
        proxy.stall(true);
        until(|| pool.inner.server.snapshot().connections_lost > 0).await;
        proxy.stall(false);
        until(|| pool.inner.outage.borrow().is_none()).await;
        until(|| !pool.inner.links.borrow().is_empty()).await;
        pool.ping().await.unwrap();
        closed(pool).await;
    });
}

#[test]
fn an_idle_connection_that_answers_is_kept() {
    let postgres = Database::new();
    on_both(async || {
        let careful = PostgresOptions {
            health_check_ms: 50,
            ..options()
        };
        let pool = Pool::new(&server(&postgres.url(), careful));
        pool.ping().await.unwrap();
        let asked = pool.inner.calls.get();
        until(|| pool.inner.calls.get() >= asked + 3).await;
        assert_eq!(pool.inner.server.snapshot().connects, 1);
        closed(pool).await;
    });
}
