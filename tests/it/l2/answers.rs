//! Whole answers in Redis around a route.

use std::borrow::Borrow;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use corelane::internals::semantics::TrustedProxies;
use corelane::redis::RedisOptions;
use corelane::{App, Ctx, Error, RateLimit, RedisCache, Response, Route};
use http::{HeaderName, HeaderValue, Method, StatusCode};
use services::{Keyspace, Redis};

use super::node::{counted, redis_said};
use super::poll_for;
use crate::harness::{Client, Engine, InProcess, Response as Answer};

either_engine!(
    spellings_of_one_query_share_an_answer,
    an_answer_outlives_the_server,
    a_hit_says_its_age_and_is_judged_by_conditions,
    a_miss_is_judged_by_conditions_too,
    fields_that_vary_names_are_part_of_the_key,
    what_is_not_for_others_is_not_kept,
    only_whole_answers_that_may_be_kept_are,
    requests_that_say_who_asks_share_only_what_is_public,
    a_request_may_want_a_new_answer,
    an_answer_expires,
    a_body_is_part_of_no_key_and_not_answered_with_what_is_kept,
    who_came_over_tls_is_not_answered_as_who_did_not,
    what_a_client_has_left_is_told_to_no_other,
    garbage_is_a_miss_and_is_written_over,
    without_redis_the_handler_answers,
    another_method_has_nothing_to_do_with_it,
);

/// An app whose answers to `/made` count, and are as the query says.
fn app(redis: &str, cache: RedisCache) -> (App, Arc<AtomicUsize>) {
    let made = Arc::new(AtomicUsize::new(0));
    let counter = made.clone();
    let answer = move |ctx: Ctx| {
        let number = counter.fetch_add(1, Ordering::SeqCst) + 1;
        async move { answer(&ctx, number) }
    };
    let route = |method| Route::new(method, "/made", answer.clone()).middleware(cache.clone());
    let options = RedisOptions {
        deadline_ms: 100,
        ..RedisOptions::new(redis)
    };
    let app = App::new()
        .redis(options)
        .route(route(Method::GET))
        .route(route(Method::POST))
        .get("/metrics", corelane_server::handlers::metrics::metrics);
    (app, made)
}

fn answer(ctx: &Ctx, number: usize) -> Result<Response, Error> {
    let query: Vec<(String, String)> = ctx.query()?;
    let mut response = Response::text(format!("answer {number}\n"))
        .header("ETag", &format!("\"v{number}\""))
        .header("Last-Modified", "Thu, 29 Feb 2024 12:34:56 GMT");
    for (name, value) in query {
        match name.as_str() {
            "size" => response = response.replace_body("x".repeat(value.parse()?)),
            "status" => {
                let status = StatusCode::from_bytes(value.as_bytes())?;
                response = match status.as_u16() {
                    ..400 => response.with_status(status),
                    _ => Response::from(Error::new(status, format!("answer {number}"))),
                };
            }
            _ => {
                if let Some(name) = name.strip_prefix("h-") {
                    let name = HeaderName::from_bytes(name.as_bytes())?;
                    response.append_header(name, HeaderValue::try_from(value)?);
                }
            }
        }
    }
    Ok(response)
}

struct Site<R = Keyspace> {
    redis: R,
    server: InProcess,
    made: Arc<AtomicUsize>,
}

impl Site {
    fn start(engine: Engine) -> Self {
        Self::with(engine, RedisCache::new("made").ttl_ms(60_000))
    }

    fn with(engine: Engine, cache: RedisCache) -> Self {
        Self::on(engine, Keyspace::take(), cache)
    }
}

impl<R: Borrow<Keyspace>> Site<R> {
    fn on(engine: Engine, redis: R, cache: RedisCache) -> Self {
        let (app, made) = app(&redis.borrow().url(), cache);
        let server = InProcess::start(engine, app);
        Self {
            redis,
            server,
            made,
        }
    }

    fn connect(&self) -> Client {
        self.server.connect()
    }

    fn made(&self) -> usize {
        self.made.load(Ordering::SeqCst)
    }

    /// Has a target answered and kept.
    fn keep(&self, client: &mut Client, target: &str, headers: &[(&str, &str)]) -> Answer {
        let before = counted(client, "made", "fills");
        let answer = client.get_with(target, headers);
        assert_eq!(answer.must_have("x-cache"), "MISS", "{answer:?}");
        assert!(redis_said(&answer).ends_with("; stored"), "{answer:?}");
        poll_for("it is kept", || {
            (counted(client, "made", "fills") > before).then_some(())
        });
        answer
    }
}

