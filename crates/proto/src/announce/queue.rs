//! What a shard has to tell of: rows it has written, each with a number, and rows
//! of which it does not know whether they were written.

use std::time::Instant;

use super::WrittenRow;
use crate::limits::DATABASE_ANNOUNCED_ROWS_MAX;

/// All of it.
#[derive(Debug, Default)]
pub(super) struct Queue {
    waiting: Batch,
    /// How many have joined, and how many of those were told.
    joined: u64,
    told: u64,
    doubtful: Vec<WrittenRow>,
    is_any_doubtful: bool,
    /// From then on the doubtful have ended; they are told once more.
    doubtful_until: Option<Instant>,
}

/// What is told together.
#[derive(Debug, Default)]
pub(super) struct Batch {
    rows: Rows,
    /// The number of its last row; 0 if there is none.
    last: u64,
}

/// Rows, or more than are worth naming.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rows {
    /// These.
    These(Vec<WrittenRow>),
    /// Any of them.
    Any,
}

impl Queue {
    /// A row that was written, and its number.
    pub(super) fn join(&mut self, row: WrittenRow) -> u64 {
        self.joined += 1;
        self.waiting.last = self.joined;
        self.waiting.rows.add(row);
        self.joined
    }

    /// The highest number that was told; all below it were too.
    pub(super) fn told(&self) -> u64 {
        self.told
    }

    /// A row that may have been written, or may be until then.
    pub(super) fn doubt(&mut self, id: Option<i64>, until: Instant) {
        let is_full = self.doubtful.len() >= DATABASE_ANNOUNCED_ROWS_MAX;
        match id.filter(|_| !is_full) {
            // No version is the safe word: nothing is kept of such a row.
            Some(id) => self.doubtful.push(WrittenRow { id, version: None }),
            None => self.is_any_doubtful = true,
        }
        self.doubtful_until = self.doubtful_until.max(Some(until));
    }

    /// What is doubtful is so until then at least.
    pub(super) fn doubt_longer(&mut self, until: Instant) {
        self.doubtful_until = self.doubtful_until.map(|present| present.max(until));
    }

    /// The doubtful rows, if there are any.
    pub(super) fn doubtful(&self) -> Option<Rows> {
        self.doubtful_until?;
        Some(match self.is_any_doubtful {
            true => Rows::Any,
            false => Rows::These(self.doubtful.clone()),
        })
    }

    /// They were told, not before `at`.
    pub(super) fn settle(&mut self, at: Instant) {
        if self.doubtful_until.is_some_and(|until| until <= at) {
            self.doubtful.clear();
            self.is_any_doubtful = false;
            self.doubtful_until = None;
        }
    }

    /// Those written, to be told now.
    pub(super) fn take(&mut self) -> Option<Batch> {
        let is_there = !self.waiting.rows.is_empty();
        is_there.then(|| std::mem::take(&mut self.waiting))
    }

    /// They could not be told.
    pub(super) fn put_back(&mut self, batch: Batch) {
        let later = std::mem::replace(&mut self.waiting, batch);
        match later.rows {
            Rows::Any => self.waiting.rows = Rows::Any,
            Rows::These(rows) => rows.into_iter().for_each(|row| self.waiting.rows.add(row)),
        }
        self.waiting.last = self.waiting.last.max(later.last);
    }

    pub(super) fn note_told(&mut self, batch: &Batch) {
        self.told = self.told.max(batch.last);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.waiting.rows.is_empty() && self.doubtful_until.is_none()
    }
}

impl Batch {
    pub(super) fn rows(&self) -> &Rows {
        &self.rows
    }
}

impl Default for Rows {
    fn default() -> Self {
        Self::These(Vec::new())
    }
}

impl Rows {
    fn is_empty(&self) -> bool {
        matches!(self, Self::These(rows) if rows.is_empty())
    }

    fn add(&mut self, row: WrittenRow) {
        if let Self::These(rows) = self {
            match rows.len() < DATABASE_ANNOUNCED_ROWS_MAX {
                true => rows.push(row),
                false => *self = Self::Any,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn row(id: i64) -> WrittenRow {
        WrittenRow {
            id,
            version: Some(1),
        }
    }

    #[test]
    fn what_could_not_be_told_comes_first_again_and_too_many_are_all() {
        let mut queue = Queue::default();
        let first = queue.join(row(1));
        let batch = queue.take().unwrap();
        let second = queue.join(row(2));
        queue.put_back(batch);
        assert_eq!(queue.waiting.rows, Rows::These(vec![row(1), row(2)]));
        assert!(queue.told() < first && first < second);
        let batch = queue.take().unwrap();
        queue.note_told(&batch);
        assert_eq!(queue.told(), second);
        assert!(queue.is_empty() && queue.take().is_none());
        let most = DATABASE_ANNOUNCED_ROWS_MAX as i64;
        for id in 0..most {
            queue.join(row(id));
        }
        let batch = queue.take().unwrap();
        let Rows::These(rows) = batch.rows() else {
            panic!("they are few enough")
        };
        assert_eq!(rows.len(), most as usize);
        let last = queue.join(row(most));
        queue.put_back(batch);
        assert_eq!(queue.waiting.rows, Rows::Any);
        let batch = queue.take().unwrap();
        queue.note_told(&batch);
        assert_eq!(queue.told(), last);
    }

    #[test]
    fn doubtful_rows_are_told_until_they_have_ended_and_once_more() {
        let mut queue = Queue::default();
        let now = Instant::now();
        let later = now + Duration::from_secs(5);
        assert!(queue.doubtful().is_none());
        queue.doubt(Some(7), later);
        let gone = WrittenRow {
            id: 7,
            version: None,
        };
        for _ in 0..2 {
            assert_eq!(queue.doubtful(), Some(Rows::These(vec![gone])));
            queue.settle(now);
            assert!(!queue.is_empty());
        }
        let latest = later + Duration::from_secs(5);
        queue.doubt_longer(latest);
        queue.settle(later);
        assert!(!queue.is_empty());
        queue.settle(latest);
        assert!(queue.is_empty() && queue.doubtful().is_none());
        queue.doubt_longer(latest);
        assert!(queue.is_empty());
        queue.doubt(None, later);
        assert_eq!(queue.doubtful(), Some(Rows::Any));
        queue.settle(later);
        assert!(queue.is_empty());
    }
}
