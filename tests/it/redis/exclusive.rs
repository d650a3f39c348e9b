//! Connections that one piece of work has for itself.

use std::time::{Duration, Instant};

use corelane::engine;
use corelane::redis::{ExclusiveConnection, RedisFault, RedisOptions};
use corelane::{Ctx, Error, Response};
use futures_util::future::join_all;
use redis::{RedisResult, cmd, pipe};
use services::{Keyspace, Redis};

use super::{app, kind, redis as redis_of};
use crate::harness::{Engine, InProcess};

either_engine!(
    a_watched_key_that_changed_is_tried_again_and_no_count_is_lost,
    a_blocking_command_holds_up_nobody,
    work_beyond_the_pool_waits_and_then_is_refused,
    what_a_user_left_in_its_connection_harms_no_other,
    work_that_takes_too_long_or_is_dropped_loses_its_connection,
    work_after_a_restart_gets_a_new_connection,
    a_panic_in_the_work_is_500_and_takes_no_connection_along,
);

fn start(engine: Engine, redis: &Keyspace) -> InProcess {
    let options = RedisOptions {
        exclusive_connections_max: 4,
        exclusive_wait_ms: 300,
        exclusive_timeout_ms: 2_000,
        ..RedisOptions::new(redis.url())
    };
    let app = app(options)
        .get("/count/{times}", count)
        .get("/pop/{block_ms}", pop)
        .get("/messy", messy)
        .get("/panic", panics)
        .get("/dropped", dropped);
    InProcess::start(engine, app)
}

/// Reads, and writes what follows from it if nobody wrote in between.
async fn increment(mut connection: ExclusiveConnection) -> RedisResult<u64> {
    let mut conflicts = 0;
    loop {
        let watch = cmd("WATCH").arg("count").to_owned();
        watch.query_async::<()>(&mut connection).await?;
        let read: Option<u64> = cmd("GET").arg("count").query_async(&mut connection).await?;
        tokio::time::sleep(Duration::from_millis(1)).await;
        let mut write = pipe();
        write.atomic().set("count", read.unwrap_or(0) + 1).ignore();
        let written: Option<()> = write.query_async(&mut connection).await?;
        match written {
            Some(()) => return Ok(conflicts),
            None => conflicts += 1,
        }
    }
}

async fn count(ctx: Ctx) -> Result<Response, Error> {
    let redis = redis_of(&ctx);
    let times: usize = ctx.param("times")?;
    let conflicts = join_all((0..times).map(|_| redis.exclusive(increment))).await;
    let conflicts: Result<Vec<u64>, RedisFault> = conflicts.into_iter().collect();
    Ok(Response::text(conflicts?.iter().sum::<u64>().to_string()))
}

fn a_watched_key_that_changed_is_tried_again_and_no_count_is_lost(engine: Engine) {
    let redis = Keyspace::take();
    let server = start(engine, &redis);
    let mut client = server.connect();
    let mut conflicts = 0;
    let mut rounds = 0;
    // Whether two meet is up to the scheduler; in some round they do.
    while conflicts == 0 {
        rounds += 1;
        assert!(rounds < 50, "no conflict in {rounds} rounds");
        let told = client.get("/count/4").expect(200).text().to_owned();
        conflicts += told.parse::<u64>().expect("a number");
    }
    assert_eq!(redis.cli(&["GET", "count"]), (4 * rounds).to_string());
}

async fn pop(ctx: Ctx) -> Result<Response, Error> {
    let block_ms: u64 = ctx.param("block_ms")?;
    let redis = redis_of(&ctx);
    let popped = redis.exclusive(move |mut connection| async move {
        let pop = cmd("BLPOP")
            .arg("list")
            .arg(block_ms as f64 / 1e3)
            .to_owned();
        pop.query_async::<Option<(String, String)>>(&mut connection)
            .await
    });
    Ok(Response::text(match popped.await {
        Ok(Some((_, value))) => value,
        Ok(None) => "nil".to_owned(),
        Err(fault) => kind(&fault).to_owned(),
    }))
}

fn a_blocking_command_holds_up_nobody(engine: Engine) {
    let redis = Keyspace::take();
    let server = start(engine, &redis);
    let mut waiting = server.connect();
    let begun = Instant::now();
    waiting.send("GET /pop/1500 HTTP/1.1\r\nHost: a\r\n\r\n");
    let mut others: Vec<_> = (0..8).map(|_| server.connect()).collect();
    for client in &mut others {
        for _ in 0..20 {
            assert_eq!(client.get("/get/key").expect(200).text(), "nil");
        }
    }
    assert!(begun.elapsed() < Duration::from_millis(1_500), "held up");
    assert_eq!(waiting.read().expect(200).text(), "nil");
    assert!(begun.elapsed() >= Duration::from_millis(1_500));
    waiting.send("GET /pop/1500 HTTP/1.1\r\nHost: a\r\n\r\n");
    redis.cli(&["RPUSH", "list", "pushed"]);
    assert_eq!(waiting.read().expect(200).text(), "pushed");
}

