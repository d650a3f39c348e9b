//! What the pools have counted. A pool's numbers are written by its shard
//! alone and read by whoever answers `/metrics`: no two shards write one cache
//! line in turn, and the hot path writes none.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use crate::metrics::DatabaseSnapshot;

/// One pool's numbers.
#[derive(Debug, Default)]
#[repr(align(128))]
pub(super) struct PoolStats {
    // As the last sweep saw them.
    pub(super) open: AtomicU64,
    pub(super) idle: AtomicU64,
    pub(super) exclusive: AtomicU64,
    pub(super) borrowed: AtomicU64,
    pub(super) in_flight: AtomicU64,
    pub(super) waiting: AtomicU64,
    pub(super) is_down: AtomicU64,
    // Since the start.
    pub(super) calls: AtomicU64,
    pub(super) connects: AtomicU64,
    pub(super) connect_failures: AtomicU64,
    pub(super) connections_lost: AtomicU64,
    pub(super) outages: AtomicU64,
    pub(super) checkout_timeouts: AtomicU64,
    pub(super) refused: AtomicU64,
    pub(super) deadlines: AtomicU64,
    pub(super) cancels: AtomicU64,
    pub(super) retries: AtomicU64,
}

/// Counts one.
pub(super) fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

/// Says what is there now.
pub(super) fn level(gauge: &AtomicU64, value: u64) {
    gauge.store(value, Ordering::Relaxed);
}

/// All pools of the process.
#[derive(Debug, Default)]
pub(super) struct Stats {
    pools: Mutex<Pools>,
}

#[derive(Debug, Default)]
struct Pools {
    living: Vec<Weak<PoolStats>>,
    /// What pools that are gone had counted.
    past: DatabaseSnapshot,
}

impl Stats {
    /// The numbers of one more pool.
    pub(super) fn join(&self) -> Arc<PoolStats> {
        let stats = Arc::<PoolStats>::default();
        self.pools().living.push(Arc::downgrade(&stats));
        stats
    }

    /// The pool is gone; what it counted stays counted.
    pub(super) fn leave(&self, stats: &Arc<PoolStats>) {
        let mut pools = self.pools();
        pools
            .living
            .retain(|other| !other.ptr_eq(&Arc::downgrade(stats)));
        let counted = stats.snapshot();
        pools.past.add(&DatabaseSnapshot {
            open: 0,
            idle: 0,
            exclusive: 0,
            borrowed: 0,
            in_flight: 0,
            waiting: 0,
            pools_down: 0,
            ..counted
        });
    }

    /// All of them added up; the budget is not in it.
    pub(super) fn snapshot(&self) -> DatabaseSnapshot {
        let pools = self.pools();
        let mut sum = pools.past;
        for stats in pools.living.iter().filter_map(Weak::upgrade) {
            sum.add(&stats.snapshot());
        }
        sum
    }

    fn pools(&self) -> std::sync::MutexGuard<'_, Pools> {
        self.pools.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl PoolStats {
    fn snapshot(&self) -> DatabaseSnapshot {
        let read = |value: &AtomicU64| value.load(Ordering::Relaxed);
        DatabaseSnapshot {
            connections_max: 0,
            open: read(&self.open),
            idle: read(&self.idle),
            exclusive: read(&self.exclusive),
            borrowed: read(&self.borrowed),
            in_flight: read(&self.in_flight),
            waiting: read(&self.waiting),
            pools_down: read(&self.is_down),
            calls: read(&self.calls),
            connects: read(&self.connects),
            connect_failures: read(&self.connect_failures),
            connections_lost: read(&self.connections_lost),
            outages: read(&self.outages),
            checkout_timeouts: read(&self.checkout_timeouts),
            refused: read(&self.refused),
            deadlines: read(&self.deadlines),
            cancels: read(&self.cancels),
            retries: read(&self.retries),
        }
    }
}
