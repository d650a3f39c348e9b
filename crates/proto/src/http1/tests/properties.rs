//! Properties of parsing: cuts do not matter, nothing panics, and httparse
//! reads the same out of whatever is accepted.

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::http::{HeadLimits, RequestHead};

/// Pieces that meet to form nearly valid requests.
fn fragment() -> impl Strategy<Value = Vec<u8>> {
    let known: &[&[u8]] = &[
        b"GET / HTTP/1.1\r\n",
        b"POST /a?b HTTP/1.1\r\n",
        b"OPTIONS * HTTP/1.0\r\n",
        b"GET http://h/x HTTP/1.1\r\n",
        b"Host: a\r\n",
        b"Connection: close\r\n",
        b"Connection: keep-alive\r\n",
        b"Content-Length: 3\r\n",
        b"Content-Length: 0\r\n",
        b"Transfer-Encoding: chunked\r\n",
        b"Expect: 100-continue\r\n",
        b"X: y\r\n",
        b"\r\n",
        b"3\r\nabc\r\n",
        b"0\r\n\r\n",
        b"1;a=\"b\"\r\nx\r\n",
        b"0\r\nT: u\r\n\r\n",
        b"abc",
    ];
    let known: Vec<Vec<u8>> = known.iter().map(|bytes| bytes.to_vec()).collect();
    prop_oneof![
        12 => proptest::sample::select(known),
        1 => vec(any::<u8>(), 1..4),
        1 => proptest::sample::select(b"\r\n \t:;,\"\0/#%".to_vec()).prop_map(|byte| vec![byte]),
    ]
}

fn nearly_valid() -> impl Strategy<Value = Vec<u8>> {
    let request = (
        proptest::sample::select(vec![
            "GET / HTTP/1.1\r\nHost: a\r\n",
            "POST /p HTTP/1.1\r\nhost:b\r\n",
            "",
        ]),
        vec(fragment(), 0..8),
    );
    vec(request, 1..4).prop_map(|requests| {
        requests
            .into_iter()
            .flat_map(|(start, rest)| [start.as_bytes().to_vec(), rest.concat()])
            .flatten()
            .collect()
    })
}

fn token() -> impl Strategy<Value = String> {
    "[A-Za-z0-9!#$%&'*+.^_`|~-]{1,16}"
}

/// A valid request: target, fields that frame nothing, and its bytes.
fn valid_request() -> impl Strategy<Value = Vec<u8>> {
    let field = (
        token(),
        "[ \t]{0,2}",
        "([!-~]([ -~\t]{0,20}[!-~])?)?",
        "[ \t]{0,2}",
    );
    (token(), "/[!-\"$-~]{0,30}", 0..=1u8, vec(field, 0..12)).prop_map(
        |(method, target, minor, fields)| {
            let mut text = format!("{method} {target} HTTP/1.{minor}\r\nHost: example.com:80\r\n");
            for (name, before, value, after) in fields {
                let name = format!("x{name}");
                text.push_str(&format!("{name}:{before}{value}{after}\r\n"));
            }
            text.push_str("\r\nbody");
            text.into_bytes()
        },
    )
}

/// httparse must accept what is accepted here and read the same out of it.
/// Returns the length of the head.
fn agrees_with_httparse(input: &[u8], status: HeadStatus, head: &RequestHead) -> usize {
    let HeadStatus::Complete {
        head_bytes,
        framing,
    } = status
    else {
        panic!("a head that is not whole: {}", input.escape_ascii());
    };
    let mut slots = [httparse::EMPTY_HEADER; 128];
    let mut read = httparse::Request::new(&mut slots);
    // It does not know HTTP/1.2 and above.
    let status = match read.parse(input) {
        Err(httparse::Error::Version) => return head_bytes,
        status => status.unwrap(),
    };
    assert_eq!(status, httparse::Status::Complete(head_bytes));
    assert_eq!(read.method, Some(head.method().as_str()));
    assert_eq!(
        read.version,
        Some(u8::from(framing.version == Version::Http11))
    );
    if read.path.is_some_and(|path| path.starts_with('/')) {
        assert_eq!(read.path, Some(head.target()));
    }
    let theirs: Vec<(&str, &[u8])> = read.headers.iter().map(|h| (h.name, h.value)).collect();
    assert_eq!(head.headers().collect::<Vec<_>>(), theirs);
    head_bytes
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn every_cut_gives_the_same_answer(input in nearly_valid()) {
        let whole = talk([input.as_slice()]);
        prop_assert_eq!(&talk(input.chunks(1)), &whole);
        for place in 0..input.len() {
            prop_assert_eq!(&talk([&input[..place], &input[place..]]), &whole, "cut at {}", place);
        }
    }

    #[test]
    fn any_cuts_give_the_same_answer(input in nearly_valid(), sizes in vec(1usize..9, 1..20)) {
        let whole = talk([input.as_slice()]);
        let (mut rest, mut pieces) = (input.as_slice(), Vec::new());
        for size in sizes.into_iter().cycle() {
            if rest.is_empty() {
                break;
            }
            let (piece, after) = rest.split_at(size.min(rest.len()));
            pieces.push(piece);
            rest = after;
        }
        prop_assert_eq!(talk(pieces), whole);
    }

    #[test]
    fn arbitrary_bytes_never_panic(input in vec(any::<u8>(), 0..200)) {
        prop_assert_eq!(talk(input.chunks(7)), talk([input.as_slice()]));
    }

    /// Whatever is accepted, of whatever is thrown at it.
    #[test]
    fn what_is_accepted_httparse_reads_the_same(input in nearly_valid()) {
        if let Ok((status @ HeadStatus::Complete { .. }, head)) = parse_whole(&input) {
            agrees_with_httparse(&input, status, &head);
        }
    }

    #[test]
    fn valid_requests_are_accepted_and_read_like_httparse(input in valid_request()) {
        match parse_whole(&input) {
            Ok((status @ HeadStatus::Complete { .. }, head)) => {
                let head_bytes = agrees_with_httparse(&input, status, &head);
                prop_assert_eq!(head_bytes, input.len() - 4);
            }
            Err(ParseError::Connect) => {}
            other => prop_assert!(false, "{:?} for {}", other.err(), input.escape_ascii()),
        }
    }

    /// A refused head stays refused when something follows it.
    #[test]
    fn a_refusal_does_not_depend_on_what_follows(input in nearly_valid(), more in fragment()) {
        if let Err(error) = parse_whole(&input) {
            let longer = [input, more].concat();
            prop_assert_eq!(parse_whole(&longer).err(), Some(error));
        }
    }
}

/// Dribbling input stays linear because what was judged is not judged again:
/// bytes spoilt after they were judged go unnoticed.
#[test]
fn judged_bytes_are_not_judged_again() {
    let frame = "GET / HTTP/1.1\r\nHost: h\r\nX: ";
    let input = format!("{frame}{}\r\n\r\n", "v".repeat(5_000));
    let (mut parser, mut head, limits) =
        (HeadParser::new(), RequestHead::new(), HeadLimits::default());
    let mut received = Vec::new();
    let mut status = HeadStatus::Partial;
    for byte in input.bytes() {
        if received.len() > frame.len() {
            *received.last_mut().unwrap() = 0;
        }
        received.push(byte);
        assert_eq!(status, HeadStatus::Partial);
        status = parser.parse(&received, &limits, &mut head).unwrap();
    }
    assert_eq!(status, complete(input.len()));
    assert!(
        HeadParser::new()
            .parse(&received, &limits, &mut head)
            .is_err()
    );
}
