//! Limits of the shipped program: its default, its rules, its refusals.

use std::net::SocketAddr;

use services::Keyspace;

use crate::harness::{Client, Engine, Serve};

either_engine!(
    passwords_cannot_be_guessed_fast_out_of_the_box,
    nothing_else_is_limited_out_of_the_box,
    rules_go_by_method_and_path,
    the_operators_paths_are_never_limited,
    a_rule_that_is_empty_is_off,
    rules_that_cannot_be_used_are_told_with_their_line,
    the_metrics_show_every_rule,
    two_processes_with_one_redis_enforce_one_rule,
);

fn guess(client: &mut Client) -> u16 {
    client.request("POST", "/api/session", &[], b"").status
}

fn rules(text: &str) -> String {
    format!("[rate_limit.rules]\n{text}\n")
}

fn passwords_cannot_be_guessed_fast_out_of_the_box(engine: Engine) {
    let server = Serve::on(engine).start();
    let mut client = server.connect();
    for _ in 0..10 {
        assert_ne!(guess(&mut client), 429);
    }
    let refused = client.request("POST", "/api/session", &[], b"").expect(429);
    assert_eq!(
        refused.must_have("ratelimit-policy"),
        "\"POST /api/session\";q=10;w=60"
    );
    let wait_s: u64 = refused.must_have("retry-after").parse().expect("seconds");
    assert!((1..=6).contains(&wait_s), "{wait_s}");
}

fn nothing_else_is_limited_out_of_the_box(engine: Engine) {
    let server = Serve::on(engine).start();
    let mut client = server.connect();
    for path in ["/api/users", "/", "/health", "/api/session"] {
        let answer = client.get(path);
        assert_eq!(answer.header("ratelimit-policy"), None, "{path}");
    }
}

fn rules_go_by_method_and_path(engine: Engine) {
    let text = "\"/api/*\" = \"5/1h\"\n\"GET /api/users/{id}\" = \"2/1h\"";
    let server = Serve::on(engine).config(rules(text)).start();
    let mut client = server.connect();
    client.get("/api/users/7").expect(404);
    client.head("/api/users/8").expect(404);
    let refused = client.get("/api/users/9").expect(429);
    let policies = "\"/api/*\";q=5;w=3600, \"GET /api/users/{id}\";q=2;w=3600";
    assert_eq!(refused.must_have("ratelimit-policy"), policies);
    client.get("/api/users").expect(200);
    client.get("/api/nothing/at/all").expect(404);
    client.get("/api/users").expect_problem(429);
    let page = client.get("/").expect(200);
    assert_eq!(page.header("ratelimit-policy"), None);
}

fn the_operators_paths_are_never_limited(engine: Engine) {
    let server = Serve::on(engine)
        .admin("127.0.0.1:0")
        .config(rules("\"/*\" = \"1/1h\""))
        .start();
    let mut client = server.connect();
    client.get("/").expect(200);
    client.get("/").expect(429);
    let admin: SocketAddr = server.admin_address().expect("asked for");
    let mut operator = Client::connect(admin);
    for _ in 0..3 {
        client.get("/health").expect(200);
        client.get("/health/live").expect(200);
        client.get("/metrics").expect(200);
        operator.send("GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n");
        operator.read().expect(200);
    }
    client.get("/healthy").expect(429);
}

fn a_rule_that_is_empty_is_off(engine: Engine) {
    let off = rules("\"POST /api/session\" = \"\"");
    let server = Serve::on(engine).config(off).start();
    let mut client = server.connect();
    for _ in 0..15 {
        assert_ne!(guess(&mut client), 429);
    }
}

fn rules_that_cannot_be_used_are_told_with_their_line(engine: Engine) {
    for (rule, told) in [
        ("\"/api/*\" = \"100\"", "LIMIT/WINDOW"),
        ("\"/api/*\" = \"0/1s\"", "at least 1"),
        ("\"/api/*\" = \"1/1s by name\"", "header:NAME"),
        ("\"api\" = \"1/1s\"", "begins with `/`"),
        ("\"get /api\" = \"1/1s\"", "not a method"),
        ("\"/api\" = 5", "a whole number"),
    ] {
        let config = format!("[server]\n{}{rule}\n", rules("\"/a\" = \"1/1s\""));
        let refusal = Serve::on(engine).config(config).try_start().err();
        let output = refusal.expect("no start").output;
        assert!(output.contains(told), "{rule}: {output}");
        assert!(output.contains("server.toml:"), "{rule}: {output}");
        assert!(output.contains("give lines of"), "{rule}: {output}");
    }
}

fn the_metrics_show_every_rule(engine: Engine) {
    let server = Serve::on(engine)
        .config(rules("\"/api/*\" = \"1/1h\""))
        .start();
    let mut client = server.connect();
    client.get("/api/users").expect(200);
    client.get("/api/users").expect(429);
    let json = client.get("/metrics").expect(200).json();
    assert_eq!(json["rateLimits"]["rules"]["/api/*"]["denied"], 1);
    let accept = [("Accept", "text/plain")];
    let text = client.get_with("/metrics", &accept).expect(200);
    for line in [
        "corelane_rate_limit_requests_total{result=\"allowed\",rule=\"/api/*\"} 1",
        "corelane_rate_limit_requests_total{result=\"denied\",rule=\"/api/*\"} 1",
        "corelane_rate_limit_keys 1",
    ] {
        assert!(
            has_sample(text.text(), line),
            "{line}:
{}",
            text.text()
        );
    }
}

fn two_processes_with_one_redis_enforce_one_rule(engine: Engine) {
    let redis = Keyspace::take();
    let node = || {
        let shared = Serve::on(engine).argument("--redis").argument(redis.url());
        shared.config(rules("\"/api/*\" = \"20/1h\"")).start()
    };
    let nodes = [node(), node()];
    let mut through = 0;
    for _ in 0..15 {
        for node in &nodes {
            // A connection each, so that all shards take part.
            through += usize::from(node.connect().get("/api/users").status == 200);
        }
    }
    assert_eq!(through, 20);
}

/// Whether a sample is there, its labels in any order.
fn has_sample(text: &str, wanted: &str) -> bool {
    let parts = |line: &str| {
        let mut parts: Vec<_> = line
            .split(['{', '}', ',', ' '])
            .map(str::to_owned)
            .collect();
        parts.sort();
        parts
    };
    text.lines().any(|line| parts(line) == parts(wanted))
}