#[track_caller]
fn assert_hit(answer: &Answer, of: &Answer) {
    assert_eq!(answer.must_have("x-cache"), "HIT", "{answer:?}");
    assert!(redis_said(answer).starts_with("hit; ttl="), "{answer:?}");
    assert_eq!((answer.status, &answer.body), (of.status, &of.body));
    for name in ["etag", "last-modified", "content-type", "content-length"] {
        assert_eq!(answer.header(name), of.header(name), "{name}");
    }
}

#[track_caller]
fn assert_never_kept(site: &Site, client: &mut Client, target: &str, headers: &[(&str, &str)]) {
    for _ in 0..2 {
        let before = site.made();
        let answer = client.get_with(target, headers);
        assert_eq!(answer.must_have("x-cache"), "MISS", "{target}");
        assert!(!redis_said(&answer).contains("stored"), "{answer:?}");
        assert_eq!(site.made(), before + 1, "{target}");
    }
    assert_eq!(site.redis.cli(&["DBSIZE"]), "0", "{target}");
}

fn spellings_of_one_query_share_an_answer(engine: Engine) {
    let site = Site::start(engine);
    let mut client = site.connect();
    let first = site.keep(&mut client, "/made?b=%31&a=2&c=x", &[]);
    for same in ["/made?a=2&b=1&c=x", "/made?c=%78&%61=2&b=1"] {
        assert_hit(&client.get(same), &first);
    }
    for other in [
        "/made?a=2&b=1",
        "/made?a=2&b=1&c=X",
        "/made?a=2&b=1&c=x&c=x",
        "/made",
    ] {
        assert_eq!(client.get(other).must_have("x-cache"), "MISS", "{other}");
    }
}

fn an_answer_outlives_the_server(engine: Engine) {
    let mut site = Site::start(engine);
    let first = site.keep(&mut site.connect(), "/made?a=1", &[]);
    let (app, made) = app(&site.redis.url(), RedisCache::new("made"));
    site.server = InProcess::start(engine, app);
    assert_hit(&site.connect().get("/made?a=1"), &first);
    let head = site.connect().head("/made?a=1").expect(200);
    assert_eq!(head.must_have("x-cache"), "HIT");
    assert_eq!(
        head.header("content-length"),
        first.header("content-length")
    );
    assert_eq!(made.load(Ordering::SeqCst), 0);
}

fn a_hit_says_its_age_and_is_judged_by_conditions(engine: Engine) {
    let site = Site::start(engine);
    let mut client = site.connect();
    let first = site.keep(&mut client, "/made", &[]);
    let etag = first.must_have("etag").to_owned();
    let hit = client.get("/made");
    assert!(hit.must_have("age").parse::<u64>().expect("seconds") < 30);
    for (name, value) in [
        ("If-None-Match", etag.as_str()),
        ("If-Modified-Since", "Thu, 29 Feb 2024 12:34:56 GMT"),
    ] {
        let same = client.get_with("/made", &[(name, value)]).expect(304);
        assert_eq!(same.must_have("x-cache"), "HIT");
        assert_eq!(same.must_have("etag"), etag);
    }
    assert_hit(
        &client.get_with("/made", &[("If-None-Match", "\"other\"")]),
        &first,
    );
    let wrong = [("If-Match", "\"other\"")];
    client.get_with("/made", &wrong).expect_problem(412);
    assert_eq!(site.made(), 1);
}

fn a_miss_is_judged_by_conditions_too(engine: Engine) {
    let site = Site::start(engine);
    let mut client = site.connect();
    let same = [("If-None-Match", "\"v1\"")];
    let answer = client.get_with("/made", &same).expect(304);
    assert_eq!(answer.must_have("x-cache"), "MISS");
    poll_for("it is kept all the same", || {
        (client.get("/made").must_have("x-cache") == "HIT").then_some(())
    });
}

fn fields_that_vary_names_are_part_of_the_key(engine: Engine) {
    let site = Site::start(engine);
    let mut client = site.connect();
    let target = "/made?h-vary=Accept-Language,Accept";
    let german = [("Accept-Language", "de")];
    let first = site.keep(&mut client, target, &german);
    let english = site.keep(&mut client, target, &[("Accept-Language", "en")]);
    assert_hit(&client.get_with(target, &german), &first);
    assert_hit(
        &client.get_with(target, &[("accept-language", "en")]),
        &english,
    );
    let other = client.get_with(target, &[("Accept-Language", "de"), ("Accept", "a/b")]);
    assert_eq!(other.must_have("x-cache"), "MISS");
    assert!(redis_said(&other).starts_with("fwd=vary-miss"), "{other:?}");
}

