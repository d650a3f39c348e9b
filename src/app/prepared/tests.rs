//! What may be kept, what is asked of it, and what becomes of it in the hands
//! of middleware.

use futures_util::stream;

use super::*;
use crate::app::BodyKind;
use crate::app::cache_line::CacheLine;

static HIT: CacheLine = CacheLine::new("x-cache: HIT\r\ncache-status: corelane; hit\r\n");

const DATE: &str = "Sat, 29 Oct 1994 19:43:31 GMT";
const DATE_S: i64 = 783_459_811;

fn full() -> Response {
    Response::text("hello")
        .header("ETag", "W/\"v1\"")
        .header("Content-Language", "en")
        .header("Last-Modified", DATE)
        .header("X-Answer", "42")
}

fn shared(response: Response) -> SharedResponse {
    Rc::new(PreparedResponse::new(response).expect("it may be kept")).into()
}

fn lines(response: &Response) -> Vec<String> {
    let line = |(name, value): (&HeaderName, &HeaderValue)| {
        format!("{name}: {}", String::from_utf8_lossy(value.as_bytes()))
    };
    response.headers().map(line).collect()
}

/// The lines as `shard` sends them, from both places.
fn sent_lines(response: Response) -> Vec<String> {
    let (head, _) = response.into_parts();
    let mut sent = head.lines().concat();
    for (name, value) in &head.headers {
        encode_field_line(&mut sent, name.as_str(), value.as_bytes());
    }
    let text = String::from_utf8(sent).expect("text");
    text.split_terminator("\r\n").map(str::to_owned).collect()
}

const SHARED_FIRST: [&str; 5] = [
    "etag: W/\"v1\"",
    "last-modified: Sat, 29 Oct 1994 19:43:31 GMT",
    "x-answer: 42",
    "content-type: text/plain; charset=utf-8",
    "content-language: en",
];

#[test]
fn what_must_not_be_sent_to_others_comes_back() {
    let with = |name, value| Response::text("hello").header(name, value);
    let status = |code| Response::text("hello").with_status(StatusCode::from_u16(code).unwrap());
    for response in [
        Response::stream("text/plain", stream::empty()),
        with("Set-Cookie", "a=b"),
        with("Cache-Control", "private, No-Store"),
        with("Cache-Control", "no-store"),
        with("Vary", "*"),
        with("Vary", "Accept, *"),
        status(103),
        status(206),
        status(304),
    ] {
        let (status, before) = (response.status(), lines(&response));
        let back = PreparedResponse::new(response).expect_err("it must not be kept");
        assert_eq!((back.status(), lines(&back)), (status, before));
    }
    for response in [
        with("Cache-Control", "private, no-cache, max-age=0"),
        with("Cache-Control", "x-no-store"),
        with("Vary", "Accept"),
        Response::no_content(),
        status(404),
        status(500),
    ] {
        assert!(PreparedResponse::new(response).is_ok());
    }
}

#[test]
fn it_tells_what_it_is_made_of() {
    let prepared = shared(full().with_status(StatusCode::CREATED));
    assert_eq!(prepared.status(), StatusCode::CREATED);
    assert_eq!(prepared.body(), b"hello");
    assert_eq!(prepared.body_bytes(), "hello");
    assert_eq!(prepared.headers().len(), 5);
    assert_eq!(
        prepared.header_value(&HeaderName::from_static("x-answer")),
        Some(&HeaderValue::from_static("42"))
    );
    let validators = prepared.validators();
    assert_eq!(validators.etag, Some(&ETag::weak("v1").unwrap()));
    assert_eq!(
        validators.last_modified.map(|date| date.second()),
        Some(DATE_S)
    );
    let unreadable = shared(full().header("ETag", "v1").header("Last-Modified", "now"));
    assert_eq!(unreadable.validators().etag, None);
    assert_eq!(unreadable.validators().last_modified, None);
}

#[test]
fn its_weight_covers_its_bytes() {
    let light = shared(full());
    let heavy = shared(full().replace_body(vec![0; 10_000]));
    assert_eq!(heavy.weight_bytes() - light.weight_bytes(), 10_000 - 5);
    let text: usize = SHARED_FIRST.iter().map(|line| line.len() + 2).sum();
    assert!(light.weight_bytes() > size_of::<PreparedResponse>() + text + 5);
    assert!(shared(Response::no_content()).weight_bytes() >= size_of::<PreparedResponse>());
}

#[test]
fn headers_of_the_answer_are_not_kept() {
    let mut response = full();
    for name in [
        "date",
        "server",
        "content-length",
        "connection",
        "transfer-encoding",
        "x-cache",
        "cache-status",
    ] {
        response.append_header(name.parse().unwrap(), HeaderValue::from_static("7"));
    }
    let response = Response::prepared(shared(response.with_cache_line(&HIT)));
    assert_eq!(lines(&response), SHARED_FIRST);
}

#[test]
fn an_answer_looks_like_any_other() {
    let response = Response::prepared(shared(full())).with_cache_line(&HIT);
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(response.body().as_bytes(), Some(&b"hello"[..]));
    assert_eq!(response.body().length(), Some(5));
    let x_cache = response.header_value(&HeaderName::from_static("x-cache"));
    assert_eq!(x_cache, Some(&HeaderValue::from_static("HIT")));
    let mut expected = SHARED_FIRST.to_vec();
    expected.extend(["x-cache: HIT", "cache-status: corelane; hit"]);
    assert_eq!(lines(&response), expected);
    assert_eq!(sent_lines(response), expected);
}

