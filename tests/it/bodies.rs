//! Request and response bodies: every framing, in one piece and in many, read
//! and not read.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use corelane::{App, Ctx, Response, Route, engine};
use futures_util::stream;
use http::Method;

use crate::harness::{As, Engine, InProcess, hash_of, pattern, sample_app};

both_engines!(
    a_body_with_a_length_arrives_whole,
    a_chunked_body_arrives_whole,
    chunk_sizes_extensions_and_trailers_are_understood,
    a_body_dribbled_in_arrives_whole,
    a_large_body_arrives_whole,
    a_body_can_be_answered_while_it_comes,
    a_client_that_waits_is_told_to_continue,
    a_client_that_waits_is_not_told_to_continue_in_vain,
    a_body_sent_without_waiting_needs_no_continue,
    an_old_client_is_never_told_to_continue,
    a_small_unread_body_leaves_the_connection_usable,
    a_large_unread_body_ends_the_connection,
    a_body_that_ends_early_is_no_request,
    get_may_have_a_body,
    an_old_client_sends_a_body_by_its_length,
    responses_of_every_size_arrive_whole,
    a_stream_is_chunked,
    a_stream_of_known_length_is_not_chunked,
    a_slow_reader_gets_the_whole_stream,
    a_stream_that_fails_is_cut_short_visibly,
    a_stream_shorter_than_declared_is_cut_visibly,
    head_has_the_headers_of_get_and_no_body,
    statuses_without_body_have_none,
    a_handler_cannot_break_the_framing,
    the_end_of_a_large_chunk_does_not_wait_for_the_next,
    a_fast_upload_lets_others_run,
    a_read_that_was_given_up_ends_the_connection_after_the_answer,
    a_task_of_the_handlers_may_read_the_body,
    an_answer_does_not_wait_for_a_task_that_reads_the_body,
);

fn chunked(pieces: &[&[u8]]) -> Vec<u8> {
    let mut body = Vec::new();
    for piece in pieces {
        body.extend_from_slice(format!("{:x}\r\n", piece.len()).as_bytes());
        body.extend_from_slice(piece);
        body.extend_from_slice(b"\r\n");
    }
    body.extend_from_slice(b"0\r\n\r\n");
    body
}

const POST_CHUNKED: &str = "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";

fn a_body_with_a_length_arrives_whole(engine: Engine) {
    let server = InProcess::start(engine, sample_app());
    let mut client = server.connect();
    for bytes in [
        0, 1, 2, 1_000, 2_047, 2_048, 2_049, 32_767, 32_768, 32_769, 500_000,
    ] {
        let body = pattern(bytes);
        let response = client.request("POST", "/echo", &[], &body).expect(200);
        assert_eq!(response.hash(), hash_of(&body), "{bytes} bytes");
    }
}

fn a_chunked_body_arrives_whole(engine: Engine) {
    let server = InProcess::start(engine, sample_app());
    let mut client = server.connect();
    let body = pattern(200_000);
    for size in [1_000, 1_024, 4_095, 4_096, 65_536, 200_000] {
        let pieces: Vec<&[u8]> = body.chunks(size).collect();
        client.send(POST_CHUNKED);
        client.send(chunked(&pieces));
        assert_eq!(
            client.read().expect(200).hash(),
            hash_of(&body),
            "chunks of {size}"
        );
    }
}

