//! The PostgreSQL server as the whole process sees it: how it is reached, how
//! many connections there may be, and whether it is known to be down. The
//! pools of all shards share it; none of them ever waits for another in it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::budget::Budget;
use super::dial::Dialer;
use super::stats::Stats;
use crate::error_log::ErrorLog;
use crate::metrics::DatabaseSnapshot;
use crate::store::DatabaseOptions;

/// What the pools have in common.
pub(super) struct Server {
    pub(super) dialer: Dialer,
    pub(super) options: DatabaseOptions,
    pub(super) budget: Arc<Budget>,
    pub(super) stats: Stats,
    /// Said once for the process, not once a shard.
    is_told_down: AtomicBool,
    error_log: Option<ErrorLog>,
}

impl Server {
    /// Without an `error_log` nothing is said of outages.
    pub(super) fn new(
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
        })
    }

    /// The numbers of all pools, for `/metrics`.
    pub(super) fn snapshot(&self) -> DatabaseSnapshot {
        DatabaseSnapshot {
            connections_max: u64::from(self.budget.connections_max()),
            ..self.stats.snapshot()
        }
    }

    /// A shard cannot reach it.
    pub(super) fn tell_down(&self, why: &str) {
        if !self.is_told_down.swap(true, Ordering::Relaxed) {
            self.tell(format!(
                "PostgreSQL at {} cannot be reached: {why}; requests that need it are answered \
                 503 until it is back",
                self.dialer.target()
            ));
        }
    }

    /// A shard has reached it again.
    pub(super) fn tell_up(&self) {
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
