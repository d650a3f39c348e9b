//! What a pool does while all is well.

use futures_util::future::join_all;
use services::{Database, Postgres, PostgresOptions as ServerOptions};

use super::*;

#[test]
fn short_calls_share_one_connection_while_it_has_room() {
    let postgres = Database::new();
    on_both(async || {
        let pool = Pool::new(&server(&postgres.url(), options()));
        assert_eq!(ask(&pool, "SELECT 1").await.unwrap(), "1");
        let pids = join_all((0..4).map(|_| ask(&pool, "SELECT pg_backend_pid()"))).await;
        let pids: Vec<_> = pids.into_iter().map(Result::unwrap).collect();
        assert!(pids.iter().all(|pid| *pid == pids[0]), "{pids:?}");
        assert_eq!(postgres.connections(), 1);
        closed(pool).await;
    });
}

#[test]
fn full_connections_make_another_be_opened_up_to_the_pools_most() {
    let postgres = Database::new();
    on_both(async || {
        let pool = Pool::new(&server(&postgres.url(), options()));
        let calls = (0..40).map(|_| ask(&pool, "SELECT pg_backend_pid() FROM pg_sleep(0.02)"));
        let pids = join_all(calls).await;
        let mut pids: Vec<_> = pids.into_iter().map(Result::unwrap).collect();
        pids.sort();
        pids.dedup();
        assert_eq!(pids.len(), 4);
        assert_eq!(pool.inner.links.borrow().len(), 4);
        closed(pool).await;
    });
}

#[test]
fn the_session_is_set_up_with_the_login() {
    let postgres = Database::new();
    on_both(async || {
        let settings = [
            ("corelane.origin", "0123abcd"),
            ("corelane.motto", r"two words \ one"),
            ("synchronous_commit", "off"),
        ];
        let url = postgres.url().parse().unwrap();
        let dialer = Dialer::new(&url, &options(), &settings).unwrap();
        let budget = Budget::new(2, 1);
        let server = PostgresServer::with_log(dialer, options(), budget, None);
        let pool = Pool::new(&server);
        for (setting, value) in [
            ("application_name", "corelane"),
            ("client_encoding", "UTF8"),
            ("corelane.origin", "0123abcd"),
            ("corelane.motto", r"two words \ one"),
            ("statement_timeout", "1200ms"),
            ("idle_in_transaction_session_timeout", "10s"),
            ("synchronous_commit", "off"),
        ] {
            assert_eq!(ask(&pool, &format!("SHOW {setting}")).await.unwrap(), value);
        }
        closed(pool).await;
    });
}

#[test]
fn a_connection_of_ones_own_goes_back_when_left() {
    let postgres = Database::new();
    on_both(async || {
        let pool = Pool::new(&server(&postgres.url(), options()));
        let pid = "SELECT pg_backend_pid()";
        let mut own = pool.exclusive().await.unwrap();
        let first = own
            .run(Intent::Read, async |connection: &Connection| {
                first_field(connection, pid).await
            })
            .await
            .unwrap();
        let shared = ask(&pool, pid).await.unwrap();
        assert_ne!(shared, first, "others get another one");
        drop(own);
        until(|| pool.inner.count_of(super::super::State::Exclusive) == 0).await;
        assert_eq!(pool.inner.links.borrow().len(), 2);
        closed(pool).await;
    });
}

#[test]
fn a_transaction_that_is_left_open_is_rolled_back_with_its_connection() {
    let postgres = Database::new();
    on_both(async || {
        postgres.psql("DROP TABLE IF EXISTS t; CREATE TABLE t (n int)");
        let pool = Pool::new(&server(&postgres.url(), options()));
        for (sql, is_kept) in [
            ("BEGIN; INSERT INTO t VALUES (1)", false),
            ("BEGIN; INSERT INTO t VALUES ('x')", false),
            ("BEGIN; INSERT INTO t VALUES (1); COMMIT", true),
        ] {
            let own = pool.exclusive().await.unwrap();
            let pid = first_field(&own, "SELECT pg_backend_pid()").await.unwrap();
            let _ = own.client().batch_execute(sql).await;
            drop(own);
            until(|| pool.inner.count_of(super::super::State::Exclusive) == 0).await;
            let alive = format!("SELECT count(*) FROM pg_stat_activity WHERE pid = {pid}");
            until(|| postgres.psql(&alive) == if is_kept { "1" } else { "0" }).await;
        }
        assert_eq!(postgres.psql("SELECT count(*) FROM t"), "1");
        closed(pool).await;
    });
}

