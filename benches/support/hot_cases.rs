//! The parts of a request's hot path, one case each: what `micro` times and
//! `instructions` counts.
#![allow(dead_code)]

use std::hint::black_box;
use std::rc::Rc;

use bytes::Bytes;
use corelane::internals::cache::{KeyHasher, Payload};
use corelane::internals::http::{HeadLimits, RequestHead, ResponseHead, encode_field_line};
use corelane::internals::http1::{
    ConnectionHeader, HeadParser, ResponseFraming, Version, encode_head,
};
use corelane::internals::limits::HttpLimits;
use corelane::internals::metrics::{RouteIndex, RouteName, ShardMetrics};
use corelane::internals::router::{Match, Params, Router};
use corelane::{PreparedResponse, Response};
use http::{HeaderName, HeaderValue, Method, StatusCode, header};

use super::directory::{Directory, HASH_SEED, key_of, replica};

/// Who runs the cases: a clock, or a counter.
pub(crate) trait Cases {
    /// Whether a case of this name is wanted; what it needs is built only then.
    fn wants(&self, name: &str) -> bool;

    /// Runs a case as often as it likes.
    fn case<T>(&mut self, name: &str, run: impl FnMut() -> T);
}

pub(crate) fn all(cases: &mut impl Cases) {
    parse(cases);
    route(cases);
    encode(cases);
    encode_whole(cases);
    respond(cases);
    record(cases);
    l1(cases);
}

pub(crate) const BARE: &[u8] = b"GET /api/users/42 HTTP/1.1\r\nHost: localhost:3000\r\n\r\n";

const BROWSER: &[u8] = b"GET /static/css/app.css?v=3 HTTP/1.1\r\nHost: localhost:3000\r\n\
Connection: keep-alive\r\nsec-ch-ua: \"Chromium\";v=\"140\"\r\nsec-ch-ua-mobile: ?0\r\n\
User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko)\r\n\
Accept: text/css,*/*;q=0.1\r\nSec-Fetch-Site: same-origin\r\nSec-Fetch-Mode: no-cors\r\n\
Referer: http://localhost:3000/\r\nAccept-Encoding: gzip, deflate, br, zstd\r\n\
Accept-Language: en-US,en;q=0.9\r\nIf-None-Match: \"0123456789abcdef\"\r\n\r\n";

fn parse(cases: &mut impl Cases) {
    let limits = HeadLimits::from(&HttpLimits::default());
    let mut head = RequestHead::new();
    for (name, request) in [("parse/bare", BARE), ("parse/browser", BROWSER)] {
        cases.case(name, || {
            HeadParser::new().parse(black_box(request), &limits, &mut head)
        });
    }
}

fn route(cases: &mut impl Cases) {
    let mut router = Router::new();
    for pattern in [
        "/",
        "/metrics",
        "/health",
        "/health/live",
        "/health/ready",
        "/resource",
        "/api/users",
        "/api/users/{id}",
        "/api/users/batch",
        "/api/users/near",
        "/api/users/export",
        "/api/posts",
        "/api/posts/{id}",
        "/static/{*path}",
    ] {
        router
            .insert(Method::GET, pattern, pattern)
            .expect("no conflict");
    }
    let mut params = Params::new();
    for (name, path) in [
        ("route/fixed", "/api/users"),
        ("route/parameter", "/api/users/42"),
        ("route/remainder", "/static/css/app.css"),
        ("route/none", "/nowhere"),
    ] {
        cases.case(name, || {
            let found = router.find(&Method::GET, black_box(path), &mut params);
            matches!(found, Match::Found(_))
        });
    }
}

const DATE: &[u8; 29] = b"Sat, 29 Oct 1994 19:43:31 GMT";

/// Writes the head of a 200 that stays open.
fn encode_200(
    out: &mut Vec<u8>,
    lines: &[&[u8]],
    headers: &[(HeaderName, HeaderValue)],
    body_bytes: usize,
) {
    let head = ResponseHead {
        status: StatusCode::OK,
        lines,
        headers,
        date: DATE,
        extra: &[],
    };
    let framing = ResponseFraming::Length(body_bytes as u64);
    encode_head(out, &head, Version::Http11, framing, ConnectionHeader::Omit);
}

