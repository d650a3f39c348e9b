//! What the ways to Redis and to tokio cost: wall and CPU time of the process
//! for each command, on one shard of either engine. For a quiet machine.
//!
//! `cargo bench --bench redis_ways -- [--engine io_uring|epoll]`

mod support;

use std::time::{Duration, Instant};

use corelane::internals::topology::{CoreMapOptions, CoreSelection, Machine, place};
use corelane::redis::{ExclusiveConnection, RedisOptions};
use corelane::{App, Ctx, Error, Response, Server, engine};
use futures_util::future::join_all;
use redis::{cmd, pipe};
use services::Redis;

use support::args;
use support::client::Client;

fn main() {
    let redis = Redis::start();
    let engine = args::engine();
    let app = App::new()
        .redis(RedisOptions::new(redis.url()))
        .get("/measure", measure);
    let machine = Machine::read().expect("the machine");
    let map = CoreMapOptions {
        cores: CoreSelection::List(vec![0]),
        engine: Some(engine),
        ..CoreMapOptions::default()
    };
    let placement = place(&machine, &map).expect("CPU 0 exists");
    let server = Server::new(app).listen(([127, 0, 0, 1], 0));
    let handle = server.placement(placement).start();
    let handle = handle.unwrap_or_else(|error| panic!("{error}"));
    let mut client = Client::connect(handle.local_addr().port());
    println!("{engine:?}\n{}", client.ask("/measure", None).text());
    handle.drain();
    handle.wait();
}

async fn measure(ctx: Ctx) -> Result<Response, Error> {
    let redis = ctx.redis().expect("the app has one");
    let mut told = String::new();
    for (tasks, rounds) in [(1, 2_000), (64, 500)] {
        let get = async || drop(redis.run::<()>(cmd("GET").arg("key")).await);
        told += &line(&ctx, "GET on the shard", tasks, rounds, &get).await;
        let timed = async || {
            let get = cmd("GET").arg("key").to_owned();
            let get = redis.run::<()>(&get);
            drop(engine::timeout(Duration::from_millis(250), get).await);
        };
        told += &line(&ctx, "the same in engine::timeout", tasks, rounds, &timed).await;
        let hop = async || drop(ctx.tokio(async {}).await);
        told += &line(&ctx, "hop to the bridge and back", tasks, rounds, &hop).await;
        let one = async || {
            let work = async |mut own: ExclusiveConnection| {
                cmd("GET").arg("key").query_async::<()>(&mut own).await
            };
            drop(redis.exclusive(work).await);
        };
        told += &line(&ctx, "exclusive GET", tasks.min(8), rounds, &one).await;
        let transaction = async || drop(redis.exclusive(transfer).await);
        told += &line(
            &ctx,
            "exclusive WATCH GET MULTI SET EXEC",
            tasks.min(8),
            rounds,
            &transaction,
        )
        .await;
    }
    Ok(Response::text(told))
}

async fn transfer(mut own: ExclusiveConnection) -> redis::RedisResult<()> {
    cmd("WATCH").arg("sum").query_async::<()>(&mut own).await?;
    let sum: Option<u64> = cmd("GET").arg("sum").query_async(&mut own).await?;
    let mut write = pipe();
    write.atomic().set("sum", sum.unwrap_or(0) + 1).ignore();
    write.query_async::<Option<()>>(&mut own).await?;
    Ok(())
}

/// Wall and CPU time of the whole process for each of `tasks * rounds`.
async fn line(ctx: &Ctx, what: &str, tasks: usize, rounds: usize, work: &impl AsyncFn()) -> String {
    let cpu_before_us = ctx.metrics().await.process.cpu_us;
    let begun = Instant::now();
    let all = (0..tasks).map(async |_| {
        for _ in 0..rounds {
            work().await;
        }
    });
    join_all(all).await;
    let count = (tasks * rounds) as f64;
    let wall_us = begun.elapsed().as_micros() as f64 / count;
    let cpu_us = (ctx.metrics().await.process.cpu_us - cpu_before_us) as f64 / count;
    format!("{what:38} {tasks:2} at once: {wall_us:7.1} us each, {cpu_us:6.1} us CPU\n")
}
