//! Whether somebody tells of changes that are made elsewhere: by other nodes,
//! or by hand in the database.
//!
//! Time is cut into eras. Each loss of the feed ends one, each return begins
//! another; a value counts as fresh only in the era in which its load began. So
//! nothing loaded before a cut, or during it, outlives it, and no shard needs
//! to be told: all of them look at one number.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::metrics::FeedSnapshot;

/// The state of an app's change feed; clones share it. It is cut until
/// [`resume`](Self::resume) is called.
///
/// Whoever listens for changes calls `resume` when it is sure to hear of every
/// change from now on, and [`cut`](Self::cut) when it may have missed one.
/// Caches that are [`fed`](crate::cache::CacheOptions::fed) keep nothing fresh
/// in between; what they had stands in for loads that fail, for as long as it
/// would have been fresh.
#[derive(Debug, Clone)]
pub struct Feed {
    state: Arc<FeedState>,
}

#[derive(Debug)]
struct FeedState {
    /// Even while it runs.
    era: AtomicU64,
    cuts: AtomicU64,
    changes: AtomicU64,
}

impl Default for Feed {
    fn default() -> Self {
        Self::new()
    }
}

impl Feed {
    /// A feed that is cut.
    #[must_use]
    pub fn new() -> Self {
        Self {
            state: Arc::new(FeedState {
                era: AtomicU64::new(1),
                cuts: AtomicU64::new(0),
                changes: AtomicU64::new(0),
            }),
        }
    }

    /// Every change from now on will be told; whether it was cut until now.
    pub fn resume(&self) -> bool {
        self.step(true)
    }

    /// A change may have been missed; whether it ran until now.
    pub fn cut(&self) -> bool {
        let ran = self.step(false);
        self.state.cuts.fetch_add(u64::from(ran), Ordering::Relaxed);
        ran
    }

    /// Anything may have changed, and changes are told as before: if it runs,
    /// it goes on in an era of its own.
    pub fn renew(&self) {
        let next = |era: u64| era.is_multiple_of(2).then_some(era + 2);
        let era = &self.state.era;
        let _ = era.fetch_update(Ordering::AcqRel, Ordering::Acquire, next);
    }

    /// Whether changes are told.
    #[must_use]
    pub fn is_running(&self) -> bool {
        self.era().is_multiple_of(2)
    }

    /// How often it was cut while it ran.
    #[must_use]
    pub fn cuts(&self) -> u64 {
        self.state.cuts.load(Ordering::Relaxed)
    }

    /// Counts changes that were told, for the metrics.
    pub fn note(&self, changes: usize) {
        let changes = changes as u64;
        self.state.changes.fetch_add(changes, Ordering::Relaxed);
    }

    /// Changes that were told.
    #[must_use]
    pub fn changes(&self) -> u64 {
        self.state.changes.load(Ordering::Relaxed)
    }

    pub(crate) fn snapshot(&self) -> FeedSnapshot {
        FeedSnapshot {
            running: self.is_running(),
            cuts: self.cuts(),
            changes: self.changes(),
        }
    }

    pub(super) fn era(&self) -> u64 {
        self.state.era.load(Ordering::Acquire)
    }

    fn step(&self, from_cut: bool) -> bool {
        let next = |era: u64| (era.is_multiple_of(2) != from_cut).then_some(era + 1);
        let era = &self.state.era;
        let stepped = era.fetch_update(Ordering::AcqRel, Ordering::Acquire, next);
        stepped.is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_cut_and_each_return_counts_once() {
        let feed = Feed::new();
        assert!(!feed.is_running() && !feed.cut());
        assert!(feed.resume() && !feed.resume() && feed.is_running());
        assert_eq!(feed.cuts(), 0);
        assert!(feed.clone().cut() && !feed.cut());
        assert_eq!((feed.cuts(), feed.is_running()), (1, false));
        assert!(feed.resume());
        assert_eq!(feed.cuts(), 1);
    }

    #[test]
    fn a_new_era_is_no_cut() {
        let feed = Feed::new();
        feed.renew();
        assert!(!feed.is_running(), "nobody listens yet");
        feed.resume();
        let before = feed.era();
        feed.renew();
        assert!(feed.era() > before && feed.is_running());
        assert_eq!(feed.cuts(), 0);
    }
}
