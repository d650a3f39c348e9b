//! How often clients may ask: exact over shards, told in fields, by whatever
//! tells clients apart; and what happens when nobody can count.

#[path = "rate_limit/keys.rs"]
mod keys;
#[path = "rate_limit/shared.rs"]
mod shared;
#[path = "rate_limit/shipped.rs"]
mod shipped;

use std::collections::BTreeSet;
use std::rc::Rc;
use std::sync::mpsc::sync_channel;
use std::thread;
use std::time::{Duration, Instant};

use corelane::internals::metrics::LimiterSnapshot;
use corelane::middleware::rate_limit::Key;
use corelane::{App, Ctx, Error, PreparedResponse, RateLimit, Response, Route};
use http::{HeaderName, Method};

use crate::harness::{As, Client, Engine, InProcess};

either_engine!(
    four_shards_together_let_through_exactly_the_limit,
    lanes_that_are_always_full_do_not_change_the_count,
    time_brings_the_quota_back,
    every_answer_says_how_the_client_stands,
    one_request_too_many_is_429_with_retry_after,
    of_several_limits_the_tightest_is_shown,
    every_kind_of_request_counts,
    limits_without_a_name_count_apart_and_clones_together,
    a_client_whose_home_is_gone_has_a_share_of_its_quota,
    a_home_that_comes_back_counts_again,
    a_client_whose_home_is_busy_is_let_through_in_time,
    a_crowd_whose_home_is_busy_is_limited_all_the_same,
    a_full_table_forgets_the_client_seen_longest_ago,
);

const HOUR: Duration = Duration::from_secs(3_600);

fn limit(count: u32, window: Duration) -> RateLimit {
    RateLimit::new(count, window).expect("a quota")
}

/// Answers with the shard it is on.
async fn shard(ctx: Ctx) -> Result<Response, Error> {
    Ok(Response::text(ctx.shard().index.to_string()))
}

fn by_client() -> Key {
    Key::Header(HeaderName::from_static("x-client"))
}

/// `/` limited by `x-client`, and `/numbers` of the limits.
fn app(limit: RateLimit) -> App {
    let limit = limit.by(by_client());
    App::new()
        .route(Route::new(Method::GET, "/", shard).middleware(limit))
        .get("/shard", shard)
        .get("/numbers", numbers)
}

/// A connection that this shard serves.
fn connect_to(server: &InProcess, wanted: usize) -> Client {
    let deadline = Instant::now() + Duration::from_secs(10);
    loop {
        let mut client = server.connect();
        if client.get("/shard").expect(200).text() == wanted.to_string() {
            return client;
        }
        assert!(Instant::now() < deadline, "shard {wanted} never answers");
    }
}

