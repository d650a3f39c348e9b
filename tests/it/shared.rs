//! State of the process, which every shard sees.

use std::sync::Mutex;

use corelane::{App, Ctx, Response};

use crate::harness::{Engine, InProcess};

either_engine!(what_is_shared_is_seen_by_every_shard);

fn what_is_shared_is_seen_by_every_shard(engine: Engine) {
    let app = App::new()
        .shared(Mutex::new(Vec::<usize>::new()))
        .get("/", async |ctx: Ctx| {
            let shards = ctx.shared::<Mutex<Vec<usize>>>();
            let mut shards = shards.lock().expect("no panic");
            shards.push(ctx.shard().index);
            Response::json(&*shards)
        });
    let server = InProcess::start_shards(engine, 2, app, |_| {});
    for requests in 1..=400 {
        let seen: Vec<usize> = serde_json::from_value(server.connect().get("/").json()).unwrap();
        assert_eq!(seen.len(), requests);
        if seen.contains(&0) && seen.contains(&1) {
            return;
        }
    }
    panic!("400 connections did not reach both shards");
}
