//! The PostgreSQL server as the whole process sees it: how it is reached, how
//! many connections there may be, and whether it is known to be down. The
//! pools of all shards share it; none of them ever waits for another in it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::budget::Budget;
use super::stats::Stats;
use crate::error_log::ErrorLog;
use crate::limits::DATABASE_SURPRISE_MS;
use crate::metrics::DatabaseSnapshot;
use crate::postgres::client::dial::Dialer;
use crate::store::DatabaseOptions;

/// What the pools have in common.
pub(crate) struct Server {
    pub(crate) dialer: Dialer,
    pub(crate) options: DatabaseOptions,
    pub(crate) budget: Arc<Budget>,
    pub(crate) stats: Stats,
    /// Said once for the process, not once a shard.
    is_told_down: AtomicBool,
    error_log: Option<ErrorLog>,
    /// Where the clock of `unknown_ms` starts.
    born: Instant,
    /// When a write of ours last ended without a known outcome, plus one; 0 for
    /// never.
    unknown_ms: AtomicU64,
}

impl Server {
    /// Without an `error_log` nothing is said of outages.
    pub(crate) fn new(
        dialer: Dialer,
        options: DatabaseOptions,
        budget: Arc<Budget>,
        error_log: Option<ErrorLog>,
    ) -> Arc<Self> {
        Arc::new(Self {
            dialer,
            options,
            budget,
            stats: Stats::default(),
            is_told_down: AtomicBool::new(false),
            error_log,
            born: Instant::now(),
            unknown_ms: AtomicU64::new(0),
        })
    }

    /// The numbers of all pools, for `/metrics`.
    pub(crate) fn snapshot(&self) -> DatabaseSnapshot {
        DatabaseSnapshot {
            connections_max: u64::from(self.budget.connections_max()),
            ..self.stats.snapshot()
        }
    }

    /// A write may still be committed, as soon as the server goes on with it.
    pub(crate) fn note_unknown(&self) {
        let now_ms = self.born.elapsed().as_millis() as u64;
        self.unknown_ms.store(now_ms + 1, Ordering::Release);
    }

    /// Whether what is told of our own writes may be news, to a listener that
    /// has been listening since then: none of them can be under way any more
    /// when the server has gone on for so long.
    pub(crate) fn may_surprise(&self, listening_since: Instant) -> bool {
        let unknown_ms = match self.unknown_ms.load(Ordering::Acquire) {
            0 => return false,
            later => later - 1,
        };
        let unknown_at = self.born + Duration::from_millis(unknown_ms);
        let patience = self.options.statement_timeout_ms + DATABASE_SURPRISE_MS;
        unknown_at.max(listening_since).elapsed() < Duration::from_millis(patience)
    }

    /// A shard cannot reach it.
    pub(crate) fn tell_down(&self, why: &str) {
        if !self.is_told_down.swap(true, Ordering::Relaxed) {
            self.tell(format!(
                "PostgreSQL at {} cannot be reached: {why}; requests that need it are answered \
                 503 until it is back",
                self.dialer.target()
            ));
        }
    }

    /// A shard has reached it again.
    pub(crate) fn tell_up(&self) {
        if self.is_told_down.swap(false, Ordering::Relaxed) {
            self.tell(format!("PostgreSQL at {} is back", self.dialer.target()));
        }
    }

    fn tell(&self, text: String) {
        if let Some(log) = &self.error_log {
            log.tell(text);
        }
    }
}
