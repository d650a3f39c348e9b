//! A response and its prepared form are the same on the wire.

use std::rc::Rc;

use http::{HeaderName, HeaderValue, header};
use proptest::prelude::*;

use super::*;
use crate::PreparedResponse;

const DATE: &[u8; DATE_BYTES] = b"Sun, 06 Nov 1994 08:49:37 GMT";

const FACTS: RequestFacts = RequestFacts {
    is_http10: false,
    is_head: false,
    keep_alive: true,
};

/// What `send_response` puts on the wire when the body is short.
fn on_the_wire(response: Response, facts: RequestFacts, request_id: &str) -> Vec<u8> {
    let mut out = b"before".to_vec();
    let (head, body) = response.into_parts();
    let framing = framing_of(head.status, &body, version_of(facts));
    encode(&mut out, facts, &head, framing, DATE, request_id);
    if !facts.is_head && framing != ResponseFraming::NoBody {
        out.extend_from_slice(body.as_bytes().expect("not streamed"));
    }
    assert!(out.starts_with(b"before"));
    out.split_off("before".len())
}

/// Status line, other lines, body.
fn split(wire: &[u8]) -> (Vec<u8>, Vec<Vec<u8>>, Vec<u8>) {
    let end = wire.windows(4).position(|four| four == b"\r\n\r\n");
    let (head, body) = wire.split_at(end.expect("a head") + 4);
    let mut lines = head.split(|b| *b == b'\n').map(<[u8]>::to_vec);
    let status = lines.next().expect("a status line");
    (status, lines.collect(), body.to_vec())
}

fn prepared(response: Response) -> Response {
    let prepared = PreparedResponse::new(response).expect("it may be kept");
    Response::prepared(Rc::new(prepared))
}

#[test]
fn a_prepared_response_is_written_to_the_byte() {
    let full = || {
        Response::text("hello")
            .header("ETag", "\"v1\"")
            .header("Vary", "Accept")
    };
    assert_eq!(
        String::from_utf8(on_the_wire(prepared(full()), FACTS, "7f")).unwrap(),
        "HTTP/1.1 200 OK\r\nserver: corelane\r\ndate: Sun, 06 Nov 1994 08:49:37 GMT\r\n\
         etag: \"v1\"\r\nvary: Accept\r\ncontent-type: text/plain; charset=utf-8\r\n\
         x-request-id: 7f\r\ncontent-length: 5\r\n\r\nhello",
    );
    let head = RequestFacts {
        is_head: true,
        keep_alive: false,
        ..FACTS
    };
    let gone = prepared(full().with_status(StatusCode::GONE));
    assert_eq!(
        String::from_utf8(on_the_wire(gone, head, "")).unwrap(),
        "HTTP/1.1 410 Gone\r\nserver: corelane\r\ndate: Sun, 06 Nov 1994 08:49:37 GMT\r\n\
         etag: \"v1\"\r\nvary: Accept\r\ncontent-type: text/plain; charset=utf-8\r\n\
         content-length: 5\r\nconnection: close\r\n\r\n",
    );
    let empty = prepared(Response::no_content().header("ETag", "\"v1\""));
    let old = RequestFacts {
        is_http10: true,
        ..FACTS
    };
    assert_eq!(
        String::from_utf8(on_the_wire(empty, old, "")).unwrap(),
        "HTTP/1.1 204 No Content\r\nserver: corelane\r\n\
         date: Sun, 06 Nov 1994 08:49:37 GMT\r\netag: \"v1\"\r\nconnection: keep-alive\r\n\r\n",
    );
}

fn a_name() -> impl Strategy<Value = HeaderName> {
    let known = prop::sample::select(vec![
        header::CONTENT_TYPE,
        header::ETAG,
        header::CACHE_CONTROL,
        header::VARY,
        header::DATE,
        header::CONTENT_LENGTH,
        header::CONNECTION,
    ]);
    let other = "[a-zA-Z!#$%&'+.^_`|~-][a-z0-9-]{0,12}";
    let other = other.prop_map(|name| HeaderName::from_bytes(name.as_bytes()).unwrap());
    prop_oneof![known, other]
}

fn a_value() -> impl Strategy<Value = HeaderValue> {
    let text = "([!-~\u{e4}]([ -~\t\u{e4}]{0,20}[!-~\u{e4}])?)?";
    text.prop_map(|value| HeaderValue::from_bytes(value.as_bytes()).unwrap())
}

proptest! {
    #[test]
    fn a_prepared_response_has_the_same_lines_and_body(
        status in prop::sample::select(vec![200u16, 201, 204, 301, 404, 410, 500, 299]),
        headers in prop::collection::vec((a_name(), a_value()), 0..12),
        body in prop::collection::vec(any::<u8>(), 0..200),
        (is_old, is_head, keep_alive) in any::<(bool, bool, bool)>(),
        request_id in "[a-z0-9]{0,8}",
    ) {
        let full = || {
            let mut response = Response::new(StatusCode::from_u16(status).unwrap());
            for (name, value) in &headers {
                response.append_header(name.clone(), value.clone());
            }
            response.replace_body(body.clone())
        };
        prop_assume!(PreparedResponse::new(full()).is_ok());
        let facts = RequestFacts { is_http10: is_old, is_head, keep_alive };
        let (plain_status, mut plain, plain_body) = split(&on_the_wire(full(), facts, &request_id));
        let wire = on_the_wire(prepared(full()), facts, &request_id);
        let (status, mut lines, sent) = split(&wire);
        prop_assert_eq!((status, sent), (plain_status, plain_body));

        // Lines of one name keep their order.
        let of_name = |lines: &[Vec<u8>], name: &HeaderName| {
            let start = format!("{name}: ").into_bytes();
            lines.iter().filter(|line| line.starts_with(&start)).cloned().collect::<Vec<_>>()
        };
        for (name, _) in &headers {
            prop_assert_eq!(of_name(&lines, name), of_name(&plain, name));
        }
        prop_assert_eq!(&lines[..2], &plain[..2]);
        lines.sort();
        plain.sort();
        prop_assert_eq!(lines, plain);
    }
}
