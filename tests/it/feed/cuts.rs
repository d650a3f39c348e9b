//! The feed is cut: nothing cached before or meanwhile counts as fresh, and
//! everything is as before when it is back.

use std::time::{Duration, Instant};

use services::{Database, Postgres, Proxy};

use super::{cached, feed_of, fill, is_hit, name_is, rename, serve, shows, wait_for_feed, within};
use crate::harness::{Client, Engine, ServerProcess};

both_engines!(
    nothing_is_fresh_while_the_feed_is_cut,
    a_reset_of_all_connections_is_no_more_than_a_pause,
    a_silent_loss_is_found_and_nothing_old_outlives_it,
    without_a_database_what_is_cached_goes_on_and_the_rest_fails_fast,
);

/// As patient as a test can wait for.
const SHORT: &str = "\
    [cache]\nttl_ms = 60000\n\
    [database]\ndeadline_ms = 1000\nstatement_timeout_ms = 900\ncheckout_timeout_ms = 500\n\
    connect_timeout_ms = 1000\n";

/// The deadline above, and a second for the machine.
const DEADLINE: Duration = Duration::from_secs(2);

fn node(engine: Engine, url: &str) -> ServerProcess {
    let server = serve(engine, url).config(SHORT).start();
    wait_for_feed(&mut server.connect(), true);
    server
}

fn told(client: &mut Client, field: &str) -> u64 {
    feed_of(client)[field].as_u64().expect("a number")
}

pub(super) fn end_feeds(database: &str) -> String {
    format!(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
         WHERE datname = '{database}' AND application_name LIKE '% changes'"
    )
}

fn nothing_is_fresh_while_the_feed_is_cut(engine: Engine) {
    let database = Postgres::start();
    let [writer, reader] = [(); 2].map(|()| node(engine, &database.url()));
    fill(&database, 1);
    let (mut writer, mut reader) = (writer.connect(), reader.connect());
    let (user, list) = ("/api/users/1", "/api/users?limit=5");
    let first_is = |name: &str| {
        let name = name.to_owned();
        move |response: &crate::harness::Response| response.json()["data"][0]["name"] == *name
    };
    shows(&mut reader, user, name_is("old"));
    shows(&mut reader, list, first_is("old"));
    cached(&mut reader, user);
    cached(&mut reader, list);
    // The connections of the shards stay; that of the feed cannot come back.
    database.psql_in(
        "postgres",
        "ALTER DATABASE corelane ALLOW_CONNECTIONS false",
    );
    assert_eq!(database.psql_in("postgres", &end_feeds("corelane")), "t\nt");
    wait_for_feed(&mut reader, false);
    let health = reader.get("/health").expect(200).json();
    assert_eq!(
        (&health["status"], &health["database"]),
        (&"WARN".into(), &"OK".into())
    );
    assert!(
        health["warning"]
            .as_str()
            .expect("a sentence")
            .contains("not told")
    );

    for round in 0..5 {
        let name = format!("round {round}");
        rename(&mut writer, 1, &name);
        for _ in 0..3 {
            let answer = reader.get(user).expect(200);
            assert_eq!(
                (is_hit(&answer), &answer.json()["name"]),
                (false, &name.as_str().into()),
                "{answer:?}"
            );
            let answer = reader.get(list).expect(200);
            assert!(
                !is_hit(&answer) && first_is(&name)(&answer),
                "{}",
                answer.text()
            );
        }
    }
    database.psql_in("postgres", "ALTER DATABASE corelane ALLOW_CONNECTIONS true");
    wait_for_feed(&mut reader, true);
    assert_eq!(told(&mut reader, "cuts"), 1);
    assert_eq!(reader.get("/health").expect(200).json()["status"], "OK");
    assert_eq!(reader.get(user).expect(200).json()["name"], "round 4");
    cached(&mut reader, user);
    cached(&mut reader, list);
    rename(&mut writer, 1, "after");
    shows(&mut reader, user, name_is("after"));
    shows(&mut reader, list, first_is("after"));
}

