//! Requests that two parsers could read differently: each is refused with the
//! right status, and the connection ends, so that no byte after it can become a
//! request (RFC 9112 section 11.2).

use crate::harness::{As, Engine, InProcess, sample_app};

both_engines!(
    ambiguous_lengths_are_refused,
    transfer_codings_other_than_one_final_chunked_are_refused,
    line_endings_other_than_crlf_are_refused,
    header_lines_that_are_no_fields_are_refused,
    request_lines_out_of_shape_are_refused,
    hosts_missing_or_doubtful_are_refused,
    chunk_framing_out_of_shape_is_refused,
    expectations_and_versions_unknown_are_refused,
    a_refusal_comes_whole_although_the_client_still_sends,
    a_refusal_of_a_split_request_is_the_same,
    a_tls_handshake_is_told_what_is_wrong,
    harmless_variations_are_accepted,
    a_refusal_of_head_has_no_body,
);

/// What follows every bad request. If it were answered, it would have been
/// smuggled.
const SMUGGLED: &str = "GET /hello/smuggled HTTP/1.1\r\nHost: a\r\n\r\n";

/// Each request gets this status, `Connection: close`, and then the end; the
/// harness checks the latter two when it reads.
#[track_caller]
fn expect_refused(server: &InProcess, cases: &[(u16, &str)]) {
    for (status, request) in cases {
        let mut client = server.connect();
        client.send(format!("{request}{SMUGGLED}"));
        let response = client.read();
        assert_eq!(response.status, *status, "{request:?}: {response:?}");
        assert!(response.says_close(), "{request:?}");
    }
    server.connect().expect_usable();
}

fn ambiguous_lengths_are_refused(engine: Engine) {
    let server = InProcess::start(engine, sample_app());
    let post = |headers: &str| format!("POST /echo HTTP/1.1\r\nHost: a\r\n{headers}\r\n\r\n");
    for headers in [
        "Content-Length: 3\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: chunked\r\nContent-Length: 3",
        "Content-Length: 0\r\nTransfer-Encoding: chunked",
        "Content-Length: 3\r\nContent-Length: 3",
        "Content-Length: 3\r\nContent-Length: 4",
        "Content-Length: 3\r\ncontent-length: 3",
        "Content-Length: 3, 3",
        "Content-Length: 3,4",
        "Content-Length: +3",
        "Content-Length: -3",
        "Content-Length: 0x3",
        "Content-Length: 3.0",
        "Content-Length: 3 3",
        "Content-Length: \"3\"",
        "Content-Length: 3;",
        "Content-Length:",
        "Content-Length: three",
        "Content-Length: \u{663}",
        "Content-Length: 18446744073709551616",
        "Content-Length: 99999999999999999999999999",
    ] {
        expect_refused(&server, &[(400, &post(headers))]);
    }
}

fn transfer_codings_other_than_one_final_chunked_are_refused(engine: Engine) {
    let server = InProcess::start(engine, sample_app());
    let post = |coding: &str| {
        format!("POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: {coding}\r\n\r\n0\r\n\r\n")
    };
    for coding in [
        "chunked, chunked",
        "chunked, gzip",
        "chunked, identity",
        "chunked;q=1",
        "\"chunked\"",
        "chunked chunked",
        ",",
        "",
        "chunked\r\nTransfer-Encoding: chunked",
        "chunked\r\nTransfer-Encoding: identity",
    ] {
        let mut client = server.connect();
        client.send(post(coding) + SMUGGLED);
        let status = client.read().status;
        assert!(matches!(status, 400 | 501), "{coding:?} got {status}");
    }
    for coding in ["gzip", "identity", "xchunked", "gzip, chunked", "chunkedx"] {
        expect_refused(&server, &[(501, &post(coding))]);
    }
    let old = "POST /echo HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n";
    expect_refused(&server, &[(400, old)]);
}

