//! Redis killed, frozen, reset, restarted empty, not there at all: requests
//! are answered in time, and the connection comes back by itself.

use std::cell::Cell;
use std::rc::Rc;
use std::thread;
use std::time::{Duration, Instant};

use corelane::engine;
use corelane::redis::RedisOptions;
use corelane::{App, Ctx, Error, Response};
use redis::{Script, cmd};
use services::{Proxy, Redis};

use super::{app, kind, read, redis as redis_of, state};
use crate::harness::{Client, Engine, InProcess};

both_engines!(
    a_killed_redis_fails_at_once_and_is_used_again_when_it_is_back,
    a_frozen_redis_costs_a_deadline_and_then_nothing_until_it_thaws,
    a_reset_fails_the_command_under_way_and_no_other,
    a_start_without_redis_serves_and_finds_it_later,
    a_start_with_a_frozen_redis_takes_no_longer_than_it_may,
    who_asked_to_be_told_of_a_new_connection_is,
    a_wrong_password_is_told_without_it_and_cured_while_running,
    a_redis_that_lost_its_scripts_gets_them_again,
    a_dropped_command_takes_no_other_commands_answer,
    a_shard_that_was_restarted_has_its_connection_again,
);

const DEADLINE_MS: u64 = 400;

fn options(url: String) -> RedisOptions {
    RedisOptions {
        deadline_ms: DEADLINE_MS,
        circuit_failures: 2,
        reconnect_delay_ms: 10,
        reconnect_delay_max_ms: 50,
        ..RedisOptions::new(url)
    }
}

/// One shard, so that every request meets the same connection.
fn start(engine: Engine, app: App) -> InProcess {
    InProcess::start_shards(engine, 1, app, |_| {})
}

fn ask(client: &mut Client) -> (String, Duration) {
    let begun = Instant::now();
    let answer = client.get("/get/key").expect(200).text().to_owned();
    (answer, begun.elapsed())
}

/// Asks until the answer is `wanted`.
fn becomes(client: &mut Client, path: &str, wanted: impl Fn(&str) -> bool) -> String {
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        let answer = client.get(path).expect(200).text().to_owned();
        if wanted(&answer) {
            return answer;
        }
        assert!(Instant::now() < deadline, "{path} stays {answer}");
        thread::sleep(Duration::from_millis(5));
    }
}

fn a_killed_redis_fails_at_once_and_is_used_again_when_it_is_back(engine: Engine) {
    let mut redis = Redis::start();
    let server = start(engine, app(options(redis.url())));
    let mut client = server.connect();
    assert_eq!(client.get("/set/key/old").expect(200).text(), "OK");
    redis.kill();
    becomes(&mut client, "/state", |state| state == "0 false 1");
    let (answer, took) = ask(&mut client);
    assert_eq!(answer, "down");
    assert!(took.as_millis() < u128::from(DEADLINE_MS / 2), "{took:?}");
    redis.start_again();
    becomes(&mut client, "/state", |state| state == "0 true 1");
    assert_eq!(ask(&mut client).0, "nil");
}

fn a_frozen_redis_costs_a_deadline_and_then_nothing_until_it_thaws(engine: Engine) {
    let redis = Redis::start();
    let server = start(engine, app(options(redis.url())));
    let mut client = server.connect();
    redis.freeze();
    for _ in 0..2 {
        let (answer, took) = ask(&mut client);
        assert_eq!(answer, "too slow");
        // Seven to eight eighths of the deadline, and some leave for a loaded
        // machine.
        let least = Duration::from_millis(DEADLINE_MS * 3 / 4);
        let most = Duration::from_millis(DEADLINE_MS + 300);
        assert!((least..most).contains(&took), "{took:?}");
    }
    let (answer, took) = ask(&mut client);
    assert_eq!(answer, "down");
    assert!(took.as_millis() < u128::from(DEADLINE_MS / 2), "{took:?}");
    assert_eq!(client.get("/state").expect(200).text(), "0 false 1");
    redis.thaw();
    becomes(&mut client, "/state", |state| state == "0 true 1");
    assert_eq!(ask(&mut client).0, "nil");
}

