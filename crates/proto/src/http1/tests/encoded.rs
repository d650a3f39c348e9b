//! Response heads and chunks, read back by another parser.

use http::{HeaderName, HeaderValue, StatusCode, header};
use proptest::prelude::*;

use super::*;
use crate::http::{ResponseHead, encode_field_line};

const DATE: &[u8; 29] = b"Sun, 06 Nov 1994 08:49:37 GMT";

fn head<'a>(headers: &'a [(HeaderName, HeaderValue)]) -> ResponseHead<'a> {
    ResponseHead {
        status: StatusCode::OK,
        lines: &[],
        headers,
        date: DATE,
        extra: &[],
    }
}

/// With a body of 5 bytes, on a connection that stays open.
fn encoded(head: &ResponseHead<'_>) -> String {
    let framing = ResponseFraming::Length(5);
    encoded_as(head, Version::Http11, framing, ConnectionHeader::Omit)
}

fn encoded_as(
    head: &ResponseHead<'_>,
    version: Version,
    framing: ResponseFraming,
    connection: ConnectionHeader,
) -> String {
    let mut out = Vec::new();
    encode_head(&mut out, head, version, framing, connection);
    String::from_utf8(out).unwrap()
}

#[test]
fn a_plain_response_is_written_to_the_byte() {
    let headers = [(header::CONTENT_TYPE, HeaderValue::from_static("text/plain"))];
    let mut response = head(&headers);
    response.extra = &[("x-request-id", "7f")];
    assert_eq!(
        encoded(&response),
        "HTTP/1.1 200 OK\r\nserver: corelane\r\ndate: Sun, 06 Nov 1994 08:49:37 GMT\r\n\
         content-type: text/plain\r\nx-request-id: 7f\r\ncontent-length: 5\r\n\r\n",
    );
}

#[test]
fn finished_lines_come_before_fields() {
    let mut lines = Vec::new();
    encode_field_line(&mut lines, "etag", b"\"a\"");
    encode_field_line(&mut lines, "x-empty", b"");
    let headers = [(header::AGE, HeaderValue::from_static("1"))];
    let finished: [&[u8]; 3] = [&lines, b"", b"x-cache: HIT\r\n"];
    let mut response = head(&headers);
    response.lines = &finished;
    assert_eq!(
        encoded(&response),
        "HTTP/1.1 200 OK\r\nserver: corelane\r\ndate: Sun, 06 Nov 1994 08:49:37 GMT\r\n\
         etag: \"a\"\r\nx-empty: \r\nx-cache: HIT\r\nage: 1\r\ncontent-length: 5\r\n\r\n",
    );
}

#[test]
fn framing_and_connection_are_announced() {
    use ConnectionHeader as C;
    use ResponseFraming as F;
    for (status, version, framing, connection, end) in [
        (
            200,
            Version::Http11,
            F::Length(0),
            C::Close,
            "content-length: 0\r\nconnection: close",
        ),
        (
            200,
            Version::Http10,
            F::Length(7),
            C::KeepAlive,
            "content-length: 7\r\nconnection: keep-alive",
        ),
        (
            200,
            Version::Http11,
            F::Chunked,
            C::Omit,
            "transfer-encoding: chunked",
        ),
        (
            200,
            Version::Http10,
            F::Chunked,
            C::KeepAlive,
            "connection: close",
        ),
        (
            200,
            Version::Http11,
            F::UntilClose,
            C::Omit,
            "connection: close",
        ),
        (304, Version::Http11, F::NoBody, C::Omit, "GMT"),
        (
            304,
            Version::Http11,
            F::Length(9),
            C::Omit,
            "content-length: 9",
        ),
        (204, Version::Http11, F::Length(0), C::Omit, "GMT"),
        (
            204,
            Version::Http11,
            F::Chunked,
            C::Close,
            "connection: close",
        ),
        (103, Version::Http11, F::Length(3), C::Omit, "GMT"),
    ] {
        let mut response = head(&[]);
        response.status = StatusCode::from_u16(status).unwrap();
        let text = encoded_as(&response, version, framing, connection);
        let after_date = text.split_once("GMT").unwrap().1;
        let expected = if end == "GMT" {
            "\r\n\r\n".to_owned()
        } else {
            format!("\r\n{end}\r\n\r\n")
        };
        assert_eq!(after_date, expected, "{status} {framing:?}");
    }
}

