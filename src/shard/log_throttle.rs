//! Telling of a lasting trouble now and then instead of at every turn.

use std::cell::Cell;
use std::time::{Duration, Instant};

/// One kind of trouble.
#[derive(Debug, Default)]
pub(super) struct Trouble {
    told: Cell<Option<Instant>>,
}

const TELL_EVERY: Duration = Duration::from_secs(10);

impl Trouble {
    /// Whether to tell of it now: the first time, then every ten seconds.
    pub(super) fn tell_again(&self) -> bool {
        let now = Instant::now();
        if self
            .told
            .get()
            .is_some_and(|told| now.duration_since(told) < TELL_EVERY)
        {
            return false;
        }
        self.told.set(Some(now));
        true
    }
}
