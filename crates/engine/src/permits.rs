//! A bounded number of permits: what may be done so many times at once, and no more.
//! Each is given back on drop, wherever that is. [`Permits`] are those of a process,
//! [`LocalPermits`] of one shard, which count without atomics.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Permits that all threads have together; clones share them.
#[derive(Debug, Clone)]
pub struct Permits {
    taken: Arc<AtomicUsize>,
    most: usize,
}

/// One of [`Permits`].
#[derive(Debug)]
pub struct Permit(Arc<AtomicUsize>);

/// Permits of one shard; clones share them.
#[derive(Debug, Clone)]
pub struct LocalPermits {
    taken: Rc<Cell<usize>>,
    most: usize,
}

/// One of [`LocalPermits`].
#[derive(Debug)]
pub struct LocalPermit(Rc<Cell<usize>>);

impl Permits {
    /// `most` at a time.
    pub fn new(most: usize) -> Self {
        Self {
            taken: Arc::default(),
            most,
        }
    }

    /// One more, if there is one. Never waits.
    pub fn take(&self) -> Option<Permit> {
        let before = self.taken.fetch_add(1, Ordering::AcqRel);
        // Given back by its drop, if it is one too many.
        let permit = Permit(self.taken.clone());
        (before < self.most).then_some(permit)
    }

    /// How many are out.
    pub fn taken(&self) -> usize {
        self.taken.load(Ordering::Relaxed)
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

impl LocalPermits {
    /// `most` at a time.
    pub fn new(most: usize) -> Self {
        Self {
            taken: Rc::default(),
            most,
        }
    }

    /// One more, if there is one. Never waits.
    pub fn take(&self) -> Option<LocalPermit> {
        let taken = self.taken.get();
        (taken < self.most).then(|| {
            self.taken.set(taken + 1);
            LocalPermit(self.taken.clone())
        })
    }

    /// How many are out.
    pub fn taken(&self) -> usize {
        self.taken.get()
    }
}

impl Drop for LocalPermit {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn so_many_and_no_more() {
        let permits = Permits::new(2);
        let local = LocalPermits::new(2);
        for _ in 0..2 {
            let taken = [permits.take(), permits.clone().take()];
            let here = [local.take(), local.clone().take()];
            assert!(taken.iter().all(Option::is_some) && here.iter().all(Option::is_some));
            for _ in 0..3 {
                assert!(permits.take().is_none() && local.take().is_none());
            }
        }
        assert!(Permits::new(0).take().is_none() && LocalPermits::new(0).take().is_none());
    }
}
