//! A handler that panics: 500, its connection ends, and nothing else does.

use std::time::Duration;

use bytes::Bytes;
use corelane::{Ctx, Error, Response, engine};
use futures_util::{StreamExt, stream};

use crate::harness::{As, Engine, InProcess, sample_app};

both_engines!(
    a_panic_is_500_and_the_connection_ends,
    a_panic_after_an_await_is_the_same,
    a_panic_with_an_unread_body_is_the_same,
    a_panic_in_a_stream_cuts_it_short,
    a_panic_behind_other_answers_does_not_take_them_along,
    other_connections_do_not_notice,
    panics_do_not_restart_the_shard,
    a_destructor_that_panics_is_no_different,
    requests_behind_a_panic_do_not_reset_its_answer,
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

struct PanicsWhenDropped;

impl Drop for PanicsWhenDropped {
    fn drop(&mut self) {
        panic!("as asked, when dropped");
    }
}

async fn stream_that_panics_when_dropped(_: Ctx) -> Result<Response, Error> {
    let owned = PanicsWhenDropped;
    let pieces = stream::iter(0..2).map(move |_| {
        let _ = &owned;
        Ok(Bytes::from_static(b"piece\n"))
    });
    Ok(Response::stream("text/plain; charset=utf-8", pieces))
}

fn a_destructor_that_panics_is_no_different(engine: Engine) {
    let app = sample_app().get("/panic-in-drop", stream_that_panics_when_dropped);
    let server = InProcess::start_shards(engine, 1, app, |_| {});
    let mut other = server.connect();
    other.expect_usable();
    let mut client = server.connect();
    client.send("GET /panic-in-drop HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(client.read_head().status, 200);
    let mut client = server.connect();
    client.send("HEAD /panic-in-drop HTTP/1.1\r\nHost: a\r\n\r\n");
    client.read_as(As::Head).expect(200);
    other.expect_usable();
    assert_eq!(server.finish().restarts, 0);
}

fn requests_behind_a_panic_do_not_reset_its_answer(engine: Engine) {
    let app = sample_app().get("/panic-late", async |_| {
        engine::sleep(Duration::from_millis(200)).await;
        panic!("as asked, late");
    });
    let server = InProcess::start(engine, app);
    let mut client = server.connect();
    client.send("GET /panic-late HTTP/1.1\r\nHost: a\r\n\r\n");
    std::thread::sleep(Duration::from_millis(50));
    client.send("GET /hello/a HTTP/1.1\r\nHost: a\r\n\r\n".repeat(10));
    std::thread::sleep(Duration::from_millis(300));
    // Reading it checks that the end behind it is no reset.
    assert!(client.read().expect(500).says_close());
}
