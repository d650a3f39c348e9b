//! Every limit of a connection, at it and one over it: the status, and what
//! becomes of the connection. Times are met within a second or so, never early;
//! to the tick they are tested in `shard::sweep`.

use std::time::{Duration, Instant};

use crate::harness::{Engine, InProcess, Serve, pattern, sample_app};

both_engines!(
    a_head_of_the_limit_is_served_and_one_byte_more_is_not,
    a_request_line_over_the_limit_is_its_own_error,
    as_many_headers_as_allowed_and_one_more,
    a_body_of_the_limit_is_served_and_one_byte_more_is_not,
    a_chunked_body_over_the_limit_is_refused_when_it_gets_there,
    a_route_has_its_own_body_limit,
    a_head_that_does_not_come_is_given_up,
    a_head_that_comes_byte_by_byte_is_given_up,
    a_fresh_connection_without_a_byte_is_closed,
    a_body_under_the_floor_rate_is_given_up,
    a_body_over_the_floor_rate_is_waited_for,
    a_client_that_does_not_read_is_given_up,
    a_client_that_reads_slowly_gets_everything,
    a_connection_over_the_limit_is_told_to_retry,
    places_given_back_can_be_used,
    being_over_the_limit_costs_no_processor_time,
);

fn a_head_of_the_limit_is_served_and_one_byte_more_is_not(engine: Engine) {
    let limit = 2_000;
    let server = InProcess::start_with(engine, sample_app(), |options| {
        options.http.head_bytes_max = limit;
    });
    let head = |bytes: usize| {
        let start = "GET /hello/a HTTP/1.1\r\nHost: a\r\nX-Fill: ";
        format!("{start}{}\r\n\r\n", "x".repeat(bytes - start.len() - 4))
    };
    let mut client = server.connect();
    client.send(head(limit));
    client.read().expect(200);
    client.send(head(limit + 1));
    assert!(client.read().expect(431).says_close());
}

fn a_request_line_over_the_limit_is_its_own_error(engine: Engine) {
    let server = InProcess::start(engine, sample_app());
    let mut client = server.connect();
    client
        .get(&format!("/hello/a?{}", "x".repeat(8_000)))
        .expect(200);
    client.send(format!("GET /hello/a?{} HTTP/1.1\r\n", "x".repeat(20_000)));
    assert!(client.read().expect(414).says_close());
    // Refused as soon as it is clear, not only at its end.
    let mut client = server.connect();
    client.send(format!("GET /hello/a?{}", "x".repeat(20_000)));
    client.read().expect(414);
}

fn as_many_headers_as_allowed_and_one_more(engine: Engine) {
    let server = InProcess::start(engine, sample_app());
    let request = |headers: usize| {
        let more: String = (1..headers)
            .map(|index| format!("x-{index}: y\r\n"))
            .collect();
        format!("GET /hello/a HTTP/1.1\r\nHost: a\r\n{more}\r\n")
    };
    let mut client = server.connect();
    client.send(request(100));
    client.read().expect(200);
    client.send(request(101));
    assert!(client.read().expect(431).says_close());
}

fn a_body_of_the_limit_is_served_and_one_byte_more_is_not(engine: Engine) {
    let server = InProcess::start(engine, sample_app());
    let limit = 1024 * 1024;
    let mut client = server.connect();
    let response = client
        .request("POST", "/count", &[], &vec![b'x'; limit])
        .expect(200);
    assert_eq!(response.text(), limit.to_string());
    let head = format!(
        "POST /count HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n",
        limit + 1
    );
    client.send(head);
    assert!(client.read().expect(413).says_close());
}

fn a_chunked_body_over_the_limit_is_refused_when_it_gets_there(engine: Engine) {
    let server = InProcess::start_with(engine, sample_app(), |options| {
        options.http.body_bytes_max = 1_000;
    });
    let head = "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
    let chunk = format!("1f4\r\n{}\r\n", "x".repeat(500));
    let mut client = server.connect();
    client.send(format!("{head}{chunk}{chunk}0\r\n\r\n"));
    assert_eq!(client.read().expect(200).body.len(), 1_000);
    client.send(format!("{head}{chunk}{chunk}1\r\nx"));
    assert!(client.read().expect(413).says_close());
    // A chunk that announces too much is not waited for.
    let mut client = server.connect();
    client.send(format!("{head}7fffffffffffffff\r\n"));
    client.read().expect(413);
}

fn a_route_has_its_own_body_limit(engine: Engine) {
    let server = InProcess::start(engine, sample_app());
    let mut client = server.connect();
    client
        .request("POST", "/small", &[], &[b'x'; 16])
        .expect(200);
    client
        .request("POST", "/small", &[], &[b'x'; 17])
        .expect(413);
    let mut client = server.connect();
    let body = vec![b'x'; 3 * 1024 * 1024];
    assert_eq!(
        client
            .request("POST", "/large", &[], &body)
            .expect(200)
            .text(),
        "3145728"
    );
}

fn short_times(engine: Engine) -> InProcess {
    InProcess::start_with(engine, sample_app(), |options| {
        options.http.head_timeout_ms = 1_000;
        options.http.idle_timeout_ms = 20_000;
        options.http.body_rate_grace_ms = 1_000;
        options.http.body_rate_min_bytes_per_s = 1_000;
        options.http.write_stall_timeout_ms = 1_000;
    })
}

