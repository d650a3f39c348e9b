//! Profiles baseline, limited-conn and pipelined.

use corelane::internals::topology::EngineKind;

use crate::both_engines;
use crate::client::Client;
use crate::server::Arena;

both_engines!(
    sums_of_query_and_body,
    requests_in_pieces,
    numbers_that_are_none_are_refused,
    connections_of_ten_requests,
    sixteen_requests_in_one_segment,
);

const TARGET: &str = "/baseline11?a=13&b=42";

fn post(client: &mut Client, target: &str, body: &str) -> crate::client::Answer {
    let text = [("Content-Type", "text/plain")];
    client.request("POST", target, &text, body.as_bytes())
}

fn sums_of_query_and_body(engine: EngineKind) {
    let arena = Arena::start(engine);
    let mut client = arena.connect();
    let answer = client.get(TARGET).expect(200);
    assert_eq!(answer.text(), "55");
    let content_type = answer.header("content-type").unwrap();
    assert!(content_type.starts_with("text/plain"), "{content_type}");
    assert_eq!(client.get("/baseline11?b=-900&a=117").text(), "-783");
    for (body, sum) in [("20", "75"), ("871", "926"), ("-55\r\n", "0")] {
        assert_eq!(post(&mut client, TARGET, body).expect(200).text(), sum);
    }
    for (chunks, sum) in [
        ("2\r\n20\r\n0\r\n\r\n", "75"),
        ("1\r\n2\r\n1\r\n1\r\n0\r\n\r\n", "76"),
    ] {
        let head =
            format!("POST {TARGET} HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n");
        client.send(head + chunks);
        assert_eq!(client.read().expect(200).text(), sum);
    }
}

fn requests_in_pieces(engine: EngineKind) {
    let arena = Arena::start(engine);
    let rest = "Host: localhost\r\nConnection: close\r\n";
    let get = "GET /baseline11?a=13&b=42 HTTP/1.1\r\n";
    let post = format!("POST {TARGET} HTTP/1.1\r\n{rest}Content-Length: 2\r\n\r\n");
    let cases: [(&[&str], &str); 4] = [
        (&[&get[..10], &get[10..], rest, "\r\n"], "55"),
        (
            &[get, "Host: localhost\r\n", "Connection: close\r\n", "\r\n"],
            "55",
        ),
        (&[&post, "20"], "75"),
        (&[&post, "2", "0"], "75"),
    ];
    for (pieces, sum) in cases {
        let mut client = arena.connect();
        client.send_pieces(pieces);
        assert_eq!(client.read().expect(200).text(), sum, "{pieces:?}");
        client.expect_closed();
    }
}

fn numbers_that_are_none_are_refused(engine: EngineKind) {
    let arena = Arena::start(engine);
    let mut client = arena.connect();
    for query in [
        "",
        "?a=1",
        "?a=1&b=x",
        "?a=1&b=",
        "?a=1&b=9223372036854775807",
        "?a=1.5&b=1",
    ] {
        client.get(&format!("/baseline11{query}")).expect(422);
    }
    for body in [
        "",
        "x",
        "1 2",
        "9223372036854775808",
        "9223372036854775807",
        "\u{fc}",
    ] {
        post(&mut client, TARGET, body).expect(422);
    }
    client.request("PUT", TARGET, &[], b"1").expect(405);
    let mut long = arena.connect();
    post(&mut long, TARGET, &"1".repeat(65)).expect(413);
    let mut chunked = arena.connect();
    chunked.send(format!(
        "POST {TARGET} HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n"
    ));
    chunked.send(format!(
        "28\r\n{0}\r\n28\r\n{0}\r\n0\r\n\r\n",
        "1".repeat(40)
    ));
    chunked.read().expect(413);
}

fn connections_of_ten_requests(engine: EngineKind) {
    let arena = Arena::start(engine);
    for _ in 0..20 {
        let mut client = arena.connect();
        for _ in 0..9 {
            assert_eq!(client.get(TARGET).expect(200).text(), "55");
        }
        let last = client.request("GET", TARGET, &[("Connection", "close")], b"");
        assert_eq!(last.expect(200).text(), "55");
        client.expect_closed();
    }
}

fn sixteen_requests_in_one_segment(engine: EngineKind) {
    let arena = Arena::start(engine);
    let mut client = arena.connect();
    for _ in 0..3 {
        client.send("GET /pipeline HTTP/1.1\r\nHost: localhost\r\n\r\n".repeat(16));
        for _ in 0..16 {
            assert_eq!(client.read().expect(200).text(), "ok");
        }
    }
}