fn what_is_not_for_others_is_not_kept(engine: Engine) {
    let site = Site::start(engine);
    let mut client = site.connect();
    for header in [
        "h-set-cookie=a%3Db",
        "h-cache-control=private",
        "h-cache-control=no-store",
        "h-cache-control=no-cache",
        "h-cache-control=max-age%3D0",
        "h-vary=*",
    ] {
        assert_never_kept(&site, &mut client, &format!("/made?{header}"), &[]);
    }
}

fn only_whole_answers_that_may_be_kept_are(engine: Engine) {
    let site = Site::with(engine, RedisCache::new("made").bytes_max(1_000));
    let mut client = site.connect();
    for target in [
        "/made?size=1001",
        "/made?status=404",
        "/made?status=500",
        "/made?status=203",
    ] {
        assert_never_kept(&site, &mut client, target, &[]);
    }
    assert_never_kept(&site, &mut client, "/made", &[("Range", "bytes=0-1")]);
    assert_never_kept(
        &site,
        &mut client,
        "/made",
        &[("Cache-Control", "no-store")],
    );
    client.head("/made").expect(200);
    assert_eq!(site.redis.cli(&["DBSIZE"]), "0");
    site.keep(&mut client, "/made?size=1000", &[]);
    let gone = "/made?status=404&h-cache-control=max-age%3D60";
    let first = site.keep(&mut client, gone, &[]);
    assert_hit(&client.get(gone), &first);
}

fn requests_that_say_who_asks_share_only_what_is_public(engine: Engine) {
    let site = Site::start(engine);
    let mut client = site.connect();
    let cookie = [("Cookie", "id=7")];
    assert_never_kept(&site, &mut client, "/made", &cookie);
    assert_never_kept(&site, &mut client, "/made", &[("Authorization", "Basic x")]);
    site.keep(&mut client, "/made", &[]);
    // What was made for nobody in particular is not for them either.
    let own = client.get_with("/made", &cookie);
    assert_eq!(own.must_have("x-cache"), "MISS");
    let public = "/made?h-cache-control=public";
    let first = site.keep(&mut client, public, &cookie);
    assert_hit(&client.get_with(public, &[("Cookie", "id=8")]), &first);
    assert_hit(&client.get(public), &first);
    let site = Site::with(engine, RedisCache::new("made").personal(true));
    let first = site.keep(&mut site.connect(), "/made", &cookie);
    assert_hit(&site.connect().get("/made"), &first);
}

fn a_request_may_want_a_new_answer(engine: Engine) {
    let site = Site::start(engine);
    let mut client = site.connect();
    let first = site.keep(&mut client, "/made", &[]);
    for value in ["no-cache", "max-age=0"] {
        let new = site.keep(&mut client, "/made", &[("Cache-Control", value)]);
        assert_ne!(new.body, first.body, "{value}");
        assert!(redis_said(&new).starts_with("fwd=request"), "{new:?}");
        assert_hit(&client.get("/made"), &new);
    }
    let young = [("Cache-Control", "max-age=3600")];
    assert_eq!(client.get_with("/made", &young).must_have("x-cache"), "HIT");
}

/// Else who sends one decides what those without are answered.
fn a_body_is_part_of_no_key_and_not_answered_with_what_is_kept(engine: Engine) {
    let site = Site::start(engine);
    let mut client = site.connect();
    for _ in 0..2 {
        let answer = client.request("GET", "/made", &[], b"abc");
        assert_eq!(redis_said(&answer), "fwd=bypass");
    }
    assert_eq!(site.redis.cli(&["DBSIZE"]), "0");
    let kept = site.keep(&mut client, "/made", &[]);
    let answer = client.request("GET", "/made", &[], b"abc");
    assert_eq!(redis_said(&answer), "fwd=bypass");
    assert_hit(&client.get("/made"), &kept);
}

fn who_came_over_tls_is_not_answered_as_who_did_not(engine: Engine) {
    let redis = Keyspace::take();
    let (app, made) = app(&redis.url(), RedisCache::new("made"));
    let server = InProcess::start_with(engine, app, |options| {
        let loopback = TrustedProxies::parse(["loopback"]);
        options.trusted_proxies = loopback.expect("networks");
    });
    let server = Site {
        redis,
        server,
        made,
    };
    let mut client = server.connect();
    let over_tls = [("X-Forwarded-Proto", "https")];
    let plain = server.keep(&mut client, "/made", &[]);
    let secure = server.keep(&mut client, "/made", &over_tls);
    assert_hit(&client.get("/made"), &plain);
    assert_hit(&client.get_with("/made", &over_tls), &secure);
}

