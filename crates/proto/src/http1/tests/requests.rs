//! What a parsed head says, and when: the interface around the corpus.

use http::Method;

use super::*;
use crate::http::{HeadLimits, RequestHead};

const HEAD: &[u8] = b"GET http://Example.com:80/a/b?c=d?e HTTP/1.1\r\nHost: other\r\n\
    Accept: text/html\r\nX-Two:  1 \r\nx-two:\t2\r\nX-Bytes: \xff\r\nEmpty:\r\n\r\nrest";

#[test]
fn a_head_gives_its_parts() {
    let (status, head) = parse_whole(HEAD).unwrap();
    assert_eq!(status, complete(HEAD.len() - 4));
    assert_eq!(head.method(), Method::GET);
    assert_eq!(head.target(), "/a/b?c=d?e");
    assert_eq!((head.path(), head.query()), ("/a/b", Some("c=d?e")));
    assert_eq!(head.host(), "Example.com:80");
    assert_eq!(head.header("HOST"), Some(&b"other"[..]));
    assert_eq!(head.header("accept"), Some(&b"text/html"[..]));
    assert_eq!(head.header("accep"), None);
    assert!(head.has_header_prefix("x-b") && head.has_header_prefix("ACCEPT"));
    assert!(!head.has_header_prefix("-") && !head.has_header_prefix("accept-"));
    assert_eq!(head.header("empty"), Some(&b""[..]));
    assert_eq!(head.header_all("X-TWO").collect::<Vec<_>>(), [b"1", b"2"]);
    let names: Vec<&str> = head.headers().map(|(name, _)| name).collect();
    assert_eq!(
        names,
        ["Host", "Accept", "X-Two", "x-two", "X-Bytes", "Empty"]
    );
    assert_eq!(head.headers().nth(4).unwrap().1, b"\xff");
}

#[test]
fn query_is_none_without_a_question_mark_and_empty_with_nothing_after_it() {
    for (target, path, query) in [
        ("/a", "/a", None),
        ("/a?", "/a", Some("")),
        ("/?", "/", Some("")),
    ] {
        let input = format!("GET {target} HTTP/1.1\r\nHost: h\r\n\r\n");
        let (_, head) = parse_whole(input.as_bytes()).unwrap();
        assert_eq!((head.path(), head.query(), head.host()), (path, query, "h"));
    }
}

#[test]
fn storage_forgets_the_request_before() {
    let (mut parser, mut head, limits) =
        (HeadParser::new(), RequestHead::new(), HeadLimits::default());
    parser.parse(HEAD, &limits, &mut head).unwrap();
    let status = parser
        .parse(b"DELETE / HTTP/1.0\r\n\r\n", &limits, &mut head)
        .unwrap();
    let framing = RequestFraming {
        version: Version::Http10,
        ..RequestFraming::default()
    };
    let expected = HeadStatus::Complete {
        head_bytes: 21,
        framing,
    };
    assert_eq!(status, expected);
    assert_eq!((head.target(), head.host(), head.query()), ("/", "", None));
    assert_eq!((head.headers().count(), head.header_count()), (0, 0));
    head.clear();
    assert_eq!((head.target(), head.path(), head.host()), ("", "", ""));
}

#[test]
fn a_parser_begins_anew_after_a_refusal() {
    let (mut parser, mut head, limits) =
        (HeadParser::new(), RequestHead::new(), HeadLimits::default());
    let bad = b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n";
    for _ in 0..2 {
        assert_eq!(
            parser.parse(bad, &limits, &mut head),
            Err(ParseError::HostRepeated)
        );
        assert!(!parser.has_begun());
    }
    assert!(matches!(
        parser.parse(HEAD, &limits, &mut head),
        Ok(HeadStatus::Complete { .. })
    ));
}

/// A refusal comes with the byte that proves it, not with the end of the head.
#[test]
fn refusals_come_early() {
    for (input, refusal) in [
        (&b"\x16"[..], ParseError::TlsOnPlainPort),
        (b"\x00", ParseError::Method),
        (b"\xff", ParseError::Method),
        (b"GET \x01", ParseError::TargetByte),
        (b"GET / HTTQ", ParseError::VersionSyntax),
        (b"GET / HTTP/1.1\n", ParseError::BareLf),
        (b"CONNECT ", ParseError::Connect),
        (b"GET / HTTP/1.1\r\n ", ParseError::ObsFold),
        (b"GET / HTTP/1.1\r\nA ", ParseError::SpaceBeforeColon),
        (b"GET / HTTP/1.1\r\nA: \x01", ParseError::HeaderValue),
        (
            b"GET / HTTP/1.1\r\nContent-Length: x\r\n",
            ParseError::ContentLengthInvalid,
        ),
    ] {
        assert_eq!(
            parse_whole(input).unwrap_err(),
            refusal,
            "{}",
            input.escape_ascii()
        );
        let before = &input[..input.len() - 1];
        let mut head = RequestHead::new();
        let answer = HeadParser::new().parse(before, &HeadLimits::default(), &mut head);
        assert_eq!(answer, Ok(HeadStatus::Partial), "{}", before.escape_ascii());
    }
}

