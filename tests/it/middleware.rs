//! What stands around handlers: in which order, over which requests, and what
//! it can do to them. Fallback and nesting, which decide where it stands.

use corelane::{App, Ctx, Error, Next, Response, Route};
use http::{HeaderName, HeaderValue, Method, StatusCode};

use crate::harness::{Engine, InProcess};

either_engine!(
    the_first_added_is_the_outermost,
    it_may_answer_without_the_handler,
    it_sees_and_may_replace_errors,
    it_stands_around_what_has_no_route,
    it_may_await_and_keep_the_body_for_the_handler,
    a_panic_in_it_is_500_and_the_connection_ends,
    an_attachment_reaches_the_handler_and_no_other_request,
    that_of_a_route_and_of_a_nested_app_stay_with_them,
    the_fallback_answers_what_no_pattern_fits,
);

/// Adds `name` to `x-path`, first in, last out.
macro_rules! marks {
    ($name:literal) => {
        async |ctx: Ctx, next: Next| -> Result<Response, Error> {
            let mut response = next.run(ctx).await?;
            let value = HeaderValue::from_static($name);
            response.append_header(HeaderName::from_static("x-path"), value);
            Ok(response)
        }
    };
}

fn path_of(response: &crate::harness::Response) -> String {
    response.header_all("x-path").join(" ")
}

fn the_first_added_is_the_outermost(engine: Engine) {
    let app = App::new()
        .middleware(marks!("outer"))
        .middleware(marks!("inner"))
        .get("/", async |_| Ok(Response::text("ok\n")));
    let server = InProcess::start(engine, app);
    let response = server.connect().get("/").expect(200);
    assert_eq!(path_of(&response), "inner outer");
}

fn it_may_answer_without_the_handler(engine: Engine) {
    let app = App::new()
        .middleware(marks!("outer"))
        .middleware(async |ctx: Ctx, next: Next| match ctx.path() {
            "/closed" => Ok(Response::text("closed\n")),
            _ => next.run(ctx).await,
        })
        .get("/closed", async |_| panic!("must not be reached"))
        .post("/closed", async |_| panic!("must not be reached"))
        .get("/open", async |_| Ok(Response::text("open\n")));
    let server = InProcess::start(engine, app);
    let mut client = server.connect();
    let response = client.get("/closed").expect(200);
    assert_eq!(
        (response.text(), path_of(&response)),
        ("closed\n", "outer".into())
    );
    // The body it did not read does not become the next request.
    let response = client.request("POST", "/closed", &[], b"GET / HTTP/1.1\r\n\r\n");
    assert_eq!(response.expect(200).text(), "closed\n");
    assert_eq!(client.get("/open").expect(200).text(), "open\n");
}

fn it_sees_and_may_replace_errors(engine: Engine) {
    async fn map(ctx: Ctx, next: Next) -> Result<Response, Error> {
        match next.run(ctx).await {
            Err(error) if error.status() == StatusCode::CONFLICT => {
                Ok(Response::text(format!("was: {}\n", error.detail())))
            }
            Err(error) => Err(error.with_header(
                HeaderName::from_static("x-seen"),
                HeaderValue::from_static("yes"),
            )),
            Ok(response) => Ok(response),
        }
    }
    let app = App::new()
        .middleware(map)
        .get("/conflict", async |_| Err(Error::conflict("taken")))
        .get("/internal", async |_| Err(Error::internal("a secret")));
    let server = InProcess::start(engine, app);
    let mut client = server.connect();
    assert_eq!(client.get("/conflict").expect(200).text(), "was: taken\n");
    let response = client.get("/internal").expect(500);
    assert_eq!(response.must_have("x-seen"), "yes");
    assert!(!response.text().contains("secret"));
}

fn it_stands_around_what_has_no_route(engine: Engine) {
    async fn mark(ctx: Ctx, next: Next) -> Result<Response, Error> {
        assert_eq!(ctx.route_pattern(), "");
        let outcome = next.run(ctx).await;
        let mut response = outcome.unwrap_or_else(Response::from);
        let value = HeaderValue::from_static("all");
        response.append_header(HeaderName::from_static("x-path"), value);
        Ok(response)
    }
    let app = App::new()
        .middleware(mark)
        .put("/only-put", async |_| Ok(Response::no_content()));
    let server = InProcess::start(engine, app);
    let mut client = server.connect();
    for (method, target, status) in [
        ("GET", "/nowhere", 404),
        ("POST", "/nowhere", 404),
        ("GET", "/only-put", 405),
        ("OPTIONS", "/only-put", 204),
        ("OPTIONS", "*", 204),
    ] {
        let response = client.request(method, target, &[], b"").expect(status);
        assert_eq!(path_of(&response), "all", "{method} {target}");
        assert_eq!(response.header("allow").is_some(), status != 404);
    }
}

