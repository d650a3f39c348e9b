//! Time as corelane sees it: coarse, per shard, injected into floor 1.
//!
//! `Millis` is what floor 1 takes as `now`. `ShardClock` is read on the hot
//! path: one vDSO call per wake-up, a formatted `Date` once a second.

use std::cell::{Cell, RefCell};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

pub use corelane_proto::clock::{DATE_BYTES, Millis};

/// A shard's clock. Not `Sync`: each shard has its own.
#[derive(Debug)]
pub struct ShardClock {
    origin: Instant,
    date_second: Cell<u64>,
    /// On the monotonic scale: when the date is due to change.
    date_due_ns: Cell<u64>,
    date: RefCell<[u8; DATE_BYTES]>,
}

const NANOS_PER_SECOND: u64 = 1_000_000_000;

impl Default for ShardClock {
    fn default() -> Self {
        Self::new()
    }
}

impl ShardClock {
    /// A clock whose monotonic scale starts now.
    pub fn new() -> Self {
        let clock = Self {
            origin: Instant::now(),
            date_second: Cell::new(u64::MAX),
            date_due_ns: Cell::new(0),
            date: RefCell::new([b' '; DATE_BYTES]),
        };
        clock.refresh_date();
        clock
    }

    /// Monotonic milliseconds since the shard started.
    pub fn now_ms(&self) -> Millis {
        self.origin.elapsed().as_millis() as Millis
    }

    /// Monotonic nanoseconds since the shard started. Keeps the date right on
    /// the way: a response read off this clock never has a `Date` before what
    /// happened in its request.
    pub fn now_ns(&self) -> u64 {
        let now_ns = self.origin.elapsed().as_nanos() as u64;
        if now_ns >= self.date_due_ns.get() {
            self.refresh_date();
        }
        now_ns
    }

    /// Rebuilds the `Date` value if the second has changed (RFC 9110 section
    /// 6.6.1). The shard's sweep calls it too, for when the wall clock is set.
    pub fn refresh_date(&self) {
        let now = SystemTime::now();
        let since_epoch = now.duration_since(UNIX_EPOCH).unwrap_or_default();
        let second = since_epoch.as_secs();
        let left_ns = NANOS_PER_SECOND - u64::from(since_epoch.subsec_nanos());
        let due_ns = self.origin.elapsed().as_nanos() as u64 + left_ns;
        self.date_due_ns.set(due_ns);
        if self.date_second.replace(second) == second {
            return;
        }
        let text = httpdate::fmt_http_date(now);
        self.date.borrow_mut().copy_from_slice(text.as_bytes());
    }

    /// The current `Date` value, copied out.
    pub fn date(&self) -> [u8; DATE_BYTES] {
        *self.date.borrow()
    }
}

/// Milliseconds since the Unix epoch, for what is stored or shown.
pub fn unix_ms() -> i64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |d| d.as_millis() as i64)
}
