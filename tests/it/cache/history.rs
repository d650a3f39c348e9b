//! Many clients on few keys: who asked what, when, and what came of it.

use std::net::SocketAddr;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::checker::{Kind, NEVER, Op, check};
use crate::harness::{Client, Response};

/// Something with registers in it.
pub(super) trait Target: Sync {
    fn keys(&self) -> usize;

    /// A target that shows `key`, perhaps among others; `choice` is random.
    fn read(&self, key: usize, choice: u64) -> String;

    /// What the 200 to such a read shows, by key.
    fn values(&self, key: usize, response: &Response) -> Vec<(usize, u64)>;

    fn write(&self, key: usize, value: u64, choice: u64) -> Write;
}

/// A request that writes.
pub(super) struct Write {
    pub(super) method: &'static str,
    pub(super) target: String,
    pub(super) body: String,
}

/// How clients behave.
#[derive(Debug, Clone, Copy)]
pub(super) struct Crowd {
    pub(super) clients: usize,
    pub(super) time: Duration,
    pub(super) writes_percent: u64,
    /// Of the writes: hang up without waiting for the answer.
    pub(super) rude_percent: u64,
}

/// What they saw.
#[derive(Debug, Default)]
pub(super) struct Seen {
    pub(super) ops: Vec<Op>,
    pub(super) reads: usize,
    /// Reads with `X-Cache: HIT`.
    pub(super) hits: usize,
    pub(super) writes: usize,
    /// Values that the server said it has not written.
    pub(super) refused: Vec<u64>,
    pub(super) unknown: usize,
    /// Reads without a value, and connections lost.
    pub(super) failed: usize,
    /// The longest anybody waited for an answer.
    pub(super) slowest: Duration,
}

impl Seen {
    fn add(&mut self, other: Self) {
        self.ops.extend(other.ops);
        self.refused.extend(other.refused);
        self.reads += other.reads;
        self.hits += other.hits;
        self.writes += other.writes;
        self.unknown += other.unknown;
        self.failed += other.failed;
        self.slowest = self.slowest.max(other.slowest);
    }

    /// Fails unless a register could have answered so; prints how much that
    /// was.
    #[track_caller]
    pub(super) fn must_be_linearizable(&self, what: &str) {
        println!(
            "{what}: {} operations; {} reads, {} of them hits; {} writes, {} refused, {} unknown; \
             {} failed; slowest {} ms",
            self.ops.len(),
            self.reads,
            self.hits,
            self.writes,
            self.refused.len(),
            self.unknown,
            self.failed,
            self.slowest.as_millis()
        );
        if let Err(violation) = check(&self.ops) {
            panic!("{what}: {violation}");
        }
    }

    /// Nothing went wrong but what clients did themselves.
    #[track_caller]
    pub(super) fn must_be_answered(&self) {
        assert_eq!((self.failed, self.refused.len()), (0, 0));
        assert!(self.slowest < Duration::from_secs(4), "{:?}", self.slowest);
        assert!(self.reads > 100 && self.writes > 20, "too little happened");
    }
}

/// Lets a crowd loose on `target`.
pub(super) fn record(address: SocketAddr, target: &impl Target, crowd: Crowd) -> Seen {
    let seed = fastrand::u64(..);
    println!("seed {seed}");
    let seen = Mutex::new(Seen::default());
    let shared = Shared {
        address,
        origin: Instant::now(),
        next_value: AtomicU64::new(1),
    };
    std::thread::scope(|scope| {
        for number in 0..crowd.clients as u64 {
            let (shared, seen) = (&shared, &seen);
            scope.spawn(move || {
                let mut visitor = Visitor {
                    shared,
                    target,
                    crowd,
                    random: fastrand::Rng::with_seed(seed ^ number),
                    client: None,
                    seen: Seen::default(),
                };
                while shared.origin.elapsed() < crowd.time {
                    visitor.visit();
                }
                seen.lock().expect("no panic").add(visitor.seen);
            });
        }
    });
    seen.into_inner().expect("no panic")
}

struct Shared {
    address: SocketAddr,
    origin: Instant,
    next_value: AtomicU64,
}

impl Shared {
    fn now(&self) -> u64 {
        self.origin.elapsed().as_nanos() as u64
    }
}

/// One client.
struct Visitor<'a, T> {
    shared: &'a Shared,
    target: &'a T,
    crowd: Crowd,
    random: fastrand::Rng,
    client: Option<Client>,
    seen: Seen,
}

/// So that connections land on other shards now and then.
const RECONNECT_EVERY: u64 = 200;

impl<T: Target> Visitor<'_, T> {
    fn visit(&mut self) {
        let key = self.random.usize(..self.target.keys());
        if self.random.u64(..RECONNECT_EVERY) == 0 {
            self.client = None;
        }
        if self.random.u64(..100) < self.crowd.writes_percent {
            self.write(key);
        } else {
            self.read(key);
        }
    }

    fn exchange(&mut self, method: &str, target: &str, body: &str) -> Option<Response> {
        let json = [("Content-Type", "application/json")];
        let headers = if body.is_empty() { &[][..] } else { &json };
        if self.client.is_none() {
            self.client = Client::try_connect(self.shared.address).ok();
        }
        let since = Instant::now();
        let client = self.client.as_mut()?;
        let response = client.try_request(method, target, headers, body.as_bytes());
        self.seen.slowest = self.seen.slowest.max(since.elapsed());
        if response.as_ref().map_or(true, Response::says_close) {
            self.client = None;
        }
        response.ok()
    }

    fn read(&mut self, key: usize) {
        let target = self.target.read(key, self.random.u64(..));
        let invoked = self.shared.now();
        let response = self.exchange("GET", &target, "");
        let responded = self.shared.now();
        let Some(response) = response.filter(|response| response.status == 200) else {
            self.seen.failed += 1;
            return;
        };
        self.seen.reads += 1;
        self.seen.hits += usize::from(response.header("x-cache") == Some("HIT"));
        for (key, value) in self.target.values(key, &response) {
            self.seen.ops.push(Op {
                key,
                kind: Kind::Read,
                value,
                invoked,
                responded,
            });
        }
    }

    fn write(&mut self, key: usize) {
        let value = self.shared.next_value.fetch_add(1, Ordering::Relaxed);
        let write = self.target.write(key, value, self.random.u64(..));
        let mut op = Op {
            key,
            kind: Kind::Write,
            value,
            invoked: self.shared.now(),
            responded: NEVER,
        };
        if self.random.u64(..100) < self.crowd.rude_percent {
            self.send_and_leave(&write);
            self.seen.unknown += 1;
            return self.seen.ops.push(op);
        }
        let response = self.exchange(write.method, &write.target, &write.body);
        match response.as_ref().map(|response| response.status) {
            Some(200..=299) => {
                op.responded = self.shared.now();
                self.seen.writes += 1;
            }
            Some(503) if says_nothing_done(response.as_ref()) => {
                return self.seen.refused.push(value);
            }
            _ => self.seen.unknown += 1,
        }
        self.seen.ops.push(op);
    }

    fn send_and_leave(&mut self, write: &Write) {
        let Ok(mut client) = Client::try_connect(self.shared.address) else {
            return;
        };
        let length = write.body.len();
        client.send_if_taken(format!(
            "{} {} HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n\
             Content-Length: {length}\r\n\r\n{}",
            write.method, write.target, write.body
        ));
        if self.random.bool() {
            client.reset();
        }
    }
}

/// The cache's own 503: no lease was to be had.
fn says_nothing_done(response: Option<&Response>) -> bool {
    response.is_some_and(|response| response.text().contains("too many requests wait"))
}
