//! Writes that Redis could not be told of, of all shards of a process: until
//! it has been told, none of them reads there. One short list under a lock that
//! is held for a few instructions, and only when Redis fails.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::limits::L2_DEBTS_MAX;

#[derive(Debug, Default)]
pub(super) struct Debts {
    is_owing: AtomicBool,
    owed: Mutex<Owed>,
}

#[derive(Debug, Default)]
struct Owed {
    rows: BTreeMap<i64, RowDebt>,
    /// A new generation, wanted for the so-manieth time.
    generation: Option<u64>,
    wanted: u64,
}

/// A tombstone that is to be put.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct RowDebt {
    pub(super) version: i64,
    pub(super) life_ms: u64,
}

/// What to do next.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Due {
    Nothing,
    Rows(Vec<(i64, RowDebt)>),
    Generation(u64),
}

impl Debts {
    pub(super) fn is_owing(&self) -> bool {
        self.is_owing.load(Ordering::Acquire)
    }

    /// Too many rows are owed as everything.
    pub(super) fn owe(&self, id: i64, debt: RowDebt) {
        let mut owed = self.lock();
        if owed.generation.is_some() {
            owed.want_generation();
        } else if owed.rows.len() >= L2_DEBTS_MAX && !owed.rows.contains_key(&id) {
            owed.want_generation();
            owed.rows.clear();
        } else {
            let known = owed.rows.entry(id).or_insert(debt);
            known.version = known.version.max(debt.version);
            known.life_ms = known.life_ms.max(debt.life_ms);
        }
        self.tell(&owed);
    }

    pub(super) fn owe_all(&self) {
        let mut owed = self.lock();
        owed.want_generation();
        owed.rows.clear();
        self.tell(&owed);
    }

    /// At most `most` rows.
    pub(super) fn due(&self, most: usize) -> Due {
        let owed = self.lock();
        match owed.generation {
            Some(wanted) => Due::Generation(wanted),
            None if owed.rows.is_empty() => Due::Nothing,
            None => Due::Rows(
                owed.rows
                    .iter()
                    .take(most)
                    .map(|(id, d)| (*id, *d))
                    .collect(),
            ),
        }
    }

    /// What was due has been done; what came since stays.
    pub(super) fn settle_row(&self, id: i64, paid: RowDebt) {
        let mut owed = self.lock();
        if owed.rows.get(&id) == Some(&paid) {
            owed.rows.remove(&id);
        }
        self.tell(&owed);
    }

    /// See [`settle_row`](Self::settle_row).
    pub(super) fn settle_generation(&self, wanted: u64) {
        let mut owed = self.lock();
        if owed.generation == Some(wanted) {
            owed.generation = None;
        }
        self.tell(&owed);
    }

    fn tell(&self, owed: &Owed) {
        let is_owing = owed.generation.is_some() || !owed.rows.is_empty();
        self.is_owing.store(is_owing, Ordering::Release);
    }

    fn lock(&self) -> MutexGuard<'_, Owed> {
        self.owed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Owed {
    fn want_generation(&mut self) {
        self.wanted += 1;
        self.generation = Some(self.wanted);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn debt(version: i64) -> RowDebt {
        RowDebt {
            version,
            life_ms: 10,
        }
    }

    #[test]
    fn a_debt_is_owed_until_it_is_paid_as_it_stands() {
        let debts = Debts::default();
        assert!(!debts.is_owing());
        debts.owe(7, debt(2));
        assert_eq!(debts.due(9), Due::Rows(vec![(7, debt(2))]));
        debts.owe(7, debt(3));
        debts.settle_row(7, debt(2));
        assert!(debts.is_owing(), "the newer version is still owed");
        debts.owe(7, debt(1));
        assert_eq!(debts.due(9), Due::Rows(vec![(7, debt(3))]));
        debts.settle_row(7, debt(3));
        assert!(!debts.is_owing());
    }

    #[test]
    fn too_many_debts_are_one() {
        let debts = Debts::default();
        for id in 0..=L2_DEBTS_MAX as i64 {
            debts.owe(id, debt(1));
        }
        assert_eq!(debts.due(9), Due::Generation(1));
        debts.owe(1, debt(1));
        debts.settle_generation(1);
        assert_eq!(debts.due(9), Due::Generation(2), "owed since");
        debts.settle_generation(2);
        assert!(!debts.is_owing());
    }
}
