//! What a shard has to tell of: rows it has written, each with somebody who
//! waits, and rows of which it does not know whether they were written.

use std::time::Instant;

use tokio::sync::oneshot;

use crate::store::changes::ChangedRow;
use crate::store::limits::DATABASE_ANNOUNCED_ROWS_MAX;

/// All of it.
#[derive(Default)]
pub(super) struct Queue {
    waiting: Batch,
    doubtful: Rows,
    /// From then on the doubtful have ended; they are told once more.
    doubtful_until: Option<Instant>,
}

/// What is told together.
#[derive(Default)]
pub(super) struct Batch {
    rows: Rows,
    waiters: Vec<oneshot::Sender<()>>,
}

/// Rows, or more than are worth naming.
#[derive(Default)]
struct Rows {
    these: Vec<ChangedRow>,
    is_any: bool,
}

impl Queue {
    /// A row that was written; what is returned ends when it has been told.
    pub(super) fn join(&mut self, row: ChangedRow) -> oneshot::Receiver<()> {
        let (waiter, told) = oneshot::channel();
        self.waiting.rows.add(row);
        // Who has gone need not be kept.
        if self.waiting.waiters.len() >= DATABASE_ANNOUNCED_ROWS_MAX {
            self.waiting.waiters.retain(|waiter| !waiter.is_closed());
        }
        self.waiting.waiters.push(waiter);
        told
    }

    /// A row that may have been written, or may be until then.
    pub(super) fn doubt(&mut self, id: Option<i64>, until: Instant) {
        match id {
            // No version is the safe word: nothing is kept of such a row.
            Some(id) => self.doubtful.add(ChangedRow { id, version: None }),
            None => self.doubtful.is_any = true,
        }
        self.doubtful_until = self.doubtful_until.max(Some(until));
    }

    /// What is doubtful is so until then at least.
    pub(super) fn doubt_longer(&mut self, until: Instant) {
        self.doubtful_until = self.doubtful_until.map(|present| present.max(until));
    }

    /// The doubtful rows, if there are any; `Some(None)` for all users.
    pub(super) fn doubtful(&self) -> Option<Option<Vec<ChangedRow>>> {
        self.doubtful_until?;
        let rows = &self.doubtful;
        Some((!rows.is_any).then(|| rows.these.clone()))
    }

    /// They were told, not before `at`.
    pub(super) fn settle(&mut self, at: Instant) {
        if self.doubtful_until.is_some_and(|until| until <= at) {
            self.doubtful = Rows::default();
            self.doubtful_until = None;
        }
    }

    /// Those written, to be told now.
    pub(super) fn take(&mut self) -> Batch {
        std::mem::take(&mut self.waiting)
    }

    /// They could not be told.
    pub(super) fn put_back(&mut self, batch: Batch) {
        let later = std::mem::replace(&mut self.waiting, batch);
        let Batch { rows, waiters } = later;
        self.waiting.rows.is_any |= rows.is_any;
        rows.these
            .into_iter()
            .for_each(|row| self.waiting.rows.add(row));
        self.waiting.waiters.retain(|waiter| !waiter.is_closed());
        self.waiting.waiters.extend(waiters);
    }

    pub(super) fn has_waiting(&self) -> bool {
        !self.waiting.is_empty()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty() && self.doubtful_until.is_none()
    }
}

impl Batch {
    pub(super) fn is_empty(&self) -> bool {
        self.rows.these.is_empty() && !self.rows.is_any
    }

    /// `None` for all users.
    pub(super) fn rows(&self) -> Option<&[ChangedRow]> {
        (!self.rows.is_any).then_some(&self.rows.these)
    }

    /// Lets those who wait go on.
    pub(super) fn told(self) {
        for waiter in self.waiters {
            // Who has gone does not care.
            let _ = waiter.send(());
        }
    }
}

impl Rows {
    fn add(&mut self, row: ChangedRow) {
        if self.is_any {
            return;
        }
        if self.these.len() >= DATABASE_ANNOUNCED_ROWS_MAX {
            self.is_any = true;
            self.these.clear();
            return;
        }
        self.these.push(row);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn row(id: i64) -> ChangedRow {
        ChangedRow {
            id,
            version: Some(1),
        }
    }

    #[test]
    fn what_could_not_be_told_comes_first_again_and_too_many_are_all() {
        let mut queue = Queue::default();
        let mut first = queue.join(row(1));
        let batch = queue.take();
        let mut second = queue.join(row(2));
        queue.put_back(batch);
        assert_eq!(queue.waiting.rows(), Some(&[row(1), row(2)][..]));
        assert!(first.try_recv().is_err() && second.try_recv().is_err());
        queue.take().told();
        assert!(first.try_recv().is_ok() && second.try_recv().is_ok());
        assert!(queue.is_empty());
        let most = DATABASE_ANNOUNCED_ROWS_MAX as i64;
        // Nobody waits: they have gone.
        (0..most).for_each(|id| drop(queue.join(row(id))));
        let batch = queue.take();
        assert_eq!(batch.rows().map(<[_]>::len), Some(most as usize));
        drop(queue.join(row(most)));
        queue.put_back(batch);
        assert!(queue.has_waiting() && queue.waiting.rows().is_none());
        assert!(queue.waiting.rows.these.is_empty());
        assert!(queue.waiting.waiters.len() <= 1);
    }

    #[test]
    fn doubtful_rows_are_told_until_they_have_ended_and_once_more() {
        let mut queue = Queue::default();
        let now = Instant::now();
        let later = now + Duration::from_secs(5);
        assert!(queue.doubtful().is_none());
        queue.doubt(Some(7), later);
        let gone = ChangedRow {
            id: 7,
            version: None,
        };
        for _ in 0..2 {
            assert_eq!(queue.doubtful(), Some(Some(vec![gone])));
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
        assert_eq!(queue.doubtful(), Some(None));
        queue.settle(later);
        assert!(queue.is_empty());
    }
}
