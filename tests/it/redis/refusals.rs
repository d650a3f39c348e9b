//! What the server says no to, and what is not sent: told apart and counted.

use std::thread;
use std::time::{Duration, Instant};

use corelane::redis::RedisOptions;
use corelane::{Ctx, Error, Response};
use redis::{cmd, pipe};
use services::{Proxy, Redis};

use super::{app, kind, redis as redis_of};
use crate::harness::{Client, Engine, InProcess};

either_engine!(
    a_full_memory_a_replica_and_a_forbidden_command_are_counted_apart,
    a_redis_that_loads_its_data_says_so_and_works_afterwards,
    a_replica_is_left_for_the_server_the_address_leads_to_now,
    a_connection_that_is_nobodys_any_more_logs_in_anew,
    more_commands_than_may_be_in_flight_are_refused_at_once,
    a_pipeline_answers_all_and_a_wrong_type_is_no_outage,
);

fn start(engine: Engine, redis: &Redis) -> InProcess {
    let options = RedisOptions {
        deadline_ms: 5_000,
        ..RedisOptions::new(redis.url())
    };
    let app = app(options)
        .get("/counted", counted)
        .get("/flood/{count}", flood)
        .get("/pipeline", pipeline);
    InProcess::start_shards(engine, 1, app, |_| {})
}

/// The counters that are not zero.
async fn counted(ctx: Ctx) -> Result<Response, Error> {
    let counted = ctx.metrics().await.redis.expect("the app has one");
    let counters = counted.fields().into_iter();
    let told: Vec<_> = counters
        .filter(|(_, count)| *count > 0)
        .map(|(name, count)| format!("{name}={count}"))
        .collect();
    Ok(Response::text(told.join(" ")))
}

fn counter(client: &mut Client, name: &str) -> u64 {
    let text = client.get("/counted").expect(200).text().to_owned();
    let mut found = text.split(' ').filter_map(|part| part.split_once('='));
    found
        .find(|(known, _)| *known == name)
        .map_or(0, |(_, count)| count.parse().expect("a number"))
}

fn a_full_memory_a_replica_and_a_forbidden_command_are_counted_apart(engine: Engine) {
    let redis = Redis::start();
    let server = start(engine, &redis);
    let mut client = server.connect();
    redis.cli(&["CONFIG", "SET", "maxmemory", "1"]);
    client.get("/set/key/value").expect(500);
    redis.cli(&["CONFIG", "SET", "maxmemory", "0"]);
    redis.cli(&["REPLICAOF", "127.0.0.1", "1"]);
    client.get("/set/key/value").expect(503);
    redis.cli(&["REPLICAOF", "NO", "ONE"]);
    becomes_up(&mut client);
    redis.cli(&["ACL", "SETUSER", "default", "-get"]);
    assert_eq!(client.get("/get/key").expect(200).text(), "refused");
    redis.cli(&["ACL", "SETUSER", "default", "+get"]);
    assert_eq!(client.get("/get/key").expect(200).text(), "nil");
    for name in ["refused_oom", "refused_readonly", "refused_auth"] {
        assert_eq!(counter(&mut client, name), 1, "{name}");
    }
    // The replica was left, and nothing else.
    assert_eq!(counter(&mut client, "connects"), 2);
    assert_eq!(client.get("/state").expect(200).text(), "0 true 1");
}

/// Waits until the shard has its connection.
fn becomes_up(client: &mut Client) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !client.get("/state").expect(200).text().contains("true") {
        assert!(Instant::now() < deadline, "it is never up");
        thread::sleep(Duration::from_millis(5));
    }
}

fn a_replica_is_left_for_the_server_the_address_leads_to_now(engine: Engine) {
    let (old, new) = (Redis::start(), Redis::start());
    let proxy = Proxy::to(old.port());
    let options = RedisOptions {
        deadline_ms: 5_000,
        reconnect_delay_ms: 10,
        reconnect_delay_max_ms: 50,
        ..RedisOptions::new(old.url_through(proxy.port()))
    };
    let app = app(options)
        .get("/counted", counted)
        .get("/pipeline", pipeline);
    let server = InProcess::start_shards(engine, 1, app, |_| {});
    let mut client = server.connect();
    client.get("/set/key/value").expect(200);
    old.cli(&["REPLICAOF", "127.0.0.1", "1"]);
    // Inside a transaction it is said in other words.
    client.get("/pipeline").expect(503);
    // As long as the address leads to a replica there is no connection, and it
    // says why.
    let deadline = Instant::now() + Duration::from_secs(10);
    while counter(&mut client, "connect_failures") < 3 {
        assert!(Instant::now() < deadline, "it is asked no more");
        let said = client.get("/fault").expect(200).text().to_owned();
        assert!(said.contains("replica"), "{said}");
    }
    proxy.lead_to(new.port());
    becomes_up(&mut client);
    client.get("/set/key/new").expect(200);
    assert_eq!(new.cli(&["GET", "key"]), "new");
}

