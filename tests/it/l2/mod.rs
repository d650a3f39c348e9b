//! The second level of the caches, in a real Redis: whole answers around a
//! route (`answers`), and users behind the shards' own cache (`users`), also
//! while Redis fails (`outages`), while reads race with writes (`races`) and when
//! the server ends (`endings`).

mod answers;
mod endings;
mod node;
mod outages;
mod races;
mod users;

use std::time::{Duration, Instant};

/// Tries again until `look` finds something.
#[track_caller]
fn poll_for<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < deadline, "never: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}
