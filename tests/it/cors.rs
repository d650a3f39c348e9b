//! Pages of other sites: what a browser asks before, what it is told of each
//! answer, and that no cache hands one page's permission to another.

use std::time::Duration;

use corelane::middleware::Cors;
use corelane::{App, Compression, Error, Response};
use http::StatusCode;

use crate::harness::{Engine, InProcess, Response as Received, Serve};

either_engine!(
    a_preflight_is_answered_and_reaches_no_handler,
    every_answer_says_who_may_read_it,
    an_error_can_be_read_too,
    an_origin_is_exact,
    any_page_may_read_without_cookies,
    what_is_kept_carries_nobodys_permission,
    the_section_of_the_file_turns_it_on,
    a_section_that_cannot_be_meant_is_refused,
);

const PAGE: (&str, &str) = ("Origin", "https://app.example.org");
const OTHER: (&str, &str) = ("Origin", "https://evil.example");

fn cors() -> Cors {
    let origins = ["https://app.example.org", "http://localhost:5173"];
    Cors::of(origins)
        .expect("origins")
        .credentials()
        .expect("a list")
}

fn app(cors: Cors) -> App {
    App::new()
        .middleware(cors)
        .middleware(Compression::new())
        .get("/", async |_| Ok(Response::text("text\n".repeat(1_000))))
        .get("/gone", async |_| {
            Err::<Response, _>(Error::new(StatusCode::GONE, "it is gone"))
        })
        .put("/", async |_| Ok(Response::no_content()))
}

#[track_caller]
fn allowed(response: &Received) -> Option<&str> {
    let lines = response.header_all("access-control-allow-origin");
    assert!(lines.len() <= 1, "{response:?}");
    response.header("access-control-allow-origin")
}

#[track_caller]
fn expect_vary(response: &Received) {
    let lines = response.header_all("vary").join(",").to_ascii_lowercase();
    let said = lines
        .split(',')
        .filter(|name| name.trim() == "origin")
        .count();
    assert_eq!(said, 1, "{response:?}");
}

fn a_preflight_is_answered_and_reaches_no_handler(engine: Engine) {
    let reached = async |_| -> Result<Response, Error> { panic!("must not be reached") };
    let app = app(cors().max_age(Duration::from_secs(60))).route(corelane::Route::new(
        http::Method::OPTIONS,
        "/own",
        reached,
    ));
    let server = InProcess::start(engine, app);
    let mut client = server.connect();
    let asks = |headers: &[(&str, &str)], path: &str, client: &mut crate::harness::Client| {
        let mut all = vec![("Access-Control-Request-Method", "PUT")];
        all.extend(headers);
        client.request("OPTIONS", path, &all, b"")
    };
    for path in ["/", "/own", "/nowhere"] {
        let response = asks(&[PAGE], path, &mut client).expect(204);
        assert_eq!(allowed(&response), Some(PAGE.1));
        assert_eq!(
            response.must_have("access-control-allow-credentials"),
            "true"
        );
        assert_eq!(response.must_have("access-control-max-age"), "60");
        let methods = response.must_have("access-control-allow-methods");
        assert!(
            methods.split(", ").any(|method| method == "PUT"),
            "{methods}"
        );
        let headers = response.must_have("access-control-allow-headers");
        assert!(
            headers.split(", ").any(|name| name == "if-match"),
            "{headers}"
        );
        expect_vary(&response);
    }
    let response = asks(&[OTHER], "/", &mut client).expect(204);
    assert_eq!(allowed(&response), None);
    assert_eq!(response.header("access-control-allow-methods"), None);
    expect_vary(&response);
    // OPTIONS that is no preflight is the app's.
    let response = client.request("OPTIONS", "/", &[PAGE], b"").expect(204);
    assert!(response.must_have("allow").contains("PUT"));
    assert_eq!(allowed(&response), Some(PAGE.1));
    let asked = [PAGE, ("Access-Control-Request-Headers", "x-a,x-b")];
    let any = cors().headers(["*"]).expect("any");
    let server = InProcess::start(engine, self::app(any));
    let response = asks(&asked[..], "/", &mut server.connect()).expect(204);
    assert_eq!(
        response.must_have("access-control-allow-headers"),
        "x-a,x-b"
    );
}

fn every_answer_says_who_may_read_it(engine: Engine) {
    let server = InProcess::start(engine, app(cors()));
    let mut client = server.connect();
    let response = client
        .get_with("/", &[PAGE, ("Accept-Encoding", "gzip")])
        .expect(200);
    assert_eq!(allowed(&response), Some(PAGE.1));
    assert_eq!(
        response.must_have("access-control-allow-credentials"),
        "true"
    );
    assert!(
        response
            .must_have("access-control-expose-headers")
            .contains("etag")
    );
    assert_eq!(response.must_have("content-encoding"), "gzip");
    expect_vary(&response);
    for headers in [&[][..], &[OTHER], &[("Origin", "null")], &[PAGE, PAGE]] {
        let response = client.get_with("/", headers).expect(200);
        assert_eq!(allowed(&response), None, "{headers:?}");
        assert_eq!(response.header("access-control-allow-credentials"), None);
        expect_vary(&response);
    }
}

