//! Requests sent before earlier ones are answered (RFC 9112 section 9.3.2).

use std::fmt::Write;
use std::time::Duration;

use crate::harness::{As, Engine, InProcess, sample_app};

both_engines!(
    answers_come_in_the_order_of_the_requests,
    a_slow_answer_holds_back_those_behind_it,
    answers_to_one_read_come_in_one_write,
    a_batch_split_at_every_byte_gives_the_same_answers,
    bodies_between_requests_are_kept_apart,
    a_streamed_answer_in_the_middle_keeps_its_place,
    a_bad_request_in_the_middle_ends_the_row,
    nothing_after_a_closing_request_is_answered,
    an_unread_body_does_not_shift_the_next_request,
    a_client_that_only_sends_is_held_back,
);

fn answers_come_in_the_order_of_the_requests(engine: Engine) {
    let server = InProcess::start(engine, sample_app());
    let mut client = server.connect();
    let mut batch = String::new();
    for index in 0..1_000 {
        write!(batch, "GET /hello/{index} HTTP/1.1\r\nHost: a\r\n\r\n").expect("a string");
    }
    client.send(batch);
    for index in 0..1_000 {
        assert_eq!(
            client.read().expect(200).text(),
            format!("Hello, {index}!\n")
        );
    }
    client.expect_usable();
}

fn a_slow_answer_holds_back_those_behind_it(engine: Engine) {
    let server = InProcess::start(engine, sample_app());
    let mut client = server.connect();
    client.send(
        "GET /hello/first HTTP/1.1\r\nHost: a\r\n\r\n\
         GET /slow/200 HTTP/1.1\r\nHost: a\r\n\r\n\
         GET /hello/last HTTP/1.1\r\nHost: a\r\n\r\n",
    );
    assert_eq!(client.read().text(), "Hello, first!\n");
    // The first answer did not wait for the second.
    client.expect_silence(Duration::from_millis(50));
    assert_eq!(client.read().text(), "after 200 ms\n");
    assert_eq!(client.read().text(), "Hello, last!\n");
}

/// Loopback hands over whole what one write put in. Separate writes would be
/// seen one by one, at least once in so many rounds.
fn answers_to_one_read_come_in_one_write(engine: Engine) {
    let server = InProcess::start(engine, sample_app());
    for round in 0..100 {
        // A new connection: every so many requests of one, others get a turn.
        let mut client = server.connect();
        client.expect_usable();
        client.send("GET /hello/a HTTP/1.1\r\nHost: a\r\n\r\n".repeat(16));
        assert_eq!(client.heads_at_first_sight(), 16, "round {round}");
        for _ in 0..16 {
            client.read().expect(200);
        }
    }
}

fn a_batch_split_at_every_byte_gives_the_same_answers(engine: Engine) {
    let server = InProcess::start(engine, sample_app());
    let batch = b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc\
        POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nde\r\n0\r\n\r\n\
        GET /hello/x HTTP/1.1\r\nHost: a\r\n\r\n";
    let mut client = server.connect();
    for at in 1..batch.len() {
        client.send(&batch[..at]);
        std::thread::sleep(Duration::from_micros(300));
        client.send(&batch[at..]);
        assert_eq!(client.read().expect(200).text(), "abc", "split at {at}");
        assert_eq!(client.read().expect(200).text(), "de", "split at {at}");
        assert_eq!(
            client.read().expect(200).text(),
            "Hello, x!\n",
            "split at {at}"
        );
    }
    client.send_dribbled(batch, 1, Duration::from_micros(200));
    assert_eq!(client.read().expect(200).text(), "abc");
    assert_eq!(client.read().expect(200).text(), "de");
    assert_eq!(client.read().expect(200).text(), "Hello, x!\n");
}

fn bodies_between_requests_are_kept_apart(engine: Engine) {
    let server = InProcess::start(engine, sample_app());
    let mut client = server.connect();
    let mut batch = Vec::new();
    for index in 0..100 {
        let body = "GET /hello/not-a-request HTTP/1.1\r\nHost: a\r\n\r\n".repeat(index % 5);
        let length = body.len();
        let head = format!("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n");
        batch.extend_from_slice(head.as_bytes());
        batch.extend_from_slice(body.as_bytes());
    }
    client.send(batch);
    for index in 0..100 {
        let whole = "GET /hello/not-a-request HTTP/1.1\r\nHost: a\r\n\r\n".repeat(index % 5);
        assert_eq!(client.read().expect(200).text(), whole);
    }
}

fn a_streamed_answer_in_the_middle_keeps_its_place(engine: Engine) {
    let server = InProcess::start(engine, sample_app());
    let mut client = server.connect();
    client.send(
        "GET /hello/a HTTP/1.1\r\nHost: a\r\n\r\n\
         GET /stream/500 HTTP/1.1\r\nHost: a\r\n\r\n\
         HEAD /stream/500 HTTP/1.1\r\nHost: a\r\n\r\n\
         GET /bytes/100000 HTTP/1.1\r\nHost: a\r\n\r\n\
         GET /hello/b HTTP/1.1\r\nHost: a\r\n\r\n",
    );
    assert_eq!(client.read().text(), "Hello, a!\n");
    assert!(client.read().text().ends_with("line 498\nline 499\n"));
    client.read_as(As::Head).expect(200);
    assert_eq!(client.read().body.len(), 100_000);
    assert_eq!(client.read().text(), "Hello, b!\n");
}

fn a_bad_request_in_the_middle_ends_the_row(engine: Engine) {
    let server = InProcess::start(engine, sample_app());
    let mut client = server.connect();
    client.send(
        "GET /hello/a HTTP/1.1\r\nHost: a\r\n\r\n\
         GET /hello/b HTTP/1.1\r\nHost : a\r\n\r\n\
         GET /hello/c HTTP/1.1\r\nHost: a\r\n\r\n",
    );
    client.read().expect(200);
    // Reading it checks that the connection ends behind it.
    assert!(client.read().expect(400).says_close());
}

fn nothing_after_a_closing_request_is_answered(engine: Engine) {
    let server = InProcess::start(engine, sample_app());
    let mut client = server.connect();
    client.send(
        "GET /hello/a HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n\
         GET /hello/b HTTP/1.1\r\nHost: a\r\n\r\n",
    );
    assert!(client.read().expect(200).says_close());
}

fn an_unread_body_does_not_shift_the_next_request(engine: Engine) {
    let server = InProcess::start(engine, sample_app());
    let mut client = server.connect();
    client.send("POST /ignore HTTP/1.1\r\nHost: a\r\nContent-Length: 45\r\n\r\n");
    std::thread::sleep(Duration::from_millis(20));
    client.send("GET /hello/smuggled HTTP/1.1\r\nHost: abcde\r\n\r\n");
    client.send("GET /hello/b HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(client.read().expect(200).text(), "not read\n");
    assert_eq!(client.read().expect(200).text(), "Hello, b!\n");
}

/// Answers that nobody reads must stop the reading of requests: backpressure.
fn a_client_that_only_sends_is_held_back(engine: Engine) {
    let server = InProcess::start(engine, sample_app());
    let mut client = server.connect();
    client.write_timeout(Duration::from_secs(1));
    let batch = "GET /bytes/30000 HTTP/1.1\r\nHost: a\r\n\r\n".repeat(1_000);
    let mut batches = 0;
    while client.send_if_taken(&batch) {
        batches += 1;
        assert!(
            batches < 1_000,
            "40 MB of requests taken without one answer read"
        );
    }
    server.connect().expect_usable();
}