fn chunk_sizes_extensions_and_trailers_are_understood(engine: Engine) {
    let server = InProcess::start(engine, sample_app());
    let mut client = server.connect();
    for (chunks, body) in [
        ("0\r\n\r\n", ""),
        ("3\r\nabc\r\n0\r\n\r\n", "abc"),
        ("0003\r\nabc\r\n000\r\n\r\n", "abc"),
        (
            "A\r\n0123456789\r\na\r\n0123456789\r\n0\r\n\r\n",
            "01234567890123456789",
        ),
        ("3;name\r\nabc\r\n0\r\n\r\n", "abc"),
        (
            "3;name=value;other=\"quoted \\\" text\"\r\nabc\r\n0;last\r\n\r\n",
            "abc",
        ),
        ("3\r\nabc\r\n0\r\nX-Trailer: yes\r\nOther:\r\n\r\n", "abc"),
        ("2\r\n\r\n\r\n0\r\n\r\n", "\r\n"),
    ] {
        client.send(format!("{POST_CHUNKED}{chunks}"));
        assert_eq!(client.read().expect(200).text(), body, "{chunks:?}");
    }
    let coding = POST_CHUNKED.replace("chunked", "Chunked");
    client.send(format!("{coding}1\r\nx\r\n0\r\n\r\n"));
    assert_eq!(client.read().expect(200).text(), "x");
}

fn a_body_dribbled_in_arrives_whole(engine: Engine) {
    let server = InProcess::start(engine, sample_app());
    let mut client = server.connect();
    let request = [
        POST_CHUNKED.as_bytes(),
        &chunked(&[b"hello", b" ", b"world"]),
    ]
    .concat();
    client.send_dribbled(request, 1, Duration::from_millis(1));
    assert_eq!(client.read().expect(200).text(), "hello world");
    let request = "PUT /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 26\r\n\r\n\
        abcdefghijklmnopqrstuvwxyz";
    client.send_dribbled(request, 3, Duration::from_millis(1));
    assert_eq!(
        client.read().expect(200).text(),
        "abcdefghijklmnopqrstuvwxyz"
    );
}

fn a_large_body_arrives_whole(engine: Engine) {
    let server = InProcess::start(engine, sample_app());
    let mut client = server.connect();
    let body = pattern(20_000_000);
    assert_eq!(
        client
            .request("POST", "/large", &[], &body)
            .expect(200)
            .text(),
        "20000000"
    );
    client.expect_usable();
}

/// Both directions at once: the answer's stream reads the request's.
fn a_body_can_be_answered_while_it_comes(engine: Engine) {
    let server = InProcess::start(engine, sample_app());
    let mut client = server.connect();
    let head = "POST /echo-stream HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
    client.send(format!("{head}5\r\nfirst\r\n"));
    assert_eq!(client.read_head().status, 200);
    assert_eq!(client.read_chunk().as_deref(), Some(&b"first"[..]));
    client.send("6\r\nsecond\r\n");
    assert_eq!(client.read_chunk().as_deref(), Some(&b"second"[..]));
    client.send("0\r\n\r\n");
    assert_eq!(client.read_chunk(), None);
    client.expect_usable();
}

fn expecting(path: &str, length: usize) -> String {
    format!(
        "POST {path} HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\
         Expect: 100-continue\r\n\r\n"
    )
}

fn a_client_that_waits_is_told_to_continue(engine: Engine) {
    let server = InProcess::start(engine, sample_app());
    let mut client = server.connect();
    for _ in 0..3 {
        client.send(expecting("/echo", 5));
        let interim = client.read_message(As::Get);
        assert_eq!((interim.status, interim.headers.len()), (100, 0));
        client.send("hello");
        assert_eq!(client.read().expect(200).text(), "hello");
    }
}

fn a_client_that_waits_is_not_told_to_continue_in_vain(engine: Engine) {
    let server = InProcess::start(engine, sample_app());
    for (path, length, status) in [
        ("/nowhere", 5, 404),
        ("/hello/a", 5, 405),
        ("/ignore", 5, 200),
        ("/echo", 2_000_000, 413),
    ] {
        let mut client = server.connect();
        client.send(expecting(path, length));
        // Nobody knows whether the client will send the body: the end.
        assert!(client.read().expect(status).says_close(), "{path}");
    }
}

fn a_body_sent_without_waiting_needs_no_continue(engine: Engine) {
    let server = InProcess::start(engine, sample_app());
    let mut client = server.connect();
    client.send(expecting("/echo", 5) + "hello");
    assert_eq!(client.read().expect(200).text(), "hello");
    client.send(expecting("/echo", 0));
    client.read().expect(200);
}

