//! One limit for several nodes, counted in Redis, and for each by itself while
//! Redis does not answer.

use std::thread;
use std::time::{Duration, Instant};

use corelane::redis::RedisOptions;
use services::{Keyspace, Redis};

use super::{HOUR, app, ask, limit, read_numbers};
use crate::harness::{Engine, InProcess};

either_engine!(
    nodes_with_one_redis_enforce_one_limit,
    a_refusal_is_not_asked_for_twice,
    keys_in_redis_end_with_their_quota,
    a_moment_no_request_can_have_left_shuts_nobody_out,
    without_redis_each_node_counts_for_itself_and_later_together_again,
    a_frozen_redis_is_not_waited_for_longer_than_its_deadline,
    told_not_to_use_redis_it_does_not,
);

const DEADLINE_MS: u64 = 200;

fn start(engine: Engine, redis: &Keyspace, count: u32, window: Duration) -> InProcess {
    let options = RedisOptions {
        deadline_ms: DEADLINE_MS,
        reconnect_delay_max_ms: 100,
        ..RedisOptions::new(redis.url())
    };
    InProcess::start(
        engine,
        app(limit(count, window).name("shared")).redis(options),
    )
}

fn nodes_with_one_redis_enforce_one_limit(engine: Engine) {
    let redis = Keyspace::take();
    let nodes = [
        start(engine, &redis, 100, HOUR),
        start(engine, &redis, 100, HOUR),
    ];
    let through: usize = thread::scope(|scope| {
        let node = |node| scope.spawn(move || super::ask_from_all_sides(node, 4, 20, &["a"]).0[0]);
        let threads: Vec<_> = nodes.iter().map(node).collect();
        let counts = threads
            .into_iter()
            .map(|thread| thread.join().expect("no panic"));
        counts.sum()
    });
    assert_eq!(through, 100);
    for node in &nodes {
        let numbers = read_numbers(node);
        assert_eq!((numbers.fallbacks, numbers.keys), (0, 0), "{numbers:?}");
    }
}

fn a_refusal_is_not_asked_for_twice(engine: Engine) {
    let redis = Redis::start();
    let node = start(engine, &redis, 1, HOUR);
    let mut client = node.connect();
    ask(&mut client, "a").expect(200);
    ask(&mut client, "a").expect(429);
    let calls = || {
        redis
            .cli(&["INFO", "commandstats"])
            .lines()
            .find_map(|line| {
                line.strip_prefix("cmdstat_evalsha:calls=")?
                    .split(',')
                    .next()
                    .map(str::to_owned)
            })
    };
    let before = calls();
    assert!(before.is_some(), "the script ran");
    for _ in 0..20 {
        ask(&mut client, "a").expect(429);
    }
    assert_eq!(calls(), before);
}

fn keys_in_redis_end_with_their_quota(engine: Engine) {
    let redis = Keyspace::take();
    let node = start(engine, &redis, 3, Duration::from_secs(6));
    let mut client = node.connect();
    let answer = ask(&mut client, "a").expect(200);
    assert_eq!(answer.must_have("ratelimit"), "\"shared\";r=2;t=2");
    assert_eq!(redis.cli(&["DBSIZE"]), "1");
    let deadline = Instant::now() + Duration::from_secs(20);
    while redis.cli(&["DBSIZE"]) != "0" {
        assert!(Instant::now() < deadline, "the key stays");
    }
    let answer = ask(&mut client, "a").expect(200);
    assert_eq!(answer.must_have("ratelimit"), "\"shared\";r=2;t=2");
}

/// As after a clock of Redis that was set back, or a replica's that is behind.
fn a_moment_no_request_can_have_left_shuts_nobody_out(engine: Engine) {
    let redis = Keyspace::take();
    let node = start(engine, &redis, 3, HOUR);
    let mut client = node.connect();
    ask(&mut client, "a").expect(200);
    let key = redis.cli(&["KEYS", "*rate_limit*"]);
    for far in ["9007199254740990 0", "99999999999999999999 7", "nonsense"] {
        redis.cli(&["SET", &key, far]);
        for _ in 0..3 {
            ask(&mut client, "a").expect(200);
        }
        assert_eq!(read_numbers(&node).fallbacks, 0, "{far}");
    }
    ask(&mut client, "a").expect(429);
}

/// Asks until the node has Redis again: a client of its own each time.
fn await_redis(node: &InProcess) {
    let deadline = Instant::now() + Duration::from_secs(20);
    let mut round = 0;
    loop {
        let before = read_numbers(node).fallbacks;
        for connection in 0..8 {
            ask(&mut node.connect(), &format!("{round} {connection}")).expect(200);
        }
        if read_numbers(node).fallbacks == before {
            return;
        }
        round += 1;
        assert!(Instant::now() < deadline, "it never comes back");
    }
}

fn without_redis_each_node_counts_for_itself_and_later_together_again(engine: Engine) {
    let mut redis = Redis::start();
    let nodes = [
        start(engine, &redis, 5, HOUR),
        start(engine, &redis, 5, HOUR),
    ];
    ask(&mut nodes[0].connect(), "a").expect(200);
    redis.kill();
    for node in &nodes {
        let begun = Instant::now();
        let (through, _) = super::ask_from_all_sides(node, 4, 5, &["b"]);
        assert_eq!(through, [5], "each node by itself, exactly");
        assert!(
            begun.elapsed() < Duration::from_secs(5),
            "{:?}",
            begun.elapsed()
        );
        let numbers = read_numbers(node);
        assert!(numbers.fallbacks >= 5, "{numbers:?}");
        assert_eq!(numbers.unjudged, 0, "{numbers:?}");
    }
    redis.start_again();
    nodes.iter().for_each(await_redis);
    let (mut one, mut other) = (nodes[0].connect(), nodes[1].connect());
    for _ in 0..5 {
        ask(&mut one, "c").expect(200);
    }
    ask(&mut other, "c").expect(429);
}

fn a_frozen_redis_is_not_waited_for_longer_than_its_deadline(engine: Engine) {
    let redis = Redis::start();
    let node = start(engine, &redis, 5, HOUR);
    let mut client = node.connect();
    ask(&mut client, "a").expect(200);
    redis.freeze();
    let begun = Instant::now();
    ask(&mut client, "b").expect(200);
    let took = begun.elapsed();
    assert!(took >= Duration::from_millis(DEADLINE_MS / 2), "{took:?}");
    assert!(
        took < Duration::from_millis(DEADLINE_MS + 1_000),
        "{took:?}"
    );
    for _ in 0..4 {
        ask(&mut client, "b").expect(200);
    }
    // Its own count is as exact, and a refusal does not ask again.
    ask(&mut client, "b").expect(429);
    assert!(read_numbers(&node).fallbacks >= 6);
    redis.thaw();
    await_redis(&node);
}

fn told_not_to_use_redis_it_does_not(engine: Engine) {
    let redis = Keyspace::take();
    let app = app(limit(1, HOUR)).redis(RedisOptions::new(redis.url()));
    let node = InProcess::start_with(engine, app, |options| options.rate_limit.redis = false);
    let mut client = node.connect();
    ask(&mut client, "a").expect(200);
    ask(&mut client, "a").expect(429);
    assert_eq!(redis.cli(&["DBSIZE"]), "0");
    assert_eq!(read_numbers(&node).keys, 1);
}