/// Where the limit stands behind the cache, and so counts only what is not
/// answered from it.
fn what_a_client_has_left_is_told_to_no_other(engine: Engine) {
    let redis = Keyspace::take();
    let limit = RateLimit::new(10, Duration::from_secs(60)).expect("a limit");
    let route = Route::new(Method::GET, "/", async |_| Ok(Response::text("kept\n")))
        .middleware(RedisCache::new("made"))
        .middleware(limit);
    let app = App::new()
        .redis(RedisOptions::new(redis.url()))
        .route(route)
        .get("/metrics", corelane_server::handlers::metrics::metrics);
    let server = InProcess::start(engine, app);
    let mut client = server.connect();
    client.get("/").expect(200).must_have("ratelimit");
    let hit = poll_for("a hit", || {
        let answer = client.get("/").expect(200);
        (redis_said(&answer).starts_with("hit")).then_some(answer)
    });
    assert_eq!(hit.header("ratelimit"), None);
    assert_eq!(hit.header("ratelimit-policy"), None);
}

fn an_answer_expires(engine: Engine) {
    let site = Site::with(engine, RedisCache::new("made").ttl_ms(50));
    let mut client = site.connect();
    let first = client.get("/made");
    poll_for("another answer", || {
        (client.get("/made").body != first.body).then_some(())
    });
    let key = |site: &Site| site.redis.cli(&["KEYS", "*"]);
    poll_for("nothing is left", || key(&site).is_empty().then_some(()));
}

fn garbage_is_a_miss_and_is_written_over(engine: Engine) {
    let site = Site::start(engine);
    let mut client = site.connect();
    site.keep(&mut client, "/made", &[]);
    let key = site.redis.cli(&["KEYS", "corelane:made:*"]);
    let garbage = [
        "",
        "\u{1}",
        "\u{1}a",
        "\u{1}a0123456789012345678901234567890",
    ];
    for (index, text) in garbage.into_iter().enumerate() {
        site.redis.cli(&["SET", &key, text]);
        let answer = site.keep(&mut client, "/made", &[]);
        assert_eq!(counted(&mut client, "made", "garbage"), index as u64 + 1);
        assert_hit(&client.get("/made"), &answer);
    }
    site.redis.cli(&["DEL", &key]);
    site.redis.cli(&["RPUSH", &key, "a", "list"]);
    let answer = site.keep(&mut client, "/made", &[]);
    assert_hit(&client.get("/made"), &answer);
}

fn without_redis_the_handler_answers(engine: Engine) {
    let cache = RedisCache::new("made").ttl_ms(60_000);
    let mut site = Site::on(engine, Redis::start(), cache);
    let mut client = site.connect();
    site.keep(&mut client, "/made", &[]);
    site.redis.freeze();
    let begun = std::time::Instant::now();
    for _ in 0..50 {
        let answer = client.get("/made").expect(200);
        assert_eq!(answer.must_have("x-cache"), "MISS");
        assert_eq!(redis_said(&answer), "fwd=bypass");
    }
    // Five deadlines of 100 ms, and once more to connect.
    assert!(
        begun.elapsed() < Duration::from_secs(5),
        "{:?}",
        begun.elapsed()
    );
    site.redis.thaw();
    poll_for("a hit", || {
        (client.get("/made").must_have("x-cache") == "HIT").then_some(())
    });
    site.redis.kill();
    assert_eq!(client.get("/made").expect(200).must_have("x-cache"), "MISS");
    site.redis.start_again();
    poll_for("a hit again", || {
        (client.get("/made").must_have("x-cache") == "HIT").then_some(())
    });
    assert!(counted(&mut client, "made", "bypasses") >= 51);
}

fn another_method_has_nothing_to_do_with_it(engine: Engine) {
    let site = Site::start(engine);
    let mut client = site.connect();
    let first = site.keep(&mut client, "/made", &[]);
    let posted = client.request("POST", "/made", &[], b"").expect(200);
    assert_eq!(posted.header("x-cache"), None);
    assert_ne!(posted.body, first.body);
    assert_hit(&client.get("/made"), &first);
}
