//! Of all who want a cold key, on all shards, one loads.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Poll;
use std::time::{Duration, Instant};

use corelane::cache::CacheOptions;
use corelane::{App, Ctx, Response as Answer, engine};

use super::status::How;
use super::words::{Source, app};
use super::{on_every_shard, poll_for};
use crate::harness::{Client, Engine, InProcess, Response};

either_engine!(
    a_hit_is_there_at_the_first_poll_and_makes_no_load,
    a_thousand_clients_cause_one_load,
    a_failed_load_fails_for_all_and_is_not_kept,
    when_a_load_panics_the_next_in_line_loads,
    when_a_loading_request_is_dropped_the_next_in_line_loads,
    when_a_waiting_request_is_dropped_the_others_get_the_value,
);

const SHARDS: usize = 4;

fn start(engine: Engine) -> (InProcess, Arc<Source>) {
    let source = Arc::new(Source::default());
    source.load_ms.store(200, Ordering::SeqCst);
    source.put("k", "the value");
    let app = app(&source, [CacheOptions::new("words")]);
    let server = InProcess::start_shards(engine, SHARDS, app, |_| {});
    (server, source)
}

/// So many clients that each shard has some, who all ask at once.
fn ask_at_once(server: &InProcess, count: usize) -> Vec<Response> {
    let mut clients: Vec<Client> = (0..count).map(|_| server.connect()).collect();
    for client in &mut clients {
        client.send_request("GET", "/c/words/load/k", &[], b"");
    }
    clients.iter_mut().map(Client::read).collect()
}

fn shards_of(responses: &[Response]) -> Vec<usize> {
    let mut counts = vec![0; SHARDS];
    for response in responses {
        let shard: usize = response.must_have("x-shard").parse().expect("a shard");
        counts[shard] += 1;
    }
    counts
}

/// Also of a cache whose entries have tags.
fn a_hit_is_there_at_the_first_poll_and_makes_no_load(engine: Engine) {
    let made = Arc::new(AtomicUsize::new(0));
    let counted = made.clone();
    let app = App::new()
        .cache(CacheOptions::new("plain"))
        .cache(CacheOptions::new("tagged").tags(["all"]))
        .get("/{cache}", move |ctx: Ctx| {
            let made = counted.clone();
            async move {
                let name: String = ctx.param("cache")?;
                // It may borrow from the request; only its future may not.
                let load = || {
                    made.fetch_add(1, Ordering::SeqCst);
                    async {
                        engine::yield_now().await;
                        Ok(Some(7_u64))
                    }
                };
                let mut found = pin!(ctx.cache(&name).find_or_load("k", load));
                let first = poll_fn(|cx| Poll::Ready(found.as_mut().poll(cx))).await;
                let (found, polls) = match first {
                    Poll::Ready(found) => (found?, "one poll"),
                    Poll::Pending => (found.await?, "more polls"),
                };
                Ok(Answer::text(format!("{:?}, {polls}", found.lookup())))
            }
        });
    let server = InProcess::start_shards(engine, 1, app, |_| {});
    for (turn, name) in ["plain", "tagged"].into_iter().enumerate() {
        let mut client = server.connect();
        let loaded = client.get(&format!("/{name}")).expect(200);
        assert_eq!(loaded.text(), "Loaded, more polls");
        for _ in 0..2 {
            let hit = client.get(&format!("/{name}")).expect(200);
            assert_eq!(hit.text(), "L1, one poll");
        }
        assert_eq!(made.load(Ordering::SeqCst), turn + 1);
    }
}

fn a_thousand_clients_cause_one_load(engine: Engine) {
    let (server, source) = start(engine);
    let responses = ask_at_once(&server, 1_000);
    let shards = shards_of(&responses);
    assert!(shards.iter().all(|count| *count > 50), "{shards:?}");
    assert_eq!(source.loads(), 1);
    let hows: Vec<How> = responses.iter().map(How::of).collect();
    let count = |wanted: How| hows.iter().filter(|how| **how == wanted).count();
    assert_eq!(count(How::Stored), 1);
    let waited = count(How::Collapsed);
    let hits = count(How::L1) + count(How::Home);
    // They came while it was loaded; on a slow machine some came late.
    assert_eq!(1 + waited + hits, 1_000, "{hows:?}");
    assert!(waited > 500, "{hows:?}");
    println!("{engine:?}: by shard {shards:?}; {waited} waited, {hits} found it");
    for response in &responses {
        assert_eq!((response.status, response.text()), (200, "the value"));
    }
    // Every shard that waited has a copy now.
    for client in &mut on_every_shard(&server, SHARDS) {
        let again = client.get("/c/words/load/k").expect(200);
        assert!(How::of(&again).is_hit());
    }
    assert_eq!(source.loads(), 1);
}

