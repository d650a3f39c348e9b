//! Logging what lasts now and then instead of at every turn.

use std::cell::Cell;
use std::time::{Duration, Instant};

/// Of one kind of event.
#[derive(Debug, Default)]
pub(super) struct LogThrottle {
    logged: Cell<Option<Instant>>,
}

const LOG_EVERY: Duration = Duration::from_secs(10);

impl LogThrottle {
    /// Whether to log it now: the first time, then every ten seconds.
    pub(super) fn allows(&self) -> bool {
        let now = Instant::now();
        let logged = self.logged.get();
        if logged.is_some_and(|at| now.duration_since(at) < LOG_EVERY) {
            return false;
        }
        self.logged.set(Some(now));
        true
    }
}
