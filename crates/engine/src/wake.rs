//! Waking a task of this shard, from wherever that may be.

use std::task::Waker;

/// Wakes a task, also from a destructor: those run, too, while a shard that has
/// ended drops its tasks. The reactor panics at a wake then, and nobody is left
/// to be woken. Everything above the engine that keeps a task's waker wakes it
/// by this.
pub fn wake(waker: Waker) {
    if super::is_running() {
        waker.wake();
    }
}
