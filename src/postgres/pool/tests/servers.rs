//! Which of several servers is connected to, and that the wrong one is left.

use services::{Postgres, Proxy};

use super::*;

const READ_ONLY: &str = "ALTER SYSTEM SET default_transaction_read_only = on";
const WRITES_AGAIN: &str = "ALTER SYSTEM RESET default_transaction_read_only";

/// Gives a server a setting, and waits until it has it.
fn configure(postgres: &Postgres, sql: &str) {
    postgres.psql(sql);
    postgres.psql("SELECT pg_reload_conf()");
    let wanted = if sql == READ_ONLY { "on" } else { "off" };
    while postgres.psql("SHOW default_transaction_read_only") != wanted {
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn both(first: &Postgres, second: &Postgres, attrs: &str) -> String {
    let hosts = format!("127.0.0.1:{},127.0.0.1:{}", first.port(), second.port());
    format!("postgres://postgres:secret@{hosts}/corelane?target_session_attrs={attrs}")
}

/// The port of the server that a new connection leads to.
async fn port_of(url: &str) -> Result<String, String> {
    let dialed = server(url, options()).dialer.dial().await;
    let connection = dialed.map_err(|error| error.into_connect_error("db").to_string())?;
    first_field(&connection, "SHOW port")
        .await
        .map_err(|error| error.to_string())
}

#[test]
fn the_first_server_that_is_asked_for_is_taken() {
    let (replica, primary) = (Postgres::start(), Postgres::start());
    configure(&replica, READ_ONLY);
    let (first, second) = (replica.port().to_string(), primary.port().to_string());
    on_both(async || {
        for (attrs, port) in [
            ("any", Some(&first)),
            ("read-only", Some(&first)),
            ("read-write", Some(&second)),
            // Neither recovers: both are primaries.
            ("primary", Some(&first)),
            ("prefer-standby", Some(&first)),
            ("standby", None),
        ] {
            let found = port_of(&both(&replica, &primary, attrs)).await;
            assert_eq!(found.as_ref().ok(), port, "{attrs}: {found:?}");
        }
        let Err(why) = port_of(&both(&replica, &primary, "standby")).await else {
            panic!("there is none")
        };
        for part in [
            "it is no replica",
            "target_session_attrs is standby",
            &first,
            &second,
        ] {
            assert!(why.contains(part), "{part}: {why}");
        }
        // One that is not there costs nothing but a look.
        let gone = format!("127.0.0.1:1,127.0.0.1:{second}");
        let url = format!("postgres://postgres:secret@{gone}/corelane");
        assert_eq!(port_of(&url).await.as_ref(), Ok(&second));
        // Who does not let us in would not do so elsewhere.
        let wrong = both(&primary, &replica, "any").replace("secret", "wr0ng");
        let why = port_of(&wrong).await.unwrap_err();
        assert!(why.contains("does not let corelane in"), "{why}");
    });
}

#[test]
fn a_server_that_takes_no_writes_any_more_is_left_for_one_that_does() {
    let (first, second) = (Postgres::start(), Postgres::start());
    for postgres in [&first, &second] {
        postgres.psql("CREATE TABLE t (n int)");
    }
    for attrs in ["read-write", "any"] {
        on_both(async || {
            configure(&first, WRITES_AGAIN);
            let pool = Pool::new(&server(&both(&first, &second, attrs), patient()));
            let insert = "INSERT INTO t VALUES (1)";
            run(&pool, Intent::Write, insert).await.unwrap();
            configure(&first, READ_ONLY);
            second.psql("TRUNCATE t");
            run(&pool, Intent::Write, insert).await.unwrap();
            assert_eq!(second.psql("SELECT count(*) FROM t"), "1", "{attrs}");
            let port = ask(&pool, "SHOW port").await;
            assert_eq!(port, Ok(second.port().to_string()));
            assert!(!pool.inner.server.is_read_only());
            closed(pool).await;
        });
    }
}

#[test]
fn an_address_that_leads_elsewhere_now_is_asked_anew() {
    let (first, second) = (Postgres::start(), Postgres::start());
    on_both(async || {
        configure(&first, WRITES_AGAIN);
        let proxy = Proxy::to(first.port());
        let pool = Pool::new(&server(&first.url_through(proxy.port()), patient()));
        let write = "CREATE TEMP TABLE t (n int); DROP TABLE t; SET LOCAL work_mem = '1MB'";
        let write = format!("{write}; CREATE TABLE IF NOT EXISTS u (n int); DROP TABLE u");
        run(&pool, Intent::Write, &write).await.unwrap();
        configure(&first, READ_ONLY);
        proxy.lead_to(second.port());
        run(&pool, Intent::Write, &write).await.unwrap();
        assert_eq!(ask(&pool, "SHOW port").await, Ok(second.port().to_string()));
        closed(pool).await;
    });
}

#[test]
fn where_there_is_no_other_server_reads_go_on_and_writes_say_why() {
    let postgres = Postgres::start();
    on_both(async || {
        configure(&postgres, READ_ONLY);
        let pool = Pool::new(&server(&postgres.url(), options()));
        for _ in 0..20 {
            let write = run(&pool, Intent::Write, "CREATE TABLE t (n int)").await;
            assert!(
                matches!(write, Err(PostgresError::ReadOnly(_))),
                "{write:?}"
            );
            assert_eq!(ask(&pool, "SELECT 1").await.as_deref(), Ok("1"));
        }
        assert!(pool.inner.server.is_read_only());
        let connects = pool.inner.server.snapshot().connects;
        assert!(connects < 10, "{connects} connections for 20 writes");
        configure(&postgres, WRITES_AGAIN);
        run(&pool, Intent::Write, "CREATE TABLE t (n int); DROP TABLE t")
            .await
            .unwrap();
        closed(pool).await;
    });
}
