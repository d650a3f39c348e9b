//! What must hold of every response, whatever the test asked for: status line,
//! `Date`, `Server`, framing, `Content-Type`, problem bodies, and the headers
//! that a status demands (RFC 9110 section 15).

use std::time::{Duration, SystemTime};

use super::response::{Framing, Response};

/// Fails the test if `response`, the answer to `method` which was asked then or
/// later, breaks a rule.
pub(crate) fn check(response: &Response, method: &str, asked: SystemTime) {
    check_status_line(response);
    check_date_and_server(response, asked);
    check_single_fields(response);
    check_framing_fields(response, method);
    check_content_fields(response, method);
    check_validators(response);
    check_problem(response);
    check_demanded_fields(response);
}

fn check_status_line(response: &Response) {
    let status = http::StatusCode::from_u16(response.status).expect("a status code");
    assert_eq!(
        Some(response.reason.as_str()),
        status.canonical_reason(),
        "{response:?}"
    );
}

/// `Date` is in whole seconds, and rebuilt once a second.
const DATE_AGE_MAX: Duration = Duration::from_secs(2);

/// How old an answer is when it is read depends on the reader and on how busy
/// the machine is; but none is from before it was asked for.
fn check_date_and_server(response: &Response, asked: SystemTime) {
    if response.status < 200 {
        return;
    }
    let date = parse_imf_fixdate(response.must_have("date"));
    let age = asked.duration_since(date).unwrap_or_default();
    assert!(
        age <= DATE_AGE_MAX,
        "a stale Date, {age:?} before its request: {response:?}"
    );
    assert!(
        date <= SystemTime::now(),
        "a Date in the future: {response:?}"
    );
    assert_eq!(response.must_have("server"), "corelane");
}

fn parse_imf_fixdate(text: &str) -> SystemTime {
    let time = httpdate::parse_http_date(text).unwrap_or_else(|_| panic!("not a date: {text:?}"));
    assert_eq!(
        httpdate::fmt_http_date(time),
        text,
        "a date, but not an IMF-fixdate"
    );
    time
}

/// Fields that are no lists: twice is a mistake (RFC 9110 section 5.3).
const SINGLE: &[&str] = &[
    "accept-ranges",
    "age",
    "content-encoding",
    "content-length",
    "content-range",
    "content-type",
    "date",
    "etag",
    "last-modified",
    "location",
    "retry-after",
    "server",
    "transfer-encoding",
    "x-request-id",
];

fn check_single_fields(response: &Response) {
    for name in SINGLE {
        assert!(
            response.header_all(name).len() <= 1,
            "{name} twice: {response:?}"
        );
    }
}

fn check_framing_fields(response: &Response, method: &str) {
    let length = response.header("content-length");
    let coding = response.header("transfer-encoding");
    assert!(
        length.is_none() || coding.is_none(),
        "two framings: {response:?}"
    );
    assert!(
        coding.is_none_or(|coding| coding == "chunked"),
        "{response:?}"
    );
    match response.status {
        100..=199 | 204 => {
            assert!(
                length.is_none() && coding.is_none(),
                "a framing on {response:?}"
            );
        }
        304 => assert!(coding.is_none() && length != Some("0"), "{response:?}"),
        _ if method == "HEAD" => {}
        _ if response.framing == Framing::UntilClose => {
            assert!(
                response.says_close(),
                "until close, but not said: {response:?}"
            );
        }
        _ => assert!(
            length.is_some() != coding.is_some(),
            "no framing: {response:?}"
        ),
    }
}

fn check_content_fields(response: &Response, method: &str) {
    let content_type = response.header("content-type");
    if !response.body.is_empty() {
        assert!(
            content_type.is_some(),
            "a body without Content-Type: {response:?}"
        );
    }
    if let Some(value) = content_type {
        let (kind, _) = value
            .split_once('/')
            .unwrap_or_else(|| panic!("{response:?}"));
        assert!(!kind.is_empty(), "{response:?}");
        if kind == "text" {
            assert!(
                value.contains("charset=utf-8"),
                "text without charset: {response:?}"
            );
        }
    }
    if matches!(response.status, 204 | 304) || method == "HEAD" {
        assert!(
            response.body.is_empty(),
            "a body where none is allowed: {response:?}"
        );
    }
}

fn check_validators(response: &Response) {
    if let Some(etag) = response.header("etag") {
        let opaque = etag.strip_prefix("W/").unwrap_or(etag);
        let inner = opaque
            .strip_prefix('"')
            .and_then(|rest| rest.strip_suffix('"'));
        let valid = inner.is_some_and(|i| i.bytes().all(|b| b == 0x21 || b >= 0x23 && b != 0x7f));
        assert!(valid, "ETag {etag:?}");
    }
    if let Some(modified) = response.header("last-modified") {
        let date = parse_imf_fixdate(response.must_have("date"));
        assert!(
            parse_imf_fixdate(modified) <= date,
            "Last-Modified after Date: {response:?}"
        );
    }
}

/// A 4xx or 5xx with a body has a problem (RFC 9457), but for `/health` and its
/// neighbours, whose 503 keeps the shape of their 200.
fn check_problem(response: &Response) {
    if response.status < 400 || response.body.is_empty() {
        return;
    }
    let json = response.json();
    if response.status == 503 && json["status"].is_string() {
        return;
    }
    assert_eq!(
        response.header("content-type"),
        Some("application/problem+json"),
        "{response:?}"
    );
    assert_eq!(json["status"], response.status, "{json}");
    assert_eq!(json["title"], response.reason, "{json}");
    assert!(json["type"].is_string(), "{json}");
    assert!(
        json["detail"]
            .as_str()
            .is_some_and(|detail| !detail.is_empty()),
        "{json}"
    );
    if response.status == 422 {
        let errors = json["errors"]
            .as_array()
            .unwrap_or_else(|| panic!("no errors in {json}"));
        assert!(!errors.is_empty(), "{json}");
        for error in errors {
            assert!(
                error["field"].is_string() && error["message"].is_string(),
                "{json}"
            );
        }
    }
}

/// Fields that a status cannot be without.
fn check_demanded_fields(response: &Response) {
    let demanded: &[&str] = match response.status {
        201 => &["location"],
        405 => &["allow"],
        416 => &["content-range"],
        // A write that may have happened is not to be repeated blindly.
        503 if response.text().contains("problem:outcome-unknown") => &[],
        429 | 503 => &["retry-after"],
        _ => &[],
    };
    for name in demanded {
        response.must_have(name);
    }
    if response.status == 206 {
        let multipart = response
            .must_have("content-type")
            .starts_with("multipart/byteranges");
        assert!(
            multipart != response.header("content-range").is_some(),
            "{response:?}"
        );
    }
    if response.status == 416 {
        assert!(
            response.must_have("content-range").starts_with("bytes */"),
            "{response:?}"
        );
    }
}