/// Allowed, denied, unjudged, fallbacks, keys, evicted; of all rules.
async fn numbers(ctx: Ctx) -> Result<Response, Error> {
    let limits: LimiterSnapshot = ctx.metrics().await.limits;
    let sum = |value: fn(&corelane::internals::metrics::RuleCounters) -> u64| -> u64 {
        limits.rules.iter().map(|rule| value(&rule.counters)).sum()
    };
    Response::json(&[
        sum(|c| c.allowed),
        sum(|c| c.denied),
        sum(|c| c.unjudged),
        sum(|c| c.fallbacks),
        limits.keys,
        limits.evicted,
    ])
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Numbers {
    allowed: u64,
    denied: u64,
    unjudged: u64,
    fallbacks: u64,
    keys: u64,
    evicted: u64,
}

fn read_numbers(server: &InProcess) -> Numbers {
    let answer = server.connect().get("/numbers").expect(200);
    let numbers: [u64; 6] = serde_json::from_slice(&answer.body).expect("six numbers");
    let [allowed, denied, unjudged, fallbacks, keys, evicted] = numbers;
    Numbers {
        allowed,
        denied,
        unjudged,
        fallbacks,
        keys,
        evicted,
    }
}

fn ask(client: &mut Client, name: &str) -> crate::harness::Response {
    client.get_with("/", &[("x-client", name)])
}

/// Asks from many connections at once, each `requests` times for every name:
/// how many went through by name, and which shards answered.
fn ask_from_all_sides(
    server: &InProcess,
    connections: usize,
    requests: usize,
    names: &[&str],
) -> (Vec<usize>, BTreeSet<String>) {
    let each = |_| {
        let mut client = server.connect();
        let (mut through, mut shards) = (vec![0; names.len()], BTreeSet::new());
        for _ in 0..requests {
            for (index, name) in names.iter().enumerate() {
                let answer = ask(&mut client, name);
                if answer.status == 200 {
                    through[index] += 1;
                    shards.insert(answer.text().to_owned());
                } else {
                    answer.expect_problem(429);
                }
            }
        }
        (through, shards)
    };
    thread::scope(|scope| {
        let threads: Vec<_> = (0..connections)
            .map(|i| scope.spawn(move || each(i)))
            .collect();
        let mut sum = (vec![0; names.len()], BTreeSet::new());
        for thread in threads {
            let (through, shards) = thread.join().expect("no panic");
            sum.0
                .iter_mut()
                .zip(through)
                .for_each(|(all, one)| *all += one);
            sum.1.extend(shards);
        }
        sum
    })
}

fn four_shards_together_let_through_exactly_the_limit(engine: Engine) {
    let server = InProcess::start_shards(engine, 4, app(limit(100, HOUR)), |_| {});
    let names = ["a", "b", "c", "d", "e", "f"];
    let (through, shards) = ask_from_all_sides(&server, 16, 20, &names);
    assert_eq!(shards.len(), 4, "all shards take part: {shards:?}");
    assert_eq!(through, [100; 6]);
    let numbers = read_numbers(&server);
    assert_eq!((numbers.allowed, numbers.denied), (600, 16 * 20 * 6 - 600));
    assert_eq!((numbers.unjudged, numbers.keys), (0, 6));
}

fn lanes_that_are_always_full_do_not_change_the_count(engine: Engine) {
    let server = InProcess::start_shards(engine, 4, app(limit(40, HOUR)), |options| {
        options.lane_messages = Some(1);
    });
    let (through, _) = ask_from_all_sides(&server, 16, 5, &["a", "b", "c", "d"]);
    assert_eq!(through, [40; 4]);
    assert_eq!(read_numbers(&server).unjudged, 0);
}

fn time_brings_the_quota_back(engine: Engine) {
    // One every 200 ms.
    let server = InProcess::start(engine, app(limit(5, Duration::from_secs(1))));
    let mut client = server.connect();
    let begun = Instant::now();
    while ask(&mut client, "a").status == 200 {}
    let mut passed = 0;
    while passed < 3 {
        passed += usize::from(ask(&mut client, "a").status == 200);
        assert!(
            begun.elapsed() < Duration::from_secs(10),
            "it never comes back"
        );
    }
    // Five at once, then three in turn.
    assert!(
        begun.elapsed() >= Duration::from_millis(600),
        "{:?}",
        begun.elapsed()
    );
}

fn every_answer_says_how_the_client_stands(engine: Engine) {
    let api = limit(10, Duration::from_secs(100)).name("the \"API\"");
    let server = InProcess::start(engine, app(api.burst(3).expect("a burst")));
    let mut client = server.connect();
    let policy = "\"the \\\"API\\\"\";q=10;w=100;burst=3";
    for (remaining, reset_s) in [(2, 10), (1, 20), (0, 30)] {
        let answer = ask(&mut client, "a").expect(200);
        assert_eq!(answer.must_have("ratelimit-policy"), policy);
        let standing = format!("\"the \\\"API\\\"\";r={remaining};t=");
        let told = answer.must_have("ratelimit").strip_prefix(&standing);
        let told: u64 = told.and_then(|t| t.parse().ok()).expect("seconds");
        // The requests before may have been a while ago.
        assert!((reset_s - 6..=reset_s).contains(&told), "{answer:?}");
        assert_eq!(answer.header("retry-after"), None);
    }
    let refused = ask(&mut client, "a").expect(429);
    assert_eq!(refused.must_have("ratelimit-policy"), policy);
    assert!(
        refused.must_have("ratelimit").contains(";r=0;t="),
        "{refused:?}"
    );
    let other = ask(&mut client, "b").expect(200);
    assert!(other.must_have("ratelimit").contains(";r=2;"), "{other:?}");
    let unlimited = client.get("/numbers").expect(200);
    assert_eq!(unlimited.header("ratelimit-policy"), None);
    assert_eq!(unlimited.header("ratelimit"), None);
}

fn one_request_too_many_is_429_with_retry_after(engine: Engine) {
    let server = InProcess::start(engine, app(limit(1, Duration::from_millis(60_500))));
    let mut client = server.connect();
    ask(&mut client, "a").expect(200);
    let refused = ask(&mut client, "a").expect(429);
    let wait_s = refused.must_have("retry-after").to_owned();
    assert!(
        (50..=61).contains(&wait_s.parse().expect("whole seconds")),
        "{wait_s}"
    );
    let problem = refused.json();
    assert_eq!(problem["type"], "urn:corelane:problem:too-many-requests");
    assert_eq!(problem["status"], 429);
    assert!(
        refused
            .expect_problem(429)
            .contains(&format!("try again in {wait_s} s"))
    );
    client.get("/shard").expect(200);
}

fn of_several_limits_the_tightest_is_shown(engine: Engine) {
    let server = InProcess::start(
        engine,
        App::new()
            .middleware(limit(100, HOUR).name("all"))
            .route(Route::new(Method::GET, "/", shard).middleware(limit(2, HOUR).name("one")))
            .get("/other", shard),
    );
    let mut client = server.connect();
    let both = client.get("/").expect(200);
    let policies = "\"all\";q=100;w=3600, \"one\";q=2;w=3600";
    assert_eq!(both.must_have("ratelimit-policy"), policies);
    assert_eq!(both.must_have("ratelimit"), "\"one\";r=1;t=1800");
    client.get("/").expect(200);
    let refused = client.get("/").expect(429);
    assert_eq!(refused.must_have("ratelimit-policy"), policies);
    assert!(refused.must_have("ratelimit").starts_with("\"one\";r=0;"));
    let other = client.get("/other").expect(200);
    assert!(
        other.must_have("ratelimit").starts_with("\"all\";r=96;"),
        "{other:?}"
    );
}

fn every_kind_of_request_counts(engine: Engine) {
    let app = App::new()
        .middleware(limit(6, HOUR))
        .get("/", async |ctx: Ctx| {
            let kept = Response::text("kept\n").header("ETag", "\"v1\"");
            let kept = PreparedResponse::new(kept).expect("may be kept");
            ctx.respond_conditionally(Rc::new(kept))
        });
    let server = InProcess::start(engine, app);
    let mut client = server.connect();
    let remaining = |answer: &crate::harness::Response| {
        let standing = answer.must_have("ratelimit");
        let (_, rest) = standing.split_once(";r=").expect("r");
        rest.split(';').next().expect("a number").to_owned()
    };
    assert_eq!(remaining(&client.get("/").expect(200)), "5");
    assert_eq!(
        remaining(
            &client
                .get_with("/", &[("If-None-Match", "\"v1\"")])
                .expect(304)
        ),
        "4"
    );
    assert_eq!(remaining(&client.head("/").expect(200)), "3");
    assert_eq!(
        remaining(&client.request("OPTIONS", "/", &[], b"").expect(204)),
        "2"
    );
    assert_eq!(remaining(&client.get("/nothing").expect(404)), "1");
    assert_eq!(
        remaining(&client.request("POST", "/", &[], b"").expect(405)),
        "0"
    );
    client
        .get_with("/", &[("If-None-Match", "\"v1\"")])
        .expect_problem(429);
    client.send("HEAD / HTTP/1.1\r\nHost: t\r\n\r\n");
    assert_eq!(client.read_as(As::Head).status, 429);
}

fn limits_without_a_name_count_apart_and_clones_together(engine: Engine) {
    let (one, other) = (limit_here(), RateLimit::new(1, HOUR).expect("a quota"));
    let route = |path, limit| Route::new(Method::GET, path, shard).middleware(limit);
    let server = InProcess::start(
        engine,
        App::new()
            .route(route("/a", one.clone()))
            .route(route("/b", one))
            .route(route("/c", other)),
    );
    let mut client = server.connect();
    client.get("/a").expect(200);
    client.get("/b").expect(429);
    client.get("/c").expect(200);
    client.get("/c").expect(429);
}

fn limit_here() -> RateLimit {
    RateLimit::new(1, HOUR).expect("a quota")
}

/// Of many clients about half are at home on either of two shards.
fn names() -> Vec<String> {
    (0..32).map(|number| format!("client {number}")).collect()
}

fn a_client_whose_home_is_gone_has_a_share_of_its_quota(engine: Engine) {
    let server = InProcess::start_with(engine, app(limit(1, HOUR)), |options| {
        // It does not come back during the test.
        (options.restart_delay_ms, options.restart_delay_max_ms) = (60_000, 60_000);
    });
    let mut client = connect_to(&server, 0);
    let mut witness = connect_to(&server, 1);
    for name in names() {
        ask(&mut client, &name).expect(200);
    }
    server.handle().crash_shard(1);
    witness.expect_gone();
    let begun = Instant::now();
    let again = names()
        .iter()
        .filter(|name| ask(&mut client, name).status == 200)
        .count();
    let took = begun.elapsed();
    assert!(
        again > 0 && again < 32,
        "those at home on shard 1 alone: {again}"
    );
    assert!(
        took < Duration::from_secs(3),
        "a dead shard is not waited for: {took:?}"
    );
    // That was the share of this shard.
    for name in names() {
        let refused = ask(&mut client, &name).expect(429);
        refused.must_have("retry-after");
        refused.must_have("ratelimit-policy");
    }
}

/// As many as come while their home does not turn are no more than one who counts
/// would let through, and not told numbers that nobody knows.
fn a_crowd_whose_home_is_busy_is_limited_all_the_same(engine: Engine) {
    let (begins, has_begun) = sync_channel(1);
    let app = app(limit(10, HOUR)).get("/block", move |_| {
        begins.send(()).expect("somebody waits");
        thread::sleep(Duration::from_secs(4));
        async { Ok(Response::text("done\n")) }
    });
    let server = InProcess::start(engine, app);
    let mut busy = connect_to(&server, 1);
    let mut clients: Vec<Client> = (0..8).map(|_| connect_to(&server, 0)).collect();
    busy.send("GET /block HTTP/1.1\r\nHost: t\r\n\r\n");
    has_begun
        .recv_timeout(Duration::from_secs(10))
        .expect("it begins");
    let begun = Instant::now();
    let mut limited = 0;
    for name in names().iter().take(6) {
        let answers: Vec<_> = thread::scope(|scope| {
            let asking = clients
                .iter_mut()
                .map(|client| scope.spawn(move || [(); 3].map(|()| ask(client, name))));
            let asking: Vec<_> = asking.collect();
            asking
                .into_iter()
                .flat_map(|asking| asking.join().expect("answers"))
                .collect()
        });
        let through = answers.iter().filter(|answer| answer.status == 200).count();
        if answers
            .iter()
            .any(|answer| answer.header("ratelimit").is_some())
        {
            assert_eq!(through, 10, "at home here");
            continue;
        }
        limited += 1;
        assert_eq!(through, 5, "the share of one shard of two");
        for answer in &answers {
            answer.must_have("ratelimit-policy");
        }
    }
    assert!(
        begun.elapsed() < Duration::from_secs(4),
        "it was over before"
    );
    assert!(limited > 0, "none was at home there");
    assert_eq!(busy.read().expect(200).text(), "done\n");
}

fn a_home_that_comes_back_counts_again(engine: Engine) {
    let server = InProcess::start(engine, app(limit(3, HOUR)));
    let mut client = connect_to(&server, 0);
    let mut witness = connect_to(&server, 1);
    server.handle().crash_shard(1);
    witness.expect_gone();
    let deadline = Instant::now() + Duration::from_secs(20);
    for name in names() {
        // Let through while nobody counts, then three more at most.
        while ask(&mut client, &name).status == 200 {
            assert!(Instant::now() < deadline, "{name:?} is never counted");
        }
    }
}

fn a_client_whose_home_is_busy_is_let_through_in_time(engine: Engine) {
    let (begins, has_begun) = sync_channel(1);
    let app = app(limit(1, HOUR)).get("/block", move |_| {
        begins.send(()).expect("somebody waits");
        thread::sleep(Duration::from_secs(3));
        async { Ok(Response::text("done\n")) }
    });
    let server = InProcess::start(engine, app);
    let mut busy = connect_to(&server, 1);
    let mut client = connect_to(&server, 0);
    busy.send("GET /block HTTP/1.1\r\nHost: t\r\n\r\n");
    has_begun
        .recv_timeout(Duration::from_secs(10))
        .expect("it begins");
    let names = names();
    let slowest = names.iter().take(16).map(|name| {
        let begun = Instant::now();
        ask(&mut client, name).expect(200);
        begun.elapsed()
    });
    let slowest = slowest.max().expect("some");
    assert!(slowest < Duration::from_secs(2), "{slowest:?}");
    assert_eq!(busy.read().expect(200).text(), "done\n");
    let numbers = read_numbers(&server);
    assert!(numbers.unjudged > 0 && numbers.unjudged < 16, "{numbers:?}");
    assert_eq!(numbers.allowed, 16);
}

fn a_full_table_forgets_the_client_seen_longest_ago(engine: Engine) {
    let server = InProcess::start_shards(engine, 1, app(limit(1, HOUR)), |options| {
        options.rate_limit.keys_max = 3;
    });
    let mut client = server.connect();
    for name in ["a", "b", "c"] {
        ask(&mut client, name).expect(200);
    }
    ask(&mut client, "a").expect(429);
    ask(&mut client, "d").expect(200);
    ask(&mut client, "a").expect(429);
    ask(&mut client, "c").expect(429);
    ask(&mut client, "b").expect(200);
    let numbers = read_numbers(&server);
    assert_eq!((numbers.keys, numbers.evicted), (3, 2));
}
