//! A server that ends while a write of a row has no outcome yet.

use corelane::internals::engine;
use corelane::internals::l2::{RowCache, RowCacheOptions, RowPlan};
use corelane::redis::RedisOptions;
use corelane::{App, Ctx, Response};
use services::Keyspace;

use crate::harness::{Engine, InProcess};

either_engine!(a_write_that_never_ends_does_not_hurt_the_end);

fn a_write_that_never_ends_does_not_hurt_the_end(engine: Engine) {
    let redis = Keyspace::take();
    let plan = RowPlan::new(RowCacheOptions::new("users", "test"));
    let app = App::new()
        .redis(RedisOptions::new(redis.url()))
        .state(move |_| {
            let rows = RowCache::new(&plan);
            async move { Ok(rows) }
        })
        .on_shard_start(|shard| {
            let rows = shard.state::<RowCache>().expect("given above");
            rows.attach(shard.redis().expect("given above"));
        })
        .get("/write", async |ctx: Ctx| {
            let rows = ctx.state::<RowCache>();
            engine::spawn_local(async move {
                let change = rows.change(7);
                let (sender, receiver) = engine::remote::<()>();
                let _ = receiver.await;
                drop(sender);
                change.deleted().await;
            });
            Ok(Response::no_content())
        });
    let server = InProcess::start(engine, app);
    // Several on each shard: one panic in a destructor is caught, the next, while
    // that unwinds, ends the process.
    for _ in 0..16 {
        server.connect().get("/write").expect(204);
    }
    drop(server);
}
