//! Compressed answers: who gets them, what their heads say, and that they are
//! always of the content that the plain answer would have had.

mod api;

use std::io::Read;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use corelane::{App, Compression, Ctx, Error, PreparedResponse, Response};
use futures_util::stream;
use http::{Method, StatusCode};
use serde_json::json;

use crate::harness::{As, Client, Engine, InProcess, Response as Received, pattern};

both_engines!(
    a_stream_is_readable_chunk_by_chunk,
    pipelined_requests_each_get_what_they_accept,
);

either_engine!(
    who_accepts_gzip_gets_it_and_nobody_else,
    what_is_short_or_no_text_is_left_as_it_is,
    head_says_what_get_says,
    a_strong_tag_is_another_and_comes_back,
    a_long_body_is_compressed_off_the_shard,
    what_is_kept_is_compressed_once,
    a_route_can_have_it_alone,
);

const GZIP: &[(&str, &str)] = &[("Accept-Encoding", "gzip")];

/// Some JSON of about so many bytes, the same each time.
fn text(bytes: usize) -> String {
    let mut text = String::from("[");
    for id in 0..bytes / 40 {
        text += &format!("{{\"id\":{id:06},\"name\":\"number {id:06}\"}},\n");
    }
    text + "0]"
}

fn json_of(bytes: usize) -> Response {
    Response::with_body("application/json", text(bytes))
}

fn gunzip(coded: &[u8]) -> Vec<u8> {
    let mut plain = Vec::new();
    let mut decoder = flate2::bufread::GzDecoder::new(coded);
    decoder.read_to_end(&mut plain).expect("gzip");
    assert!(decoder.into_inner().is_empty(), "bytes behind the end");
    plain
}

#[track_caller]
fn expect_gzip(response: &Received) -> Vec<u8> {
    assert_eq!(
        response.must_have("content-encoding"),
        "gzip",
        "{response:?}"
    );
    assert!(says_vary(response), "{response:?}");
    gunzip(&response.body)
}

#[track_caller]
fn expect_plain(response: &Received) {
    assert_eq!(response.header("content-encoding"), None, "{response:?}");
}

fn says_vary(response: &Received) -> bool {
    let names = response.header("vary").unwrap_or_default().split(',');
    names.map(str::trim).any(|name| name == "Accept-Encoding")
}

struct Kept(Rc<PreparedResponse>);

const LONG_BYTES: usize = 200_000;

fn app() -> App {
    let kept = || {
        json_of(5_000)
            .header("ETag", "\"kept\"")
            .header("Vary", "Origin")
    };
    App::new()
        .middleware(Compression::new())
        .state(
            move |_| async move { Ok(Kept(Rc::new(PreparedResponse::new(kept()).expect("kept")))) },
        )
        .get("/list", async |_| Ok(json_of(5_000)))
        .post("/list", async |_| Ok(json_of(5_000)))
        .get("/tagged", tagged)
        .put("/tagged", tagged)
        .get("/long", async |_| Ok(json_of(LONG_BYTES)))
        .get("/short", async |_| Ok(json_of(800)))
        .get("/image", async |_| {
            Ok(Response::with_body("image/png", pattern(5_000)))
        })
        .get("/noise", async |_| Ok(Response::text(noise())))
        .get("/coded", async |_| {
            Ok(json_of(5_000).header("Content-Encoding", "br"))
        })
        .get("/fixed", async |_| {
            Ok(json_of(5_000).header("Cache-Control", "public, No-Transform"))
        })
        .get("/part", async |_| {
            let part = json_of(5_000).with_status(StatusCode::PARTIAL_CONTENT);
            Ok(part.header("Content-Range", "bytes 0-4999/9999"))
        })
        .get("/digest", async |_| {
            Ok(json_of(5_000).header("Repr-Digest", "sha-256=:AA==:"))
        })
        .get("/any", async |_| Ok(json_of(5_000).header("Vary", "*")))
        .get("/ranges", async |_| {
            Ok(json_of(5_000).header("Accept-Ranges", "bytes"))
        })
        .get("/altered", async |_| {
            Ok(json_of(5_000).with_status(StatusCode::NON_AUTHORITATIVE_INFORMATION))
        })
        .get("/wrong", async |_| -> Result<Response, Error> {
            Err(Error::conflict("taken ".repeat(1_000)))
        })
        .get("/kept", async |ctx: Ctx| {
            ctx.respond_conditionally(ctx.state::<Kept>().0.clone())
        })
        .get("/lines", async |_| {
            Ok(Response::stream("application/x-ndjson", lines()))
        })
        .get("/health/live", async |_| Ok(Response::text("alive\n")))
}

