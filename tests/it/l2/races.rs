//! Reads that race with writes: what is older never stays in Redis.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use corelane::redis::RedisOptions;
use corelane_server::handlers::ApiOptions;
use services::{Keyspace, Proxy, Redis};
use tempfile::TempDir;

use super::node::{Node, create, read, redis_said, version, write};
use super::poll_for;
use crate::harness::{Client, Engine};

either_engine!(
    a_fill_that_comes_after_a_write_loses,
    a_fill_that_comes_after_the_tombstone_has_gone_is_refused,
    a_fill_that_waited_in_a_redis_that_stood_still_is_refused,
    no_read_is_older_than_an_acknowledged_write,
    nor_with_the_own_cache,
);

/// What is sent over the proxy takes this long, each way.
const SLOW: Duration = Duration::from_millis(300);

struct Race {
    redis: Redis,
    proxy: Proxy,
    /// Reaches Redis through the proxy.
    slow: Node,
    fast: Node,
    _folder: TempDir,
}

impl Race {
    fn start(engine: Engine, change: impl Fn(&mut ApiOptions)) -> Self {
        let (redis, folder) = (Redis::start(), TempDir::new().expect("a folder"));
        let proxy = Proxy::to(redis.port());
        let change = |options: &mut ApiOptions| {
            options.cache.ttl_ms = 0;
            change(options);
        };
        let patient = RedisOptions {
            deadline_ms: 5_000,
            ..RedisOptions::new(redis.url_through(proxy.port()))
        };
        let slow = Node::start_at(engine, folder.path(), patient, change);
        let fast = Node::start_with(engine, folder.path(), &redis.url(), change);
        for node in [&slow, &fast] {
            warm(node);
        }
        proxy.delay(SLOW);
        Self {
            redis,
            proxy,
            slow,
            fast,
            _folder: folder,
        }
    }
}

/// Each shard knows the generation and the clock of Redis.
fn warm(node: &Node) {
    for _ in 0..20 {
        node.connect().get("/api/users/999").expect(404);
    }
}

fn a_fill_that_comes_after_a_write_loses(engine: Engine) {
    let race = Race::start(engine, |_| {});
    let mut fast = race.fast.connect();
    for id in 1..=5 {
        create(&mut fast, id);
        let old = read(&mut race.slow.connect(), id);
        assert_eq!(redis_said(&old), "fwd=uri-miss");
        // Its fill is under way now.
        let written = write(&mut fast, id, "new");
        assert!(written > version(&old));
        race.slow.wait_for("fillsOlder", id as u64);
        let answer = read(&mut fast, id);
        assert_eq!((redis_said(&answer), version(&answer)), ("hit", written));
    }
}

fn a_fill_that_comes_after_the_tombstone_has_gone_is_refused(engine: Engine) {
    let race = Race::start(engine, |options| options.cache.redis_tombstone_ms = 100);
    let mut fast = race.fast.connect();
    create(&mut fast, 1);
    read(&mut race.slow.connect(), 1);
    fast.request("DELETE", "/api/users/1", &[], b"").expect(204);
    race.slow.wait_for("fillsLate", 1);
    poll_for("no tombstone", || {
        race.redis
            .cli(&["KEYS", "*users:1"])
            .is_empty()
            .then_some(())
    });
    fast.get("/api/users/1").expect(404);
}

fn a_fill_that_waited_in_a_redis_that_stood_still_is_refused(engine: Engine) {
    let race = Race::start(engine, |options| options.cache.redis_tombstone_ms = 1_000);
    let mut fast = race.fast.connect();
    create(&mut fast, 1);
    read(&mut race.slow.connect(), 1);
    race.redis.freeze();
    fast.request("DELETE", "/api/users/1", &[], b"").expect(204);
    assert!(race.fast.counted("debts") >= 1);
    std::thread::sleep(Duration::from_millis(1_500));
    race.redis.thaw();
    race.slow.wait_for("fillsLate", 1);
    race.proxy.delay(Duration::ZERO);
    for _ in 0..20 {
        fast.get("/api/users/1").expect(404);
        race.slow.connect().get("/api/users/1").expect(404);
    }
}

/// Writers and readers of a few users until told to end.
pub(super) struct Crowd {
    threads: Vec<std::thread::JoinHandle<u64>>,
    ends: Arc<AtomicBool>,
}

const USERS: usize = 3;

impl Crowd {
    /// Each on a connection of its own; addresses may be of several nodes.
    pub(super) fn gather(nodes: &[&Node]) -> Self {
        let mut client = nodes[0].connect();
        let acked: Arc<Vec<AtomicU64>> = Arc::new(
            (1..=USERS)
                .map(|number| {
                    AtomicU64::new(create(&mut client, number)["version"].as_u64().unwrap_or(0))
                })
                .collect(),
        );
        let ends = Arc::new(AtomicBool::new(false));
        let mut threads = Vec::new();
        for number in 0..6 {
            let client = nodes[number % nodes.len()].connect();
            let (acked, ends) = (acked.clone(), ends.clone());
            threads.push(std::thread::spawn(move || match number {
                0 | 1 => write_on(client, number, &acked, &ends),
                _ => read_on(client, number, &acked, &ends),
            }));
        }
        Self { threads, ends }
    }

    /// How many requests there were; none failed or was stale.
    pub(super) fn disperse(self) -> u64 {
        self.ends.store(true, Ordering::SeqCst);
        let counts = self
            .threads
            .into_iter()
            .map(|thread| thread.join().expect("no panic"));
        counts.sum()
    }
}

fn write_on(mut client: Client, number: usize, acked: &[AtomicU64], ends: &AtomicBool) -> u64 {
    let mut count = 0;
    while !ends.load(Ordering::SeqCst) {
        let user = (count as usize * 7 + number) % USERS;
        let written = write(&mut client, user + 1, &format!("{number}.{count}"));
        acked[user].fetch_max(written, Ordering::SeqCst);
        count += 1;
    }
    count
}

fn read_on(mut client: Client, number: usize, acked: &[AtomicU64], ends: &AtomicBool) -> u64 {
    let mut count = 0;
    while !ends.load(Ordering::SeqCst) {
        let user = (count as usize + number) % USERS;
        let before = acked[user].load(Ordering::SeqCst);
        let answer = read(&mut client, user + 1);
        assert!(
            version(&answer) >= before,
            "{before} was acknowledged: {answer:?}"
        );
        count += 1;
    }
    count
}

fn no_read_is_older_than_an_acknowledged_write(engine: Engine) {
    let (redis, folder) = (Keyspace::take(), TempDir::new().expect("a folder"));
    let start = |path: &Path| {
        Node::start_with(engine, path, &redis.url(), |options| {
            options.cache.ttl_ms = 0;
        })
    };
    let nodes = [start(folder.path()), start(folder.path())];
    let crowd = Crowd::gather(&[&nodes[0], &nodes[1]]);
    std::thread::sleep(Duration::from_secs(2));
    assert!(crowd.disperse() > 500);
    let hits: u64 = nodes.iter().map(|node| node.counted("hits")).sum();
    assert!(hits > 100, "{hits}");
}

fn nor_with_the_own_cache(engine: Engine) {
    let (redis, folder) = (Keyspace::take(), TempDir::new().expect("a folder"));
    let node = Node::start(engine, folder.path(), &redis.url());
    let crowd = Crowd::gather(&[&node]);
    std::thread::sleep(Duration::from_secs(2));
    assert!(crowd.disperse() > 500);
    assert!(node.counted("hits") > 10);
}
