//! What a pool does when the server, or the way to it, fails.

use futures_util::FutureExt;
use services::{Database, Postgres, PostgresOptions as ServerOptions, Proxy};

use super::*;

/// Until calls fail at once because the server is known to be down.
async fn known_down(pool: &Pool) {
    until(|| pool.inner.outage.borrow().is_some()).await;
}

/// What a call that waits for nothing and nobody gives.
#[track_caller]
fn at_once<T>(call: impl Future<Output = T>) -> T {
    call.now_or_never().expect("it waits")
}

async fn known_up(pool: &Pool) {
    until(|| pool.inner.outage.borrow().is_none() && !pool.inner.links.borrow().is_empty()).await;
}

#[test]
fn a_server_that_only_probers_ask_is_missed_too() {
    let postgres = Postgres::start();
    on_both(async || {
        let careful = PostgresOptions {
            health_check_ms: 200,
            ..options()
        };
        let pool = Pool::new(&server(&postgres.url(), careful));
        pool.ping().await.unwrap();
        postgres.freeze();
        // A prober that leaves before the deadline.
        while pool.inner.outage.borrow().is_none() {
            let _ = engine::timeout(Duration::from_millis(50), pool.ping()).await;
            engine::sleep(Duration::from_millis(20)).await;
        }
        postgres.thaw();
        known_up(&pool).await;
        closed(pool).await;
    });
}

#[test]
fn a_killed_server_is_missed_at_once_and_found_again_without_traffic() {
    let mut postgres = Postgres::start();
    for kind in [EngineKind::IoUring, EngineKind::Epoll] {
        let shared = std::cell::RefCell::new(&mut postgres);
        on(kind, async || {
            let url = shared.borrow().url();
            let pool = Pool::new(&server(&url, options()));
            pool.ping().await.unwrap();
            shared.borrow_mut().kill();
            known_down(&pool).await;
            for _ in 0..100 {
                assert!(is_unavailable(&at_once(pool.ping())));
                let write = at_once(run(&pool, Intent::Write, "SELECT 1"));
                assert!(is_unavailable(&write), "{write:?}");
            }
            shared.borrow_mut().start_again();
            let start = Instant::now();
            known_up(&pool).await;
            assert!(
                start.elapsed() < Duration::from_secs(2),
                "{:?}",
                start.elapsed()
            );
            pool.ping().await.unwrap();
            let stats = pool.inner.server.snapshot();
            assert_eq!((stats.outages, stats.pools_down), (1, 0));
            closed(pool).await;
        });
    }
}

#[test]
fn a_server_that_is_not_there_at_first_is_found_when_it_comes() {
    let mut postgres = Postgres::start();
    for kind in [EngineKind::IoUring, EngineKind::Epoll] {
        postgres.kill();
        let shared = std::cell::RefCell::new(&mut postgres);
        on(kind, async || {
            let url = shared.borrow().url();
            // Whoever waited for one of these would wait longer than it may take.
            let patient = PostgresOptions {
                connect_timeout_ms: 30_000,
                checkout_timeout_ms: 30_000,
                deadline_ms: 30_000,
                ..options()
            };
            let pool = Pool::new(&server(&url, patient));
            let start = Instant::now();
            assert!(is_unavailable(&pool.ping().await));
            assert!(start.elapsed() < Duration::from_secs(10));
            shared.borrow_mut().start_again();
            known_up(&pool).await;
            pool.ping().await.unwrap();
            closed(pool).await;
        });
    }
}

