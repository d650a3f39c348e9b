//! The access log and request ids, in and out.

use std::collections::BTreeSet;
use std::fs;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::Value;

use crate::harness::{Engine, Serve, ServerProcess};

either_engine!(
    a_json_line_tells_of_each_request,
    a_text_line_is_in_the_combined_format,
    a_good_request_id_comes_back_and_a_bad_one_does_not,
    each_request_has_an_id_of_its_own_while_the_log_is_on,
    nothing_a_client_sends_can_forge_a_line,
    a_renamed_log_is_opened_anew_on_hangup,
    a_drain_writes_the_last_lines,
);

fn with_log(engine: Engine, format: &str) -> ServerProcess {
    Serve::on(engine)
        .argument("--access-log")
        .argument(format)
        .environment("CORELANE_ACCESS_LOG_TARGET", "access.log")
        .start()
}

/// The log's lines once there are `count` of them.
fn lines(server: &ServerProcess, file: &str, count: usize) -> Vec<String> {
    let path = server.data().path().join(file);
    let deadline = Instant::now() + Duration::from_secs(5);
    loop {
        let text = fs::read_to_string(&path).unwrap_or_default();
        let lines: Vec<String> = text.lines().map(str::to_owned).collect();
        if lines.len() >= count {
            assert_eq!(lines.len(), count, "{text}");
            return lines;
        }
        assert!(
            Instant::now() < deadline,
            "{} of {count} lines:\n{text}",
            lines.len()
        );
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn a_json_line_tells_of_each_request(engine: Engine) {
    let server = with_log(engine, "json");
    let mut client = server.connect();
    let headers = [("User-Agent", "it/1.0"), ("X-Request-Id", "abc-123")];
    client.get_with("/health/live?x=1", &headers).expect(200);
    client.get("/nowhere").expect(404);
    let lines = lines(&server, "access.log", 2);
    let first: Value = serde_json::from_str(&lines[0]).expect("JSON");
    let text = first.to_string();
    for part in [
        "GET",
        "/health/live?x=1",
        "200",
        "it/1.0",
        "abc-123",
        "127.0.0.1",
    ] {
        assert!(text.contains(part), "{part} in {text}");
    }
    let second: Value = serde_json::from_str(&lines[1]).expect("JSON");
    assert!(second.to_string().contains("404"), "{second}");
}

fn a_text_line_is_in_the_combined_format(engine: Engine) {
    let server = with_log(engine, "text");
    let headers = [("User-Agent", "it/1.0"), ("Referer", "http://a/")];
    server
        .connect()
        .get_with("/health/live", &headers)
        .expect(200);
    let line = lines(&server, "access.log", 1).remove(0);
    assert!(line.starts_with("127.0.0.1"), "{line}");
    for part in [
        "\"GET /health/live HTTP/1.1\" 200 ",
        "\"http://a/\" \"it/1.0\"",
        "[",
        "]",
    ] {
        assert!(line.contains(part), "{part} in {line}");
    }
}

fn a_good_request_id_comes_back_and_a_bad_one_does_not(engine: Engine) {
    let server = ServerProcess::start(engine);
    let mut client = server.connect();
    let response = client.get_with("/health/live", &[("X-Request-Id", "a-1.b:c/d=")]);
    assert_eq!(
        response.expect(200).header("x-request-id"),
        Some("a-1.b:c/d=")
    );
    let long = "x".repeat(65);
    for bad in ["a b", "a\"b", "\u{e9}", long.as_str(), "<script>"] {
        let response = client
            .get_with("/health/live", &[("X-Request-Id", bad)])
            .expect(200);
        assert_ne!(response.header("x-request-id"), Some(bad));
    }
    assert_eq!(client.get("/health/live").header("x-request-id"), None);
}

fn each_request_has_an_id_of_its_own_while_the_log_is_on(engine: Engine) {
    let server = with_log(engine, "json");
    let mut sent = BTreeSet::new();
    for _ in 0..4 {
        let mut client = server.connect();
        for _ in 0..25 {
            sent.insert(
                client
                    .get("/health/live")
                    .must_have("x-request-id")
                    .to_owned(),
            );
        }
    }
    assert_eq!(sent.len(), 100);
    let log = lines(&server, "access.log", 100).join("\n");
    assert!(sent.iter().all(|id| log.contains(id.as_str())));
}

fn nothing_a_client_sends_can_forge_a_line(engine: Engine) {
    for format in ["json", "text"] {
        let server = with_log(engine, format);
        let headers = [
            ("User-Agent", "a\" 200 \\ \u{e9} \t{\"status\":200}"),
            ("Referer", "\u{9b}"),
        ];
        server
            .connect()
            .get_with("/a%0a%22b?\"q\"", &headers)
            .expect(404);
        let line = lines(&server, "access.log", 1).remove(0);
        assert!(!line.contains(|c: char| c.is_control()), "{line:?}");
        if format == "json" {
            serde_json::from_str::<Value>(&line).expect("JSON");
        } else {
            assert!(!line.contains("a\" 200"), "{line}");
        }
    }
}

fn a_renamed_log_is_opened_anew_on_hangup(engine: Engine) {
    let server = with_log(engine, "json");
    let mut client = server.connect();
    client.get("/health/live").expect(200);
    lines(&server, "access.log", 1);
    let folder = server.data().path();
    fs::rename(folder.join("access.log"), folder.join("old.log")).expect("renamed");
    server.signal(Signal::HUP);
    let deadline = Instant::now() + Duration::from_secs(5);
    while !folder.join("access.log").exists() {
        assert!(Instant::now() < deadline, "not opened anew");
        std::thread::sleep(Duration::from_millis(10));
    }
    client.get("/health/ready").expect(200);
    assert!(lines(&server, "access.log", 1)[0].contains("/health/ready"));
    assert!(lines(&server, "old.log", 1)[0].contains("/health/live"));
}

fn a_drain_writes_the_last_lines(engine: Engine) {
    let server = with_log(engine, "json");
    let mut client = server.connect();
    for _ in 0..500 {
        client.get("/health/live").expect(200);
    }
    let data = server.stop();
    let text = fs::read_to_string(data.path().join("access.log")).expect("the log");
    assert_eq!(text.lines().count(), 500);
}
