//! What one request costs in the parts that need no socket: parsing its head,
//! finding its route, encoding its answer, recording it, and the conditional
//! and path logic of static files; a hit of the cache and what its state
//! machines cost; a rate limit; compression; and what a message to another shard costs.
//!
//! `cargo bench --bench micro [-- FILTER]`; `-- --test` only runs each case
//! once. The cache of static files belongs to a shard and is seen from outside
//! only: what a hit costs is measured through a socket.

#[path = "support/cache_cases.rs"]
mod cache_cases;
#[path = "support/directory.rs"]
mod directory;
#[path = "support/gzip_cases.rs"]
mod gzip_cases;
#[path = "support/hop.rs"]
mod hop;
#[path = "support/limit_cases.rs"]
mod limit_cases;

use std::hint::black_box;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use corelane::http1::{
    BodyDecoder, BodyFraming, ConnectionHeader, HeadLimits, HeadParser, RequestHead,
    ResponseFraming, ResponseHead, Version, encode_field, encode_head,
};
use corelane::limits::HttpLimits;
use corelane::metrics::{RouteIndex, RouteName, ShardMetrics};
use corelane::router::{Match, Params, Router};
use corelane::semantics::{Conditions, ETag, Validators, evaluate, parse_ranges};
use corelane::static_path::{PathRules, resolve};
use corelane::{PreparedResponse, Response};
use criterion::Criterion;
use http::{HeaderValue, Method, StatusCode, header};

fn main() {
    let mut bench = Criterion::default()
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(1))
        .configure_from_args();
    parse(&mut bench);
    route(&mut bench);
    encode(&mut bench);
    encode_whole(&mut bench);
    respond(&mut bench);
    record(&mut bench);
    semantics(&mut bench);
    cache_cases::all(&mut bench);
    limit_cases::all(&mut bench);
    gzip_cases::all(&mut bench);
    mesh_hop(&mut bench);
    bench.final_summary();
}

const BARE: &[u8] = b"GET /api/users/42 HTTP/1.1\r\nHost: localhost:3000\r\n\r\n";

const BROWSER: &[u8] = b"GET /static/css/app.css?v=3 HTTP/1.1\r\nHost: localhost:3000\r\n\
Connection: keep-alive\r\nsec-ch-ua: \"Chromium\";v=\"140\"\r\nsec-ch-ua-mobile: ?0\r\n\
User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko)\r\n\
Accept: text/css,*/*;q=0.1\r\nSec-Fetch-Site: same-origin\r\nSec-Fetch-Mode: no-cors\r\n\
Referer: http://localhost:3000/\r\nAccept-Encoding: gzip, deflate, br, zstd\r\n\
Accept-Language: en-US,en;q=0.9\r\nIf-None-Match: \"0123456789abcdef\"\r\n\r\n";

fn parse(bench: &mut Criterion) {
    let limits = HeadLimits::from(&HttpLimits::default());
    let mut head = RequestHead::new();
    for (name, request) in [("parse/bare", BARE), ("parse/browser", BROWSER)] {
        bench.bench_function(name, |b| {
            b.iter(|| HeadParser::new().parse(black_box(request), &limits, &mut head))
        });
    }
    let chunked = b"400\r\n"
        .iter()
        .chain(&[b'x'; 1024])
        .chain(b"\r\n0\r\n\r\n");
    let chunked: Vec<u8> = chunked.copied().collect();
    bench.bench_function("parse/chunk of 1 KiB", |b| {
        b.iter(|| {
            let mut decoder = BodyDecoder::new(BodyFraming::Chunked, 1 << 20).expect("a limit");
            decoder.decode(black_box(&chunked))
        })
    });
}

fn route(bench: &mut Criterion) {
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
        bench.bench_function(name, |b| {
            b.iter(|| {
                let found = router.find(&Method::GET, black_box(path), &mut params);
                matches!(found, Match::Found(_))
            })
        });
    }
}

fn encode(bench: &mut Criterion) {
    let headers = [
        (
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/json"),
        ),
        (header::ETAG, HeaderValue::from_static("\"u42-v1\"")),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-cache")),
    ];
    let mut out = Vec::with_capacity(4_096);
    bench.bench_function("encode/head of 3 headers", |b| {
        b.iter(|| {
            out.clear();
            let head = ResponseHead {
                status: StatusCode::OK,
                version: Version::Http11,
                lines: &[],
                headers: black_box(&headers),
                framing: ResponseFraming::Length(169),
                connection: ConnectionHeader::Omit,
                date: b"Sat, 29 Oct 1994 19:43:31 GMT",
                extra: &[],
            };
            encode_head(&mut out, &head);
            out.len()
        })
    });
}

