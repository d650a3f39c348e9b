//! Writes that Redis could not be told of, of all shards of a process: until
//! it has been told, none of them reads there. One short list under a lock that
//! is held for a few instructions, and only when Redis fails.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::limits::L2_PENDING_MAX;

#[derive(Debug, Default)]
pub(super) struct PendingInvalidations {
    has_any: AtomicBool,
    set: Mutex<PendingSet>,
}

#[derive(Debug, Default)]
struct PendingSet {
    rows: BTreeMap<i64, RowTombstone>,
    /// A new generation, wanted for the so-manieth time.
    generation: Option<u64>,
    wanted: u64,
}

/// A tombstone that is to be put.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct RowTombstone {
    pub(super) version: i64,
    pub(super) life_ms: u64,
}

/// What to do next.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Retry {
    Nothing,
    Rows(Vec<(i64, RowTombstone)>),
    Generation(u64),
}

impl PendingInvalidations {
    pub(super) fn has_any(&self) -> bool {
        self.has_any.load(Ordering::Acquire)
    }

    /// Too many rows are recorded as everything.
    pub(super) fn record(&self, id: i64, tombstone: RowTombstone) {
        let mut set = self.lock();
        if set.generation.is_some() {
            set.want_generation();
        } else if set.rows.len() >= L2_PENDING_MAX && !set.rows.contains_key(&id) {
            set.want_generation();
            set.rows.clear();
        } else {
            let known = set.rows.entry(id).or_insert(tombstone);
            known.version = known.version.max(tombstone.version);
            known.life_ms = known.life_ms.max(tombstone.life_ms);
        }
        self.publish(&set);
    }

    pub(super) fn record_all(&self) {
        let mut set = self.lock();
        set.want_generation();
        set.rows.clear();
        self.publish(&set);
    }

    /// At most `most` rows.
    pub(super) fn next_retry(&self, most: usize) -> Retry {
        let set = self.lock();
        match set.generation {
            Some(wanted) => Retry::Generation(wanted),
            None if set.rows.is_empty() => Retry::Nothing,
            None => Retry::Rows(
                set.rows
                    .iter()
                    .take(most)
                    .map(|(id, d)| (*id, *d))
                    .collect(),
            ),
        }
    }

    /// What was to be tried again has been done; what came since stays.
    pub(super) fn row_done(&self, id: i64, done: RowTombstone) {
        let mut set = self.lock();
        if set.rows.get(&id) == Some(&done) {
            set.rows.remove(&id);
        }
        self.publish(&set);
    }

    /// See [`row_done`](Self::row_done).
    pub(super) fn generation_done(&self, wanted: u64) {
        let mut set = self.lock();
        if set.generation == Some(wanted) {
            set.generation = None;
        }
        self.publish(&set);
    }

    fn publish(&self, set: &PendingSet) {
        let has_any = set.generation.is_some() || !set.rows.is_empty();
        self.has_any.store(has_any, Ordering::Release);
    }

    fn lock(&self) -> MutexGuard<'_, PendingSet> {
        self.set.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl PendingSet {
    fn want_generation(&mut self) {
        self.wanted += 1;
        self.generation = Some(self.wanted);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tombstone(version: i64) -> RowTombstone {
        RowTombstone {
            version,
            life_ms: 10,
        }
    }

    #[test]
    fn an_invalidation_is_pending_until_it_is_done_as_recorded() {
        let pending = PendingInvalidations::default();
        assert!(!pending.has_any());
        pending.record(7, tombstone(2));
        assert_eq!(pending.next_retry(9), Retry::Rows(vec![(7, tombstone(2))]));
        pending.record(7, tombstone(3));
        pending.row_done(7, tombstone(2));
        assert!(pending.has_any(), "the newer version is still pending");
        pending.record(7, tombstone(1));
        assert_eq!(pending.next_retry(9), Retry::Rows(vec![(7, tombstone(3))]));
        pending.row_done(7, tombstone(3));
        assert!(!pending.has_any());
    }

    #[test]
    fn too_many_pending_are_one() {
        let pending = PendingInvalidations::default();
        for id in 0..=L2_PENDING_MAX as i64 {
            pending.record(id, tombstone(1));
        }
        assert_eq!(pending.next_retry(9), Retry::Generation(1));
        pending.record(1, tombstone(1));
        pending.generation_done(1);
        assert_eq!(
            pending.next_retry(9),
            Retry::Generation(2),
            "recorded since"
        );
        pending.generation_done(2);
        assert!(!pending.has_any());
    }
}