#[test]
fn limits_are_those_given() {
    let limits = HeadLimits {
        head_bytes_max: 64,
        headers_max: 2,
    };
    let answer =
        |input: &str| HeadParser::new().parse(input.as_bytes(), &limits, &mut RequestHead::new());
    let head_of = |bytes: usize| {
        let frame = "GET / HTTP/1.1\r\nHost: \r\n\r\n".len();
        format!(
            "GET / HTTP/1.1\r\nHost: {}\r\n\r\n",
            "h".repeat(bytes - frame)
        )
    };
    assert_eq!(answer(&head_of(64)), Ok(complete(64)));
    assert_eq!(answer(&head_of(65)), Err(ParseError::HeadTooLong));
    assert_eq!(answer(&head_of(65)[..64]), Err(ParseError::HeadTooLong));
    assert_eq!(answer(&head_of(65)[..63]), Ok(HeadStatus::Partial));
    let long = format!("GET /{}", "a".repeat(59));
    assert_eq!(answer(&long), Err(ParseError::RequestLineTooLong));
    assert_eq!(answer(&long[..63]), Ok(HeadStatus::Partial));
    assert_eq!(
        answer("GET / HTTP/1.1\r\nA: b\r\nA: b\r\nA"),
        Err(ParseError::TooManyHeaders),
    );
}

/// Misuse, but network code must not panic on it.
#[test]
fn a_shortened_input_or_another_storage_does_not_panic() {
    let limits = HeadLimits::default();
    for first in 0..HEAD.len() - 4 {
        for second in [0, 1, first / 2, HEAD.len()] {
            let mut parser = HeadParser::new();
            parser
                .parse(&HEAD[..first], &limits, &mut RequestHead::new())
                .unwrap();
            let mut head = RequestHead::new();
            let _ = parser.parse(&HEAD[..second], &limits, &mut head);
            let _ = (head.target(), head.path(), head.query(), head.host());
            head.headers().for_each(drop);
        }
    }
}

#[test]
fn a_refusal_keeps_its_status_through_a_handler() {
    fn handler() -> Result<(), crate::error::Error> {
        BodyDecoder::new(BodyFraming::Length(2), 1)?;
        Ok(())
    }
    let error = handler().unwrap_err();
    assert_eq!(error.status(), http::StatusCode::PAYLOAD_TOO_LARGE);
    assert_eq!(error.detail(), ParseError::BodyTooLarge.detail());
}

#[test]
fn a_body_without_framing_or_length_ends_at_once() {
    for framing in [BodyFraming::None, BodyFraming::Length(0)] {
        let mut decoder = BodyDecoder::new(framing, 0).unwrap();
        assert!(decoder.is_done());
        assert_eq!(decoder.remaining_known(), Some(0));
        assert_eq!(decoder.decode(b"GET /"), Ok(BodyEvent::End { consumed: 0 }));
    }
}

#[test]
fn a_length_counts_down_and_leaves_the_next_request() {
    let mut decoder = BodyDecoder::new(BodyFraming::Length(5), 5).unwrap();
    assert_eq!(decoder.decode(b""), Ok(BodyEvent::NeedMore { consumed: 0 }));
    assert_eq!(
        decoder.decode(b"abc"),
        Ok(BodyEvent::Data { start: 0, end: 3 })
    );
    assert_eq!(decoder.remaining_known(), Some(2));
    assert_eq!(
        decoder.decode(b"deGET"),
        Ok(BodyEvent::Data { start: 0, end: 2 })
    );
    assert!(decoder.is_done());
    assert_eq!(decoder.decode(b"GET"), Ok(BodyEvent::End { consumed: 0 }));
    assert_eq!(
        BodyDecoder::new(BodyFraming::Length(6), 5).err(),
        Some(ParseError::BodyTooLarge),
    );
}

#[test]
fn a_chunked_body_at_its_limit_passes_and_one_byte_more_does_not() {
    let mut decoder = BodyDecoder::new(BodyFraming::Chunked, 5).unwrap();
    assert_eq!(decoder.remaining_known(), None);
    let input = b"2\r\nab\r\n3\r\ncde\r\n0\r\n\r\n";
    assert_eq!(
        decoder.decode(input),
        Ok(BodyEvent::Data { start: 3, end: 5 })
    );
    assert_eq!(
        decoder.decode(&input[5..]),
        Ok(BodyEvent::Data { start: 5, end: 8 })
    );
    assert_eq!(
        decoder.decode(&input[13..]),
        Ok(BodyEvent::End { consumed: 7 })
    );
    assert!(decoder.is_done());

    let mut decoder = BodyDecoder::new(BodyFraming::Chunked, 4).unwrap();
    assert_eq!(
        decoder.decode(input),
        Ok(BodyEvent::Data { start: 3, end: 5 })
    );
    assert_eq!(decoder.decode(&input[5..]), Err(ParseError::BodyTooLarge));
    assert_eq!(
        decoder.decode(b"1\r\n"),
        Err(ParseError::BodyTooLarge),
        "for ever"
    );
    assert!(!decoder.is_done());
}
