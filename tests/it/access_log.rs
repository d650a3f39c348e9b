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
    a_refused_request_is_logged_as_far_as_it_was_read_with_the_cause,
    a_refused_request_stands_in_the_text_log_too,
    a_download_that_was_cut_is_logged_so_and_counted,
    the_line_of_a_5xx_names_its_request,
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

/// Each on a connection of its own. Of one shard the lines keep their order.
fn refuse(server: &ServerProcess, requests: &[(&str, u16)]) {
    for (request, status) in requests {
        let mut client = server.connect();
        client.send_if_taken(request);
        client.read().expect(*status);
    }
}

fn a_refused_request_is_logged_as_far_as_it_was_read_with_the_cause(engine: Engine) {
    let server = Serve::on(engine)
        .argument("--access-log")
        .argument("json")
        .environment("CORELANE_ACCESS_LOG_TARGET", "access.log")
        .environment("CORELANE_HTTP_HEAD_TIMEOUT_MS", "1000")
        .shards(1)
        .start();
    let long = format!("GET /{} HTTP/1.1\r\n", "l".repeat(100_000));
    let many = format!("GET /many HTTP/1.1\r\n{}", "a: b\r\n".repeat(2_000));
    let requests = [
        (
            "GET /bad HTTP/1.1\r\nHost: a\r\nno colon\r\n\r\n",
            400,
            "GET",
            "/bad",
        ),
        (
            "POST /two HTTP/1.1\r\nContent-Length: 1\r\n\r\n",
            400,
            "POST",
            "/two",
        ),
        (&long, 414, "GET", "/llllllll"),
        (&many, 431, "GET", "/many"),
        ("GET /new HTTP/2.5\r\n\r\n", 505, "GET", "/new"),
        ("\u{16}\u{3}\u{1}\r\n\r\n", 400, "", "\u{16}\u{3}\u{1}"),
        (
            "POST /api/users HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999\r\n\r\n",
            413,
            "POST",
            "/api/users",
        ),
        ("GET /slow?er HTTP/1.1\r\nHos", 408, "GET", "/slow?er"),
    ];
    refuse(
        &server,
        &requests.map(|(request, status, ..)| (request, status)),
    );
    let lines = lines(&server, "access.log", requests.len());
    for ((_, status, method, target), line) in requests.iter().zip(&lines) {
        let line: Value = serde_json::from_str(line).expect("JSON");
        assert_eq!(line["status"], *status, "{line}");
        assert_eq!(line["method"], *method, "{line}");
        let logged = line["target"].as_str().expect("a target");
        assert!(logged.starts_with(target), "{line}");
        assert!(logged.len() < 2_000, "{line}");
        let cause = line["cause"].as_str().unwrap_or_default();
        assert!(!cause.is_empty(), "{line}");
        assert_eq!(line["peer"], "127.0.0.1", "{line}");
    }
}

fn a_refused_request_stands_in_the_text_log_too(engine: Engine) {
    let server = Serve::on(engine)
        .argument("--access-log")
        .argument("text")
        .environment("CORELANE_ACCESS_LOG_TARGET", "access.log")
        .shards(1)
        .start();
    let requests = [
        ("GET /bad HTTP/1.1\r\nHost: a\r\nno colon\r\n\r\n", 400),
        ("\u{16}\u{3}\"\r\n\r\n", 400),
    ];
    refuse(&server, &requests);
    let lines = lines(&server, "access.log", 2);
    assert!(
        lines[0].contains("\"GET /bad HTTP/1.1\" 400 "),
        "{}",
        lines[0]
    );
    assert!(lines[1].contains("\"\\x16\\x03\\\"\" 400 "), "{}", lines[1]);
    assert!(
        lines.iter().all(|line| line.contains(" cause=\"")),
        "{lines:?}"
    );
}

fn a_download_that_was_cut_is_logged_so_and_counted(engine: Engine) {
    const BYTES: u64 = 64 << 20;
    let folder = tempfile::tempdir().expect("a folder");
    let file = fs::File::create(folder.path().join("big.bin")).expect("a file");
    file.set_len(BYTES).expect("room");
    let server = Serve::on(engine)
        .static_folder(folder.path())
        .argument("--access-log")
        .argument("json")
        .environment("CORELANE_ACCESS_LOG_TARGET", "access.log")
        .start();
    let mut client = server.connect();
    client.send("GET /static/big.bin HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(client.read_head().status, 200);
    client.read_exactly(100_000);
    client.reset();
    let line: Value = serde_json::from_str(&lines(&server, "access.log", 1)[0]).expect("JSON");
    assert_eq!(line["complete"], false, "{line}");
    assert_eq!(line["status"], 200, "{line}");
    let sent = line["response_bytes"].as_u64().expect("a number");
    assert!((100_000..BYTES).contains(&sent), "{line}");
    let metrics = server
        .connect()
        .get("/metrics?format=prometheus")
        .expect(200);
    let cut = metrics
        .text()
        .lines()
        .filter(|line| line.starts_with("corelane_responses_cut_total{") && line.ends_with(" 1"));
    assert_eq!(cut.count(), 1, "{}", metrics.text());
}

/// Another program holds the database: no write comes about.
fn the_line_of_a_5xx_names_its_request(engine: Engine) {
    let server = Serve::on(engine)
        .environment("CORELANE_STORE_BUSY_TIMEOUT_MS", "100")
        .start();
    let path = server.data().path().join("data/corelane.db");
    let other = rusqlite::Connection::open(path).expect("a database");
    other
        .execute_batch("BEGIN IMMEDIATE")
        .expect("nobody writes");
    let user = br#"{"name":"A","email":"a@example.com","age":3}"#;
    let headers = [
        ("Content-Type", "application/json"),
        ("X-Request-Id", "id-of-the-test"),
    ];
    let response = server
        .connect()
        .request("POST", "/api/users?a=b", &headers, user);
    assert!(response.status >= 500, "{response:?}");
    server.wait_for_output("a request failed");
    let output = server.output();
    let line = output
        .lines()
        .find(|line| line.contains("a request failed"));
    let line = line.expect("a line");
    for part in [
        "POST /api/users?a=b",
        "route /api/users",
        "id-of-the-test",
        "client 127.0.0.1",
        "blame: ",
    ] {
        assert!(line.contains(part), "{part} in {line}");
    }
    let time = line.strip_prefix("corelane: ").expect("whose line it is");
    let time: jiff::Timestamp = time
        .split(' ')
        .next()
        .expect("a word")
        .parse()
        .expect("RFC 3339");
    let age = jiff::Timestamp::now().duration_since(time);
    assert!(age.as_secs().abs() < 60, "{line}");
}
