//! Sessions in an app of one's own.

use corelane::middleware::rate_limit::Key;
use corelane::session::SessionOptions;
use corelane::{App, Ctx, Error, PreparedResponse, RateLimit, Route};
use corelane_server::store::{Database, Store, StoreOptions};
use http::{Method, header};

use super::*;
use crate::harness::InProcess;

either_engine!(
    a_handler_begins_finds_and_ends_sessions,
    the_guard_stands_before_every_route_of_the_app,
    an_answer_that_begins_a_session_is_kept_by_no_cache,
    a_limit_by_session_counts_each_for_itself,
);

async fn begin(mut ctx: Ctx) -> Result<corelane::Response, Error> {
    let begun = ctx.begin_session(1).await?;
    assert_eq!(ctx.session().await?.as_ref(), Some(&begun.session));
    assert_eq!(ctx.known_session(), Some(&begun.session));
    let mut response = corelane::Response::text("begun\n");
    response.append_header(header::SET_COOKIE, begun.set_cookie);
    assert!(
        !format!("{response:?}").contains("corelane="),
        "no id in a log"
    );
    match PreparedResponse::new(response) {
        Ok(_) => Err(Error::internal("a cache would keep it")),
        Err(response) => Ok(response),
    }
}

async fn who(mut ctx: Ctx) -> Result<corelane::Response, Error> {
    assert_eq!(ctx.known_session(), None, "not looked for yet");
    let session = ctx.session().await?;
    Ok(corelane::Response::text(match session {
        Some(session) => format!("user {}\n", session.user_id),
        None => "nobody\n".to_owned(),
    }))
}

async fn end(mut ctx: Ctx) -> Result<corelane::Response, Error> {
    let mut response = corelane::Response::text("ended\n");
    response.append_header(header::SET_COOKIE, ctx.end_session().await?);
    assert_eq!(ctx.session().await?, None);
    Ok(response)
}

async fn who_again(mut ctx: Ctx) -> Result<corelane::Response, Error> {
    let known = ctx.known_session().cloned();
    assert_eq!(known, ctx.session().await?, "the limit has looked for it");
    Ok(corelane::Response::no_content())
}

/// A server with a user 1; the folder is its database's.
fn start(engine: Engine) -> (InProcess, tempfile::TempDir) {
    let folder = tempfile::tempdir().expect("a folder");
    let options = StoreOptions::sqlite(folder.path().join("app.db"));
    let database = Database::open(&options).expect("a database");
    let plan = corelane_server::store::SeedPlan {
        users: 1,
        posts: 0,
        random_seed: 1,
    };
    database.seed(&plan, &mut |_, _| {}).expect("a user");
    let limit = RateLimit::new(2, Duration::from_secs(3_600)).expect("a quota");
    let limit = limit.by(Key::Session);
    let routes = App::new()
        .post("/begin", begin)
        .get("/who", who)
        .post("/end", end)
        .route(Route::new(Method::GET, "/limited", who_again).middleware(limit));
    let app = App::new()
        .state(move |_| {
            let database = database.clone();
            async move { Ok(database.connect()?) }
        })
        .sessions(SessionOptions::default())
        .session_backend::<Store>()
        .nest("/own", routes)
        .fallback(async |_| Ok(corelane::Response::text("fallback\n")));
    (InProcess::start(engine, app), folder)
}

fn a_handler_begins_finds_and_ends_sessions(engine: Engine) {
    let (server, _folder) = start(engine);
    let mut client = server.connect();
    let cookie = cookie_of(&client.request("POST", "/own/begin", &[], b"").expect(200));
    let header = [("Cookie", cookie.as_str())];
    assert_eq!(client.get_with("/own/who", &header).text(), "user 1\n");
    assert_eq!(client.get("/own/who").text(), "nobody\n");
    client.request("POST", "/own/end", &header, b"").expect(200);
    assert_eq!(client.get_with("/own/who", &header).text(), "nobody\n");
}

fn the_guard_stands_before_every_route_of_the_app(engine: Engine) {
    let (server, _folder) = start(engine);
    let mut client = server.connect();
    let from = [("Cookie", "corelane=x"), ("Sec-Fetch-Site", "cross-site")];
    client.request("POST", "/own/end", &from, b"").expect(403);
    client.request("POST", "/nowhere", &from, b"").expect(403);
    assert_eq!(
        client.get_with("/nowhere", &from).expect(200).text(),
        "fallback\n"
    );
}

fn an_answer_that_begins_a_session_is_kept_by_no_cache(engine: Engine) {
    // `begin` tries to have its answer kept.
    let (server, _folder) = start(engine);
    let mut client = server.connect();
    let first = cookie_of(&client.request("POST", "/own/begin", &[], b"").expect(200));
    let second = cookie_of(&client.request("POST", "/own/begin", &[], b"").expect(200));
    assert_ne!(first, second);
}

fn a_limit_by_session_counts_each_for_itself(engine: Engine) {
    let (server, _folder) = start(engine);
    let mut client = server.connect();
    let mut begin = || cookie_of(&client.request("POST", "/own/begin", &[], b"").expect(200));
    let cookies = [begin(), begin(), "corelane=x".to_owned()];
    for cookie in &cookies {
        let header = [("Cookie", cookie.as_str())];
        for status in [204, 204, 429] {
            server
                .connect()
                .get_with("/own/limited", &header)
                .expect(status);
        }
    }
    // Who has no session is told apart by address, whatever the cookie.
    server.connect().get("/own/limited").expect(429);
}