fn an_old_client_is_never_told_to_continue(engine: Engine) {
    let server = InProcess::start(engine, sample_app());
    let mut client = server.connect();
    client.send(expecting("/echo", 5).replace("HTTP/1.1", "HTTP/1.0"));
    client.expect_silence(Duration::from_millis(100));
    client.send("hello");
    assert_eq!(client.read_as(As::Http10).expect(200).text(), "hello");
}

fn a_small_unread_body_leaves_the_connection_usable(engine: Engine) {
    let server = InProcess::start(engine, sample_app());
    let mut client = server.connect();
    for path in ["/ignore", "/nowhere", "/hello/a"] {
        client.request("POST", path, &[], &pattern(30_000));
        client.send(format!(
            "POST {path} HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
        ));
        client.send(chunked(&[&pattern(10_000)]));
        client.read();
        client.expect_usable();
    }
}

fn a_large_unread_body_ends_the_connection(engine: Engine) {
    let server = InProcess::start(engine, sample_app());
    let mut client = server.connect();
    client.send("POST /ignore HTTP/1.1\r\nHost: a\r\nContent-Length: 900000\r\n\r\n");
    client.send_if_taken(pattern(100_000));
    let response = client.read().expect(200);
    assert!(response.says_close());
    assert_eq!(response.text(), "not read\n");
}

fn a_body_that_ends_early_is_no_request(engine: Engine) {
    let server = InProcess::start(engine, sample_app());
    for request in [
        "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nabc".to_owned(),
        format!("{POST_CHUNKED}5\r\nabc"),
        format!("{POST_CHUNKED}3\r\nabc\r\n"),
        format!("{POST_CHUNKED}3\r\nabc\r\n0\r\n"),
    ] {
        let mut client = server.connect();
        client.send(&request);
        client.finish_sending();
        let answer = client.read_to_end(Duration::from_secs(5));
        assert!(
            !answer.starts_with(b"HTTP/1.1 200"),
            "{request:?} was taken for whole"
        );
    }
    server.connect().expect_usable();
}

fn get_may_have_a_body(engine: Engine) {
    let server = InProcess::start(engine, sample_app());
    let mut client = server.connect();
    client
        .request("GET", "/hello/a", &[], b"GET /hello/b HTTP/1.1\r\n\r\n")
        .expect(200);
    client.expect_usable();
}

fn an_old_client_sends_a_body_by_its_length(engine: Engine) {
    let server = InProcess::start(engine, sample_app());
    let mut client = server.connect();
    client.send("POST /echo HTTP/1.0\r\nContent-Length: 5\r\n\r\nhello");
    assert_eq!(client.read_as(As::Http10).expect(200).text(), "hello");
}

fn responses_of_every_size_arrive_whole(engine: Engine) {
    let server = InProcess::start(engine, sample_app());
    let mut client = server.connect();
    for count in [
        0, 1, 1_000, 32_767, 32_768, 32_769, 65_535, 65_536, 65_537, 3_000_000,
    ] {
        let response = client.get(&format!("/bytes/{count}")).expect(200);
        assert_eq!(response.must_have("content-length"), count.to_string());
        assert_eq!(response.hash(), hash_of(&pattern(count)), "{count} bytes");
    }
}

fn a_stream_is_chunked(engine: Engine) {
    let server = InProcess::start(engine, sample_app());
    let mut client = server.connect();
    for count in [0, 1, 10_000] {
        let response = client.get(&format!("/stream/{count}")).expect(200);
        assert_eq!(response.must_have("transfer-encoding"), "chunked");
        let expected: String = (0..count).map(|index| format!("line {index}\n")).collect();
        assert_eq!(response.text(), expected);
    }
}

