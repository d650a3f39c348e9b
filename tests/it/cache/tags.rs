//! Tags: forgetting at once whatever depends on something, in every cache and
//! on every shard.

use std::sync::Arc;

use corelane::cache::CacheOptions;

use super::on_every_shard;
use super::status::How;
use super::words::{Source, app};
use crate::harness::{Client, Engine, InProcess};

either_engine!(
    invalidating_a_tag_forgets_what_has_it,
    a_write_may_invalidate_tags,
    a_cache_has_tags_of_its_own,
    an_entry_is_found_only_with_its_tags,
);

const SHARDS: usize = 3;

fn start(engine: Engine) -> (InProcess, Vec<Client>, Arc<Source>) {
    let source = Arc::new(Source::default());
    let caches = [
        CacheOptions::new("one"),
        CacheOptions::new("two"),
        CacheOptions::new("all-a").tags(["a"]),
        CacheOptions::new("writes-a").invalidates(["a"]),
    ];
    let server = InProcess::start_shards(engine, SHARDS, app(&source, caches), |_| {});
    let clients = on_every_shard(&server, SHARDS);
    (server, clients, source)
}

/// What is there after a load on every shard, which must be of one mind.
#[track_caller]
fn must_show(clients: &mut [Client], target: &str, value: &str, first: How) {
    for (index, client) in clients.iter_mut().enumerate() {
        let response = client.get(target).expect(200);
        assert_eq!(response.text(), value, "{target} on shard {index}");
        match index {
            0 => assert_eq!(How::of(&response), first, "{target}"),
            _ => assert!(How::of(&response).is_hit(), "{target} on shard {index}"),
        }
    }
}

fn invalidating_a_tag_forgets_what_has_it(engine: Engine) {
    let (_server, mut clients, source) = start(engine);
    let tagged = ["/c/one/load/k?tags=a", "/c/two/load/k?tags=b,a"];
    let others = ["/c/one/load/k?tags=b", "/c/one/load/k"];
    source.put("k", "v0");
    for target in tagged.iter().chain(&others) {
        must_show(&mut clients, target, "v0", How::Stored);
    }
    for round in 1..=20 {
        let value = format!("v{round}");
        source.put("k", &value);
        clients[round % SHARDS]
            .get("/c/one/invalidate/a")
            .expect(204);
        clients.rotate_left(1);
        for target in tagged {
            must_show(&mut clients, target, &value, How::Stored);
        }
        for target in others {
            let read = clients[0].get(target).expect(200);
            assert_eq!((How::of(&read), read.text()), (How::L1, "v0"));
        }
    }
}

fn a_write_may_invalidate_tags(engine: Engine) {
    let (_server, mut clients, source) = start(engine);
    let list = "/c/two/load/k?tags=a";
    source.put("k", "v0");
    must_show(&mut clients, list, "v0", How::Stored);
    for (round, write) in ["/c/one/write/k?invalidating=b,a", "/c/writes-a/write/k"]
        .into_iter()
        .cycle()
        .take(20)
        .enumerate()
    {
        let value = format!("v{}", round + 1);
        let writer = &mut clients[round % SHARDS];
        writer
            .request("PUT", write, &[], value.as_bytes())
            .expect(204);
        clients.rotate_left(1);
        must_show(&mut clients, list, &value, How::Stored);
    }
    // Another tag's write leaves it.
    let other = "/c/one/write/other?invalidating=b";
    clients[0].request("PUT", other, &[], b"x").expect(204);
    must_show(&mut clients, list, "v20", How::L1);
}

fn a_cache_has_tags_of_its_own(engine: Engine) {
    let (_server, mut clients, source) = start(engine);
    source.put("k", "v0");
    must_show(&mut clients, "/c/all-a/load/k", "v0", How::Stored);
    must_show(&mut clients, "/c/one/load/k", "v0", How::Stored);
    source.put("k", "v1");
    clients[1].get("/c/two/invalidate/a").expect(204);
    must_show(&mut clients, "/c/all-a/load/k", "v1", How::Stored);
    must_show(&mut clients, "/c/one/load/k", "v0", How::L1);
    // Its keys are listed as they were given, the old ones no more.
    let keys = clients[2].get("/c/all-a/keys/all").expect(200);
    assert_eq!(keys.text(), "k");
}

fn an_entry_is_found_only_with_its_tags(engine: Engine) {
    let (_server, mut clients, source) = start(engine);
    source.put("k", "v");
    for target in [
        "/c/one/load/k",
        "/c/one/load/k?tags=a",
        "/c/one/load/k?tags=a,b",
    ] {
        must_show(&mut clients, target, "v", How::Stored);
    }
    assert_eq!(
        clients[0].get("/c/one/del/k?tags=a").expect(200).text(),
        "1"
    );
    clients[1].get("/c/one/get/k?tags=a").expect(404);
    clients[1].get("/c/one/get/k").expect(200);
    clients[1].get("/c/one/get/k?tags=a,b").expect(200);
}
