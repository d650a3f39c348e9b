//! Responses prepared once per shard: what is sent of them, under which
//! conditions, and what middleware can do to them.

use std::collections::BTreeMap;
use std::rc::Rc;

use corelane::{App, Ctx, Error, Next, PreparedResponse, Response};
use http::{HeaderName, HeaderValue, StatusCode, header};

use crate::harness::{As, Engine, InProcess, hash_of, pattern};

both_engines!(
    it_is_sent_like_the_response_it_was_made_of,
    head_has_the_same_head,
    pipelined_requests_are_all_answered_from_it,
    http_1_0_and_closing_clients_are_told_so,
    a_fresh_copy_is_not_sent_again,
    a_failed_condition_is_412_with_the_tag,
    an_answer_that_is_no_success_has_no_conditions,
    middleware_may_add_and_replace_headers,
    a_long_body_arrives_whole,
);

const DATE: &str = "Sat, 29 Oct 1994 19:43:31 GMT";
const BEFORE: &str = "Sat, 29 Oct 1994 19:43:30 GMT";

/// One shard's, by path.
struct Kept(BTreeMap<&'static str, Rc<PreparedResponse>>);

fn small() -> Response {
    Response::text("kept\n")
        .header("ETag", "\"v1\"")
        .header("Last-Modified", DATE)
        .header("Cache-Control", "no-cache")
        .header("Content-Language", "en")
}

fn moved() -> Response {
    let response = small().header("Location", "/kept");
    response.with_status(StatusCode::MOVED_PERMANENTLY)
}

fn long() -> Response {
    Response::with_body("application/octet-stream", pattern(LONG_BYTES)).header("ETag", "\"long\"")
}

const LONG_BYTES: usize = 300_000;

async fn kept() -> Result<Kept, Error> {
    let responses = [
        ("/kept", small()),
        ("/long", long()),
        ("/moved", moved()),
        ("/empty", Response::no_content().header("ETag", "\"none\"")),
    ];
    let prepare = |response| PreparedResponse::new(response).map(Rc::new);
    let prepared = responses.map(|(path, response)| (path, prepare(response)));
    let keep = |(path, prepared): (_, Result<_, _>)| Some((path, prepared.ok()?));
    Ok(Kept(prepared.into_iter().filter_map(keep).collect()))
}

/// The path from what is kept, and the same made anew under `/made`.
fn app() -> App {
    let mut app = App::new()
        .state(|_shard| kept())
        .get("/made/kept", async |_| Ok(small()))
        .get("/made/long", async |_| Ok(long()));
    for path in ["/kept", "/long", "/moved", "/empty"] {
        let answer =
            async |ctx: Ctx| ctx.respond_conditionally(ctx.state::<Kept>().0[ctx.path()].clone());
        app = app.get(path, answer).put(path, answer);
    }
    app.get("/health/live", async |_| Ok(Response::text("alive\n")))
}

/// Header lines without the Date, sorted.
fn lines(response: &crate::harness::Response) -> Vec<(String, String)> {
    let mut lines = response.headers.clone();
    lines.retain(|(name, _)| name != "date");
    lines.sort();
    lines
}

fn it_is_sent_like_the_response_it_was_made_of(engine: Engine) {
    let server = InProcess::start(engine, app());
    let mut client = server.connect();
    for (path, made) in [("/kept", "/made/kept"), ("/long", "/made/long")] {
        let made = client.get(made).expect(200);
        let kept = client.get(path).expect(200);
        assert_eq!(lines(&kept), lines(&made));
        assert_eq!(kept.hash(), made.hash());
    }
    assert_eq!(client.get("/moved").expect(301).text(), "kept\n");
    assert_eq!(
        client.get("/empty").expect(204).must_have("etag"),
        "\"none\""
    );
    client.expect_usable();
}

fn head_has_the_same_head(engine: Engine) {
    let server = InProcess::start(engine, app());
    let mut client = server.connect();
    for path in ["/kept", "/long"] {
        let get = client.get(path).expect(200);
        let head = client.head(path).expect(200);
        assert_eq!(lines(&head), lines(&get));
    }
    client.expect_usable();
}

fn pipelined_requests_are_all_answered_from_it(engine: Engine) {
    let server = InProcess::start(engine, app());
    let mut client = server.connect();
    let fresh = "GET /kept HTTP/1.1\r\nHost: a\r\nIf-None-Match: \"v1\"\r\n\r\n";
    let pair = format!("GET /kept HTTP/1.1\r\nHost: a\r\n\r\n{fresh}");
    client.send(pair.repeat(8));
    for _ in 0..8 {
        assert_eq!(client.read().expect(200).text(), "kept\n");
        client.read().expect(304);
    }
    client.expect_usable();
}

fn http_1_0_and_closing_clients_are_told_so(engine: Engine) {
    let server = InProcess::start(engine, app());
    let mut client = server.connect();
    client.send("GET /kept HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
    let response = client.read_as(As::Http10).expect(200);
    assert_eq!(response.must_have("connection"), "keep-alive");
    client.send("GET /kept HTTP/1.0\r\n\r\n");
    assert!(client.read_as(As::Http10).expect(200).says_close());
    let closing = [("Connection", "close")];
    for path in ["/kept", "/long"] {
        let response = server.connect().get_with(path, &closing).expect(200);
        assert!(response.says_close());
    }
}

fn a_fresh_copy_is_not_sent_again(engine: Engine) {
    let server = InProcess::start(engine, app());
    let mut client = server.connect();
    let full = client.get("/kept").expect(200);
    for (name, value) in [
        ("If-None-Match", "\"v1\""),
        ("if-none-match", "\"v0\", W/\"v1\""),
        ("If-None-Match", "*"),
        ("If-Modified-Since", DATE),
    ] {
        let fresh = client.get_with("/kept", &[(name, value)]).expect(304);
        let mut expected = lines(&full);
        expected.retain(|(name, _)| !name.starts_with("content-"));
        assert_eq!(lines(&fresh), expected, "{name}: {value}");
        let head = client.request("HEAD", "/kept", &[(name, value)], b"");
        assert_eq!(lines(&head.expect(304)), expected, "{name}: {value}");
    }
    for condition in [
        ("If-None-Match", "\"v2\""),
        ("If-Modified-Since", BEFORE),
        ("If-Match", "\"v1\""),
        ("If-Match", "*"),
        ("If-Unmodified-Since", DATE),
        ("If-Range", "\"v1\""),
    ] {
        let response = client.get_with("/kept", &[condition]).expect(200);
        assert_eq!(lines(&response), lines(&full), "{condition:?}");
    }
    let both = [("If-None-Match", "\"v2\""), ("If-Modified-Since", DATE)];
    client.get_with("/kept", &both).expect(200);
    client.expect_usable();
}

fn a_failed_condition_is_412_with_the_tag(engine: Engine) {
    let server = InProcess::start(engine, app());
    let mut client = server.connect();
    for (method, condition) in [
        ("GET", ("If-Match", "\"v2\"")),
        ("GET", ("If-Match", "W/\"v1\"")),
        ("GET", ("If-Unmodified-Since", BEFORE)),
        ("PUT", ("If-None-Match", "\"v1\"")),
    ] {
        let refused = client.request(method, "/kept", &[condition], b"");
        let refused = refused.expect(412);
        assert_eq!(refused.must_have("etag"), "\"v1\"");
        refused.expect_problem(412);
    }
    client.expect_usable();
}

fn an_answer_that_is_no_success_has_no_conditions(engine: Engine) {
    let server = InProcess::start(engine, app());
    let mut client = server.connect();
    for condition in [("If-None-Match", "\"v1\""), ("If-Match", "\"v2\"")] {
        let response = client.get_with("/moved", &[condition]).expect(301);
        assert_eq!(response.text(), "kept\n");
    }
}

fn middleware_may_add_and_replace_headers(engine: Engine) {
    async fn change(ctx: Ctx, next: Next) -> Result<Response, Error> {
        let is_replaced = ctx.query_string() == Some("replace");
        let mut response = next.run(ctx).await?;
        let tag = response.header_value(&header::ETAG).cloned();
        let tag = tag.unwrap_or(HeaderValue::from_static("none"));
        response.append_header(HeaderName::from_static("x-seen"), tag);
        if is_replaced {
            response.insert_header(header::CACHE_CONTROL, HeaderValue::from_static("private"));
        }
        Ok(response)
    }
    let server = InProcess::start(engine, app().middleware(change));
    let mut client = server.connect();
    let fresh = [("If-None-Match", "\"v1\"")];
    for (query, policy) in [("", "no-cache"), ("?replace", "private"), ("", "no-cache")] {
        let target = format!("/kept{query}");
        for (headers, status) in [(&[][..], 200), (&fresh, 304)] {
            let response = client.get_with(&target, headers).expect(status);
            assert_eq!(response.must_have("x-seen"), "\"v1\"");
            assert_eq!(response.must_have("cache-control"), policy);
            assert_eq!(response.must_have("etag"), "\"v1\"");
        }
    }
}

fn a_long_body_arrives_whole(engine: Engine) {
    let server = InProcess::start(engine, app());
    let mut client = server.connect();
    let batch = "GET /kept HTTP/1.1\r\nHost: a\r\n\r\nGET /long HTTP/1.1\r\nHost: a\r\n\r\n";
    client.send(batch.repeat(4));
    for _ in 0..4 {
        client.read().expect(200);
        let long = client.read().expect(200);
        assert_eq!(long.body.len(), LONG_BYTES);
        assert_eq!(long.hash(), hash_of(&pattern(LONG_BYTES)));
    }
    client.expect_usable();
}

#[test]
fn what_sets_a_cookie_is_not_kept() {
    let response = small().header("Set-Cookie", "id=7");
    let back = PreparedResponse::new(response).expect_err("it is for one client");
    assert_eq!(back.header_value(&header::SET_COOKIE).unwrap(), "id=7");
    assert_eq!(back.body().as_bytes(), Some(&b"kept\n"[..]));
}