/// Of a resource with a tag, in the way of a handler that looks at conditions.
async fn tagged(ctx: Ctx) -> Result<Response, Error> {
    let response = json_of(5_000)
        .header("ETag", "\"v1\"")
        .header("Last-Modified", "Sat, 29 Oct 1994 19:43:31 GMT");
    let prepared = PreparedResponse::new(response).expect("it may be kept");
    ctx.respond_conditionally(Rc::new(prepared))
}

fn noise() -> Vec<u8> {
    let mut state = 1_u64;
    let next = || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        (state >> 56) as u8
    };
    std::iter::repeat_with(next).take(5_000).collect()
}

/// A line, then one that is long, then what never comes to an end by itself.
fn lines() -> impl futures_util::Stream<Item = Result<Bytes, Error>> {
    stream::unfold(0, |step| async move {
        let line = match step {
            0 => "first\n".to_owned(),
            1 => text(LONG_BYTES),
            2 => {
                corelane::engine::sleep(Duration::from_millis(400)).await;
                "last\n".to_owned()
            }
            _ => return None,
        };
        Some((Ok(Bytes::from(line)), step + 1))
    })
}

fn who_accepts_gzip_gets_it_and_nobody_else(engine: Engine) {
    let server = InProcess::start(engine, app());
    let mut client = server.connect();
    for (accepted, is_gzip) in [
        (Some("gzip"), true),
        (Some("gzip, deflate, br, zstd"), true),
        (Some("x-gzip"), true),
        (Some("GZIP;q=0.001"), true),
        (Some("*"), true),
        (Some("br, *;q=0.5"), true),
        (Some("identity;q=0.5, gzip;q=1.0"), true),
        (Some("*;q=0, gzip"), true),
        (None, false),
        (Some(""), false),
        (Some("br, zstd"), false),
        (Some("gzip;q=0"), false),
        (Some("gzip;q=0.5, identity"), false),
        (Some("*, gzip;q=0"), false),
        // Nothing there is acceptable: an answer is better than none.
        (Some("identity;q=0, *;q=0"), false),
        (Some("br, identity;q=0"), false),
    ] {
        let header = accepted.map(|value| ("Accept-Encoding", value));
        let response = client.get_with("/list", header.as_slice()).expect(200);
        assert!(says_vary(&response), "{accepted:?}: {response:?}");
        if is_gzip {
            assert_eq!(
                expect_gzip(&response),
                text(5_000).as_bytes(),
                "{accepted:?}"
            );
            assert!(response.body.len() < 1_500, "{response:?}");
        } else {
            expect_plain(&response);
            assert_eq!(response.text(), text(5_000), "{accepted:?}");
        }
    }
    // Several lines are one list, and other methods have bodies too.
    let lines = [("Accept-Encoding", "br"), ("accept-encoding", "gzip")];
    expect_gzip(&client.get_with("/list", &lines).expect(200));
    let posted = client.request("POST", "/list", GZIP, b"").expect(200);
    assert_eq!(expect_gzip(&posted), text(5_000).as_bytes());
    expect_gzip(&client.get_with("/altered", GZIP).expect(203));
    client.expect_usable();
}

fn what_is_short_or_no_text_is_left_as_it_is(engine: Engine) {
    let server = InProcess::start(engine, app());
    let mut client = server.connect();
    for (path, status) in [
        ("/short", 200),
        ("/image", 200),
        ("/fixed", 200),
        ("/digest", 200),
        ("/wrong", 409),
        ("/nowhere", 404),
    ] {
        let response = client.get_with(path, GZIP).expect(status);
        expect_plain(&response);
        assert!(!says_vary(&response), "{response:?}");
    }
    let problem = client.get_with("/wrong", GZIP).expect_problem(409);
    assert!(problem.starts_with("taken "));
    let coded = client.get_with("/coded", GZIP).expect(200);
    assert_eq!(coded.header("content-encoding"), Some("br"));
    assert_eq!(coded.text(), text(5_000));
    // What does not get shorter could have.
    let noise = client.get_with("/noise", GZIP).expect(200);
    expect_plain(&noise);
    assert!(says_vary(&noise));
    // Nor may a part be taken for one of the gzip.
    let part = client.get_with("/part", GZIP).expect(206);
    expect_plain(&part);
    assert!(says_vary(&part));
    let any = client.get_with("/any", GZIP).expect(200);
    assert_eq!(any.header("content-encoding"), Some("gzip"));
    assert_eq!(any.header("vary"), Some("*"));
    let ranges = client.get_with("/ranges", GZIP).expect(200);
    assert_eq!(ranges.header("accept-ranges"), None, "{ranges:?}");
    let plain = client.get("/ranges").expect(200);
    assert_eq!(plain.header("accept-ranges"), Some("bytes"));
}