fn reset_app(options: RedisOptions) -> corelane::App {
    app(options).get("/counted", counted).get("/reset", reset)
}

/// Has the server forget who the connection belongs to.
async fn reset(ctx: Ctx) -> Result<Response, Error> {
    redis_of(&ctx).run::<()>(&cmd("RESET")).await?;
    Ok(Response::text("reset"))
}

fn a_connection_that_is_nobodys_any_more_logs_in_anew(engine: Engine) {
    let redis = Redis::start();
    let options = RedisOptions {
        reconnect_delay_ms: 10,
        reconnect_delay_max_ms: 50,
        ..RedisOptions::new(redis.url().replace("//", "//:s3cret@"))
    };
    redis.cli(&["CONFIG", "SET", "requirepass", "s3cret"]);
    let server = InProcess::start_shards(engine, 1, reset_app(options), |_| {});
    let mut client = server.connect();
    becomes_up(&mut client);
    client.get("/reset").expect(200);
    // The connection is nobody's any more: another one logs in.
    let deadline = Instant::now() + Duration::from_secs(10);
    while counter(&mut client, "connects") < 2 {
        assert!(Instant::now() < deadline, "it is never left");
        client.get("/get/key").expect(200);
    }
    becomes_up(&mut client);
    client.get("/set/key/value").expect(200);
}

fn a_redis_that_loads_its_data_says_so_and_works_afterwards(engine: Engine) {
    let full = Redis::start();
    let fill = "for i=1,2000 do redis.call('SET', 'key'..i, string.rep('x', 1000)) end";
    full.cli(&["EVAL", fill, "0"]);
    let redis = Redis::start();
    let server = start(engine, &redis);
    let mut client = server.connect();
    redis.cli(&[
        "CONFIG",
        "SET",
        "loading-process-events-interval-bytes",
        "1024",
    ]);
    redis.cli(&["CONFIG", "SET", "key-load-delay", "500"]);
    redis.cli(&["REPLICAOF", "127.0.0.1", &full.port().to_string()]);
    let deadline = Instant::now() + Duration::from_secs(20);
    while counter(&mut client, "refused_loading") == 0 {
        assert!(Instant::now() < deadline, "it never loads");
        client.get("/get/key1").expect(200);
    }
    redis.cli(&["CONFIG", "SET", "key-load-delay", "0"]);
    while client.get("/get/key1").expect(200).text().len() != 1000 {
        assert!(Instant::now() < deadline, "it never ends to load");
        thread::sleep(Duration::from_millis(10));
    }
    // It was left while it loaded, once.
    becomes_up(&mut client);
    assert_eq!(client.get("/state").expect(200).text(), "0 true 1");
}

/// How many of so many commands at once were refused as too many.
async fn flood(ctx: Ctx) -> Result<Response, Error> {
    let redis = redis_of(&ctx);
    let count: usize = ctx.param("count")?;
    let ping = cmd("PING");
    let asked = (0..count).map(|_| redis.run::<()>(&ping));
    let answers = futures_util::future::join_all(asked).await;
    let busy = answers.iter().filter_map(|answer| answer.as_ref().err());
    let busy = busy.filter(|fault| kind(fault) == "busy").count();
    Ok(Response::text(busy.to_string()))
}

fn more_commands_than_may_be_in_flight_are_refused_at_once(engine: Engine) {
    let redis = Redis::start();
    let server = start(engine, &redis);
    let mut client = server.connect();
    let most = corelane::internals::limits::REDIS_IN_FLIGHT_MAX;
    let target = format!("/flood/{}", most + 10);
    assert_eq!(client.get(&target).expect(200).text(), "10");
    assert_eq!(counter(&mut client, "failed_busy"), 10);
    assert_eq!(client.get("/get/key").expect(200).text(), "nil");
}

async fn pipeline(ctx: Ctx) -> Result<Response, Error> {
    let redis = redis_of(&ctx);
    let mut pipeline = pipe();
    pipeline.atomic().set("a", 1).ignore().incr("a", 2).get("a");
    let (grown, read): (u64, u64) = redis.pipeline(&pipeline).await?;
    let set = cmd("SET").arg("text").arg("no number").to_owned();
    redis.run::<()>(&set).await?;
    let wrong = redis.run::<u64>(cmd("GET").arg("text")).await;
    let wrong = wrong.as_ref().map_or_else(kind, |_| "a number");
    Ok(Response::text(format!("{grown} {read} {wrong}")))
}

fn a_pipeline_answers_all_and_a_wrong_type_is_no_outage(engine: Engine) {
    let redis = Redis::start();
    let server = start(engine, &redis);
    let mut client = server.connect();
    let text = client.get("/pipeline").expect(200).text().to_owned();
    assert_eq!(text, "3 3 refused");
    assert_eq!(client.get("/state").expect(200).text(), "0 true 0");
}
