//! `/health` and its neighbours, and the page at `/`.

use std::time::{Duration, Instant};

use crate::harness::{Engine, InProcess, Serve, ServerProcess};

either_engine!(
    health_has_the_chapters_shape,
    a_log_that_cannot_be_written_is_counted_and_told,
    writes_that_all_fail_are_a_warning_until_one_goes_well,
    refusals_are_a_warning_for_some_seconds,
    what_a_feature_that_is_off_was_given_is_told_at_start,
    live_and_ready_say_so,
    nothing_about_health_may_be_stored,
    the_first_page_lists_links_that_work,
);

fn health_has_the_chapters_shape(engine: Engine) {
    let server = ServerProcess::start(engine);
    let mut client = server.connect();
    let first = client.get("/health").expect(200).json();
    assert_eq!(first["status"], "OK");
    assert_eq!(first["database"], "OK");
    let now = std::time::SystemTime::now();
    let now_ms = now
        .duration_since(std::time::UNIX_EPOCH)
        .expect("after 1970")
        .as_millis();
    let told_ms = first["timestamp"].as_u64().expect("milliseconds");
    assert!(u128::from(told_ms).abs_diff(now_ms) < 5_000);
    std::thread::sleep(std::time::Duration::from_millis(50));
    let second = client.get("/health").expect(200).json();
    let uptime = |json: &serde_json::Value| json["uptime"].as_f64().expect("seconds");
    let grown = uptime(&second) - uptime(&first);
    assert!((0.04..5.0).contains(&grown), "{grown}");
}

fn a_log_that_cannot_be_written_is_counted_and_told(engine: Engine) {
    let server = Serve::on(engine)
        .argument("--access-log")
        .argument("json")
        .environment("CORELANE_ACCESS_LOG_TARGET", "/dev/full")
        .start();
    let mut client = server.connect();
    for _ in 0..50 {
        client.get("/health/live").expect(200);
    }
    let deadline = Instant::now() + Duration::from_secs(10);
    let health = loop {
        let health = client.get("/health").expect(200).json();
        if health["status"] == "WARN" {
            break health;
        }
        assert!(Instant::now() < deadline, "{health}");
        std::thread::sleep(Duration::from_millis(50));
    };
    let warning = health["warning"].as_str().expect("a warning");
    assert!(
        warning.contains("lines of the access log were lost"),
        "{warning}"
    );
    let text = client.get("/metrics?format=prometheus").expect(200);
    let lost = text.text().lines().filter_map(|line| {
        let rest = line.strip_prefix("corelane_access_log_lines_dropped_total{")?;
        rest.rsplit_once(' ')?.1.parse::<f64>().ok()
    });
    assert!(lost.sum::<f64>() >= 50.0, "{}", text.text());
    server.wait_for_output("cannot write /dev/full");
    assert_eq!(server.output().matches("cannot write /dev/full").count(), 1);
}

/// A table that is gone is what a full disk is to a write: nothing can be kept.
fn writes_that_all_fail_are_a_warning_until_one_goes_well(engine: Engine) {
    let server = Serve::on(engine).shards(1).start();
    let database = server.data().path().join("data/corelane.db");
    let sql = |text: &str| {
        let connection = rusqlite::Connection::open(&database).expect("the database");
        connection
            .busy_timeout(Duration::from_secs(5))
            .expect("a time");
        connection.execute_batch(text).expect("a statement");
    };
    sql("CREATE TRIGGER no_more BEFORE INSERT ON users BEGIN SELECT RAISE(ABORT, 'no'); END");
    let mut client = server.connect();
    let add = |client: &mut crate::harness::Client, email: &str| {
        let user = serde_json::json!({"name": "Ada", "email": email, "age": 36});
        client.send_json("POST", "/api/users", &[], &user)
    };
    for number in 0..3 {
        let status = add(&mut client, &format!("{number}@example.org")).status;
        assert!(status >= 500, "{status}");
    }
    let health = client.get("/health").expect(200).json();
    assert_eq!(
        (&health["status"], &health["database"]),
        (&"WARN".into(), &"OK".into())
    );
    let warning = health["warning"].as_str().expect("a warning");
    let expected = "every POST /api/users fails, 3 in a row: 500";
    assert!(warning.contains(expected), "{warning}");
    sql("DROP TRIGGER no_more");
    add(&mut client, "a@example.org").expect(201);
    let health = client.get("/health").expect(200).json();
    let warning = health["warning"].as_str().unwrap_or_default();
    assert!(!warning.contains("every"), "{warning}");
}