#[test]
fn a_304_leaves_out_what_describes_content() {
    let response = full()
        .header("Content-Location", "/here")
        .header("Content-Security-Policy", "default-src 'self'")
        .header("Content-Encoding", "br")
        .header("Repr-Digest", "sha-256=:AA==:");
    let answer = Response::prepared_not_modified(shared(response)).with_cache_line(&HIT);
    assert_eq!(answer.status(), StatusCode::NOT_MODIFIED);
    assert_eq!(answer.body().length(), Some(0));
    let mut expected = SHARED_FIRST[..3].to_vec();
    expected.extend([
        "content-location: /here",
        "content-security-policy: default-src 'self'",
        "x-cache: HIT",
        "cache-status: corelane; hit",
    ]);
    assert_eq!(lines(&answer), expected);
    assert_eq!(sent_lines(answer), expected);
}

#[test]
fn a_header_added_leaves_the_block_as_it_is() {
    let mut response = Response::prepared(shared(full())).with_cache_line(&HIT);
    for value in ["a", "b"] {
        response.append_header(header::VARY, HeaderValue::from_static(value));
    }
    response.insert_header(header::AGE, HeaderValue::from_static("1"));
    response.insert_header(header::AGE, HeaderValue::from_static("2"));
    let mut expected = SHARED_FIRST.to_vec();
    expected.extend(["x-cache: HIT", "cache-status: corelane; hit"]);
    expected.extend(["vary: a", "vary: b", "age: 2"]);
    assert_eq!(lines(&response), expected);
    assert_ne!(response.into_parts().0.lines()[0], b"");
}

#[test]
fn a_header_replaced_is_there_once() {
    for name in ["etag", "x-cache", "content-language"] {
        let mut response = Response::prepared(shared(full())).with_cache_line(&HIT);
        response.append_header(header::AGE, HeaderValue::from_static("1"));
        response.insert_header(name.parse().unwrap(), HeaderValue::from_static("new"));
        let mut expected: Vec<String> = SHARED_FIRST.map(str::to_owned).into();
        expected.extend(["x-cache: HIT", "cache-status: corelane; hit", "age: 1"].map(Into::into));
        expected.retain(|line| !line.starts_with(name));
        expected.push(format!("{name}: new"));
        assert_eq!(lines(&response), expected);
        assert_eq!(response.body().as_bytes(), Some(&b"hello"[..]));
        assert_eq!(sent_lines(response), expected);
    }
    // What is kept is as it was.
    let kept = shared(full());
    let _ = Response::prepared(kept.clone()).header("ETag", "\"v2\"");
    assert_eq!(kept.header_value(&header::ETAG).unwrap(), "W/\"v1\"");
}

#[test]
fn status_and_body_are_replaced_beside_the_block() {
    let response = Response::prepared(shared(full()))
        .with_status(StatusCode::ACCEPTED)
        .replace_body("other");
    assert_eq!(response.status(), StatusCode::ACCEPTED);
    assert_eq!(response.body().as_bytes(), Some(&b"other"[..]));
    assert_eq!(lines(&response), SHARED_FIRST);
}

#[test]
fn an_answer_can_be_prepared_again() {
    let mut response = Response::prepared(shared(full())).with_cache_line(&HIT);
    response.append_header(header::AGE, HeaderValue::from_static("1"));
    let again = Response::prepared(shared(response));
    let mut expected = SHARED_FIRST.to_vec();
    expected.insert(3, "age: 1");
    assert_eq!(lines(&again), expected);
}

#[test]
fn a_secret_value_stays_marked() {
    let mut value = HeaderValue::from_static("t");
    value.set_sensitive(true);
    let mut response = full();
    response.append_header(header::WWW_AUTHENTICATE, value);
    let kept = shared(response);
    assert!(
        kept.header_value(&header::WWW_AUTHENTICATE)
            .unwrap()
            .is_sensitive()
    );
    assert!(!kept.header_value(&header::ETAG).unwrap().is_sensitive());
}

#[test]
fn it_may_go_to_another_shard() {
    fn is_shareable<T: Send + Sync>() {}
    is_shareable::<PreparedResponse>();
}

#[test]
fn content_is_kept_without_anybodys_cookie() {
    let json = HeaderValue::from_static("application/json");
    let value = HeaderValue::from_static;
    let headers = [
        (header::SET_COOKIE, value("id=7")),
        (header::CACHE_CONTROL, value("no-store")),
    ];
    let prepared = PreparedResponse::of_content(json, b"{}", headers);
    assert_eq!(prepared.header_value(&header::SET_COOKIE), None);
    assert!(prepared.header_value(&header::CACHE_CONTROL).is_some());
}

#[test]
fn a_long_body_stays_in_its_sealed_pages() {
    let text = HeaderValue::from_static("text/plain");
    let content = vec![b'x'; 64 << 10];
    let pages = SealedBytes::copy_of(&content).unwrap();
    let headers = || [(header::ETAG, HeaderValue::from_static("\"v1\""))];
    let sealed = PreparedResponse::of_sealed(text.clone(), pages.clone(), headers());
    let copied = PreparedResponse::of_content(text, &content, headers());
    assert_eq!(sealed.headers(), copied.headers());
    assert_eq!(
        (sealed.body(), sealed.body_bytes()),
        (copied.body(), copied.body_bytes())
    );
    assert_eq!(sealed.weight_bytes(), copied.weight_bytes());
    assert_eq!(sealed.body().as_ptr(), pages.as_ref().as_ptr());
    let response = Response::prepared(Rc::new(sealed));
    assert_eq!(response.body().length(), Some(64 << 10));
    let BodyKind::Sealed(sent) = response.into_parts().1.into_kind() else {
        panic!("it would be copied");
    };
    assert_eq!(sent.as_ref().as_ptr(), pages.as_ref().as_ptr());
}