#[test]
fn rows_that_nobody_reads_any_more_end_their_connection() {
    let postgres = Database::new();
    on_both(async || {
        let pool = Pool::new(&server(&postgres.url(), options()));
        for is_told in [false, true] {
            let own = pool.exclusive().await.unwrap();
            let sql = "SELECT repeat('x', 1000) FROM generate_series(1, 100000000)";
            let rows = own.client().query_raw(sql, Vec::<String>::new()).await;
            let rows = rows.unwrap();
            match is_told {
                true => own.give_up(),
                false => drop(own),
            }
            drop(rows);
            until(|| running(&postgres, "%generate_series%") == 0).await;
        }
        assert_eq!(ask(&pool, "SELECT 1").await.unwrap(), "1");
        closed(pool).await;
    });
}

#[test]
fn one_connection_is_left_for_short_calls() {
    let postgres = Database::new();
    on_both(async || {
        let few = PostgresOptions {
            pool_max: 2,
            // Giving one back may take some round trips on a busy machine.
            checkout_timeout_ms: 1_000,
            ..options()
        };
        let pool = Pool::new(&server(&postgres.url(), few));
        let own = pool.exclusive().await.unwrap();
        assert_eq!(ask(&pool, "SELECT 1").await.unwrap(), "1");
        assert!(matches!(pool.exclusive().await, Err(PostgresError::Busy)));
        assert_eq!(ask(&pool, "SELECT 1").await.unwrap(), "1");
        drop(own);
        pool.exclusive().await.map(drop).unwrap();
        closed(pool).await;
    });
}

#[test]
fn who_wants_one_alone_gets_it_although_others_never_rest() {
    let postgres = Database::new();
    on_both(async || {
        let few = PostgresOptions {
            pool_max: 2,
            ..options()
        };
        let pool = Pool::new(&server(&postgres.url(), few));
        let stop = std::rc::Rc::new(std::cell::Cell::new(false));
        for _ in 0..8 {
            let (pool, stop) = (pool.clone(), stop.clone());
            engine::spawn_local(async move {
                while !stop.get() {
                    ask(&pool, "SELECT pg_sleep(0.005)").await.unwrap();
                }
            });
        }
        until(|| pool.inner.links.borrow().len() == 2).await;
        pool.exclusive().await.map(drop).unwrap();
        stop.set(true);
        let inner = std::rc::Rc::downgrade(&pool.inner);
        until(|| {
            inner
                .upgrade()
                .unwrap()
                .links
                .borrow()
                .iter()
                .all(|l| l.is_idle())
        })
        .await;
        closed(pool).await;
    });
}

#[test]
fn a_connection_kept_for_one_who_has_left_is_everybodys_again() {
    let postgres = Database::new();
    on_both(async || {
        let few = PostgresOptions {
            pool_max: 1,
            ..options()
        };
        let pool = Pool::new(&server(&postgres.url(), few));
        pool.ping().await.unwrap();
        let slow = ask(&pool, "SELECT 1 FROM pg_sleep(0.3)");
        let hasty = async {
            under_way(&pool).await;
            let wait = Duration::from_millis(50);
            assert!(engine::timeout(wait, pool.exclusive()).await.is_err());
            ask(&pool, "SELECT 2").await
        };
        let (slow, next) = futures_util::future::join(slow, hasty).await;
        assert_eq!((slow.as_deref(), next.as_deref()), (Ok("1"), Ok("2")));
        closed(pool).await;
    });
}