fn a_stream_of_known_length_is_not_chunked(engine: Engine) {
    let server = InProcess::start(engine, sample_app());
    let mut client = server.connect();
    for count in [1, 10_000, 1_234_567] {
        let response = client
            .get(&format!("/stream-of-length/{count}"))
            .expect(200);
        assert_eq!(response.must_have("content-length"), count.to_string());
        assert_eq!(response.hash(), hash_of(&pattern(count)));
    }
}

fn a_slow_reader_gets_the_whole_stream(engine: Engine) {
    let server = InProcess::start(engine, sample_app());
    let mut client = server.connect();
    let count = 4_000_000;
    client.send(format!(
        "GET /stream-of-length/{count} HTTP/1.1\r\nHost: a\r\n\r\n"
    ));
    client.read_head();
    let mut body = Vec::new();
    while body.len() < count {
        body.extend(client.read_exactly((count - body.len()).min(100_000)));
        std::thread::sleep(Duration::from_millis(5));
    }
    assert_eq!(hash_of(&body), hash_of(&pattern(count)));
    client.expect_usable();
}

fn a_stream_that_fails_is_cut_short_visibly(engine: Engine) {
    let server = InProcess::start(engine, sample_app());
    let mut client = server.connect();
    client.send("GET /stream-fails HTTP/1.1\r\nHost: a\r\n\r\n");
    client.read_head();
    assert_eq!(client.read_chunk().as_deref(), Some(&b"first\n"[..]));
    // No last chunk: the client must not take it for whole.
    client.expect_gone();
    server.connect().expect_usable();
}

fn a_stream_shorter_than_declared_is_cut_visibly(engine: Engine) {
    let server = InProcess::start(engine, sample_app());
    let mut client = server.connect();
    let since = Instant::now();
    client.send("GET /stream-too-short HTTP/1.1\r\nHost: a\r\n\r\n");
    client.read_head();
    assert_eq!(client.read_exactly(10), b"ten bytes\n");
    client.expect_gone();
    assert!(since.elapsed() < Duration::from_secs(5), "left hanging");
}

fn head_has_the_headers_of_get_and_no_body(engine: Engine) {
    let server = InProcess::start(engine, sample_app());
    let mut client = server.connect();
    for path in [
        "/hello/a",
        "/bytes/100000",
        "/stream/3",
        "/stream-of-length/70000",
        "/nowhere",
    ] {
        let (head, get) = (client.head(path), client.get(path));
        assert_eq!(head.status, get.status, "{path}");
        for name in ["content-length", "content-type", "transfer-encoding"] {
            assert_eq!(head.header(name), get.header(name), "{name} of {path}");
        }
    }
}

fn statuses_without_body_have_none(engine: Engine) {
    let server = InProcess::start(engine, sample_app());
    let mut client = server.connect();
    for _ in 0..3 {
        // The harness demands that there are no framing fields.
        client.get("/no-content").expect(204);
        assert_eq!(
            client.get("/not-modified").expect(304).header("etag"),
            Some("\"a\"")
        );
    }
}

fn a_handler_cannot_break_the_framing(engine: Engine) {
    let server = InProcess::start(engine, sample_app());
    let mut client = server.connect();
    assert_eq!(client.get("/own-framing").expect(200).text(), "five\n");
    client.expect_usable();
}

fn the_end_of_a_large_chunk_does_not_wait_for_the_next(engine: Engine) {
    static IS_READ: [AtomicBool; 2] = [const { AtomicBool::new(false) }; 2];
    let is_read = &IS_READ[usize::from(engine == Engine::Epoll)];
    let app = App::new().get("/", move |_| async move {
        let pieces = stream::unfold(0, move |index| async move {
            while index == 1 && !is_read.load(Ordering::SeqCst) {
                engine::sleep(Duration::from_millis(1)).await;
            }
            let piece = Bytes::from(vec![b'x'; 50_000]);
            (index < 2).then(|| (Ok(piece), index + 1))
        });
        Ok(Response::stream("application/octet-stream", pieces))
    });
    let server = InProcess::start(engine, app);
    let mut client = server.connect();
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(client.read_head().status, 200);
    // The whole of it, its end too, or this would wait in vain.
    assert_eq!(client.read_chunk().map(|chunk| chunk.len()), Some(50_000));
    is_read.store(true, Ordering::SeqCst);
    assert_eq!(client.read_chunk().map(|chunk| chunk.len()), Some(50_000));
    assert_eq!(client.read_chunk(), None);
}

