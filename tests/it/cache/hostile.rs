//! Handlers that do to a cache what they should not, and a neighbour that is
//! slow: whoever else asks is answered.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use corelane::internals::cache::{CacheOptions, CacheValue, Coherence};
use corelane::{App, Ctx, Error, Response};

use super::status::How;
use super::{on_every_shard, poll_for, tell_inside};
use crate::harness::{Engine, InProcess};

both_engines!(
    lazy_writes_outlive_a_neighbour_that_is_slow,
    values_whose_drop_panics_hurt_nobody,
    a_404_is_news_and_no_failure,
    a_cache_used_inside_its_own_closures_ends,
);

const SHARDS: usize = 2;

fn app() -> App {
    App::new().middleware(tell_inside)
}

/// More requests than wait for one shard.
const MANY: usize = 12_000;

fn lazy_writes_outlive_a_neighbour_that_is_slow(engine: Engine) {
    async fn stall(_ctx: Ctx) -> Result<Response, Error> {
        std::thread::sleep(Duration::from_secs(2));
        Ok(Response::no_content())
    }
    async fn write_many(ctx: Ctx) -> Result<Response, Error> {
        let cache = ctx.cache("lazy");
        for key in 0..MANY {
            let nothing = || async { Ok(()) };
            cache.write([key.to_string()], nothing).await?;
        }
        Ok(Response::no_content())
    }
    let options = CacheOptions::new("lazy").coherence(Coherence::Lazy);
    let app = app()
        .cache(options)
        .get("/stall", stall)
        .get("/many", write_many);
    let server = InProcess::start_shards(engine, SHARDS, app, |options| {
        options.lane_messages = Some(1);
    });
    let mut clients = on_every_shard(&server, SHARDS);
    clients[1].send_request("GET", "/stall", &[], b"");
    clients[0].send_request("GET", "/many", &[], b"");
    clients[1].read().expect(204);
    clients[0].read().expect(204);
    clients[0].get("/which-shard");
}

/// Panics when it is dropped.
struct Bomb;

impl Drop for Bomb {
    fn drop(&mut self) {
        assert!(std::thread::panicking(), "as asked, in a drop");
    }
}

impl CacheValue for Bomb {
    fn weight_bytes(&self) -> usize {
        usize::MAX
    }
}