fn a_reset_fails_the_command_under_way_and_no_other(engine: Engine) {
    let redis = Redis::start();
    redis.cli(&["SET", "key", "value"]);
    let proxy = Proxy::to(redis.port());
    let options = RedisOptions {
        deadline_ms: 10_000,
        ..options(redis.url_through(proxy.port()))
    };
    let server = start(engine, app(options));
    let mut client = server.connect();
    proxy.hold_answers(true);
    client.send("GET /get/key HTTP/1.1\r\nHost: a\r\n\r\n");
    let waits = |state: &str| state.parse() == Ok(1_u64);
    becomes(&mut server.connect(), "/in-flight", waits);
    let begun = Instant::now();
    proxy.hold_answers(false);
    proxy.reset();
    // Reset before the answer could come, or just after: never hung.
    let answer = client.read().expect(200).text().to_owned();
    assert!(answer == "down" || answer == "value", "{answer}");
    assert!(begun.elapsed() < Duration::from_secs(5));
    becomes(&mut client, "/state", |state| state == "0 true 1");
    assert_eq!(ask(&mut client).0, "value");
    assert_eq!(proxy.accepted(), 2);
}

fn a_start_without_redis_serves_and_finds_it_later(engine: Engine) {
    let mut redis = Redis::start();
    redis.kill();
    let server = start(engine, app(options(redis.url())));
    let mut client = server.connect();
    assert_eq!(ask(&mut client).0, "down");
    assert_eq!(client.get("/state").expect(200).text(), "0 false 0");
    redis.start_again();
    becomes(&mut client, "/state", |state| state == "0 true 0");
    assert_eq!(ask(&mut client).0, "nil");
}

fn a_wrong_password_is_told_without_it_and_cured_while_running(engine: Engine) {
    let redis = Redis::start();
    redis.cli(&["CONFIG", "SET", "requirepass", "r1ght"]);
    let url = |password: &str| format!("redis://:{password}@127.0.0.1:{}/0", redis.port());
    let server = start(engine, app(options(url("wr0ng"))));
    let mut client = server.connect();
    let told = client.get("/fault").expect(200).text().to_owned();
    assert!(
        told.contains("WRONGPASS") || told.contains("auth"),
        "{told}"
    );
    assert!(!told.contains("wr0ng"), "{told}");
    redis.cli(&["-a", "r1ght", "CONFIG", "SET", "requirepass", "wr0ng"]);
    becomes(&mut client, "/state", |state| state == "0 true 0");
    assert_eq!(ask(&mut client).0, "nil");
    // And one that asks for a password nobody gave.
    let server = start(engine, app(options(redis.url())));
    let told = server.connect().get("/fault").expect(200).text().to_owned();
    assert!(told.contains("NOAUTH"), "{told}");
}

async fn scripted(ctx: Ctx) -> Result<Response, Error> {
    let script = Script::new("return redis.call('INCRBY', KEYS[1], ARGV[1])");
    let redis = redis_of(&ctx);
    let answer = redis.script::<u64>(&script, &[b"count"], &[b"5"]).await;
    Ok(Response::text(match answer {
        Ok(count) => count.to_string(),
        Err(fault) => kind(&fault).to_owned(),
    }))
}

fn a_redis_that_lost_its_scripts_gets_them_again(engine: Engine) {
    let redis = Redis::start();
    let app = app(options(redis.url())).get("/script", scripted);
    let server = start(engine, app);
    let mut client = server.connect();
    assert_eq!(client.get("/script").expect(200).text(), "5");
    redis.cli(&["SCRIPT", "FLUSH"]);
    assert_eq!(client.get("/script").expect(200).text(), "10");
    assert_eq!(client.get("/script").expect(200).text(), "15");
}

