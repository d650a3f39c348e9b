//! The PostgreSQL server as the whole process sees it: how it is reached, how
//! many connections there may be, and whether it is known to be down. The
//! pools of all shards share it; none of them ever waits for another in it.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::budget::Budget;
use super::request::Group;
use super::stats::Stats;
use crate::backoff::{Backoff, RetrySchedule};
use crate::error_log::ErrorLog;
use crate::limits::{
    POSTGRES_RECONNECT_FIRST_MS, POSTGRES_RECONNECT_MAX_MS, POSTGRES_STUCK_TOLD_MS,
};
use crate::metrics::DatabaseSnapshot;
use crate::postgres::PostgresOptions;
use crate::postgres::client::Dialer;

/// What the pools of all shards have in common.
pub struct PostgresServer {
    pub(super) dialer: Dialer,
    pub(super) options: PostgresOptions,
    pub(super) budget: Arc<Budget>,
    pub(super) stats: Stats,
    /// Said once for the process, not once a shard.
    is_told_down: AtomicBool,
    /// Sessions made last take no writes.
    is_read_only: AtomicBool,
    /// Groups whose statements were held up, and when they were seen so last. By
    /// sweeps, and only in trouble.
    stuck: Mutex<Vec<(Group, Instant)>>,
    error_log: Option<ErrorLog>,
    /// Where the clock of `unknown_ms` starts.
    born: Instant,
    /// When a write of ours last ended without a known outcome, plus one; 0 for
    /// never.
    unknown_ms: AtomicU64,
}

impl PostgresServer {
    /// Nothing is connected yet. On stderr it is said, once for the process,
    /// when the server is missed and when it is back.
    pub fn new(dialer: Dialer, options: PostgresOptions, budget: Arc<Budget>) -> Arc<Self> {
        Self::with_log(dialer, options, budget, ErrorLog::start().ok())
    }

    /// Without an `error_log` nothing is said.
    pub(super) fn with_log(
        dialer: Dialer,
        options: PostgresOptions,
        budget: Arc<Budget>,
        error_log: Option<ErrorLog>,
    ) -> Arc<Self> {
        Arc::new(Self {
            dialer,
            options,
            budget,
            stats: Stats::default(),
            is_told_down: AtomicBool::new(false),
            is_read_only: AtomicBool::new(false),
            stuck: Mutex::default(),
            error_log,
            born: Instant::now(),
            unknown_ms: AtomicU64::new(0),
        })
    }

    /// How it is reached.
    pub fn dialer(&self) -> &Dialer {
        &self.dialer
    }

    /// When a connection that could not be made, or was lost, may be made again;
    /// of each who makes them, so that they do not march in step.
    pub fn retry_schedule(&self) -> RetrySchedule {
        let backoff = Backoff::new(
            POSTGRES_RECONNECT_FIRST_MS,
            POSTGRES_RECONNECT_MAX_MS,
            POSTGRES_RECONNECT_MAX_MS,
        );
        RetrySchedule::new(backoff.with_seed(fastrand::u64(..)), Instant::now())
    }

    /// What it was made with.
    pub fn options(&self) -> &PostgresOptions {
        &self.options
    }

    /// How many shards share its connections, and how many those are.
    pub(in crate::postgres) fn members_of(&self) -> (u32, u32) {
        self.budget.members_of()
    }

    /// The numbers of all pools, for `/metrics`.
    pub fn snapshot(&self) -> DatabaseSnapshot {
        DatabaseSnapshot {
            connections_max: u64::from(self.budget.connections_max()),
            ..self.stats.snapshot()
        }
    }

    /// A write may still be committed, as soon as the server goes on with it.
    pub(super) fn note_unknown(&self) {
        let now_ms = self.born.elapsed().as_millis() as u64;
        self.unknown_ms.store(now_ms + 1, Ordering::Release);
    }

    /// When a write of a pool last ended without a known outcome: it may still
    /// be committed some time after that. To the millisecond.
    pub fn unknown_outcome_at(&self) -> Option<Instant> {
        let unknown_ms = self.unknown_ms.load(Ordering::Acquire).checked_sub(1)?;
        Some(self.born + Duration::from_millis(unknown_ms))
    }

    /// Whether the server that connections lead to takes no writes, as far as is
    /// known: it is a replica, or was told to take none.
    pub fn is_read_only(&self) -> bool {
        self.is_read_only.load(Ordering::Relaxed)
    }

    /// Groups whose statements something holds up now, as a lock on a table
    /// does, in any pool.
    pub fn stuck(&self) -> Vec<Group> {
        let lately = Duration::from_millis(POSTGRES_STUCK_TOLD_MS);
        let mut stuck = self.stuck.lock().unwrap_or_else(PoisonError::into_inner);
        stuck.retain(|(_, seen_at)| seen_at.elapsed() < lately);
        stuck.iter().map(|(group, _)| *group).collect()
    }

    pub(super) fn note_stuck(&self, group: Group, now: Instant) {
        let mut stuck = self.stuck.lock().unwrap_or_else(PoisonError::into_inner);
        stuck.retain(|(other, _)| *other != group);
        stuck.push((group, now));
    }

    /// What a new session, or the refusal of a write, has shown.
    pub(super) fn note_role(&self, is_read_only: bool) {
        if self.is_read_only.swap(is_read_only, Ordering::Relaxed) == is_read_only {
            return;
        }
        let place = self.dialer.place();
        self.tell(match is_read_only {
            true => format!(
                "PostgreSQL at {place} takes no writes, as a replica does: writes are answered \
                 503 until its address leads to a server that does; name all servers in it, with \
                 target_session_attrs=read-write"
            ),
            false => format!("PostgreSQL at {place} takes writes"),
        });
    }

    /// A shard cannot reach it.
    pub(super) fn tell_down(&self, why: &str) {
        if !self.is_told_down.swap(true, Ordering::Relaxed) {
            self.tell(format!(
                "PostgreSQL at {} cannot be reached: {why}; requests that need it are answered \
                 503 until it is back",
                self.dialer.place()
            ));
        }
    }

    /// A shard has reached it again.
    pub(super) fn tell_up(&self) {
        if self.is_told_down.swap(false, Ordering::Relaxed) {
            self.tell(format!("PostgreSQL at {} is back", self.dialer.place()));
        }
    }

    fn tell(&self, text: String) {
        if let Some(log) = &self.error_log {
            log.log(text);
        }
    }
}