fn work_beyond_the_pool_waits_and_then_is_refused(engine: Engine) {
    let redis = Keyspace::take();
    let server = start(engine, &redis);
    let mut clients: Vec<_> = (0..5).map(|_| server.connect()).collect();
    for client in &mut clients {
        client.send("GET /pop/1000 HTTP/1.1\r\nHost: a\r\n\r\n");
    }
    let answers = clients.iter_mut().map(|client| client.read().expect(200));
    let mut answers: Vec<_> = answers.map(|answer| answer.text().to_owned()).collect();
    answers.sort();
    assert_eq!(answers, ["busy", "nil", "nil", "nil", "nil"]);
}

/// Leaves a transaction open and a key watched, on every connection there is,
/// then asks for something simple on each.
async fn messy(ctx: Ctx) -> Result<Response, Error> {
    let redis = redis_of(&ctx);
    let left = join_all((0..4).map(|index| {
        redis.exclusive(move |mut connection| async move {
            let left = if index % 2 == 0 { "MULTI" } else { "WATCH" };
            let mut command = cmd(left);
            if left == "WATCH" {
                command.arg("key");
            }
            command.query_async::<()>(&mut connection).await?;
            tokio::time::sleep(Duration::from_millis(20)).await;
            Ok(())
        })
    }));
    let left: Result<Vec<()>, RedisFault> = left.await.into_iter().collect();
    left?;
    redis.run::<()>(cmd("SET").arg("key").arg("7")).await?;
    let asked = join_all((0..8).map(|_| {
        redis.exclusive(async |mut connection| {
            let mut transaction = pipe();
            transaction.atomic().get("key");
            let (value,): (u64,) = transaction.query_async(&mut connection).await?;
            Ok(value)
        })
    }));
    let asked: Result<Vec<u64>, RedisFault> = asked.await.into_iter().collect();
    Ok(Response::text(format!("{:?}", asked?)))
}

fn what_a_user_left_in_its_connection_harms_no_other(engine: Engine) {
    let redis = Keyspace::take();
    let server = start(engine, &redis);
    let mut client = server.connect();
    let text = client.get("/messy").expect(200).text().to_owned();
    assert_eq!(text, format!("{:?}", [7; 8]));
}

/// Gives up work that still blocks, and then asks on every connection.
async fn dropped(ctx: Ctx) -> Result<Response, Error> {
    let redis = redis_of(&ctx);
    let block = async |mut connection: ExclusiveConnection| {
        cmd("BLPOP")
            .arg("list")
            .arg(0)
            .query_async::<()>(&mut connection)
            .await
    };
    let four = (0..4).map(|_| redis.exclusive(block));
    let elapsed = engine::timeout(Duration::from_millis(200), join_all(four)).await;
    assert!(elapsed.is_err(), "nobody pushes");
    let asked = join_all((0..4).map(|_| {
        redis.exclusive(async |mut connection: ExclusiveConnection| {
            cmd("ECHO").arg(7).query_async::<u64>(&mut connection).await
        })
    }));
    let asked: Result<Vec<u64>, RedisFault> = asked.await.into_iter().collect();
    let too_long = redis.exclusive(block).await;
    Ok(Response::text(format!("{:?} {too_long:?}", asked?)))
}

fn work_that_takes_too_long_or_is_dropped_loses_its_connection(engine: Engine) {
    let redis = Redis::start();
    let server = start(engine, &redis);
    let mut client = server.connect();
    let text = client.get("/dropped").expect(200).text().to_owned();
    assert_eq!(text, "[7, 7, 7, 7] Err(TooSlow)");
    let deadline = Instant::now() + Duration::from_secs(10);
    while redis
        .cli(&["INFO", "clients"])
        .contains("blocked_clients:1")
    {
        assert!(Instant::now() < deadline, "still blocked");
    }
    assert!(
        redis
            .cli(&["INFO", "clients"])
            .contains("blocked_clients:0")
    );
}

fn work_after_a_restart_gets_a_new_connection(engine: Engine) {
    let mut redis = Redis::start();
    let server = start(engine, &redis);
    let mut client = server.connect();
    assert_eq!(client.get("/pop/1").expect(200).text(), "nil");
    redis.kill();
    redis.start_again();
    let deadline = Instant::now() + Duration::from_secs(20);
    // Down until the shard has its own connection again, and never anything else.
    loop {
        let answer = client.get("/pop/1").expect(200).text().to_owned();
        if answer == "nil" {
            return;
        }
        assert_eq!(answer, "down");
        assert!(Instant::now() < deadline, "it stays away");
    }
}

async fn panics(ctx: Ctx) -> Result<Response, Error> {
    let redis = redis_of(&ctx);
    redis
        .exclusive(async |mut connection: ExclusiveConnection| {
            let multi = cmd("MULTI");
            multi.query_async::<()>(&mut connection).await?;
            let text: RedisResult<String> = Err((redis::ErrorKind::Client, "as asked").into());
            text.map(|_| ()).expect("as asked");
            Ok(())
        })
        .await?;
    Ok(Response::text("never"))
}

fn a_panic_in_the_work_is_500_and_takes_no_connection_along(engine: Engine) {
    let redis = Keyspace::take();
    let server = start(engine, &redis);
    let mut client = server.connect();
    for _ in 0..8 {
        client.get("/panic").expect(500);
    }
    assert_eq!(client.get("/pop/1").expect(200).text(), "nil");
}
