//! `/api/users/export`: the whole table as NDJSON, at the client's pace and in
//! constant memory.

use std::time::Duration;

use serde_json::Value;

use crate::harness::{As, Engine, Serve, ServerProcess, hash_of};

both_engines!(
    every_row_is_there_once_in_order,
    each_line_is_the_user_as_read_alone,
    an_empty_table_is_an_empty_body,
    both_ways_of_framing_carry_the_same_bytes,
    a_slow_reader_does_not_grow_the_rss_of_the_server,
    a_reader_that_goes_away_leaves_nothing_behind,
    writes_go_on_during_an_export,
);

fn with_rows(engine: Engine, users: usize) -> ServerProcess {
    let data = std::sync::Arc::new(tempfile::TempDir::new().expect("a folder"));
    let mut seed = crate::harness::corelane();
    seed.args(["seed", "--users", &users.to_string(), "--posts", "0"]);
    seed.arg("--data").arg(data.path().join("data"));
    let output = seed.output().expect("the binary runs");
    assert!(output.status.success(), "{output:?}");
    Serve::on(engine).data(&data).start()
}

fn rows(text: &str) -> Vec<Value> {
    text.lines()
        .map(|line| serde_json::from_str(line).expect("a line of JSON"))
        .collect()
}

fn every_row_is_there_once_in_order(engine: Engine) {
    let server = with_rows(engine, 20_000);
    let response = server.connect().get("/api/users/export").expect(200);
    assert_eq!(response.must_have("content-type"), "application/x-ndjson");
    assert!(response.text().ends_with('\n'));
    let ids: Vec<i64> = rows(response.text())
        .iter()
        .map(|row| row["id"].as_i64().expect("an id"))
        .collect();
    assert_eq!(ids, (1..=20_000).collect::<Vec<i64>>());
}

fn each_line_is_the_user_as_read_alone(engine: Engine) {
    let server = with_rows(engine, 50);
    let mut client = server.connect();
    let export = client.get("/api/users/export").expect(200);
    let mut alone = String::new();
    for id in 1..=50 {
        alone += client.get(&format!("/api/users/{id}")).expect(200).text();
        alone += "\n";
    }
    assert_eq!(export.hash(), hash_of(alone.as_bytes()));
}

fn an_empty_table_is_an_empty_body(engine: Engine) {
    let server = ServerProcess::start(engine);
    let mut client = server.connect();
    assert!(client.get("/api/users/export").expect(200).body.is_empty());
    client.expect_usable();
}

fn both_ways_of_framing_carry_the_same_bytes(engine: Engine) {
    let server = with_rows(engine, 5_000);
    let chunked = server.connect().get("/api/users/export").expect(200);
    let mut old = server.connect();
    old.send("GET /api/users/export HTTP/1.0\r\n\r\n");
    assert_eq!(old.read_as(As::Http10).expect(200).hash(), chunked.hash());
}

fn a_slow_reader_does_not_grow_the_rss_of_the_server(engine: Engine) {
    let server = with_rows(engine, 100_000);
    // What one export at full speed leaves behind is not counted.
    let whole = server.connect().get("/api/users/export").expect(200);
    let before = server.resident_bytes();
    let mut clients: Vec<_> = (0..8).map(|_| server.connect()).collect();
    for client in &mut clients {
        client.send("GET /api/users/export HTTP/1.1\r\nHost: a\r\n\r\n");
        client.read_head();
    }
    std::thread::sleep(Duration::from_secs(2));
    let grown = server.resident_bytes().saturating_sub(before);
    assert!(grown < 16 << 20, "{grown} bytes for 8 readers that wait");
    // The pace was theirs; the bytes are still all of them.
    let mut body = Vec::new();
    while let Some(chunk) = clients[0].read_chunk() {
        body.extend(chunk);
    }
    assert_eq!(hash_of(&body), whole.hash());
}

fn a_reader_that_goes_away_leaves_nothing_behind(engine: Engine) {
    let server = with_rows(engine, 20_000);
    for _ in 0..30 {
        let mut client = server.connect();
        client.send("GET /api/users/export HTTP/1.1\r\nHost: a\r\n\r\n");
        client.read_head();
        client.reset();
    }
    std::thread::sleep(Duration::from_millis(300));
    let mut client = server.connect();
    let metrics = client.get("/metrics").expect(200).json();
    assert_eq!(metrics["connections"], 1, "{metrics}");
    assert_eq!(
        client
            .get("/api/users/export")
            .expect(200)
            .text()
            .lines()
            .count(),
        20_000
    );
}

fn writes_go_on_during_an_export(engine: Engine) {
    let server = with_rows(engine, 20_000);
    let mut reader = server.connect();
    reader.send("GET /api/users/export HTTP/1.1\r\nHost: a\r\n\r\n");
    reader.read_head();
    let mut body = reader.read_chunk().expect("a first chunk");
    let mut writer = server.connect();
    for number in 0..20 {
        let email = format!("during{number}@example.org");
        let user = serde_json::json!({"name": "a", "email": email, "age": 1});
        writer
            .send_json("POST", "/api/users", &[], &user)
            .expect(201);
    }
    while let Some(chunk) = reader.read_chunk() {
        body.extend(chunk);
    }
    let rows = rows(std::str::from_utf8(&body).expect("UTF-8"));
    let ids: Vec<i64> = rows
        .iter()
        .map(|row| row["id"].as_i64().expect("an id"))
        .collect();
    assert!(
        ids.is_sorted_by(|a, b| a < b),
        "a row twice or out of order"
    );
    assert!(ids.len() >= 20_000);
}
