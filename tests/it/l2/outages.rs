//! Redis away, slow, or back as it was: no client sees an error or an old user.

use std::time::Duration;

use corelane::redis::RedisOptions;
use services::{Proxy, Redis};
use tempfile::TempDir;

use super::node::{Node, create, read, redis_said, version, write};
use super::poll_for;
use super::races::Crowd;
use crate::harness::Engine;

both_engines!(
    what_redis_could_not_be_told_is_told_before_it_is_believed,
    a_write_whose_answer_was_lost_is_told_again,
    a_redis_with_old_data_is_not_believed,
    an_empty_redis_is_filled_again,
    nobody_notices_that_redis_comes_and_goes,
    nobody_notices_with_the_own_cache_either,
);

struct Line {
    redis: Redis,
    proxy: Proxy,
    node: Node,
    _folder: TempDir,
}

impl Line {
    fn start(engine: Engine, ttl_ms: u64) -> Self {
        let (redis, folder) = (Redis::start(), TempDir::new().expect("a folder"));
        let proxy = Proxy::to(redis.port());
        let options = RedisOptions {
            deadline_ms: 100,
            reconnect_delay_max_ms: 200,
            ..RedisOptions::new(redis.url_through(proxy.port()))
        };
        let node = Node::start_at(engine, folder.path(), options, |options| {
            options.cache.ttl_ms = ttl_ms;
        });
        Self {
            redis,
            proxy,
            node,
            _folder: folder,
        }
    }

    /// Reads over fresh connections, so from any shard, until Redis has it; none
    /// may be older.
    #[track_caller]
    fn read_until_hits(&self, id: usize, at_least: u64) {
        let mut hits = 0;
        poll_for("hits", || {
            let answer = read(&mut self.node.connect(), id);
            assert!(version(&answer) >= at_least, "{at_least}: {answer:?}");
            hits += u64::from(redis_said(&answer) == "hit");
            (hits >= 10).then_some(())
        });
    }
}

fn what_redis_could_not_be_told_is_told_before_it_is_believed(engine: Engine) {
    let line = Line::start(engine, 0);
    let mut client = line.node.connect();
    create(&mut client, 1);
    line.read_until_hits(1, 1);
    for round in 0..3 {
        line.proxy.refuse(true);
        let written = write(&mut client, 1, &format!("v{round}"));
        assert!(line.node.counted("debts") > 0);
        for _ in 0..10 {
            let answer = read(&mut line.node.connect(), 1);
            assert_eq!(
                (redis_said(&answer), version(&answer)),
                ("fwd=bypass", written)
            );
        }
        // The old one is still there.
        assert!(!line.redis.cli(&["KEYS", "*users:1"]).is_empty());
        line.proxy.refuse(false);
        line.read_until_hits(1, written);
    }
}

fn a_write_whose_answer_was_lost_is_told_again(engine: Engine) {
    let line = Line::start(engine, 0);
    let mut client = line.node.connect();
    create(&mut client, 1);
    line.read_until_hits(1, 1);
    line.proxy.hold_answers(true);
    let written = write(&mut client, 1, "new");
    assert_eq!(version(&read(&mut client, 1)), written);
    line.proxy.hold_answers(false);
    line.read_until_hits(1, written);
    assert!(line.node.counted("debts") > 0);
}

/// As a replica that takes over, or a server that saves now and then.
fn a_redis_with_old_data_is_not_believed(engine: Engine) {
    let mut line = Line::start(engine, 0);
    let mut client = line.node.connect();
    create(&mut client, 1);
    line.read_until_hits(1, 1);
    let key = line.redis.cli(&["KEYS", "*users:1"]);
    let old = line.redis.cli(&["GET", &key]);
    assert_eq!(line.redis.cli(&["SAVE"]), "OK");
    let written = write(&mut client, 1, "new");
    line.read_until_hits(1, written);
    line.redis.kill();
    line.redis.start_again();
    assert_eq!(
        line.redis.cli(&["GET", &key]),
        old,
        "it has the old one again"
    );
    line.read_until_hits(1, written);
}

fn an_empty_redis_is_filled_again(engine: Engine) {
    let mut line = Line::start(engine, 0);
    let mut client = line.node.connect();
    create(&mut client, 1);
    line.read_until_hits(1, 1);
    line.redis.cli(&["FLUSHALL"]);
    line.read_until_hits(1, 1);
    line.redis.kill();
    let written = write(&mut client, 1, "new");
    line.redis.start_again();
    line.read_until_hits(1, written);
}

fn come_and_go(engine: Engine, ttl_ms: u64) {
    let mut line = Line::start(engine, ttl_ms);
    let crowd = Crowd::gather(&[&line.node]);
    let pause = || std::thread::sleep(Duration::from_millis(150));
    for _ in 0..3 {
        pause();
        line.redis.freeze();
        pause();
        pause();
        line.redis.thaw();
        pause();
        line.proxy.reset();
        pause();
        line.redis.kill();
        pause();
        line.redis.start_again();
        pause();
        line.proxy.hold_answers(true);
        pause();
        line.proxy.hold_answers(false);
        line.redis.cli(&["FLUSHALL"]);
    }
    let hits = line.node.counted("hits");
    line.node.wait_for("hits", hits + 10);
    assert!(crowd.disperse() > 500);
    assert!(line.node.counted("bypasses") > 0);
}

fn nobody_notices_that_redis_comes_and_goes(engine: Engine) {
    come_and_go(engine, 0);
}

fn nobody_notices_with_the_own_cache_either(engine: Engine) {
    come_and_go(engine, 10_000);
}