fn headers() -> [(HeaderName, HeaderValue); 4] {
    [
        (header::CONTENT_TYPE, "application/json"),
        (header::ETAG, "\"u42-v1\""),
        (header::CACHE_CONTROL, "no-cache"),
        (header::LAST_MODIFIED, "Sat, 29 Oct 1994 19:43:31 GMT"),
    ]
    .map(|(name, value)| (name, HeaderValue::from_static(value)))
}

fn encode(cases: &mut impl Cases) {
    let headers = headers();
    let mut out = Vec::with_capacity(4_096);
    cases.case("encode/head of 3 headers", || {
        out.clear();
        encode_200(&mut out, &[], black_box(&headers[..3]), 169);
        out.len()
    });
}

/// A response with four headers and a body of a KiB, three ways: its fields one
/// by one, copied from where they were encoded once, and that with a line of
/// the cache's; each body copied behind its head, as the shard does.
fn encode_whole(cases: &mut impl Cases) {
    let headers = headers();
    let mut lines = Vec::new();
    for (name, value) in &headers {
        encode_field_line(&mut lines, name.as_str(), value.as_bytes());
    }
    let cache_line = b"x-cache: HIT\r\ncache-status: corelane; hit; detail=l1\r\n";
    let both: [&[u8]; 2] = [&lines, cache_line];
    let body = vec![b'x'; 1024];
    let mut out = Vec::with_capacity(4_096);
    for (name, lines, headers) in [
        ("encode/plain", &[][..], &headers[..]),
        ("encode/prepared", &both[..1], &[]),
        ("encode/prepared, cache line", &both, &[]),
    ] {
        cases.case(name, || {
            out.clear();
            let body = black_box(&body);
            encode_200(&mut out, black_box(lines), black_box(headers), body.len());
            out.extend_from_slice(body);
            out.len()
        });
    }
}

/// What a handler does to answer with four headers: build them, or count a
/// reference. Without the copies into the output, which `encode_whole` has.
fn respond(cases: &mut impl Cases) {
    let build = || {
        Response::with_body("application/json", Bytes::from_static(&[b'x'; 1024]))
            .header("etag", "\"u42-v1\"")
            .header("cache-control", "no-cache")
            .header("last-modified", "Sat, 29 Oct 1994 19:43:31 GMT")
    };
    let prepared = PreparedResponse::new(build()).expect("it may be kept");
    let prepared = Rc::new(prepared);
    cases.case("respond/plain", || drop(black_box(build())));
    cases.case("respond/prepared", || {
        drop(black_box(Response::prepared(black_box(&prepared).clone())));
    });
}

fn record(cases: &mut impl Cases) {
    let mut metrics = ShardMetrics::new(vec![RouteName::new("GET", "/api/users/{id}")]);
    let mut duration_ns = 1_000;
    cases.case("record/request", || {
        // Walks over the buckets of the histogram.
        duration_ns = duration_ns * 5 % 99_991 + 1_000;
        metrics.record(RouteIndex(0), 200, duration_ns, 300, 80);
    });
}

pub(crate) const KEYS: u64 = 4_096;

/// Hashing the key, finding the copy and judging it, as a hit does; keys in
/// turn, so that they are not all in the first cache of the core. Where this
/// shard is the key's home too and its directory has to choose what to keep,
/// the directory is told of the hit.
fn l1(cases: &mut impl Cases) {
    let kinds = [("L1/get", false), ("L1/get, home here and full", true)];
    if !kinds.iter().any(|(name, _)| cases.wants(name)) {
        return;
    }
    let directory = loaded(1);
    let hasher = KeyHasher::new(HASH_SEED);
    let names: Vec<String> = (0..KEYS).map(|id| id.to_string()).collect();
    let (holder, home) = (&directory.holders[0], &directory.homes[0]);
    for (name, is_home) in kinds {
        let mut turn = names.iter().cycle();
        cases.case(name, || {
            let name = turn.next().expect("a cycle has no end");
            let key = hasher.key(1, black_box(name.as_bytes()));
            let kept = holder.entries().map.find(key).expect("it is loaded");
            if is_home {
                black_box(home.entries().map.find(key));
            }
            holder.judge(&kept.entry, 1)
        });
    }
}

/// Every key has been loaded by the last shard.
pub(crate) fn loaded(shards: usize) -> Directory {
    let mut directory = Directory::new(shards, 64 << 20);
    for key in (0..KEYS).map(key_of) {
        directory.read(shards - 1, &key, 0, || {
            replica(Payload::of(7_u64), u64::MAX)
        });
    }
    directory
}
