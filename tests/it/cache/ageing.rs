//! Time: values that expire, are served once more while they are loaded anew,
//! or stand in for what cannot be loaded.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use corelane::cache::CacheOptions;

use super::status::How;
use super::words::{Source, app};
use super::{on_every_shard, poll_for};
use crate::harness::{Client, Engine, InProcess};

either_engine!(
    that_there_is_nothing_is_known_for_a_shorter_time,
    an_expired_value_is_loaded_anew_once,
    a_stale_value_is_served_while_it_is_loaded_anew,
    a_stale_value_stands_in_when_loading_fails,
    without_stale_if_error_a_failure_is_told,
    a_time_to_live_of_0_keeps_nothing,
    a_value_that_took_longer_than_it_lives_is_loaded_once,
    a_failure_that_several_wait_for_is_one,
);

const SHARDS: usize = 3;

fn start(engine: Engine, options: CacheOptions) -> (InProcess, Vec<Client>, Arc<Source>) {
    let source = Arc::new(Source::default());
    let server = InProcess::start_shards(engine, SHARDS, app(&source, [options]), |_| {});
    let clients = on_every_shard(&server, SHARDS);
    source.put("k", "v1");
    (server, clients, source)
}

fn options() -> CacheOptions {
    CacheOptions::new("words")
}

fn that_there_is_nothing_is_known_for_a_shorter_time(engine: Engine) {
    let options = options().ttl_ms(600_000).negative_ttl_ms(2_000);
    let (_server, mut clients, source) = start(engine, options);
    for (index, client) in clients.iter_mut().enumerate() {
        let is_hit = How::of(&client.get("/c/words/find/k")).is_hit();
        assert_eq!(is_hit, index > 0);
    }
    source.put("k", "v2");
    let (name, since) = (0..5)
        .find_map(|round| known_to_be_nothing(&mut clients, &source, &format!("none{round}")))
        .expect("a round within the two seconds");
    let target = format!("/c/words/find/{name}");
    for client in &mut clients {
        poll_for("what is there now", || {
            let found = client.get(&target);
            (found.status == 200).then(|| assert_eq!(found.text(), "some"))
        });
        let old = client.get("/c/words/find/k").expect(200);
        assert_eq!((How::of(&old), old.text()), (How::L1, "v1"));
    }
    assert!(since.elapsed() >= Duration::from_secs(2));
}

/// Asks for what is not there until every shard knows, and once more when it is
/// there: the name, and since when nothing is known of it. `None` if the machine
/// took longer for that than this may be known.
fn known_to_be_nothing(
    clients: &mut [Client],
    source: &Source,
    name: &str,
) -> Option<(String, Instant)> {
    let target = format!("/c/words/find/{name}");
    let since = Instant::now();
    let hits: Vec<bool> = clients
        .iter_mut()
        .map(|client| How::of(&client.get(&target)).is_hit())
        .collect();
    source.put(name, "some");
    let first = clients[1].get(&target);
    if since.elapsed() >= Duration::from_secs(2) {
        return None;
    }
    assert_eq!(hits, [false, true, true]);
    first.expect(404);
    Some((name.to_owned(), since))
}

fn an_expired_value_is_loaded_anew_once(engine: Engine) {
    let (_server, mut clients, source) = start(engine, options().ttl_ms(300));
    for client in &mut clients {
        client.get("/c/words/load/k").expect(200);
    }
    source.put("k", "v2");
    source.load_ms.store(100, Ordering::SeqCst);
    std::thread::sleep(Duration::from_millis(310));
    let before = source.loads();
    for client in &mut clients {
        client.send_request("GET", "/c/words/load/k", &[], b"");
    }
    for client in &mut clients {
        let read = client.read().expect(200);
        assert_eq!(read.text(), "v2", "an expired value: {read:?}");
        assert!(!matches!(How::of(&read), How::Stale | How::StaleOnError));
    }
    let more = source.loads() - before;
    assert!((1..=2).contains(&more), "{more} loads; 2 on a slow machine");
}