/// A deadline of one second, met at the next sweep or the one after it.
#[track_caller]
fn assert_in_time(since: Instant) {
    let took = since.elapsed();
    assert!(took >= Duration::from_millis(990), "early: {took:?}");
    assert!(took <= Duration::from_secs(5), "late: {took:?}");
}

fn a_head_that_does_not_come_is_given_up(engine: Engine) {
    let server = short_times(engine);
    let mut client = server.connect();
    let since = Instant::now();
    client.send("GET /hello/a HTTP/1.1\r\nHos");
    assert!(client.read().expect(408).says_close());
    assert_in_time(since);
}

fn a_head_that_comes_byte_by_byte_is_given_up(engine: Engine) {
    let server = short_times(engine);
    let mut client = server.connect();
    client.expect_usable();
    let since = Instant::now();
    let request = "GET /hello/a HTTP/1.1\r\nHost: a\r\nX: and so on and so on and so on\r\n";
    for byte in request.as_bytes() {
        if !client.send_if_taken([*byte]) || client.has_input() {
            break;
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    assert_in_time(since);
    assert!(client.read().expect(408).says_close());
}

fn a_fresh_connection_without_a_byte_is_closed(engine: Engine) {
    let server = short_times(engine);
    let mut client = server.connect();
    let since = Instant::now();
    client.expect_closed();
    assert_in_time(since);
}

fn a_body_under_the_floor_rate_is_given_up(engine: Engine) {
    let server = short_times(engine);
    let mut client = server.connect();
    client.send("POST /count HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n");
    let since = Instant::now();
    while since.elapsed() < Duration::from_secs(8) && !client.has_input() {
        client.send_if_taken([b'x'; 10]);
        std::thread::sleep(Duration::from_millis(100));
    }
    assert_in_time(since);
    assert!(client.read().expect(408).says_close());
}

fn a_body_over_the_floor_rate_is_waited_for(engine: Engine) {
    let server = short_times(engine);
    let mut client = server.connect();
    client.send("POST /count HTTP/1.1\r\nHost: a\r\nContent-Length: 16000\r\n\r\n");
    for _ in 0..40 {
        client.send([b'x'; 400]);
        std::thread::sleep(Duration::from_millis(100));
    }
    assert_eq!(client.read().expect(200).text(), "16000");
}

fn a_client_that_does_not_read_is_given_up(engine: Engine) {
    let server = short_times(engine);
    let mut client = server.connect();
    client.send("GET /stream-of-length/50000000 HTTP/1.1\r\nHost: a\r\n\r\n");
    let head = client.read_head();
    assert_eq!(head.status, 200);
    std::thread::sleep(Duration::from_secs(4));
    let received = client.read_to_end(Duration::from_secs(5));
    assert!(
        received.len() < 50_000_000,
        "the whole body fitted somewhere"
    );
    server.connect().expect_usable();
}

/// Slower than a third of the socket's buffer in the time allowed, which is
/// when the kernel would take the next write.
fn a_client_that_reads_slowly_gets_everything(engine: Engine) {
    let server = short_times(engine);
    let mut client = server.connect();
    client.receive_buffer(16 << 10);
    client.send("GET /stream-of-length/5000000 HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(client.read_head().status, 200);
    let mut body = Vec::new();
    for _ in 0..40 {
        body.extend(client.read_exactly(15_000));
        std::thread::sleep(Duration::from_millis(100));
    }
    client.receive_buffer(4 << 20);
    body.extend(client.read_exactly(5_000_000 - body.len()));
    assert_eq!(body, pattern(5_000_000));
}

fn one_shard_of_two_places(engine: Engine) -> InProcess {
    InProcess::start_shards(engine, 1, sample_app(), |options| {
        options.http.connections_per_shard_max = 2;
    })
}

fn a_connection_over_the_limit_is_told_to_retry(engine: Engine) {
    let server = one_shard_of_two_places(engine);
    let (mut first, mut second) = (server.connect(), server.connect());
    first.expect_usable();
    second.expect_usable();
    for _ in 0..20 {
        // The harness demands Retry-After on a 503.
        let mut over = server.connect();
        assert!(over.read().expect(503).says_close());
    }
    first.expect_usable();
    second.expect_usable();
}

fn places_given_back_can_be_used(engine: Engine) {
    let server = one_shard_of_two_places(engine);
    let mut first = server.connect();
    first.expect_usable();
    for _ in 0..50 {
        let mut second = server.connect();
        second.send("GET /hello/a HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
        second.read().expect(200);
    }
    first.expect_usable();
}

fn being_over_the_limit_costs_no_processor_time(engine: Engine) {
    // A process of its own: in this one other tests may run too.
    let server = Serve::on(engine)
        .shards(1)
        .config("[http]\nconnections_per_shard_max = 2\n")
        .start();
    let (mut first, mut second) = (server.connect(), server.connect());
    first.expect_usable();
    second.expect_usable();
    let over: Vec<_> = (0..50).map(|_| server.connect()).collect();
    std::thread::sleep(Duration::from_millis(1_500));
    let before = server.processor_time();
    std::thread::sleep(Duration::from_secs(1));
    let used = server.processor_time() - before;
    assert!(
        used < Duration::from_millis(100),
        "{used:?} in a second of nothing"
    );
    drop(over);
}