#[test]
fn a_waiting_line_has_an_end_in_time() {
    let postgres = Database::new();
    on_both(async || {
        let narrow = PostgresOptions {
            pool_max: 1,
            in_flight_per_connection_max: 1,
            checkout_timeout_ms: 100,
            ..options()
        };
        let pool = Pool::new(&server(&postgres.url(), narrow));
        let slow = ask(&pool, "SELECT 1 FROM pg_sleep(1)");
        let late = async {
            under_way(&pool).await;
            let outcome = ask(&pool, "SELECT 2").await;
            let goes_on = pool.inner.links.borrow().iter().any(|link| !link.is_idle());
            (outcome, goes_on)
        };
        let (slow, (late, was_first)) = futures_util::future::join(slow, late).await;
        assert_eq!(slow.unwrap(), "1");
        assert_eq!(late, Err(PostgresError::Busy));
        assert!(was_first, "it waited for what goes on");
        assert_eq!(pool.inner.server.snapshot().checkout_timeouts, 1);
        closed(pool).await;
    });
}

#[test]
fn connections_over_a_unix_socket_and_with_tls_work() {
    let postgres = Postgres::start_with(ServerOptions {
        tls: true,
        ..ServerOptions::default()
    });
    let certificate = postgres.certificate().display().to_string();
    let url = postgres.url();
    let named = url.replace("127.0.0.1", "localhost");
    let verified = |mode: &str| format!("{named}?sslmode={mode}&sslrootcert={certificate}");
    let encrypted = "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()";
    on_both(async || {
        for (url, is_encrypted) in [
            (postgres.unix_url(), "f"),
            (format!("{url}?sslmode=disable"), "f"),
            (url.clone(), "t"),
            (format!("{url}?sslmode=require"), "t"),
            (verified("require"), "t"),
            (verified("verify-ca"), "t"),
            (verified("verify-full"), "t"),
        ] {
            let pool = Pool::new(&server(&url, options()));
            assert_eq!(
                ask(&pool, encrypted).await.as_deref(),
                Ok(is_encrypted),
                "{url}"
            );
            closed(pool).await;
        }
    });
}

#[test]
fn a_certificate_that_is_not_trusted_or_for_another_host_is_refused() {
    let tls = || {
        Postgres::start_with(ServerOptions {
            tls: true,
            ..ServerOptions::default()
        })
    };
    let (postgres, other) = (tls(), tls());
    let own = postgres.certificate().display().to_string();
    let foreign = other.certificate().display().to_string();
    let url = postgres.url();
    // It is for `localhost` and 127.0.0.1, and this leads there too.
    let elsewhere = url
        .replace("127.0.0.1", "127.0.0.2")
        .replace("127.0.0.2", "[::ffff:127.0.0.1]");
    on_both(async || {
        for (url, works) in [
            (format!("{url}?sslmode=verify-full&sslrootcert={own}"), true),
            (
                format!("{url}?sslmode=verify-full&sslrootcert={foreign}"),
                false,
            ),
            (
                format!("{url}?sslmode=verify-ca&sslrootcert={foreign}"),
                false,
            ),
            (format!("{url}?sslmode=verify-ca&sslrootcert=system"), false),
            (
                format!("{elsewhere}?sslmode=verify-ca&sslrootcert={own}"),
                true,
            ),
            (
                format!("{elsewhere}?sslmode=verify-full&sslrootcert={own}"),
                false,
            ),
        ] {
            let pool = Pool::new(&server(&url, options()));
            let outcome = pool.ping().await;
            assert_eq!(outcome.is_ok(), works, "{url}: {outcome:?}");
            closed(pool).await;
        }
    });
}

#[test]
fn a_server_without_tls_is_taken_only_where_that_is_allowed() {
    let postgres = Database::new();
    on_both(async || {
        for (mode, works) in [("disable", true), ("prefer", true), ("require", false)] {
            let pool = Pool::new(&server(
                &format!("{}?sslmode={mode}", postgres.url()),
                options(),
            ));
            let outcome = pool.ping().await;
            assert_eq!(outcome.is_ok(), works, "{mode}: {outcome:?}");
            closed(pool).await;
        }
    });
}