#[test]
fn nobody_waits_longer_for_a_frozen_server_than_the_deadline() {
    let postgres = Postgres::start();
    on_both(async || {
        let pool = Pool::new(&server(&postgres.url(), options()));
        pool.ping().await.unwrap();
        postgres.freeze();
        let start = Instant::now();
        let read = ask(&pool, "SELECT 1");
        let write = run(&pool, Intent::Write, "SELECT 2");
        let (read, write) = futures_util::future::join(read, write).await;
        let took = start.elapsed();
        assert!(is_unavailable(&read), "{read:?}");
        assert!(
            matches!(write, Err(PostgresError::OutcomeUnknown(_))),
            "{write:?}"
        );
        assert!(took < Duration::from_millis(1_500 + 400), "{took:?}");
        known_down(&pool).await;
        assert!(is_unavailable(&at_once(pool.ping())));
        let stats = pool.inner.server.snapshot();
        assert_eq!((stats.deadlines, stats.retries), (2, 0), "one each");
        postgres.thaw();
        known_up(&pool).await;
        pool.ping().await.unwrap();
        closed(pool).await;
    });
}

#[test]
fn a_read_whose_connection_is_reset_is_asked_again_and_a_write_is_not() {
    let postgres = Database::new();
    on_both(async || {
        postgres.psql("DROP TABLE IF EXISTS t; CREATE TABLE t (n int)");
        let proxy = Proxy::to(postgres.port());
        let pool = Pool::new(&server(&postgres.url_through(proxy.port()), options()));
        pool.ping().await.unwrap();
        let read = ask(&pool, "SELECT 7 FROM pg_sleep(0.3)");
        let cut = async {
            under_way(&pool).await;
            proxy.reset();
        };
        let (read, ()) = futures_util::future::join(read, cut).await;
        assert_eq!(read.as_deref(), Ok("7"));
        assert_eq!(pool.inner.server.snapshot().retries, 1);
        pool.ping().await.unwrap();
        let write = run(
            &pool,
            Intent::Write,
            "SELECT pg_sleep(0.31); INSERT INTO t VALUES (1)",
        );
        let cut = async {
            under_way(&pool).await;
            proxy.reset();
        };
        let (write, ()) = futures_util::future::join(write, cut).await;
        assert!(
            matches!(write, Err(PostgresError::OutcomeUnknown(_))),
            "{write:?}"
        );
        assert_eq!(pool.inner.server.snapshot().retries, 1);
        // The server finishes what it was asked, once.
        until(|| running(&postgres, "%pg_sleep(0.31)%") == 0).await;
        assert!(["0", "1"].contains(&postgres.psql("SELECT count(*) FROM t").as_str()));
        closed(pool).await;
    });
}

#[test]
fn a_commit_whose_answer_is_lost_is_of_unknown_outcome_and_may_be_done() {
    let postgres = Database::new();
    on_both(async || {
        postgres.psql("DROP TABLE IF EXISTS t; CREATE TABLE t (n int)");
        let proxy = Proxy::to(postgres.port());
        let pool = Pool::new(&server(&postgres.url_through(proxy.port()), options()));
        pool.ping().await.unwrap();
        proxy.hold_answers(true);
        let write = run(&pool, Intent::Write, "INSERT INTO t VALUES (1)");
        let cut = async {
            until(|| postgres.psql("SELECT count(*) FROM t") == "1").await;
            proxy.reset();
            proxy.hold_answers(false);
        };
        let (write, ()) = futures_util::future::join(write, cut).await;
        assert!(
            matches!(write, Err(PostgresError::OutcomeUnknown(_))),
            "{write:?}"
        );
        closed(pool).await;
    });
}

#[test]
fn what_was_never_sent_is_known_not_to_be_done() {
    let postgres = Database::new();
    on_both(async || {
        let proxy = Proxy::to(postgres.port());
        let pool = Pool::new(&server(&postgres.url_through(proxy.port()), options()));
        pool.ping().await.unwrap();
        proxy.refuse(true);
        until(|| pool.inner.links.borrow().is_empty()).await;
        let write = run(&pool, Intent::Write, "SELECT 1").await;
        assert!(is_unavailable(&write), "{write:?}");
        proxy.refuse(false);
        known_up(&pool).await;
        run(&pool, Intent::Write, "SELECT 1").await.unwrap();
        closed(pool).await;
    });
}

