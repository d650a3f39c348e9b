//! Redis on the shards' own rings, through handlers, against a real server.

mod exclusive;
mod outages;
mod refusals;
mod shipped;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::time::{Duration, Instant};

use ::redis::cmd;
use corelane::redis::{RedisFault, RedisOptions};
use corelane::{App, Ctx, Error, Response};
use futures_util::future::join_all;
use services::{Keyspace, Redis};

use crate::harness::{Engine, InProcess};

either_engine!(
    a_handler_sets_and_reads_on_every_shard,
    a_thousand_commands_at_once_each_get_their_own_answer,
    a_unix_socket_and_a_database_of_its_own_do_as_well,
    a_server_that_has_ended_has_left,
);

/// An app with this Redis, and handlers for the tests.
fn app(options: RedisOptions) -> App {
    App::new()
        .redis(options)
        .get("/set/{key}/{value}", set)
        .get("/get/{key}", read)
        .get("/state", state)
        .get("/burst/{count}", burst)
        .get("/fault", fault)
        .get("/in-flight", in_flight)
}

fn redis(ctx: &Ctx) -> corelane::redis::Redis {
    ctx.redis().expect("the app has one")
}

async fn set(ctx: Ctx) -> Result<Response, Error> {
    let (key, value): (String, String) = (ctx.param("key")?, ctx.param("value")?);
    let set = cmd("SET").arg(key).arg(value).to_owned();
    let answer: String = redis(&ctx).run(&set).await?;
    Ok(Response::text(answer))
}

/// The value, or the kind of failure.
async fn read(ctx: Ctx) -> Result<Response, Error> {
    let key: String = ctx.param("key")?;
    let answer = redis(&ctx).run(cmd("GET").arg(key)).await;
    Ok(Response::text(match answer {
        Ok(Some(value)) => value,
        Ok(None) => "nil".to_owned(),
        Err(fault) => kind(&fault).to_owned(),
    }))
}

fn kind(fault: &RedisFault) -> &'static str {
    match fault {
        RedisFault::Down(_) => "down",
        RedisFault::TooSlow => "too slow",
        RedisFault::Refused(_) => "refused",
        RedisFault::Busy => "busy",
    }
}

async fn state(ctx: Ctx) -> Result<Response, Error> {
    let redis = redis(&ctx);
    let (shard, up, outages) = (ctx.shard().index, redis.is_up(), redis.outages());
    Ok(Response::text(format!("{shard} {up} {outages}")))
}

/// What a failure says of itself.
async fn fault(ctx: Ctx) -> Result<Response, Error> {
    let answer = redis(&ctx).run::<()>(&cmd("PING")).await;
    Ok(Response::text(match answer {
        Ok(()) => "none".to_owned(),
        Err(fault) => format!("{fault} {fault:?} {:?}", redis(&ctx)),
    }))
}

/// Commands without an answer, all shards together.
async fn in_flight(ctx: Ctx) -> Result<Response, Error> {
    let counted = ctx.metrics().await.redis.expect("the app has one");
    Ok(Response::text(counted.in_flight.to_string()))
}

async fn burst(ctx: Ctx) -> Result<Response, Error> {
    let redis = redis(&ctx);
    let count: u64 = ctx.param("count")?;
    let answers = join_all((0..count).map(|number| {
        let redis = redis.clone();
        async move { redis.run::<u64>(cmd("ECHO").arg(number)).await }
    }));
    let right = answers.await.into_iter().enumerate();
    let right = right.filter(|(number, answer)| *answer == Ok(*number as u64));
    Ok(Response::text(right.count().to_string()))
}

/// A server whose connections are asked until both shards have answered.
fn on_both_shards(server: &InProcess, ask: impl Fn(&mut crate::harness::Client)) {
    let mut seen = [false; 2];
    let deadline = Instant::now() + Duration::from_secs(10);
    while seen != [true; 2] {
        assert!(Instant::now() < deadline, "one shard never answered");
        let mut client = server.connect();
        let state = client.get("/state").expect(200).text().to_owned();
        seen[usize::from(state.starts_with('1'))] = true;
        ask(&mut client);
    }
}

fn a_handler_sets_and_reads_on_every_shard(engine: Engine) {
    let redis = Keyspace::take();
    let server = InProcess::start(engine, app(RedisOptions::new(redis.url())));
    on_both_shards(&server, |client| {
        assert_eq!(client.get("/set/name/Ada").expect(200).text(), "OK");
        assert_eq!(client.get("/get/name").expect(200).text(), "Ada");
        assert_eq!(client.get("/get/nobody").expect(200).text(), "nil");
        assert!(client.get("/state").expect(200).text().ends_with(" true 0"));
    });
    assert_eq!(redis.cli(&["GET", "name"]), "Ada");
}

fn a_thousand_commands_at_once_each_get_their_own_answer(engine: Engine) {
    let redis = Keyspace::take();
    let server = InProcess::start(engine, app(RedisOptions::new(redis.url())));
    on_both_shards(&server, |client| {
        assert_eq!(client.get("/burst/1000").expect(200).text(), "1000");
    });
}

/// A Unix socket whose connections end at a TCP port.
fn unix_socket(path: &Path, port: u16) {
    let listener = UnixListener::bind(path).expect("a socket");
    let carry = |mut from: Box<dyn Read + Send>, mut to: Box<dyn Write + Send>| {
        std::thread::spawn(move || drop(std::io::copy(&mut from, &mut to)));
    };
    std::thread::spawn(move || {
        for client in listener.incoming().flatten() {
            let server = TcpStream::connect(("127.0.0.1", port)).expect("a server");
            let from_client = client.try_clone().expect("a descriptor");
            let from_server = server.try_clone().expect("a descriptor");
            carry(Box::new(from_client), Box::new(server));
            carry(Box::new(from_server), Box::new(client));
        }
    });
}

fn a_unix_socket_and_a_database_of_its_own_do_as_well(engine: Engine) {
    let redis = Redis::start();
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("redis.sock");
    unix_socket(&path, redis.port());
    let url = format!("redis+unix://{}?db=3", path.display());
    let server = InProcess::start(engine, app(RedisOptions::new(url)));
    let mut client = server.connect();
    assert_eq!(client.get("/set/name/Ada").expect(200).text(), "OK");
    assert_eq!(redis.cli(&["-n", "3", "GET", "name"]), "Ada");
    assert_eq!(redis.cli(&["GET", "name"]), "");
}

fn a_server_that_has_ended_has_left(engine: Engine) {
    let redis = Redis::start();
    let clients = || redis.cli(&["CLIENT", "LIST"]).lines().count();
    let server = InProcess::start(engine, app(RedisOptions::new(redis.url())));
    assert_eq!(clients(), 3, "one for each shard, and redis-cli's own");
    let begun = Instant::now();
    assert!(server.finish().drained);
    assert!(begun.elapsed() < Duration::from_secs(2), "{begun:?}");
    let deadline = Instant::now() + Duration::from_secs(10);
    while clients() != 1 {
        assert!(Instant::now() < deadline, "{} clients", clients());
    }
}
