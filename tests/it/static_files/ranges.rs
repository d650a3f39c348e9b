//! Parts of files: one range, several, and ranges that are none (RFC 9110
//! section 14).

use super::Site;
use crate::harness::{Engine, hash_of, pattern};

either_engine!(
    single_ranges_are_cut_right,
    ranges_outside_are_refused_with_the_length,
    ranges_that_make_no_sense_are_ignored,
    several_ranges_come_as_parts,
    too_many_ranges_are_no_attack,
    if_range_guards_a_range,
);

fn single_ranges_are_cut_right(engine: Engine) {
    let (small, large) = (pattern(1_000), pattern(400_000));
    let site = Site::start(engine, &[("small.bin", &small), ("large.bin", &large)]);
    let mut client = site.connect();
    for (name, content) in [("small.bin", &small), ("large.bin", &large)] {
        let last = content.len() - 1;
        for (range, first, end) in [
            ("bytes=0-0".to_owned(), 0, 0),
            ("bytes=10-19".to_owned(), 10, 19),
            ("bytes=990-".to_owned(), 990, last),
            ("bytes=-10".to_owned(), last - 9, last),
            ("bytes=0-999999999".to_owned(), 0, last),
            ("bytes=-999999999".to_owned(), 0, last),
            (format!("bytes={last}-{last}"), last, last),
            ("BYTES=1-2".to_owned(), 1, 2),
        ] {
            let headers = [("Range", range.as_str())];
            let response = client
                .get_with(&format!("/static/{name}"), &headers)
                .expect(206);
            let wanted = format!("bytes {first}-{end}/{}", content.len());
            assert_eq!(response.must_have("content-range"), wanted);
            assert_eq!(
                response.hash(),
                hash_of(&content[first..=end]),
                "{range} of {name}"
            );
        }
    }
}

fn ranges_outside_are_refused_with_the_length(engine: Engine) {
    let site = Site::start(engine, &[("a.bin", &pattern(100)), ("empty.bin", b"")]);
    let mut client = site.connect();
    for range in ["bytes=100-", "bytes=200-300", "bytes=-0"] {
        let response = client
            .get_with("/static/a.bin", &[("Range", range)])
            .expect(416);
        assert_eq!(
            response.must_have("content-range"),
            "bytes */100",
            "{range}"
        );
    }
    // Some clients send it always; of nothing there is no part.
    for range in ["bytes=0-", "bytes=0-0", "bytes=-5"] {
        let response = client.get_with("/static/empty.bin", &[("Range", range)]);
        assert!(response.expect(200).body.is_empty(), "{range}");
    }
    client.expect_usable();
}

fn ranges_that_make_no_sense_are_ignored(engine: Engine) {
    let site = Site::start(engine, &[("a.bin", &pattern(100))]);
    let mut client = site.connect();
    for range in [
        "bytes=",
        "bytes=a-b",
        "bytes=5-1",
        "lines=1-2",
        "bytes 1-2",
        "bytes=1-2x",
        "bytes=--1",
    ] {
        let response = client
            .get_with("/static/a.bin", &[("Range", range)])
            .expect(200);
        assert_eq!(response.body.len(), 100, "{range}");
    }
    // Only GET has ranges.
    client
        .request("HEAD", "/static/a.bin", &[("Range", "bytes=0-9")], b"")
        .expect(200);
}

fn several_ranges_come_as_parts(engine: Engine) {
    let (small, large) = (pattern(1_000), pattern(400_000));
    let site = Site::start(engine, &[("small.bin", &small), ("large.bin", &large)]);
    let mut client = site.connect();
    for (name, content) in [("small.bin", &small), ("large.bin", &large)] {
        let headers = [("Range", "bytes=0-9, 500-599 ,-5")];
        let response = client
            .get_with(&format!("/static/{name}"), &headers)
            .expect(206);
        let length = content.len();
        let content_type = response.must_have("content-type").to_owned();
        let (_, boundary) = content_type.split_once("boundary=").expect("a boundary");
        let parts = parse_parts(&response.body, boundary.trim_matches('"'));
        let wanted = [(0, 9), (500, 599), (length - 5, length - 1)];
        assert_eq!(parts.len(), wanted.len(), "{name}");
        for ((fields, body), (first, last)) in parts.iter().zip(wanted) {
            let range = format!("content-range: bytes {first}-{last}/{length}");
            assert!(fields.to_lowercase().contains(&range), "{fields}");
            assert!(
                fields
                    .to_lowercase()
                    .contains("content-type: application/octet-stream")
            );
            assert_eq!(hash_of(body), hash_of(&content[first..=last]));
        }
    }
}

/// Header lines and body of each part of a multipart body (RFC 2046).
fn parse_parts(body: &[u8], boundary: &str) -> Vec<(String, Vec<u8>)> {
    let delimiter = format!("\r\n--{boundary}");
    let whole = [b"\r\n", body].concat();
    let mut parts = Vec::new();
    let mut rest = after(&whole, delimiter.as_bytes()).expect("a first delimiter");
    while !rest.starts_with(b"--") {
        rest = rest
            .strip_prefix(b"\r\n")
            .expect("CRLF after the delimiter");
        let content = after(rest, b"\r\n\r\n").expect("the end of the part's head");
        let head = &rest[..rest.len() - content.len()];
        let next = after(content, delimiter.as_bytes()).expect("a next delimiter");
        let length = content.len() - next.len() - delimiter.len();
        let fields = String::from_utf8(head.to_vec()).expect("ASCII");
        parts.push((fields, content[..length].to_vec()));
        rest = next;
    }
    assert!(
        matches!(rest, b"--" | b"--\r\n"),
        "after the last delimiter"
    );
    parts
}

fn after<'a>(bytes: &'a [u8], needle: &[u8]) -> Option<&'a [u8]> {
    let at = bytes
        .windows(needle.len())
        .position(|window| window == needle)?;
    Some(&bytes[at + needle.len()..])
}

fn too_many_ranges_are_no_attack(engine: Engine) {
    let site = Site::start(engine, &[("a.bin", &pattern(200_000))]);
    let mut client = site.connect();
    let overlapping = format!("bytes=0-{}", ",0-".repeat(2_000));
    let response = client.get_with("/static/a.bin", &[("Range", &overlapping)]);
    assert!(
        matches!(response.status, 200 | 206 | 416),
        "{}",
        response.status
    );
    assert!(
        response.body.len() <= 400_000,
        "{} bytes",
        response.body.len()
    );
    client.expect_usable();
}

fn if_range_guards_a_range(engine: Engine) {
    let site = Site::start(engine, &[("a.bin", &pattern(1_000))]);
    let mut client = site.connect();
    let full = client.get("/static/a.bin").expect(200);
    let etag = full.must_have("etag");
    let weak = format!("W/{etag}");
    for (value, status) in [
        (etag, 206),
        ("\"other\"", 200),
        (weak.as_str(), 200),
        ("Mon, 01 Jan 2001 00:00:00 GMT", 200),
    ] {
        let headers = [("Range", "bytes=0-9"), ("If-Range", value)];
        let response = client.get_with("/static/a.bin", &headers).expect(status);
        assert_eq!(
            response.body.len(),
            if status == 206 { 10 } else { 1_000 },
            "{value}"
        );
    }
}
