//! Which connections go on after an answer, and which end (RFC 9112 section 9).

use std::time::Duration;

use crate::harness::{As, Engine, InProcess, sample_app};

both_engines!(
    many_requests_use_one_connection,
    connection_close_is_honoured,
    close_among_other_connection_options_is_honoured,
    an_old_client_is_closed_after_its_answer,
    an_old_client_may_ask_to_keep_the_connection,
    an_old_client_reads_a_stream_until_close,
    a_half_closed_client_still_gets_its_answer,
    an_empty_line_before_a_request_is_skipped,
    a_client_that_says_nothing_and_goes_is_no_error,
    an_idle_connection_is_closed_after_its_time,
    a_client_that_resets_in_the_middle_leaves_the_server_well,
);

fn many_requests_use_one_connection(engine: Engine) {
    let server = InProcess::start(engine, sample_app());
    let mut client = server.connect();
    for index in 0..200 {
        let response = client.get(&format!("/hello/{index}")).expect(200);
        assert_eq!(response.text(), format!("Hello, {index}!\n"));
        assert_eq!(response.header("connection"), None);
    }
}

fn connection_close_is_honoured(engine: Engine) {
    let server = InProcess::start(engine, sample_app());
    let response = server
        .connect()
        .get_with("/hello/a", &[("Connection", "close")])
        .expect(200);
    assert!(response.says_close());
}

fn close_among_other_connection_options_is_honoured(engine: Engine) {
    let server = InProcess::start(engine, sample_app());
    let headers = [("Connection", "te"), ("Connection", "foo ,\tClose")];
    assert!(
        server
            .connect()
            .get_with("/hello/a", &headers)
            .expect(200)
            .says_close()
    );
}

fn an_old_client_is_closed_after_its_answer(engine: Engine) {
    let server = InProcess::start(engine, sample_app());
    let mut client = server.connect();
    client.send("GET /hello/a HTTP/1.0\r\n\r\n");
    assert!(client.read_as(As::Http10).expect(200).says_close());
}

fn an_old_client_may_ask_to_keep_the_connection(engine: Engine) {
    let server = InProcess::start(engine, sample_app());
    let mut client = server.connect();
    for _ in 0..3 {
        client.send("GET /hello/a HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n");
        let response = client.read_as(As::Http10).expect(200);
        assert_eq!(response.header("connection"), Some("keep-alive"));
    }
}

fn an_old_client_reads_a_stream_until_close(engine: Engine) {
    let server = InProcess::start(engine, sample_app());
    let mut client = server.connect();
    client.send("GET /stream/3 HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
    let response = client.read_as(As::Http10).expect(200);
    assert_eq!(response.text(), "line 0\nline 1\nline 2\n");
    assert!(response.says_close());
}

fn a_half_closed_client_still_gets_its_answer(engine: Engine) {
    let server = InProcess::start(engine, sample_app());
    let mut client = server.connect();
    client.send("GET /slow/50 HTTP/1.1\r\nHost: a\r\n\r\n");
    client.finish_sending();
    assert_eq!(client.read().expect(200).text(), "after 50 ms\n");
    client.expect_closed();
}

fn an_empty_line_before_a_request_is_skipped(engine: Engine) {
    let server = InProcess::start(engine, sample_app());
    let mut client = server.connect();
    for _ in 0..2 {
        client.send("\r\nGET /hello/a HTTP/1.1\r\nHost: a\r\n\r\n");
        client.read().expect(200);
    }
}

fn a_client_that_says_nothing_and_goes_is_no_error(engine: Engine) {
    let server = InProcess::start(engine, sample_app());
    for _ in 0..20 {
        drop(server.connect());
    }
    let mut client = server.connect();
    client.finish_sending();
    client.expect_closed();
    server.connect().expect_usable();
}

fn an_idle_connection_is_closed_after_its_time(engine: Engine) {
    let server = InProcess::start_with(engine, sample_app(), |options| {
        options.http.idle_timeout_ms = 1_000;
    });
    let mut client = server.connect();
    client.expect_usable();
    client.expect_silence(Duration::from_millis(900));
    client.expect_closed();
}

fn a_client_that_resets_in_the_middle_leaves_the_server_well(engine: Engine) {
    let server = InProcess::start(engine, sample_app());
    for request in [
        "GET /hel",
        "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nabc",
    ] {
        for _ in 0..20 {
            let mut client = server.connect();
            client.send(request);
            client.reset();
        }
    }
    let mut client = server.connect();
    client.send("GET /slow/100 HTTP/1.1\r\nHost: a\r\n\r\n");
    client.reset();
    std::thread::sleep(Duration::from_millis(150));
    server.connect().expect_usable();
}