#[test]
fn the_servers_own_fields_cannot_be_set_by_a_handler() {
    let headers = [
        header::DATE,
        header::SERVER,
        header::CONTENT_LENGTH,
        header::TRANSFER_ENCODING,
        header::CONNECTION,
    ]
    .map(|name| (name, HeaderValue::from_static("forged")));
    assert!(!encoded(&head(&headers)).contains("forged"));
}

#[test]
fn an_extra_value_cannot_split_the_response() {
    let mut response = head(&[]);
    response.extra = &[
        ("x-request-id", "a\r\nSet-Cookie: b"),
        ("x-nul", "\0"),
        ("x-fine", "c"),
    ];
    let text = encoded(&response);
    assert!(!text.contains("Cookie") && !text.contains("x-nul") && text.contains("x-fine: c\r\n"));
}

#[test]
fn status_lines_name_the_reason_where_there_is_one() {
    for (status, line) in [
        (404, "HTTP/1.1 404 Not Found\r\n"),
        (431, "HTTP/1.1 431 Request Header Fields Too Large\r\n"),
        (299, "HTTP/1.1 299 \r\n"),
    ] {
        let mut response = head(&[]);
        response.status = StatusCode::from_u16(status).unwrap();
        assert!(encoded(&response).starts_with(line), "{status}");
    }
}

#[test]
fn chunks_are_written_to_the_byte() {
    let mut out = Vec::new();
    encode_chunk(&mut out, b"");
    encode_chunk(&mut out, b"hello");
    encode_chunk(&mut out, &[b'x'; 256]);
    encode_last_chunk(&mut out);
    let expected = format!("5\r\nhello\r\n100\r\n{}\r\n0\r\n\r\n", "x".repeat(256));
    assert_eq!(out, expected.as_bytes());
}

fn a_header() -> impl Strategy<Value = (HeaderName, HeaderValue)> {
    (
        "[a-zA-Z!#$%&'*+.^_`|~-][a-z0-9-]{0,12}",
        "[!-~\u{e4}]([ -~\t\u{e4}]{0,20}[!-~])?",
    )
        .prop_map(|(name, value)| {
            (
                HeaderName::from_bytes(name.as_bytes()).unwrap(),
                HeaderValue::from_bytes(value.as_bytes()).unwrap(),
            )
        })
}

proptest! {
    #[test]
    fn heads_are_read_back_as_written(
        status in 200u16..=599,
        headers in proptest::collection::vec(a_header(), 0..20),
        length in any::<u64>(),
    ) {
        let mut response = head(&headers);
        response.status = StatusCode::from_u16(status).unwrap();
        let framing = ResponseFraming::Length(length);
        let mut out = b"before".to_vec();
        encode_head(&mut out, &response, Version::Http11, framing, ConnectionHeader::Omit);
        prop_assert!(out.starts_with(b"before"));
        let mut slots = [httparse::EMPTY_HEADER; 32];
        let mut read = httparse::Response::new(&mut slots);
        let parsed = read.parse(&out["before".len()..]).unwrap();
        prop_assert_eq!(parsed, httparse::Status::Complete(out.len() - "before".len()));
        prop_assert_eq!(read.code, Some(status));

        let mut expected: Vec<(String, Vec<u8>)> = vec![
            ("server".into(), b"corelane".to_vec()),
            ("date".into(), DATE.to_vec()),
        ];
        expected.extend(headers.iter().map(|(n, v)| (n.to_string(), v.as_bytes().to_vec())));
        if status != 204 {
            expected.push(("content-length".into(), length.to_string().into_bytes()));
        }
        let got: Vec<(String, Vec<u8>)> =
            read.headers.iter().map(|h| (h.name.to_owned(), h.value.to_vec())).collect();
        prop_assert_eq!(got, expected);
    }

    #[test]
    fn chunks_are_decoded_as_encoded(
        pieces in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..40), 0..12),
    ) {
        let mut out = Vec::new();
        pieces.iter().for_each(|piece| encode_chunk(&mut out, piece));
        encode_last_chunk(&mut out);
        let mut decoder = BodyDecoder::new(BodyFraming::Chunked, 10_000).unwrap();
        let (mut at, mut body) = (0, Vec::new());
        loop {
            match decoder.decode(&out[at..]).unwrap() {
                BodyEvent::Data { start, end } => {
                    body.extend_from_slice(&out[at + start..at + end]);
                    at += end;
                }
                BodyEvent::End { consumed } => {
                    at += consumed;
                    break;
                }
                BodyEvent::NeedMore { .. } => prop_assert!(false, "the body is whole"),
            }
        }
        prop_assert_eq!(at, out.len());
        prop_assert_eq!(body, pieces.concat());
    }
}