fn refusals_are_a_warning_for_some_seconds(engine: Engine) {
    let app = corelane::App::new()
        .get(
            "/gone",
            async |_| -> Result<corelane::Response, corelane::Error> {
                Err(corelane::Error::unavailable("the other side is away", 1))
            },
        )
        .get(
            "/broken",
            async |_| -> Result<corelane::Response, corelane::Error> {
                Err(corelane::Error::not_found("asked wrongly"))
            },
        );
    let options = corelane_server::handlers::health::HealthOptions::default();
    let app = corelane_server::handlers::health::install(app, &options);
    let server = InProcess::start(engine, app);
    let mut clients: Vec<_> = (0..8).map(|_| server.connect()).collect();
    clients[0].get("/broken").expect(404);
    assert_eq!(clients[1].get("/health").expect(200).json()["status"], "OK");
    for client in &mut clients {
        client.get("/gone").expect(503);
    }
    let begun = Instant::now();
    // Whichever shard is asked.
    for client in &mut clients {
        let health = client.get("/health").expect(200).json();
        assert_eq!(health["status"], "WARN");
        let warning = health["warning"].as_str().expect("a warning");
        let expected = "GET /gone was answered 503 (upstream) 8 times in the last 10 s";
        assert!(warning.contains(expected), "{warning}");
    }
    while clients[0].get("/health").expect(200).json()["status"] != "OK" {
        assert!(
            begun.elapsed() < Duration::from_secs(20),
            "it is told for ever"
        );
        std::thread::sleep(Duration::from_millis(200));
    }
    assert!(
        begun.elapsed() > Duration::from_secs(7),
        "{:?}",
        begun.elapsed()
    );
}

fn what_a_feature_that_is_off_was_given_is_told_at_start(engine: Engine) {
    let server = Serve::on(engine)
        .config("[api.redis_cache]\n\"/resource\" = \"60s\"\n")
        .start();
    server.wait_for_output("server.toml:1: api.redis_cache does nothing: there is no Redis");
    server.wait_for_output("give redis.url, or --redis");
}

fn live_and_ready_say_so(engine: Engine) {
    let server = ServerProcess::start(engine);
    let mut client = server.connect();
    assert_eq!(
        client.get("/health/live").expect(200).json()["status"],
        "live"
    );
    assert_eq!(
        client.get("/health/ready").expect(200).json()["status"],
        "ready"
    );
}

fn nothing_about_health_may_be_stored(engine: Engine) {
    let server = ServerProcess::start(engine);
    let mut client = server.connect();
    for path in ["/health", "/health/live", "/health/ready", "/metrics"] {
        assert_eq!(
            client.get(path).expect(200).must_have("cache-control"),
            "no-store"
        );
    }
}

fn the_first_page_lists_links_that_work(engine: Engine) {
    let server = Serve::on(engine).demo().start();
    let mut client = server.connect();
    let page = client.get("/").expect(200);
    assert_eq!(page.must_have("content-type"), "text/html; charset=utf-8");
    let links: Vec<&str> = page
        .text()
        .split("href=\"")
        .skip(1)
        .filter_map(|rest| rest.split('"').next())
        .filter(|link| link.starts_with('/'))
        .collect();
    assert!(links.len() >= 10, "{links:?}");
    for link in &links {
        let target = link.replace("&amp;", "&");
        let status = client.get(&target).status;
        assert_eq!(status, 200, "{target}");
    }
    for wanted in ["/api/users", "/api/posts", "/metrics", "/health", "/static"] {
        assert!(
            links.iter().any(|link| link.starts_with(wanted)),
            "{wanted}"
        );
    }
}
