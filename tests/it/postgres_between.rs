//! What stands between the binary and its PostgreSQL, and who is in the way there:
//! poolers, locks, servers that are not up yet or take no writes, changes by hand.

use std::time::{Duration, Instant};

use serde_json::json;
use services::{Database, PgBouncer, Postgres, Proxy};

use crate::harness::{Client, Engine, Response, Serve};

either_engine!(
    pgbouncer_by_its_defaults_is_worked_through,
    a_pooler_that_takes_sessions_apart_is_refused_in_words,
    a_locked_table_costs_its_own_routes_only,
    a_start_waits_for_the_server_and_says_so_once,
    a_start_on_a_replica_says_that_it_takes_no_writes,
    a_nul_from_a_client_is_its_own_mistake,
    a_change_by_hand_is_seen_by_who_asks_with_a_date,
);

fn start(engine: Engine, url: &str) -> Serve {
    Serve::on(engine).argument("--store").argument(url)
}

fn make(client: &mut Client, name: &str) -> Response {
    let user = json!({"name": name, "email": format!("{name}@example.org"), "age": 36});
    client.send_json("POST", "/api/users", &[], &user)
}

#[track_caller]
fn becomes(what: &str, mut ask: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !ask() {
        assert!(Instant::now() < deadline, "never: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn pgbouncer_by_its_defaults_is_worked_through(engine: Engine) {
    let postgres = Postgres::start();
    let pooler = PgBouncer::before(&postgres, "");
    let server = start(engine, &postgres.url_through(pooler.port()))
        .demo()
        .start();
    let mut client = server.connect();
    make(&mut client, "ada").expect(201);
    client.get("/api/users/1").expect(200);
    client.get("/api/users/export").expect(200);
    becomes("all is well", || {
        client.get("/health").expect(200).json()["status"] == "OK"
    });
    // What others change is heard of through it too.
    let tag = client
        .get("/api/users/1")
        .expect(200)
        .must_have("etag")
        .to_owned();
    postgres.psql("UPDATE users SET age = 99 WHERE id = 1");
    becomes("the change is told", || {
        client.get("/api/users/1").expect(200).must_have("etag") != tag
    });
    drop(server);
    // More than one statement's timeout is what was asked for.
    let server = start(engine, &postgres.url_through(pooler.port()));
    let server = server
        .config("[database]\nstatement_timeout_ms = 1234\n")
        .start();
    server.connect().get("/api/users/2").expect(200);
}

fn a_pooler_that_takes_sessions_apart_is_refused_in_words(engine: Engine) {
    let postgres = Postgres::start();
    for mode in ["transaction", "statement"] {
        let pooler = PgBouncer::before(&postgres, &format!("pool_mode = {mode}"));
        let refusal = start(engine, &postgres.url_through(pooler.port())).try_start();
        let refusal = refusal.err().expect("no start");
        assert_eq!(refusal.status.code(), Some(1), "{}", refusal.output);
        for part in ["pool_mode = session", "between transactions"] {
            assert!(refusal.output.contains(part), "{part}: {}", refusal.output);
        }
    }
}

fn a_locked_table_costs_its_own_routes_only(engine: Engine) {
    let database = Database::new();
    let server = start(engine, &database.url()).demo().start();
    let mut client = server.connect();
    client.get("/api/posts/1").expect(200);
    let url = database.url();
    let lock = std::thread::spawn(move || {
        let sql = "BEGIN; LOCK TABLE users; SELECT pg_sleep(6.5)";
        std::process::Command::new("psql")
            .args(["-X", "-q", &url, "-c", sql])
            .output()
    });
    let locked = "SELECT count(*) FROM pg_locks WHERE mode = 'AccessExclusiveLock' AND granted
        AND relation = 'users'::regclass";
    becomes("the table is locked", || database.psql(locked) == "1");
    let crowd: Vec<_> = (0..24)
        .map(|id| {
            let mut client = server.connect();
            std::thread::spawn(move || client.get(&format!("/api/users/{}", 500 + id)).status)
        })
        .collect();
    let mut slowest = Duration::ZERO;
    let begun = Instant::now();
    for id in 2..80 {
        let asked = Instant::now();
        client.get(&format!("/api/posts/{id}")).expect(200);
        slowest = slowest.max(asked.elapsed());
        if begun.elapsed() > Duration::from_secs(3) {
            break;
        }
        std::thread::sleep(Duration::from_millis(30));
    }
    assert!(slowest < Duration::from_millis(1_500), "{slowest:?}");
    let health = client.get("/health").expect(200).json();
    assert_eq!(health["status"], "WARN", "{health}");
    let warning = health["warning"].as_str().expect("a warning");
    assert!(
        warning.contains("users") && !warning.contains("posts"),
        "{warning}"
    );
    for reader in crowd {
        assert!([200, 503].contains(&reader.join().expect("no panic")));
    }
    let _ = lock.join().expect("no panic");
    becomes("all is well", || {
        client.get("/api/users/700").status == 200
            && client.get("/health").expect(200).json()["status"] == "OK"
    });
}

fn a_start_waits_for_the_server_and_says_so_once(engine: Engine) {
    let mut postgres = Postgres::start();
    let url = postgres.url();
    postgres.kill();
    let waiting = std::thread::spawn(move || start(engine, &url).start());
    std::thread::sleep(Duration::from_millis(1_500));
    postgres.start_again();
    let server = waiting.join().expect("it starts");
    make(&mut server.connect(), "ada").expect(201);
    let said = server.output();
    assert_eq!(said.matches("waiting for the store").count(), 1, "{said}");
    assert!(said.contains("store.wait_ms"), "{said}");
    drop(server);
    postgres.kill();
    let begun = Instant::now();
    let short = start(engine, &postgres.url()).config("[store]\nwait_ms = 1000\n");
    let refusal = short.try_start().err().expect("no start");
    assert!(
        begun.elapsed() < Duration::from_secs(15),
        "{:?}",
        begun.elapsed()
    );
    assert!(
        refusal.output.contains("cannot be reached"),
        "{}",
        refusal.output
    );
    postgres.start_again();
}

fn a_start_on_a_replica_says_that_it_takes_no_writes(engine: Engine) {
    let postgres = Postgres::start();
    let server = start(engine, &postgres.url()).demo().start();
    drop(server);
    postgres.psql("ALTER DATABASE corelane SET default_transaction_read_only = on");
    let server = start(engine, &postgres.url()).start();
    server.wait_for_output("takes no writes");
    let mut client = server.connect();
    client.get("/api/users/1").expect(200);
    make(&mut client, "ada").expect(503);
    let health = client.get("/health").expect(200).json();
    assert_eq!(health["status"], "WARN", "{health}");
    let url = format!("{}?target_session_attrs=read-write", postgres.url());
    let refusal = start(engine, &url).argument("--no-wait").try_start();
    let refusal = refusal.err().expect("no start");
    for part in ["it takes no writes", "target_session_attrs"] {
        assert!(refusal.output.contains(part), "{part}: {}", refusal.output);
    }
    // It is one again: nobody need restart anything.
    let writes = "ALTER DATABASE corelane SET default_transaction_read_only = off";
    postgres.psql_in("postgres", writes);
    becomes("writes are taken", || {
        make(&mut client, "grace").status == 201
    });
}

fn a_nul_from_a_client_is_its_own_mistake(engine: Engine) {
    let database = Database::new();
    for serve in [start(engine, &database.url()), Serve::on(engine)] {
        let server = serve.demo().start();
        let mut client = server.connect();
        let log_in = json!({"email": "a\u{0}b@example.org", "password": "p\u{0}x"});
        client
            .send_json("POST", "/api/session", &[], &log_in)
            .expect(401);
        let user = |name: &str, email: &str| json!({"name": name, "email": email, "age": 3});
        for body in [
            user("a\u{0}", "a@example.org"),
            user("a", "a\u{0}@example.org"),
        ] {
            client
                .send_json("POST", "/api/users", &[], &body)
                .expect(422);
            client
                .send_json("PUT", "/api/users/1", &[], &body)
                .expect(422);
            client
                .send_json("PATCH", "/api/users/1", &[], &body)
                .expect(422);
        }
        for target in [
            "/api/users?name=a%00",
            "/api/users?name=%00&sort=name&min_age=3",
            "/api/users?sort=%00",
            "/api/users?after=%00",
            "/api/users?fields=name%00",
            "/api/users/1%00",
            "/api/users/%00",
            "/api/posts/%00",
            "/api/posts?author_id=%00",
            "/api/posts?after=%00",
            "/api/users/batch?ids=1,%00",
            "/api/users/near?lat=%00&lon=1",
        ] {
            let status = client.get(target).status;
            assert!(
                status == 200 || (400..500).contains(&status),
                "{target}: {status}"
            );
        }
        assert_eq!(client.get("/health").expect(200).json()["status"], "OK");
    }
}

fn a_change_by_hand_is_seen_by_who_asks_with_a_date(engine: Engine) {
    let database = Database::new();
    let proxy = Proxy::to(database.port());
    let server = start(engine, &database.url_through(proxy.port()))
        .demo()
        .start();
    let mut client = server.connect();
    for (target, sql) in [
        ("/api/users/1", "UPDATE users SET age = 99 WHERE id = 1"),
        (
            "/api/posts/1",
            "UPDATE posts SET title = 'by hand' WHERE id = 1",
        ),
    ] {
        let before = client.get(target).expect(200);
        let date = before.must_have("last-modified").to_owned();
        let kept = [("If-Modified-Since", date.as_str())];
        database.psql(sql);
        becomes("the change is seen", || {
            let now = client.get_with(target, &kept);
            now.status == 200 && now.must_have("last-modified") != date
        });
    }
}
