//! `/health` and its neighbours, and the page at `/`.

use crate::harness::{Engine, Serve, ServerProcess};

either_engine!(
    health_has_the_chapters_shape,
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