fn head_says_what_get_says(engine: Engine) {
    let server = InProcess::start(engine, app());
    let mut client = server.connect();
    for path in ["/list", "/tagged", "/long", "/short", "/kept", "/lines"] {
        for headers in [GZIP, &[]] {
            let lines_of = |response: Received| {
                let mut lines = response.headers;
                lines.retain(|(name, _)| name != "date");
                lines
            };
            let get = lines_of(client.get_with(path, headers).expect(200));
            let head = lines_of(client.request("HEAD", path, headers, b"").expect(200));
            assert_eq!(head, get, "{path}");
        }
    }
    client.expect_usable();
}

fn a_strong_tag_is_another_and_comes_back(engine: Engine) {
    let server = InProcess::start(engine, app());
    let mut client = server.connect();
    let plain = client.get("/tagged").expect(200);
    assert_eq!(plain.must_have("etag"), "\"v1\"");
    let coded = client.get_with("/tagged", GZIP).expect(200);
    assert_eq!(coded.must_have("etag"), "\"v1--gzip\"");
    let accepting = GZIP[0];
    for (condition, value, accepts, tag) in [
        ("If-None-Match", "\"v1--gzip\"", true, Some("\"v1--gzip\"")),
        (
            "If-None-Match",
            "W/\"v1--gzip\"",
            true,
            Some("\"v1--gzip\""),
        ),
        (
            "If-None-Match",
            "\"v0\", \"v1--gzip\"",
            true,
            Some("\"v1--gzip\""),
        ),
        // The copy it names is plain, and good.
        ("If-None-Match", "\"v1\"", true, Some("\"v1\"")),
        ("If-None-Match", "\"v1\"", false, Some("\"v1\"")),
        (
            "If-Modified-Since",
            "Sat, 29 Oct 1994 19:43:31 GMT",
            true,
            Some("\"v1--gzip\""),
        ),
        (
            "If-Modified-Since",
            "Sat, 29 Oct 1994 19:43:31 GMT",
            false,
            Some("\"v1\""),
        ),
        ("If-None-Match", "\"v2--gzip\"", true, None),
        ("If-None-Match", "\"v1--gzip--gzip\"", true, None),
        // A copy that it would not accept.
        ("If-None-Match", "\"v1--gzip\"", false, None),
    ] {
        let headers = [(condition, value), accepting];
        let headers = if accepts { &headers[..] } else { &headers[..1] };
        let response = client.get_with("/tagged", headers);
        match tag {
            Some(tag) => {
                let fresh = response.expect(304);
                assert_eq!(fresh.must_have("etag"), tag, "{value}");
                assert!(says_vary(&fresh), "{fresh:?}");
                expect_plain(&fresh);
            }
            None => drop(response.expect(200)),
        }
    }
    // Writes: the tag of either copy, strong, whatever is accepted now.
    for (value, status) in [
        ("\"v1\"", 200),
        ("\"v1--gzip\"", 200),
        ("\"v0\", \"v1--gzip\"", 200),
        ("*", 200),
        ("W/\"v1--gzip\"", 412),
        ("\"v0--gzip\"", 412),
    ] {
        let response = client.request("PUT", "/tagged", &[("If-Match", value)], b"");
        assert_eq!(response.status, status, "{value}");
    }
    let creating = [("If-None-Match", "\"v1--gzip\"")];
    client.request("PUT", "/tagged", &creating, b"").expect(412);
}

fn a_long_body_is_compressed_off_the_shard(engine: Engine) {
    let server = InProcess::start_shards(engine, 1, app(), |_| {});
    let mut client = server.connect();
    let long = client.get_with("/long", GZIP).expect(200);
    assert_eq!(expect_gzip(&long), text(LONG_BYTES).as_bytes());
    // More at once than may wait: all are answered, some as they are.
    let whole = text(LONG_BYTES);
    let mut clients: Vec<_> = (0..24).map(|_| server.connect()).collect();
    for client in &mut clients {
        client.send("GET /long HTTP/1.1\r\nHost: a\r\nAccept-Encoding: gzip\r\n\r\n");
    }
    for client in &mut clients {
        let response = client.read().expect(200);
        assert!(says_vary(&response));
        let plain = match response.header("content-encoding") {
            Some(_) => gunzip(&response.body),
            None => response.body,
        };
        assert!(plain == whole.as_bytes());
    }
}