fn a_failed_load_fails_for_all_and_is_not_kept(engine: Engine) {
    let (server, source) = start(engine);
    source.load_ms.store(1_000, Ordering::SeqCst);
    source.fails.store(true, Ordering::SeqCst);
    let responses = ask_at_once(&server, 100);
    for response in responses {
        assert_eq!(response.expect_problem(502), "the source is away");
    }
    assert_eq!(source.loads(), 1);
    source.load_ms.store(0, Ordering::SeqCst);
    source.fails.store(false, Ordering::SeqCst);
    let next = server.connect().get("/c/words/load/k").expect(200);
    assert_eq!((How::of(&next), source.loads()), (How::Stored, 2));
    assert!(How::of(&server.connect().get("/c/words/load/k").expect(200)).is_hit());
}

fn when_a_load_panics_the_next_in_line_loads(engine: Engine) {
    let (server, source) = start(engine);
    source.load_ms.store(500, Ordering::SeqCst);
    source.panics.store(2, Ordering::SeqCst);
    let responses = ask_at_once(&server, 40);
    let failed = responses.iter().filter(|response| response.status == 500);
    assert_eq!(failed.count(), 2, "those whose loads panicked");
    assert_eq!(source.loads(), 3);
    let good = responses.iter().filter(|response| response.status == 200);
    let mut hows: Vec<How> = good.map(How::of).collect();
    assert_eq!(hows.len(), 38);
    hows.retain(|how| *how == How::Stored);
    assert_eq!(hows.len(), 1);
}

/// In turn on the shard of the first and on the others.
fn when_a_loading_request_is_dropped_the_next_in_line_loads(engine: Engine) {
    let (server, source) = start(engine);
    source.load_ms.store(400, Ordering::SeqCst);
    let mut clients = on_every_shard(&server, SHARDS);
    let mut neighbour = on_every_shard(&server, SHARDS).swap_remove(0);
    let target = "/c/words/load/k";
    let patience = [("x-patience-ms", "150")];
    clients[0].send_request("GET", target, &patience, b"");
    poll_for("the first load", || (source.loads() == 1).then_some(()));
    neighbour.send_request("GET", target, &patience, b"");
    for client in &mut clients[1..] {
        client.send_request("GET", target, &[], b"");
    }
    clients[0].read().expect(504);
    // It may have become the next to load, or not, before it was dropped too.
    neighbour.read().expect(504);
    let answers: Vec<Response> = clients[1..].iter_mut().map(Client::read).collect();
    for answer in &answers {
        assert_eq!((answer.status, answer.text()), (200, "the value"));
    }
    let stored = answers.iter().filter(|a| How::of(a) == How::Stored);
    assert_eq!(stored.count(), 1);
    assert!((2..=3).contains(&source.loads()), "{}", source.loads());
}

fn when_a_waiting_request_is_dropped_the_others_get_the_value(engine: Engine) {
    let (server, source) = start(engine);
    source.load_ms.store(600, Ordering::SeqCst);
    let mut clients = on_every_shard(&server, SHARDS);
    let target = "/c/words/load/k";
    clients[0].send_request("GET", target, &[], b"");
    poll_for("the load", || (source.loads() == 1).then_some(()));
    let since = Instant::now();
    clients[1].send_request("GET", target, &[("x-patience-ms", "50")], b"");
    // Gone without a word.
    let mut leaver = server.connect();
    leaver.send_request("GET", target, &[], b"");
    leaver.reset();
    clients[2].send_request("GET", target, &[], b"");
    clients[1].read().expect(504);
    assert!(since.elapsed() < Duration::from_secs(3));
    for index in [0, 2] {
        assert_eq!(clients[index].read().expect(200).text(), "the value");
    }
    assert_eq!(source.loads(), 1);
}
