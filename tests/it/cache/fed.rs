//! Caches that rely on a feed of changes made elsewhere, and the background
//! task that listens for them.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use corelane::cache::CacheOptions;
use corelane::{App, Background, Feed, engine};

use super::status::How;
use super::words::{Source, app};
use super::{on_every_shard, poll_for};
use crate::harness::{Client, Engine, InProcess};

either_engine!(
    nothing_loaded_before_a_cut_or_during_it_outlives_it,
    what_was_there_stands_in_for_a_source_that_is_away,
    a_cache_that_is_not_fed_does_not_mind,
    the_feed_is_cut_when_the_shard_that_listens_dies,
    a_background_task_runs_once_and_again_after_a_panic,
);

const SHARDS: usize = 3;

fn start(engine: Engine, fed: bool) -> (InProcess, Vec<Client>, Arc<Source>, Feed) {
    let source = Arc::new(Source::default());
    let feed = Feed::new();
    let options = CacheOptions::new("words").ttl_ms(600_000).fed(fed);
    let app = app(&source, [options]).feed(feed.clone());
    let server = InProcess::start_shards(engine, SHARDS, app, |_| {});
    let clients = on_every_shard(&server, SHARDS);
    source.put("k", "v1");
    (server, clients, source, feed)
}

/// How each shard came by the key, and what it said.
fn read(clients: &mut [Client]) -> Vec<(How, String)> {
    let read = clients.iter_mut().map(|client| {
        let answer = client.get("/c/words/load/k").expect(200);
        (How::of(&answer), answer.text().to_owned())
    });
    read.collect()
}

fn nothing_loaded_before_a_cut_or_during_it_outlives_it(engine: Engine) {
    let (_server, mut clients, source, feed) = start(engine, true);
    for (how, _) in read(&mut clients) {
        assert_eq!(how, How::Bypass, "the feed has not begun");
    }
    feed.resume();
    let found = read(&mut clients);
    assert_eq!(found[0].0, How::Stored);
    assert!(found[1..].iter().all(|(how, _)| how.is_hit()), "{found:?}");
    feed.cut();
    source.put("k", "v2");
    for (how, text) in read(&mut clients) {
        assert_eq!((how, text.as_str()), (How::Bypass, "v2"));
    }
    source.put("k", "v3");
    feed.resume();
    let found = read(&mut clients);
    assert!(found.iter().all(|(_, text)| text == "v3"), "{found:?}");
    assert!(found[1..].iter().all(|(how, _)| how.is_hit()), "{found:?}");
}

fn what_was_there_stands_in_for_a_source_that_is_away(engine: Engine) {
    let (_server, mut clients, source, feed) = start(engine, true);
    feed.resume();
    read(&mut clients);
    feed.cut();
    source.fails.store(true, Ordering::SeqCst);
    for (how, text) in read(&mut clients) {
        assert_eq!((how, text.as_str()), (How::StaleOnError, "v1"));
    }
    clients[0].get("/c/words/load/other").expect(502);
    source.fails.store(false, Ordering::SeqCst);
    source.put("k", "v2");
    for (how, text) in read(&mut clients) {
        assert_eq!((how, text.as_str()), (How::Bypass, "v2"));
    }
}

fn a_cache_that_is_not_fed_does_not_mind(engine: Engine) {
    let (_server, mut clients, _, feed) = start(engine, false);
    let found = read(&mut clients);
    assert_eq!(found[0].0, How::Stored);
    feed.resume();
    feed.cut();
    assert!(read(&mut clients).iter().all(|(how, _)| how.is_hit()));
}

fn the_feed_is_cut_when_the_shard_that_listens_dies(engine: Engine) {
    let (server, mut clients, _, feed) = start(engine, true);
    feed.resume();
    server.handle().crash_shard(1);
    clients[1].expect_ended();
    assert!(feed.is_running(), "nobody listened there");
    server.handle().crash_shard(0);
    poll_for("the cut", || (!feed.is_running()).then_some(()));
}

fn a_background_task_runs_once_and_again_after_a_panic(engine: Engine) {
    let begun = Arc::new(AtomicUsize::new(0));
    let counted = begun.clone();
    let task = move |shard: Background| {
        let begun = counted.clone();
        async move {
            assert_eq!(shard.shard().index, 0);
            assert!(begun.fetch_add(1, Ordering::SeqCst) > 0, "as asked");
            while !shard.is_draining() {
                engine::sleep(Duration::from_millis(5)).await;
            }
        }
    };
    let server = InProcess::start_shards(engine, SHARDS, App::new().background(task), |_| {});
    poll_for("its second start", || {
        (begun.load(Ordering::SeqCst) == 2).then_some(())
    });
    server.handle().crash_shard(0);
    poll_for("its start with the successor", || {
        (begun.load(Ordering::SeqCst) == 3).then_some(())
    });
}