fn through_a_proxy(engine: Engine) -> (Database, Proxy, ServerProcess) {
    let database = Database::new();
    let proxy = Proxy::to(database.port());
    let server = node(engine, &database.url_through(proxy.port()));
    fill(&database, 3);
    shows(&mut server.connect(), "/api/users/1", name_is("old"));
    cached(&mut server.connect(), "/api/users/1");
    (database, proxy, server)
}

fn a_reset_of_all_connections_is_no_more_than_a_pause(engine: Engine) {
    let (database, proxy, server) = through_a_proxy(engine);
    let mut client = server.connect();
    for round in 0..5 {
        let name = format!("round {round}");
        cached(&mut client, "/api/users/1");
        proxy.reset();
        database.psql(&format!("UPDATE users SET name = '{name}' WHERE id = 1"));
        shows(&mut client, "/api/users/1", name_is(&name));
        wait_for_feed(&mut client, true);
    }
    within(Duration::from_secs(5), "all cuts", || {
        (told(&mut client, "cuts") == 5).then_some(())
    });
}

fn a_silent_loss_is_found_and_nothing_old_outlives_it(engine: Engine) {
    let (database, proxy, server) = through_a_proxy(engine);
    let mut client = server.connect();
    proxy.stall(true);
    let stalled = Instant::now();
    database.psql("UPDATE users SET name = 'new' WHERE id = 1");
    wait_for_feed(&mut client, false);
    let found = stalled.elapsed();
    println!("a silent loss was found after {found:?}");
    assert!(found < Duration::from_secs(4), "{found:?}");
    // The database cannot be asked: what is there stands in, and says so.
    let begun = Instant::now();
    let stale = client.get("/api/users/1").expect(200);
    assert!(
        stale
            .must_have("cache-status")
            .contains("detail=stale-on-error"),
        "{stale:?}"
    );
    client.get("/api/users/2").expect(503);
    assert!(begun.elapsed() < 2 * DEADLINE, "{:?}", begun.elapsed());
    proxy.stall(false);
    // Not a moment later than the database can be asked.
    let fresh = within(Duration::from_secs(10), "an answer", || {
        let answer = client.get("/api/users/1").expect(200);
        let status = answer.must_have("cache-status");
        (!status.contains("stale-on-error")).then_some(answer)
    });
    assert_eq!(fresh.json()["name"], "new");
    wait_for_feed(&mut client, true);
    assert_eq!(client.get("/api/users/1").expect(200).json()["name"], "new");
    database.psql("UPDATE users SET name = 'newer' WHERE id = 1");
    shows(&mut client, "/api/users/1", name_is("newer"));
}

fn without_a_database_what_is_cached_goes_on_and_the_rest_fails_fast(engine: Engine) {
    let mut database = Postgres::start();
    let server = node(engine, &database.url());
    fill(&database, 3);
    let mut client = server.connect();
    shows(&mut client, "/api/users/1", name_is("old"));
    cached(&mut client, "/api/users/1");
    database.kill();
    wait_for_feed(&mut client, false);
    let timed = |client: &mut Client, target: &str, status: u16| {
        let begun = Instant::now();
        let answer = client.get(target).expect(status);
        let took = begun.elapsed();
        assert!(took < DEADLINE, "{target} took {took:?}");
        answer
    };
    for _ in 0..10 {
        let stale = timed(&mut client, "/api/users/1", 200);
        assert!(is_hit(&stale), "{stale:?}");
        assert!(
            stale
                .must_have("cache-status")
                .contains("detail=stale-on-error"),
            "{stale:?}"
        );
        let missing = timed(&mut client, "/api/users/2", 503);
        missing.must_have("retry-after");
        timed(&mut client, "/api/users?limit=3", 503);
        let health = timed(&mut client, "/health", 503);
        assert_eq!(health.json()["status"], "ERROR");
    }
    database.start_again();
    within(Duration::from_secs(10), "the database is back", || {
        (client.get("/health").status == 200).then_some(())
    });
    wait_for_feed(&mut client, true);
    client.get("/api/users/2").expect(200);
    cached(&mut client, "/api/users/1");
    rename(&mut client, 1, "new");
    assert_eq!(client.get("/api/users/1").expect(200).json()["name"], "new");
    database.psql("UPDATE users SET name = 'by psql' WHERE id = 1");
    shows(&mut client, "/api/users/1", name_is("by psql"));
}