/// A response with four headers and a body of a KiB, three ways: its fields one
/// by one, copied from where they were encoded once, and that with a line of
/// the cache's; each body copied behind its head, as the shard does.
fn encode_whole(bench: &mut Criterion) {
    let headers = [
        (
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/json"),
        ),
        (header::ETAG, HeaderValue::from_static("\"u42-v1\"")),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-cache")),
        (
            header::LAST_MODIFIED,
            HeaderValue::from_static("Sat, 29 Oct 1994 19:43:31 GMT"),
        ),
    ];
    let mut lines = Vec::new();
    for (name, value) in &headers {
        encode_field(&mut lines, name.as_str(), value.as_bytes());
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
        bench.bench_function(name, |b| {
            b.iter(|| {
                out.clear();
                let head = ResponseHead {
                    status: StatusCode::OK,
                    version: Version::Http11,
                    lines: black_box(lines),
                    headers: black_box(headers),
                    framing: ResponseFraming::Length(black_box(&body).len() as u64),
                    connection: ConnectionHeader::Omit,
                    date: b"Sat, 29 Oct 1994 19:43:31 GMT",
                    extra: &[],
                };
                encode_head(&mut out, &head);
                out.extend_from_slice(black_box(&body));
                out.len()
            })
        });
    }
}

/// What a handler does to answer with four headers: build them, or count a
/// reference. Without the copies into the output, which `encode_whole` has.
fn respond(bench: &mut Criterion) {
    let build = || {
        Response::with_body("application/json", Bytes::from_static(&[b'x'; 1024]))
            .header("etag", "\"u42-v1\"")
            .header("cache-control", "no-cache")
            .header("last-modified", "Sat, 29 Oct 1994 19:43:31 GMT")
    };
    let prepared = PreparedResponse::new(build()).expect("it may be kept");
    let prepared = Rc::new(prepared);
    bench.bench_function("respond/plain", |b| b.iter(|| drop(black_box(build()))));
    bench.bench_function("respond/prepared", |b| {
        b.iter(|| drop(black_box(Response::prepared(black_box(&prepared).clone()))))
    });
}

fn record(bench: &mut Criterion) {
    let mut metrics = ShardMetrics::new(vec![RouteName::new("GET", "/api/users/{id}")]);
    let mut duration_ns = 1_000;
    bench.bench_function("record/request", |b| {
        b.iter(|| {
            // Walks over the buckets of the histogram.
            duration_ns = duration_ns * 5 % 99_991 + 1_000;
            metrics.record(RouteIndex(0), 200, duration_ns, 300, 80);
        })
    });
}

fn semantics(bench: &mut Criterion) {
    let tag = ETag::strong("0123456789abcdef").expect("a tag");
    let current = Validators {
        etag: Some(&tag),
        last_modified_s: Some(783_459_811),
    };
    let conditions = Conditions {
        if_none_match: Some(b"W/\"other\", \"0123456789abcdef\""),
        ..Conditions::default()
    };
    bench.bench_function("conditional/304", |b| {
        b.iter(|| evaluate(true, black_box(&conditions), Some(current)))
    });
    bench.bench_function("range/two of three", |b| {
        b.iter(|| parse_ranges(black_box(b"bytes=0-99,50-199,-100"), 10_000, 16))
    });
    bench.bench_function("static path/clean", |b| {
        b.iter(|| resolve(black_box("css/app.0123abcd.css"), PathRules::default()).is_ok())
    });
    bench.bench_function("static path/encoded", |b| {
        b.iter(|| resolve(black_box("css/my%20app.css"), PathRules::default()).is_ok())
    });
}

fn mesh_hop(bench: &mut Criterion) {
    bench.bench_function("mesh hop/message in a batch of 64, one thread", |b| {
        b.iter_custom(|messages| hop::batches(messages, 64))
    });
    bench.bench_function("mesh hop/round trip, both busy", |b| {
        b.iter_custom(|rounds| hop::round_trips(rounds, hop::Idle::Spins))
    });
    bench.bench_function("mesh hop/round trip, both parked", |b| {
        b.iter_custom(|rounds| hop::round_trips(rounds, hop::Idle::Parks))
    });
}