fn a_stale_value_is_served_while_it_is_loaded_anew(engine: Engine) {
    let options = options().ttl_ms(1_500).stale_while_revalidate_ms(600_000);
    let (server, mut clients, source) = start(engine, options);
    for client in &mut clients {
        client.get("/c/words/load/k").expect(200);
    }
    assert_eq!(source.loads(), 1);
    source.put("k", "v2");
    source.holds_loads.store(true, Ordering::SeqCst);
    std::thread::sleep(Duration::from_millis(1_510));
    // Everybody gets the old one while the new one is not there: a client that
    // waited for the load would wait in vain.
    for client in clients
        .iter_mut()
        .chain(&mut on_every_shard(&server, SHARDS))
    {
        let read = client.get("/c/words/load/k").expect(200);
        assert_eq!((How::of(&read), read.text()), (How::Stale, "v1"));
    }
    assert_eq!(source.loads(), 2, "one load, whoever noticed");
    source.holds_loads.store(false, Ordering::SeqCst);
    for client in &mut clients {
        poll_for("the new one on every shard", || {
            (client.get("/c/words/load/k").text() == "v2").then_some(())
        });
    }
}

fn a_stale_value_stands_in_when_loading_fails(engine: Engine) {
    let options = options().ttl_ms(100).stale_if_error_ms(600_000);
    let (_server, mut clients, source) = start(engine, options);
    clients[0].get("/c/words/load/k").expect(200);
    source.put("k", "v2");
    source.fails.store(true, Ordering::SeqCst);
    for client in &mut clients {
        let old = poll_for("a failed load", || {
            let read = client.get("/c/words/load/k").expect(200);
            assert_eq!(read.text(), "v1");
            (How::of(&read) == How::StaleOnError).then_some(read)
        });
        assert_eq!(old.must_have("x-cache"), "HIT");
    }
    source.fails.store(false, Ordering::SeqCst);
    // The first may still share the failure of the shard before.
    for client in &mut clients {
        poll_for("the new one", || {
            (client.get("/c/words/load/k").expect(200).text() == "v2").then_some(())
        });
    }
}

fn without_stale_if_error_a_failure_is_told(engine: Engine) {
    let (_server, mut clients, source) = start(engine, options().ttl_ms(50));
    clients[0].get("/c/words/load/k").expect(200);
    source.fails.store(true, Ordering::SeqCst);
    for client in &mut clients {
        poll_for("a failed load", || {
            (client.get("/c/words/load/k").status == 502).then_some(())
        });
    }
    source.fails.store(false, Ordering::SeqCst);
    clients[2].get("/c/words/load/k").expect(200);
}

/// Who asks while it is loaded still shares the load; on another shard than the
/// one that loaded it, for as long as a message takes longer.
fn a_time_to_live_of_0_keeps_nothing(engine: Engine) {
    let (_server, mut clients, source) = start(engine, options().ttl_ms(0));
    for round in 0..10 {
        let value = format!("v{round}");
        source.put("k", &value);
        for client in &mut clients {
            poll_for("what is there now", || {
                (client.get("/c/words/load/k").expect(200).text() == value).then_some(())
            });
        }
        let before = source.loads();
        clients[2].get("/c/words/load/k").expect(200);
        assert_eq!(source.loads(), before + 1);
    }
}

/// Those who waited for it are content with it.
fn a_value_that_took_longer_than_it_lives_is_loaded_once(engine: Engine) {
    let (_server, mut clients, source) = start(engine, options().ttl_ms(50));
    source.load_ms.store(1_000, Ordering::SeqCst);
    for client in &mut clients {
        client.send_request("GET", "/c/words/load/k", &[], b"");
    }
    let hows = clients
        .iter_mut()
        .map(|client| How::of(&client.read().expect(200)));
    let mut hows: Vec<How> = hows.collect();
    hows.retain(|how| *how != How::Collapsed);
    assert_eq!(hows, [How::Stored]);
    std::thread::sleep(Duration::from_millis(50));
    assert_eq!(source.loads(), 1, "loaded anew behind their backs");
}

fn a_failure_that_several_wait_for_is_one(engine: Engine) {
    let options = options().ttl_ms(1).stale_if_error_ms(600_000);
    let (_server, mut clients, source) = start(engine, options);
    clients[0].get("/c/words/load/k").expect(200);
    source.fails.store(true, Ordering::SeqCst);
    source.load_ms.store(1_000, Ordering::SeqCst);
    std::thread::sleep(Duration::from_millis(20));
    for client in &mut clients {
        client.send_request("GET", "/c/words/load/k", &[], b"");
    }
    for client in &mut clients {
        let read = client.read().expect(200);
        assert_eq!((How::of(&read), read.text()), (How::StaleOnError, "v1"));
    }
    std::thread::sleep(Duration::from_millis(50));
    assert_eq!(source.loads(), 2, "loaded anew behind their backs");
}