/// Gives up asking for `ECHO dropped` at different moments of its life, and
/// asks something else each time.
async fn dropping(ctx: Ctx) -> Result<Response, Error> {
    let redis = redis_of(&ctx);
    let mut wrong = 0;
    for round in 0..200_u64 {
        let echo = cmd("ECHO").arg("dropped").to_owned();
        let asked = redis.run::<String>(&echo);
        let _ = engine::timeout(Duration::from_micros(round * 5), asked).await;
        let answer = redis.run::<u64>(cmd("ECHO").arg(round)).await;
        wrong += usize::from(answer != Ok(round));
    }
    Ok(Response::text(wrong.to_string()))
}

fn a_dropped_command_takes_no_other_commands_answer(engine: Engine) {
    let redis = Redis::start();
    let app = app(options(redis.url())).get("/dropping", dropping);
    let server = start(engine, app);
    let mut client = server.connect();
    assert_eq!(client.get("/dropping").expect(200).text(), "0");
    assert_eq!(client.get("/in-flight").expect(200).text(), "0");
    assert_eq!(client.get("/state").expect(200).text(), "0 true 0");
}

fn a_shard_that_was_restarted_has_its_connection_again(engine: Engine) {
    let redis = Redis::start();
    let app = App::new()
        .redis(options(redis.url()))
        .get("/get/{key}", read)
        .get("/state", state);
    let server = start(engine, app);
    assert_eq!(
        server.connect().get("/state").expect(200).text(),
        "0 true 0"
    );
    // The server's one connection; the other is redis-cli's own.
    let connections = || {
        let list = redis.cli(&["CLIENT", "LIST"]);
        let ours = list.lines().filter(|line| !line.contains("cmd=client"));
        ours.map(|line| line.split(' ').next().unwrap_or("").to_owned())
            .collect::<Vec<_>>()
    };
    let before = connections();
    assert_eq!(before.len(), 1);
    server.handle().crash_shard(0);
    let deadline = Instant::now() + Duration::from_secs(10);
    loop {
        let now = connections();
        if now.len() == 1 && now != before {
            break;
        }
        assert!(Instant::now() < deadline, "{before:?} and now {now:?}");
        thread::sleep(Duration::from_millis(5));
    }
    assert_eq!(ask(&mut server.connect()).0, "nil");
}

fn a_start_with_a_frozen_redis_takes_no_longer_than_it_may(engine: Engine) {
    let redis = Redis::start();
    redis.freeze();
    // Whoever waited for the deadline would wait longer than anything may take.
    let options = RedisOptions {
        connect_timeout_ms: 300,
        deadline_ms: 30_000,
        ..options(redis.url())
    };
    let begun = Instant::now();
    let server = start(engine, app(options));
    assert!(begun.elapsed() < Duration::from_secs(10), "{begun:?}");
    let mut client = server.connect();
    let (answer, took) = ask(&mut client);
    assert_eq!(answer, "down");
    assert!(took < Duration::from_secs(10), "{took:?}");
    redis.thaw();
    becomes(&mut client, "/state", |state| state == "0 true 0");
}

/// How often the shard was told.
#[derive(Default)]
struct Told(Rc<Cell<u32>>);

async fn watch(ctx: Ctx) -> Result<Response, Error> {
    let told = ctx.state::<Told>().0.clone();
    redis_of(&ctx).on_up(move || told.set(told.get() + 1));
    Ok(Response::text("watching"))
}

fn who_asked_to_be_told_of_a_new_connection_is(engine: Engine) {
    let redis = Redis::start();
    let proxy = Proxy::to(redis.port());
    let app = app(options(redis.url_through(proxy.port())))
        .state(|_| async { Ok(Told::default()) })
        .get("/watch", watch)
        .get("/told", async |ctx: Ctx| {
            Ok(Response::text(ctx.state::<Told>().0.get().to_string()))
        });
    let server = start(engine, app);
    let mut client = server.connect();
    client.get("/watch").expect(200);
    for times in 1..4_u32 {
        proxy.reset();
        becomes(&mut client, "/told", |told| told.parse() == Ok(times));
        let state = client.get("/state").expect(200).text().to_owned();
        assert_eq!(state, format!("0 true {times}"));
    }
}