fn line_endings_other_than_crlf_are_refused(engine: Engine) {
    let server = InProcess::start(engine, sample_app());
    expect_refused(
        &server,
        &[
            (400, "GET /hello/a HTTP/1.1\nHost: a\n\n"),
            (400, "GET /hello/a HTTP/1.1\r\nHost: a\n\r\n"),
            (400, "GET /hello/a HTTP/1.1\r\nHost: a\r\nX: y\n\n"),
            (400, "GET /hello/a HTTP/1.1\r\nHost: a\r\n\n"),
            (400, "GET /hello/a HTTP/1.1\rHost: a\r\n\r\n"),
            (
                400,
                "GET /hello/a HTTP/1.1\r\nHost: a\r\nX: y\rZ: w\r\n\r\n",
            ),
            (400, "GET /hello/a HTTP/1.1\r\nHost: a\r\r\n\r\n"),
            (400, "GET /hello/a\rb HTTP/1.1\r\nHost: a\r\n\r\n"),
            (
                400,
                "\r\n\r\n\r\n\r\nGET /hello/a HTTP/1.1\r\nHost: a\r\n\r\n",
            ),
            (400, "\nGET /hello/a HTTP/1.1\r\nHost: a\r\n\r\n"),
        ],
    );
}

fn header_lines_that_are_no_fields_are_refused(engine: Engine) {
    let server = InProcess::start(engine, sample_app());
    let get = |line: &str| format!("GET /hello/a HTTP/1.1\r\nHost: a\r\n{line}\r\n\r\n");
    for line in [
        "X: a\r\n folded",
        "X: a\r\n\tfolded",
        "X : a",
        "X\t: a",
        "Content-Length : 3",
        "Transfer-Encoding : chunked",
        ": a",
        "no colon",
        "X(: a",
        "X\u{e9}: a",
        "\"X\": a",
        "X\0: a",
        "X: a\0b",
        "X: a\u{1}b",
        "X: a\u{7f}b",
        "[X]: a",
        "X Y: a",
    ] {
        expect_refused(&server, &[(400, &get(line))]);
    }
    // White space where the first header should be.
    expect_refused(
        &server,
        &[(400, "GET /hello/a HTTP/1.1\r\n Host: a\r\n\r\n")],
    );
}

fn request_lines_out_of_shape_are_refused(engine: Engine) {
    let server = InProcess::start(engine, sample_app());
    let with = |line: &str| format!("{line}\r\nHost: a\r\n\r\n");
    for line in [
        "GET  /hello/a HTTP/1.1",
        "GET /hello/a  HTTP/1.1",
        "GET\t/hello/a HTTP/1.1",
        " GET /hello/a HTTP/1.1",
        "GET /hello/a HTTP/1.1 ",
        "GET /hello/a",
        "GET",
        "GET /hello/a http/1.1",
        "GET /hello/a HTTP/1.1.1",
        "GET /hello/a HTTP/11",
        "GET /hello/a HTTP /1.1",
        "GET /hello/a b HTTP/1.1",
        "G(T /hello/a HTTP/1.1",
        "GET hello/a HTTP/1.1",
        "GET /hello/a#b HTTP/1.1",
        "GET /hello/\u{e9} HTTP/1.1",
        "GET /hello/\0 HTTP/1.1",
        "GET * HTTP/1.1",
        "GET ftp://a/ HTTP/1.1",
        "\0GET /hello/a HTTP/1.1",
    ] {
        expect_refused(&server, &[(400, &with(line))]);
    }
    expect_refused(&server, &[(501, &with("CONNECT a:443 HTTP/1.1"))]);
}

fn hosts_missing_or_doubtful_are_refused(engine: Engine) {
    let server = InProcess::start(engine, sample_app());
    let get = |hosts: &str| format!("GET /hello/a HTTP/1.1\r\n{hosts}\r\n");
    for hosts in [
        "",
        "Host:\r\n",
        "Host: a\r\nHost: a\r\n",
        "Host: a\r\nHost: b\r\n",
        "Host: a, b\r\n",
        "Host: a b\r\n",
        "Host: a/b\r\n",
        "Host: user@a\r\n",
        "Host: a:port\r\n",
        "Host: [::1\r\n",
    ] {
        expect_refused(&server, &[(400, &get(hosts))]);
    }
}

fn chunk_framing_out_of_shape_is_refused(engine: Engine) {
    let server = InProcess::start(engine, sample_app());
    for chunks in [
        "g\r\nabc\r\n0\r\n\r\n",
        "0x3\r\nabc\r\n0\r\n\r\n",
        "+3\r\nabc\r\n0\r\n\r\n",
        "-1\r\nabc\r\n0\r\n\r\n",
        " 3\r\nabc\r\n0\r\n\r\n",
        "3 \r\nabc\r\n0\r\n\r\n",
        "\r\nabc\r\n0\r\n\r\n",
        "3\nabc\n0\n\n",
        "3\r\nabc0\r\n\r\n",
        "3\r\nabcd\r\n0\r\n\r\n",
        "3\r\nab\r\n0\r\n\r\n",
        "3\rabc\r\n0\r\n\r\n",
        "3;a\nb\r\nabc\r\n0\r\n\r\n",
        "3;\u{1}\r\nabc\r\n0\r\n\r\n",
        "3\0\r\nabc\r\n0\r\n\r\n",
        "10000000000000000\r\nabc\r\n0\r\n\r\n",
        "3\r\nabc\r\n0\r\nno colon\r\n\r\n",
        "3\r\nabc\r\n0\r\nX : y\r\n\r\n",
        "3\r\nabc\r\n0\r\nX: y\n\r\n",
        "3\r\nabc\r\n0\r\n folded: y\r\n\r\n",
    ] {
        let head = "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
        expect_refused(&server, &[(400, &format!("{head}{chunks}"))]);
    }
}

