//! Heads: any cut gives the same answer as the whole, what is accepted has
//! exactly one reading, and the parts fit the bytes they were taken from.
//!
//! Input: one byte that decides the cuts, then what the connection receives.
#![no_main]

use corelane_fuzz::http::{HeadLimits, RequestHead};
use corelane_fuzz::http1::{
    BodyFraming, HeadParser, HeadStatus, ParseError, RequestFraming, Version,
};
use corelane_fuzz::pieces;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Some((&seed, input)) = data.split_first() else {
        return;
    };
    let limits = HeadLimits {
        head_bytes_max: 2_048,
        headers_max: 16,
    };
    let mut head = RequestHead::new();
    let whole = HeadParser::new().parse(input, &limits, &mut head);

    let mut dribbled_head = RequestHead::new();
    let dribbled = dribble(input, seed, &limits, &mut dribbled_head);
    assert_eq!(whole, dribbled, "the cuts changed the answer");

    match whole {
        Ok(HeadStatus::Complete {
            head_bytes,
            framing,
        }) => {
            assert_eq!(described(&head), described(&dribbled_head));
            check_head(&input[..head_bytes], &head, framing, &limits);
        }
        Ok(HeadStatus::Partial) => assert!(input.len() < limits.head_bytes_max),
        Err(error) => check_refusal(error),
    }
});

/// Stops at the first answer that is not `Partial`, as a connection does.
fn dribble(
    input: &[u8],
    seed: u8,
    limits: &HeadLimits,
    head: &mut RequestHead,
) -> Result<HeadStatus, ParseError> {
    let (mut parser, mut received) = (HeadParser::new(), 0);
    for piece in pieces(input, seed) {
        received += piece.len();
        let status = parser.parse(&input[..received], limits, head)?;
        if status != HeadStatus::Partial {
            return Ok(status);
        }
    }
    Ok(HeadStatus::Partial)
}

fn check_head(bytes: &[u8], head: &RequestHead, framing: RequestFraming, limits: &HeadLimits) {
    assert!(bytes.len() <= limits.head_bytes_max && bytes.ends_with(b"\r\n"));
    assert!(head.headers().count() <= limits.headers_max);

    let text = bytes.strip_prefix(b"\r\n").unwrap_or(bytes);
    let newlines = text.iter().filter(|&&byte| byte == b'\n').count();
    assert_eq!(
        newlines,
        head.headers().count() + 2,
        "one line is one header"
    );
    assert!(text.split_inclusive(|&byte| byte == b'\n').all(|line| {
        line.ends_with(b"\r\n") && line.iter().filter(|&&byte| byte == b'\r').count() == 1
    }));
    assert!(!text.contains(&0));

    let lengths: Vec<&[u8]> = head.header_all("content-length").collect();
    let encodings = head.header_all("transfer-encoding").count();
    match framing.body {
        BodyFraming::None => assert!(lengths.is_empty() && encodings == 0),
        BodyFraming::Length(length) => {
            assert!(encodings == 0 && lengths.len() == 1);
            assert!(lengths[0].iter().all(u8::is_ascii_digit));
            let number = std::str::from_utf8(lengths[0]).unwrap().parse();
            assert_eq!(number, Ok(length));
        }
        BodyFraming::Chunked => {
            assert!(lengths.is_empty() && encodings == 1 && framing.version == Version::Http11);
            let value = head.header("Transfer-Encoding").unwrap();
            assert!(value.eq_ignore_ascii_case(b"chunked"));
        }
    }

    let hosts = head.header_all("host").count();
    assert!(hosts == 1 || (hosts == 0 && framing.version == Version::Http10));
    assert!(head.target().starts_with('/') || head.target() == "*");
    assert!(
        head.target()
            .bytes()
            .all(|byte| byte.is_ascii_graphic() && byte != b'#')
    );
    match head.query() {
        Some(query) => assert_eq!(format!("{}?{query}", head.path()), head.target()),
        None => assert_eq!(head.path(), head.target()),
    }
    for (name, value) in head.headers() {
        assert!(!name.is_empty() && name.bytes().all(|byte| byte.is_ascii_graphic()));
        assert!(!value.starts_with(b" ") && !value.ends_with(b"\t"));
        assert!(
            value
                .iter()
                .all(|&byte| byte == b'\t' || (byte >= b' ' && byte != 0x7f))
        );
    }
}

fn check_refusal(error: ParseError) {
    let status = error.status().as_u16();
    assert!(
        [400, 414, 417, 431, 501, 505].contains(&status),
        "{error:?} gives {status}"
    );
    assert!(!error.detail().is_empty());
}

fn described(head: &RequestHead) -> String {
    let headers: Vec<(&str, &[u8])> = head.headers().collect();
    format!(
        "{} {} {:?} {headers:?}",
        head.method(),
        head.target(),
        head.host(),
    )
}