#[test]
fn a_statement_that_is_too_slow_is_ended_by_the_server_and_nothing_else_is() {
    let postgres = Database::new();
    on_both(async || {
        let quick = PostgresOptions {
            statement_timeout_ms: 150,
            pool_max: 1,
            ..options()
        };
        let pool = Pool::new(&server(&postgres.url(), quick));
        let slow = run(&pool, Intent::Write, "SELECT pg_sleep(9)").await;
        let Err(PostgresError::Unavailable(why)) = slow else {
            panic!("{slow:?}")
        };
        assert!(why.contains("took too long"), "{why}");
        pool.ping().await.unwrap();
        assert_eq!(pool.inner.server.snapshot().connects, 1);
        closed(pool).await;
    });
}

#[test]
fn a_deadline_cancels_the_statement_and_keeps_the_connection_that_answers() {
    let postgres = Database::new();
    on_both(async || {
        let hasty = PostgresOptions {
            deadline_ms: 200,
            statement_timeout_ms: 60_000,
            ..options()
        };
        let pool = Pool::new(&server(&postgres.url(), hasty));
        pool.ping().await.unwrap();
        let start = Instant::now();
        let slow = run(&pool, Intent::Read, "SELECT pg_sleep(30)").await;
        assert!(is_unavailable(&slow), "{slow:?}");
        assert!(
            start.elapsed() < Duration::from_millis(600),
            "{:?}",
            start.elapsed()
        );
        until(|| running(&postgres, "%pg_sleep(30)%") == 0).await;
        until(|| {
            pool.inner
                .links
                .borrow()
                .iter()
                .any(|link| link.is_shared())
        })
        .await;
        pool.ping().await.unwrap();
        let stats = pool.inner.server.snapshot();
        assert_eq!(
            (stats.deadlines, stats.cancels, stats.connections_lost),
            (1, 1, 0)
        );
        closed(pool).await;
    });
}

#[test]
fn a_full_server_at_run_time_leaves_the_connections_there_are() {
    let postgres = Postgres::start_with(ServerOptions {
        connections_max: 5,
        settings: vec!["superuser_reserved_connections=0".to_owned()],
        ..ServerOptions::default()
    });
    on_both(async || {
        let pool = Pool::new(&server(&postgres.url(), options()));
        pool.ping().await.unwrap();
        // Somebody else takes the rest.
        let greedy = PostgresOptions {
            pool_min: 4,
            ..options()
        };
        let other = Pool::new(&server(&postgres.url(), greedy));
        until(|| other.inner.links.borrow().len() == 4).await;
        let calls = (0..12).map(|_| ask(&pool, "SELECT 1 FROM pg_sleep(0.02)"));
        let answers = futures_util::future::join_all(calls).await;
        assert!(
            answers.iter().all(|answer| answer.as_deref() == Ok("1")),
            "{answers:?}"
        );
        assert!(pool.inner.server.snapshot().connect_failures > 0);
        assert!(pool.inner.outage.borrow().is_none());
        closed(other).await;
        closed(pool).await;
    });
}

#[test]
fn a_start_on_a_full_server_says_so() {
    let postgres = Postgres::start_with(ServerOptions {
        connections_max: 4,
        settings: vec!["superuser_reserved_connections=0".to_owned()],
        ..ServerOptions::default()
    });
    on_both(async || {
        let hog = PostgresOptions {
            pool_min: 4,
            ..options()
        };
        let other = Pool::new(&server(&postgres.url(), hog));
        until(|| other.inner.links.borrow().len() == 4).await;
        let server = server(&postgres.url(), options());
        let Err(error) = server.dialer.dial().await else {
            panic!("there was room")
        };
        let text = error.into_connect_error(server.dialer.place()).to_string();
        for part in ["no connection left", "53300", "max_connections"] {
            assert!(text.contains(part), "{part}: {text}");
        }
        closed(other).await;
    });
}