fn expectations_and_versions_unknown_are_refused(engine: Engine) {
    let server = InProcess::start(engine, sample_app());
    expect_refused(
        &server,
        &[
            (
                417,
                "GET /hello/a HTTP/1.1\r\nHost: a\r\nExpect: tea\r\n\r\n",
            ),
            (505, "GET /hello/a HTTP/2.0\r\nHost: a\r\n\r\n"),
            (505, "GET /hello/a HTTP/0.9\r\nHost: a\r\n\r\n"),
            (505, "GET /hello/a HTTP/3.1\r\nHost: a\r\n\r\n"),
            (505, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
        ],
    );
}

/// Closing at once would answer the client's next bytes with a reset, which
/// destroys an answer that is still on its way.
fn a_refusal_comes_whole_although_the_client_still_sends(engine: Engine) {
    let server = InProcess::start(engine, sample_app());
    for _ in 0..10 {
        let mut client = server.connect();
        client.send("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 3, 3\r\n\r\n");
        client.send_if_taken(vec![b'x'; 100_000]);
        assert!(client.read().expect(400).says_close());
    }
}

fn a_refusal_of_a_split_request_is_the_same(engine: Engine) {
    let server = InProcess::start(engine, sample_app());
    let request = "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nX : y\r\n\r\nabc";
    let last = request.find(" : y").expect("the bad byte");
    for at in 1..=last {
        let mut client = server.connect();
        client.send(&request[..at]);
        std::thread::sleep(std::time::Duration::from_micros(500));
        client.send(&request[at..]);
        let response = client.read().expect(400);
        assert_eq!(
            response.json()["detail"]
                .as_str()
                .map(|d| d.contains("colon")),
            Some(true)
        );
    }
}

fn a_tls_handshake_is_told_what_is_wrong(engine: Engine) {
    let server = InProcess::start(engine, sample_app());
    let mut client = server.connect();
    client.send(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03");
    let detail = client.read().expect_problem(400);
    assert!(detail.contains("http://"), "{detail}");
}

fn harmless_variations_are_accepted(engine: Engine) {
    let server = InProcess::start(engine, sample_app());
    let mut client = server.connect();
    for head in [
        "GET /hello/a HTTP/1.1\r\nhOsT:a\r\n",
        "GET /hello/a HTTP/1.1\r\nHost:  \ta\t \r\n",
        "GET /hello/a HTTP/1.1\r\nHost: a\r\nX:\r\n",
        "GET /hello/a HTTP/1.1\r\nHost: a\r\nX: \u{e9}\u{ff}\r\n",
        "GET /hello/a HTTP/1.1\r\nHost: a\r\n!#$%&'*+-.^_`|~: token\r\n",
        "GET /hello/a HTTP/1.1\r\nHost: [::1]:80\r\n",
        "GET /hello/a? HTTP/1.1\r\nHost: a\r\n",
        "GET http://b/hello/a HTTP/1.1\r\nHost: a\r\n",
        "GET /hello/a HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n",
    ] {
        client.send(format!("{head}\r\n"));
        let response = client.read();
        assert_eq!(response.status, 200, "{head:?}: {response:?}");
    }
}

fn a_refusal_of_head_has_no_body(engine: Engine) {
    let server = InProcess::start(engine, sample_app());
    for rest in [
        "\r\n",
        "Host : a\r\n\r\n",
        "Host: a\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n",
        "Host: a\r\nContent-Length: 99999999\r\n\r\n",
    ] {
        let mut client = server.connect();
        client.send(format!("HEAD /hello/a HTTP/1.1\r\n{rest}"));
        // Reading it checks that no byte follows the head.
        assert!(client.read_as(As::Head).says_close(), "{rest:?}");
    }
}