fn values_whose_drop_panics_hurt_nobody(engine: Engine) {
    async fn load(ctx: Ctx) -> Result<Response, Error> {
        let key: String = ctx.param("key")?;
        let cache = ctx.cache("bombs");
        cache.get_or_load(key, || async { Ok(Small(Bomb)) }).await?;
        Ok(Response::no_content())
    }
    async fn too_big(ctx: Ctx) -> Result<Response, Error> {
        let key: String = ctx.param("key")?;
        let cache = ctx.cache("bombs");
        cache.get_or_load(key, || async { Ok(Bomb) }).await?;
        Ok(Response::no_content())
    }
    async fn write(ctx: Ctx) -> Result<Response, Error> {
        let key: String = ctx.param("key")?;
        let nothing = || async { Ok(Response::no_content()) };
        ctx.cache("bombs").write([key], nothing).await
    }
    struct Small(#[allow(dead_code)] Bomb);
    impl CacheValue for Small {
        fn weight_bytes(&self) -> usize {
            1
        }
    }
    let app = app()
        .cache(CacheOptions::new("bombs"))
        .get("/load/{key}", load)
        .get("/big/{key}", too_big)
        .put("/{key}", write);
    let server = InProcess::start_shards(engine, SHARDS, app, |_| {});
    let mut clients = on_every_shard(&server, SHARDS);
    let since = Instant::now();
    for round in 0..8 {
        for client in &mut clients {
            client.get(&format!("/load/{}", round % 4)).expect(204);
            client.get(&format!("/big/{round}-b")).expect(204);
        }
        let writer = &mut clients[round % SHARDS];
        let target = format!("/{}", round % 4);
        writer.request("PUT", &target, &[], b"").expect(204);
    }
    assert!(since.elapsed() < Duration::from_secs(4), "nobody waits");
    assert_eq!(server.finish().restarts, 0);
}

fn a_404_is_news_and_no_failure(engine: Engine) {
    let is_there = Arc::new(AtomicBool::new(true));
    let state = is_there.clone();
    async fn load(ctx: Ctx) -> Result<Response, Error> {
        let is_there = Arc::clone(&ctx.state::<Arc<AtomicBool>>());
        let load = move || async move {
            match is_there.load(Ordering::SeqCst) {
                true => Ok("here".to_owned()),
                false => Err(Error::not_found("it is gone")),
            }
        };
        let value = ctx.cache("words").get_or_load("k", load).await?;
        Ok(Response::text(value.to_string()).with_lookup(value.lookup()))
    }
    let options = CacheOptions::new("words")
        .ttl_ms(50)
        .stale_if_error_ms(600_000);
    let app = app()
        .state(move |_| {
            let state = state.clone();
            async move { Ok(state) }
        })
        .cache(options)
        .get("/k", load);
    let server = InProcess::start_shards(engine, SHARDS, app, |_| {});
    let mut clients = on_every_shard(&server, SHARDS);
    for client in &mut clients {
        client.get("/k").expect(200);
    }
    is_there.store(false, Ordering::SeqCst);
    for client in &mut clients {
        poll_for("that it is gone", || {
            let read = client.get("/k");
            if read.status == 200 {
                assert_ne!(How::of(&read), How::StaleOnError, "it does not exist");
            }
            (read.status == 404).then_some(())
        });
    }
}

fn a_cache_used_inside_its_own_closures_ends(engine: Engine) {
    let app = app()
        .cache(CacheOptions::new("words").invalidates(["t"]))
        .get("/{verb}/{key}", nested);
    let server = InProcess::start_shards(engine, SHARDS, app, |_| {});
    let mut clients = on_every_shard(&server, SHARDS);
    for (verb, status, seconds) in [
        ("load-in-load", 204, 2),
        ("write-in-load", 204, 2),
        ("del-in-load", 204, 2),
        ("load-other-in-write", 204, 2),
        ("flush-in-write", 204, 2),
        ("invalidate-in-write", 204, 2),
        ("write-in-write", 503, 9),
        ("load-in-write", 204, 9),
        ("load-in-itself", 204, 9),
    ] {
        for (shard, client) in clients.iter_mut().enumerate() {
            let since = Instant::now();
            let answer = client.get(&format!("/{verb}/{verb}{shard}"));
            let took = since.elapsed();
            assert_eq!(answer.status, status, "{verb} on {shard} after {took:?}");
            assert!(took < Duration::from_secs(seconds), "{verb}: {took:?}");
            client
                .get(&format!("/load-in-load/{verb}{shard}"))
                .expect(204);
        }
    }
}

/// Uses a cache in a closure that it was given.
async fn nested(ctx: Ctx) -> Result<Response, Error> {
    let (verb, key): (String, String) = (ctx.param("verb")?, ctx.param("key")?);
    let cache = ctx.cache("words");
    let (inner, other) = (cache.clone(), format!("{key}-other"));
    let one = || async { Ok("one".to_owned()) };
    let done = || async { Ok(()) };
    let same = key.clone();
    match verb.as_str() {
        "load-in-load" => {
            let load = move || async move {
                let other = inner.get_or_load(other, one).await?;
                Ok(other.to_string())
            };
            cache.get_or_load(key, load).await?;
        }
        "write-in-load" => {
            let load = move || async move {
                inner.write([other, same], done).await?;
                Ok("one".to_owned())
            };
            cache.get_or_load(key, load).await?;
        }
        "del-in-load" => {
            let load = move || async move {
                inner.del([same]).await?;
                Ok("one".to_owned())
            };
            cache.get_or_load(key, load).await?;
        }
        "load-other-in-write" => {
            let write = move || async move { inner.get_or_load(other, one).await.map(drop) };
            cache.write([key], write).await?;
        }
        "write-in-write" => {
            let write = move || async move { inner.write([same], done).await };
            cache.write([key], write).await?;
        }
        "load-in-write" => {
            let write = move || async move { inner.get_or_load(same, one).await.map(drop) };
            cache.write([key], write).await?;
        }
        "flush-in-write" => {
            let write = move || async move { inner.flush().await };
            cache.write([key], write).await?;
        }
        "invalidate-in-write" => {
            let write = move || async move { inner.invalidate_tag("t").await };
            cache.write([key], write).await?;
        }
        "load-in-itself" => {
            let load = move || async move {
                let value = inner.get_or_load(same, one).await?;
                Ok(value.to_string())
            };
            cache.get_or_load(key, load).await?;
        }
        _ => return Err(Error::not_found("no such verb")),
    }
    Ok(Response::no_content())
}