fn a_stream_is_readable_chunk_by_chunk(engine: Engine) {
    let server = InProcess::start(engine, app());
    let mut client = server.connect();
    client.send("GET /lines HTTP/1.1\r\nHost: a\r\nAccept-Encoding: gzip\r\n\r\n");
    client.read_head();
    let mut coded = client.read_chunk().expect("a first chunk");
    let mut first = [0; 6];
    let mut decoder = flate2::read::GzDecoder::new(&coded[..]);
    decoder.read_exact(&mut first).expect("the first line");
    assert_eq!(&first, b"first\n");
    while let Some(chunk) = client.read_chunk() {
        coded.extend(chunk);
    }
    let all = format!("first\n{}last\n", text(LONG_BYTES));
    assert_eq!(gunzip(&coded), all.as_bytes());
    client.expect_usable();
    let mut old = server.connect();
    old.send("GET /lines HTTP/1.0\r\nAccept-Encoding: gzip\r\n\r\n");
    assert_eq!(
        expect_gzip(&old.read_as(As::Http10).expect(200)),
        all.as_bytes()
    );
}

/// What the shards together have counted.
fn counted(client: &mut Client, name: &str) -> u64 {
    let metrics = client.get("/metrics").expect(200).json();
    metrics["compression"][name].as_u64().expect("a count")
}

fn what_is_kept_is_compressed_once(engine: Engine) {
    let app = app().get("/metrics", async |ctx: Ctx| {
        let compression = ctx.metrics().await.compression.expect("it is used");
        let (answers, reused) = (compression.answers, compression.reused);
        let (plain, coded) = (compression.plain_bytes, compression.coded_bytes);
        assert!(coded < plain || plain == 0);
        Response::json(&json!({"compression": {"answers": answers, "reused": reused}}))
    });
    let server = InProcess::start_shards(engine, 1, app, |_| {});
    let mut client = server.connect();
    for _ in 0..5 {
        let kept = client.get_with("/kept", GZIP).expect(200);
        assert_eq!(expect_gzip(&kept), text(5_000).as_bytes());
        assert_eq!(kept.must_have("etag"), "\"kept--gzip\"");
        assert_eq!(kept.must_have("vary"), "Origin, Accept-Encoding");
        let plain = client.get("/kept").expect(200);
        assert_eq!(plain.must_have("vary"), "Origin, Accept-Encoding");
        assert_eq!(plain.text(), text(5_000));
    }
    assert_eq!(counted(&mut client, "answers"), 1);
    assert_eq!(counted(&mut client, "reused"), 4);
    // What is made anew for each request is not kept for another.
    for _ in 0..3 {
        expect_gzip(&client.get_with("/tagged", GZIP).expect(200));
    }
    assert_eq!(counted(&mut client, "answers"), 4);
}

fn pipelined_requests_each_get_what_they_accept(engine: Engine) {
    let server = InProcess::start(engine, app());
    let mut client = server.connect();
    let plain = "GET /list HTTP/1.1\r\nHost: a\r\n\r\n";
    let gzip = "GET /kept HTTP/1.1\r\nHost: a\r\nAccept-Encoding: gzip\r\n\r\n";
    let long = "GET /long HTTP/1.1\r\nHost: a\r\nAccept-Encoding: gzip\r\n\r\n";
    client.send([plain, gzip, long].concat().repeat(4));
    for _ in 0..4 {
        assert_eq!(client.read().expect(200).text(), text(5_000));
        assert_eq!(
            expect_gzip(&client.read().expect(200)),
            text(5_000).as_bytes()
        );
        assert_eq!(
            expect_gzip(&client.read().expect(200)),
            text(LONG_BYTES).as_bytes()
        );
    }
    client.expect_usable();
}

fn a_route_can_have_it_alone(engine: Engine) {
    let hard = Compression::new().level(9).expect("a level").min_bytes(100);
    let only_text = hard.clone().types(["text/*"]).expect("types");
    let app = App::new()
        .get("/with", async |_| Ok(json_of(800)))
        .get("/without", async |_| Ok(json_of(5_000)))
        .get("/text", async |_| Ok(json_of(5_000)))
        .middleware_on(&Method::GET, "/with", hard)
        .middleware_on(&Method::GET, "/text", only_text);
    let server = InProcess::start(engine, app);
    let mut client = server.connect();
    let with = client.get_with("/with", GZIP).expect(200);
    assert_eq!(expect_gzip(&with), text(800).as_bytes());
    for path in ["/without", "/text"] {
        let response = client.get_with(path, GZIP).expect(200);
        expect_plain(&response);
        assert_eq!(response.header("vary"), None);
    }
}
