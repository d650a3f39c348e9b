//! A handler that panics: 500, its connection ends, and nothing else does.

use std::time::Duration;

use crate::harness::{Engine, InProcess, sample_app};

both_engines!(
    a_panic_is_500_and_the_connection_ends,
    a_panic_after_an_await_is_the_same,
    a_panic_with_an_unread_body_is_the_same,
    a_panic_in_a_stream_cuts_it_short,
    a_panic_behind_other_answers_does_not_take_them_along,
    other_connections_do_not_notice,
    panics_do_not_restart_the_shard,
);

fn a_panic_is_500_and_the_connection_ends(engine: Engine) {
    let server = InProcess::start(engine, sample_app());
    let response = server.connect().get("/panic").expect(500);
    assert!(response.says_close());
    assert!(
        !response.text().contains("as asked"),
        "told the client: {response:?}"
    );
}

fn a_panic_after_an_await_is_the_same(engine: Engine) {
    let server = InProcess::start(engine, sample_app());
    assert!(
        server
            .connect()
            .get("/panic-later")
            .expect(500)
            .says_close()
    );
}

fn a_panic_with_an_unread_body_is_the_same(engine: Engine) {
    let server = InProcess::start(engine, sample_app());
    for bytes in [0, 10, 100_000] {
        let response = server
            .connect()
            .request("POST", "/panic", &[], &vec![b'x'; bytes]);
        assert!(response.expect(500).says_close());
    }
}

fn a_panic_in_a_stream_cuts_it_short(engine: Engine) {
    let server = InProcess::start(engine, sample_app());
    let mut client = server.connect();
    client.send("GET /panic-in-stream HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(client.read_head().status, 200);
    assert_eq!(client.read_chunk().as_deref(), Some(&b"first\n"[..]));
    client.expect_gone();
    server.connect().expect_usable();
}

fn a_panic_behind_other_answers_does_not_take_them_along(engine: Engine) {
    let server = InProcess::start(engine, sample_app());
    let mut client = server.connect();
    let get = |path: &str| format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n");
    client.send(get("/hello/a") + &get("/hello/b") + &get("/panic") + &get("/hello/c"));
    assert_eq!(client.read().expect(200).text(), "Hello, a!\n");
    assert_eq!(client.read().expect(200).text(), "Hello, b!\n");
    client.read().expect(500);
}

fn other_connections_do_not_notice(engine: Engine) {
    let server = InProcess::start_shards(engine, 1, sample_app(), |_| {});
    let mut slow = server.connect();
    slow.send("GET /slow/200 HTTP/1.1\r\nHost: a\r\n\r\n");
    let mut idle = server.connect();
    idle.expect_usable();
    for path in ["/panic", "/panic-later"] {
        for _ in 0..20 {
            server.connect().get(path).expect(500);
        }
    }
    assert_eq!(slow.read().expect(200).text(), "after 200 ms\n");
    idle.expect_silence(Duration::from_millis(10));
    idle.expect_usable();
}

fn panics_do_not_restart_the_shard(engine: Engine) {
    let server = InProcess::start(engine, sample_app());
    for _ in 0..30 {
        server.connect().get("/panic").expect(500);
    }
    assert_eq!(server.finish().restarts, 0);
}