fn an_error_can_be_read_too(engine: Engine) {
    let server = InProcess::start(engine, app(cors()));
    let mut client = server.connect();
    for (path, status) in [("/gone", 410), ("/nowhere", 404)] {
        let response = client.get_with(path, &[PAGE]).expect(status);
        assert_eq!(allowed(&response), Some(PAGE.1), "{path}");
        expect_vary(&response);
    }
    let response = client.request("PATCH", "/", &[PAGE], b"").expect(405);
    assert_eq!(allowed(&response), Some(PAGE.1));
}

fn an_origin_is_exact(engine: Engine) {
    let server = InProcess::start(engine, app(cors()));
    let mut client = server.connect();
    for (origin, is_allowed) in [
        ("https://app.example.org", true),
        ("https://app.example.org:443", true),
        ("http://localhost:5173", true),
        ("http://app.example.org", false),
        ("https://app.example.org:8443", false),
        ("https://app.example.org.evil.example", false),
        ("https://evil.example/https://app.example.org", false),
        ("https://xapp.example.org", false),
        ("https://app.example.org/", false),
        ("http://localhost", false),
        ("null", false),
        ("*", false),
        ("", false),
    ] {
        let response = client.get_with("/", &[("Origin", origin)]).expect(200);
        assert_eq!(allowed(&response).is_some(), is_allowed, "{origin}");
    }
}

fn any_page_may_read_without_cookies(engine: Engine) {
    let server = InProcess::start(engine, app(Cors::any()));
    let mut client = server.connect();
    let response = client.get_with("/", &[OTHER]).expect(200);
    assert_eq!(allowed(&response), Some("*"));
    assert_eq!(response.header("access-control-allow-credentials"), None);
    // What everybody is told need not be kept apart.
    let vary = response.header_all("vary").join(",").to_ascii_lowercase();
    assert!(!vary.contains("origin"), "{vary}");
    // A cache may keep this one for such a page.
    assert_eq!(allowed(&client.get("/").expect(200)), Some("*"));
}

const SECTION: &str = "[cors]\norigins = [\"https://app.example.org\"]\n";

fn what_is_kept_carries_nobodys_permission(engine: Engine) {
    let server = Serve::on(engine).demo().config(SECTION).start();
    let mut client = server.connect();
    for (headers, expected) in [
        (&[PAGE][..], Some(PAGE.1)),
        (&[OTHER], None),
        (&[], None),
        (&[PAGE], Some(PAGE.1)),
    ] {
        let response = client.get_with("/api/users/1", headers).expect(200);
        assert_eq!(allowed(&response), expected);
        expect_vary(&response);
        let tag = response.must_have("etag").to_owned();
        let mut known = headers.to_vec();
        known.push(("If-None-Match", &tag));
        let response = client.get_with("/api/users/1", &known).expect(304);
        assert_eq!(allowed(&response), expected);
        expect_vary(&response);
    }
}

fn the_section_of_the_file_turns_it_on(engine: Engine) {
    let server = Serve::on(engine).demo().config(SECTION).start();
    let asked = [PAGE, ("Access-Control-Request-Method", "PATCH")];
    let mut client = server.connect();
    let response = client
        .request("OPTIONS", "/api/users/1", &asked, b"")
        .expect(204);
    assert_eq!(allowed(&response), Some(PAGE.1));
    assert_eq!(response.header("access-control-allow-credentials"), None);
    let server = Serve::on(engine).demo().start();
    let response = server
        .connect()
        .get_with("/api/users/1", &[PAGE])
        .expect(200);
    assert_eq!(allowed(&response), None);
    assert!(!response.header_all("vary").join(",").contains("Origin"));
}

fn a_section_that_cannot_be_meant_is_refused(engine: Engine) {
    for (section, words) in [
        (
            "origins = [\"*\"]\ncredentials = true\n",
            ["cors.credentials", "instead of \"*\""],
        ),
        (
            "origins = [\"app.example.org\"]\n",
            ["cors.origins", "https://app.example.org"],
        ),
        (
            "origins = [\"https://a.example/\"]\n",
            ["cors.origins", "without a path"],
        ),
        ("origins = [\"null\"]\n", ["cors.origins", "no origin"]),
        (
            "origins = [\"*\", \"https://a.example\"]\n",
            ["cors.origins", "alone"],
        ),
        ("methods = [\"get\"]\n", ["cors.methods", "\"get\""]),
        ("headers = [\"x y\"]\n", ["cors.headers", "x-api-key"]),
        (
            "expose_headers = [\"*\"]\n",
            ["cors.expose_headers", "\"*\""],
        ),
        ("max_age_s = 90000\n", ["cors.max_age_s", "86400"]),
    ] {
        let serve = Serve::on(engine).config(format!("[cors]\n{section}"));
        let refusal = serve.try_start().err().expect(section);
        assert_eq!(refusal.status.code(), Some(2), "{}", refusal.output);
        for word in words {
            assert!(
                refusal.output.contains(word),
                "{word:?} is not in:\n{}",
                refusal.output
            );
        }
    }
}
