//! Lazy and off: what coherence is given up for, and how much of it.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use corelane::internals::cache::{CacheOptions, Coherence};

use super::status::How;
use super::words::{Source, app};
use super::{on_every_shard, poll_for};
use crate::harness::{Client, Engine, InProcess};

either_engine!(
    a_lazy_write_is_seen_everywhere_soon,
    a_lazy_cache_keeps_what_is_set,
    lazy_writes_do_not_wait_for_each_other,
    strict_writes_do,
    without_coherence_each_shard_is_for_itself,
);

const SHARDS: usize = 2;

fn start(engine: Engine, coherence: Coherence) -> (InProcess, Vec<Client>, Arc<Source>) {
    let source = Arc::new(Source::default());
    let options = CacheOptions::new("words").coherence(coherence);
    let server = InProcess::start_shards(engine, SHARDS, app(&source, [options]), |_| {});
    let clients = on_every_shard(&server, SHARDS);
    source.put("k", "v0");
    (server, clients, source)
}

fn write(client: &mut Client, value: &str) {
    let written = client.request("PUT", "/c/words/write/k", &[], value.as_bytes());
    written.expect(204);
}

fn load(client: &mut Client) -> String {
    client.get("/c/words/load/k").expect(200).text().to_owned()
}

fn a_lazy_write_is_seen_everywhere_soon(engine: Engine) {
    let (_server, mut clients, source) = start(engine, Coherence::Lazy);
    for round in 1..=30 {
        let old = format!("v{}", round - 1);
        for client in &mut clients {
            poll_for("the write before", || (load(client) == old).then_some(()));
        }
        let value = format!("v{round}");
        write(&mut clients[round % SHARDS], &value);
        for client in &mut clients {
            poll_for("the write", || (load(client) == value).then_some(()));
        }
    }
    // Copies were called in, not loaded at every request.
    assert!(source.loads() <= 31 * 2, "{}", source.loads());
}

fn a_lazy_cache_keeps_what_is_set(engine: Engine) {
    let (_server, mut clients, source) = start(engine, Coherence::Lazy);
    for round in 0..20 {
        let value = format!("set {round}");
        let setter = &mut clients[round % SHARDS];
        setter
            .request("PUT", "/c/words/set/k", &[], value.as_bytes())
            .expect(204);
        for client in &mut clients {
            let got = client.get("/c/words/get/k").expect(200);
            assert_eq!(got.text(), value);
        }
    }
    assert_eq!(source.loads(), 0);
}

/// Two writes of one key at once, each of which takes long enough to meet the
/// other: how long both took, and how many there were at a time.
fn two_writes(engine: Engine, coherence: Coherence) -> (Duration, usize) {
    let (_server, mut clients, source) = start(engine, coherence);
    source.write_ms.store(WRITE_MS, Ordering::SeqCst);
    let since = Instant::now();
    for client in &mut clients {
        client.send_request("PUT", "/c/words/write/k", &[], b"v1");
    }
    for client in &mut clients {
        client.read().expect(204);
    }
    (since.elapsed(), source.writing_most())
}

const WRITE_MS: u64 = 700;

fn lazy_writes_do_not_wait_for_each_other(engine: Engine) {
    let (_, at_a_time) = two_writes(engine, Coherence::Lazy);
    assert_eq!(at_a_time, 2);
}

fn strict_writes_do(engine: Engine) {
    let (took, at_a_time) = two_writes(engine, Coherence::Strict);
    assert_eq!(at_a_time, 1);
    assert!(took >= Duration::from_millis(2 * WRITE_MS), "{took:?}");
}

fn without_coherence_each_shard_is_for_itself(engine: Engine) {
    let (_server, mut clients, source) = start(engine, Coherence::Off);
    for client in &mut clients {
        let first = client.get("/c/words/load/k").expect(200);
        assert_eq!(How::of(&first), How::Stored, "a miss once per shard");
    }
    assert_eq!(source.loads(), SHARDS);
    write(&mut clients[0], "v1");
    assert_eq!(load(&mut clients[0]), "v1", "its own writes it sees");
    let old = clients[1].get("/c/words/load/k").expect(200);
    assert_eq!((How::of(&old), old.text()), (How::L1, "v0"));
    let left = clients[0].get("/c/words/del/k").expect(200);
    assert_eq!(left.text(), "1");
    assert_eq!(
        load(&mut clients[1]),
        "v1",
        "what is deleted is gone for all"
    );
}
