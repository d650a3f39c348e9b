//! What stands between: PgBouncer, as it comes and as it must not be.

use services::{PgBouncer, Postgres};

use super::*;

#[test]
fn a_session_behind_pgbouncer_has_what_it_is_given() {
    let postgres = Postgres::start();
    let pooler = PgBouncer::before(&postgres, "");
    on_both(async || {
        let url = postgres.url_through(pooler.port());
        let settings = [
            ("corelane.origin", r"it's a \ name"),
            ("synchronous_commit", "off"),
        ];
        let dialer = Dialer::new(&url.parse().unwrap(), &options(), &settings).unwrap();
        let connection = dialer.dial().await.unwrap();
        for (name, value) in [
            ("statement_timeout", "1200ms"),
            ("idle_in_transaction_session_timeout", "10s"),
            ("corelane.origin", r"it's a \ name"),
            ("synchronous_commit", "off"),
        ] {
            let found = first_field(&connection, &format!("SHOW {name}"))
                .await
                .unwrap();
            assert_eq!(found, value, "{name}");
        }
        assert!(dialer.keeps_sessions(&connection).await.unwrap());
        drop(connection);
        let pool = Pool::new(&server(&url, options()));
        pool.ping().await.unwrap();
        run(&pool, Intent::Write, "SELECT pg_sleep(0.01)")
            .await
            .unwrap();
        closed(pool).await;
    });
}

#[test]
fn a_pooler_that_takes_sessions_apart_is_found_out() {
    let postgres = Postgres::start();
    let settings = [
        ("pool_mode = transaction", "default_pool_size = 20"),
        ("pool_mode = transaction", "default_pool_size = 1"),
        ("pool_mode = transaction", "server_round_robin = 1"),
        ("pool_mode = statement", ""),
    ];
    for (mode, more) in settings {
        let pooler = PgBouncer::before(&postgres, &format!("{mode}\n{more}"));
        on_both(async || {
            let url = postgres.url_through(pooler.port());
            let dialer = Dialer::new(&url.parse().unwrap(), &options(), &[]).unwrap();
            let connection = dialer.dial().await.unwrap();
            let keeps = dialer.keeps_sessions(&connection).await.unwrap();
            assert!(!keeps, "{mode} {more}");
        });
    }
    on_both(async || {
        let dialer = Dialer::new(&postgres.url().parse().unwrap(), &options(), &[]).unwrap();
        let connection = dialer.dial().await.unwrap();
        assert!(
            dialer.keeps_sessions(&connection).await.unwrap(),
            "the server itself"
        );
    });
}

#[test]
fn a_login_is_bound_to_its_channel_where_that_is_asked() {
    let postgres = Postgres::start_with(services::PostgresOptions {
        tls: true,
        ..services::PostgresOptions::default()
    });
    on_both(async || {
        for (query, is_in) in [
            ("sslmode=require&channel_binding=require", true),
            ("sslmode=require&channel_binding=prefer", true),
            ("sslmode=require&channel_binding=disable", true),
            ("channel_binding=disable", true),
        ] {
            let url = format!("{}?{query}", postgres.url());
            let dialed = server(&url, options()).dialer.dial().await;
            assert_eq!(dialed.is_ok(), is_in, "{query}");
        }
    });
    let plain = Postgres::start();
    on_both(async || {
        // Without TLS there is nothing to bind to, and no login.
        let url = format!("{}?channel_binding=require", plain.url());
        let Err(error) = server(&url, options()).dialer.dial().await else {
            panic!("it was let in")
        };
        let why = error.into_connect_error("db").to_string();
        assert!(why.contains("channel binding"), "{why}");
    });
}