fn it_may_await_and_keep_the_body_for_the_handler(engine: Engine) {
    let app = App::new()
        .middleware(async |ctx: Ctx, next: Next| {
            corelane::engine::yield_now().await;
            next.run(ctx).await
        })
        .post("/echo", async |mut ctx: Ctx| {
            Ok(Response::text(ctx.bytes().await?))
        });
    let server = InProcess::start(engine, app);
    let mut client = server.connect();
    for bytes in [0, 1, 100_000] {
        let body = vec![b'x'; bytes];
        let response = client.request("POST", "/echo", &[], &body).expect(200);
        assert_eq!(response.text().len(), bytes);
    }
}

fn a_panic_in_it_is_500_and_the_connection_ends(engine: Engine) {
    let app = App::new()
        .middleware(async |ctx: Ctx, next: Next| match ctx.path() {
            "/panic" => panic!("as asked"),
            _ => next.run(ctx).await,
        })
        .get("/", async |_| Ok(Response::text("ok\n")));
    let server = InProcess::start(engine, app);
    assert!(server.connect().get("/panic").expect(500).says_close());
    server.connect().get("/").expect(200);
}

fn an_attachment_reaches_the_handler_and_no_other_request(engine: Engine) {
    struct Caller(&'static str);
    let app = App::new()
        .middleware(async |mut ctx: Ctx, next: Next| {
            if ctx.path() == "/as-ada" {
                ctx.attach(Caller("replaced"));
                ctx.attach(Caller("Ada"));
            }
            next.run(ctx).await
        })
        .fallback(async |ctx: Ctx| {
            let caller = ctx.attached::<Caller>().map_or("nobody", |caller| caller.0);
            Ok(Response::text(caller))
        });
    let server = InProcess::start(engine, app);
    let mut client = server.connect();
    for _ in 0..3 {
        assert_eq!(client.get("/as-ada").expect(200).text(), "Ada");
        assert_eq!(client.get("/").expect(200).text(), "nobody");
    }
}

fn that_of_a_route_and_of_a_nested_app_stay_with_them(engine: Engine) {
    let deepest = App::new()
        .middleware(marks!("deepest"))
        .get("/", async |_| Ok(Response::text("deepest\n")));
    let route = Route::new(Method::GET, "/{id}", async |ctx: Ctx| {
        Ok(Response::text(ctx.param::<String>("id")?))
    });
    let inner = App::new()
        .middleware(marks!("nested"))
        .route(route.middleware(marks!("route")))
        .nest("/deep", deepest);
    let app = App::new()
        .middleware(marks!("app"))
        .get("/", async |_| Ok(Response::text("top\n")))
        .nest("/api", inner);
    let server = InProcess::start(engine, app);
    let mut client = server.connect();
    for (target, text, path) in [
        ("/", "top\n", "app"),
        ("/api/7", "7", "route nested app"),
        ("/api/deep", "deepest\n", "deepest nested app"),
    ] {
        let response = client.get(target).expect(200);
        assert_eq!((response.text(), path_of(&response)), (text, path.into()));
    }
    client.get("/7").expect(404);
    client.get("/api/deep/").expect(404);
}

fn the_fallback_answers_what_no_pattern_fits(engine: Engine) {
    let app = App::new()
        .get("/here", async |_| Ok(Response::text("here\n")))
        .fallback(async |mut ctx: Ctx| {
            let bytes = ctx.bytes().await?.len();
            let text = format!("{} {} {bytes}\n", ctx.method(), ctx.path());
            Ok(Response::text(text).with_status(StatusCode::ACCEPTED))
        });
    let server = InProcess::start(engine, app);
    let mut client = server.connect();
    let response = client.request("POST", "/a/b", &[], b"four").expect(202);
    assert_eq!(response.text(), "POST /a/b 4\n");
    client.request("POST", "/here", &[], b"").expect(405);
    assert_eq!(client.get("/here").expect(200).text(), "here\n");
}