/// Everything has arrived before the handler reads, so no read has to wait.
fn a_fast_upload_lets_others_run(engine: Engine) {
    let upload = async |mut ctx: Ctx| {
        engine::sleep(Duration::from_millis(300)).await;
        let turns = Rc::new(Cell::new(0));
        let other = Rc::downgrade(&turns);
        engine::spawn_local(async move {
            while let Some(turns) = other.upgrade() {
                turns.set(turns.get() + 1);
                drop(turns);
                engine::yield_now().await;
            }
        });
        let mut body = ctx.take_body();
        while body.chunk().await?.is_some() {}
        Ok(Response::text(turns.get().to_string()))
    };
    let app = App::new().route(Route::new(Method::POST, "/", upload).body_bytes_max(4 << 20));
    let server = InProcess::start_shards(engine, 1, app, |_| {});
    let mut client = server.connect();
    let response = client.request("POST", "/", &[], &vec![b'x'; 2 << 20]);
    let turns: u32 = response.expect(200).text().parse().expect("a number");
    assert!(turns >= 3, "others had {turns} turns in 64 reads or more");
}

/// What was under way may be lost, so nothing after it can be understood.
fn a_read_that_was_given_up_ends_the_connection_after_the_answer(engine: Engine) {
    let impatient = async |mut ctx: Ctx| {
        let mut body = ctx.take_body();
        let whole = engine::timeout(Duration::from_millis(50), body.bytes()).await;
        let again = body.chunk().await;
        Ok(Response::text(format!(
            "{} {}",
            whole.is_err(),
            again.is_err()
        )))
    };
    let app = App::new().route(Route::new(Method::POST, "/", impatient));
    let server = InProcess::start(engine, app);
    let mut client = server.connect();
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nabc");
    let response = client.read().expect(200);
    assert_eq!(response.text(), "true true");
    assert!(response.says_close());
    client.send_if_taken("defghij");
    client.expect_closed();
}

/// It is told to go on too, though nobody polls the handler then.
fn a_task_of_the_handlers_may_read_the_body(engine: Engine) {
    let delegating = async |mut ctx: Ctx| {
        let mut body = ctx.take_body();
        let read = Rc::new(Cell::new(None));
        let told = read.clone();
        engine::spawn_local(async move { told.set(Some(body.bytes().await)) });
        loop {
            if let Some(whole) = read.take() {
                return Ok(Response::text(whole?));
            }
            engine::sleep(Duration::from_millis(10)).await;
        }
    };
    let app = App::new().route(Route::new(Method::POST, "/", delegating));
    let server = InProcess::start(engine, app);
    let mut client = server.connect();
    for _ in 0..2 {
        client.send(expecting("/", 5));
        assert_eq!(client.read_message(As::Get).status, 100);
        client.send("hello");
        assert_eq!(client.read().expect(200).text(), "hello");
    }
}

fn an_answer_does_not_wait_for_a_task_that_reads_the_body(engine: Engine) {
    let hasty = async |mut ctx: Ctx| {
        let mut body = ctx.take_body();
        engine::spawn_local(async move { while let Ok(Some(_)) = body.chunk().await {} });
        engine::sleep(Duration::from_millis(50)).await;
        Ok(Response::text("accepted"))
    };
    let app = App::new().route(Route::new(Method::POST, "/", hasty));
    let server = InProcess::start(engine, app);
    let mut client = server.connect();
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nabc");
    let response = client.read().expect(200);
    assert_eq!(response.text(), "accepted");
    assert!(response.says_close());
    client.expect_closed();
}