#[test]
fn who_may_not_log_in_is_told_without_the_password() {
    let postgres = Database::new();
    on_both(async || {
        for (from, to) in [
            (":secret@", ":hunter2@"),
            (":secret@", "@"),
            ("/corelane", "/nowhere"),
        ] {
            let server = server(&postgres.url().replace(from, to), options());
            let Err(error) = server.dialer.dial().await else {
                panic!("it was let in")
            };
            let text = error.into_connect_error(server.dialer.place()).to_string();
            assert!(text.contains("does not let corelane in"), "{text}");
            assert!(!text.contains("hunter2"), "{text}");
        }
    });
}

#[test]
fn answers_that_say_no_are_told_apart() {
    let postgres = Database::new();
    on_both(async || {
        postgres.psql(
            "DROP TABLE IF EXISTS users;
             CREATE TABLE users (id int PRIMARY KEY, email text UNIQUE);
             INSERT INTO users VALUES (1, 'a')",
        );
        let pool = Pool::new(&server(&postgres.url(), options()));
        let raise = |code: &str| format!("DO $$ BEGIN RAISE SQLSTATE '{code}'; END $$");
        let write = async |sql: &str| run(&pool, Intent::Write, sql).await.unwrap_err();
        let duplicate = write("INSERT INTO users VALUES (2, 'a')").await;
        let PostgresError::Refused(duplicate) = duplicate else {
            panic!("{duplicate:?}")
        };
        assert!(duplicate.is_duplicate(), "{duplicate:?}");
        assert_eq!(duplicate.table.as_deref(), Some("users"));
        assert_eq!(duplicate.constraint.as_deref(), Some("users_email_key"));
        let key = write("INSERT INTO users VALUES (1, 'b')").await;
        let PostgresError::Refused(key) = key else {
            panic!("{key:?}")
        };
        assert_eq!(key.constraint.as_deref(), Some("users_pkey"));
        assert_eq!(write(&raise("40001")).await, PostgresError::Busy);
        assert!(matches!(
            write(&raise("53100")).await,
            PostgresError::DiskFull(_)
        ));
        assert!(matches!(
            write(&raise("53200")).await,
            PostgresError::Unavailable(_)
        ));
        let replica = write("SET LOCAL transaction_read_only = on; DELETE FROM users").await;
        assert!(
            matches!(&replica, PostgresError::ReadOnly(_)),
            "{replica:?}"
        );
        assert!(replica.to_string().contains("primary"), "{replica}");
        closed(pool).await;
        assert_eq!(postgres.psql("SELECT count(*) FROM users"), "1");
    });
}

#[test]
fn an_administrator_who_ends_a_connection_is_no_outage() {
    let postgres = Database::new();
    on_both(async || {
        let patient = PostgresOptions {
            deadline_ms: 10_000,
            statement_timeout_ms: 9_000,
            ..options()
        };
        let pool = Pool::new(&server(&postgres.url(), patient));
        pool.ping().await.unwrap();
        let end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
                   WHERE datname = current_database() AND application_name = 'corelane'";
        let read = ask(&pool, "SELECT 7 FROM pg_sleep(1)");
        let ending = async {
            under_way(&pool).await;
            postgres.psql(end);
        };
        let (read, ()) = futures_util::future::join(read, ending).await;
        assert_eq!(read.as_deref(), Ok("7"));
        let write = run(&pool, Intent::Write, "SELECT pg_sleep(8)");
        let ending = async {
            under_way(&pool).await;
            postgres.psql(end);
        };
        let (write, ()) = futures_util::future::join(write, ending).await;
        assert!(
            matches!(write, Err(PostgresError::OutcomeUnknown(_))),
            "{write:?}"
        );
        assert_eq!(pool.inner.server.snapshot().outages, 0);
        closed(pool).await;
    });
}
