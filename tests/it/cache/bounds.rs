//! A cache that is full forgets, and is never wrong.

use std::sync::Arc;

use corelane::cache::CacheOptions;
use serde_json::Value;

use super::on_every_shard;
use super::status::How;
use super::words::{Source, app};
use crate::harness::{Client, Engine, InProcess};

either_engine!(
    there_are_never_more_keys_than_may_be,
    there_are_never_more_bytes_than_may_be,
    a_value_that_does_not_fit_is_served_all_the_same,
);

const SHARDS: usize = 2;

fn start(engine: Engine, options: CacheOptions) -> (InProcess, Vec<Client>, Arc<Source>) {
    let source = Arc::new(Source::default());
    let server = InProcess::start_shards(engine, SHARDS, app(&source, [options]), |_| {});
    let clients = on_every_shard(&server, SHARDS);
    (server, clients, source)
}

fn counters(client: &mut Client) -> Value {
    client.get("/counters/words").expect(200).json()
}

/// Reads and writes 100 keys, three times as often as there is room for, and
/// demands the right values.
fn churn(clients: &mut [Client], source: &Source, bytes: usize) {
    let filler = "x".repeat(bytes);
    for round in 0..600 {
        let key = format!("k{}", (round * 37) % 100);
        let load = format!("/c/words/load/{key}");
        if round % 3 == 0 {
            let value = format!("{round} {filler}");
            let write = format!("/c/words/write/{key}");
            let writer = &mut clients[round % SHARDS];
            writer
                .request("PUT", &write, &[], value.as_bytes())
                .expect(204);
            for client in &mut *clients {
                assert!(client.get(&load).expect(200).text() == value, "{round}");
            }
        } else {
            let [one, other] = clients else {
                panic!("two shards")
            };
            let (one, other) = (one.get(&load), other.get(&load));
            assert_eq!(one.hash(), other.hash(), "{round}");
        }
    }
    assert!(source.loads() > 200, "nothing was forgotten");
}

fn there_are_never_more_keys_than_may_be(engine: Engine) {
    let options = CacheOptions::new("words").keys_max(16);
    let (_server, mut clients, source) = start(engine, options);
    churn(&mut clients, &source, 10);
    let keys = clients[0].get("/c/words/keys/all").expect(200);
    let count = keys.text().split(',').count();
    assert!((4..=16).contains(&count), "{count}");
    let counters = counters(&mut clients[1]);
    assert!(counters["keys"].as_u64() <= Some(16), "{counters}");
    assert!(counters["evictions"].as_u64() > Some(100), "{counters}");
}

fn there_are_never_more_bytes_than_may_be(engine: Engine) {
    let options = CacheOptions::new("words").bytes_max(16 << 10);
    let (_server, mut clients, source) = start(engine, options);
    churn(&mut clients, &source, 500);
    let counters = counters(&mut clients[0]);
    assert!(counters["bytes"].as_u64() <= Some(16 << 10), "{counters}");
    assert!(counters["keys"].as_u64() >= Some(4), "{counters}");
    assert!(counters["evictions"].as_u64() > Some(100), "{counters}");
}

fn a_value_that_does_not_fit_is_served_all_the_same(engine: Engine) {
    let options = CacheOptions::new("words").bytes_max(8 << 10);
    let (_server, mut clients, source) = start(engine, options);
    let large = "x".repeat(20 << 10);
    source.put("large", &large);
    source.put("small", "s");
    clients[0].get("/c/words/load/small").expect(200);
    for client in &mut clients {
        let before = source.loads();
        for _ in 0..4 {
            let read = client.get("/c/words/load/large").expect(200);
            assert!(read.text() == large);
        }
        // The first may have shared a load of the shard before.
        assert!(source.loads() >= before + 3);
    }
    // Nor does it push out what fits.
    for client in &mut clients {
        assert!(How::of(&client.get("/c/words/load/small").expect(200)).is_hit());
    }
}
