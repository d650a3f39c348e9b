//! Waking a task of this shard, from wherever that may be.

use std::task::Waker;

use super::remote::Port;

/// Wakes a task of this shard; nothing if the shard has ended. For whatever a
/// destructor may reach: a shard that has ended still drops what it left, and a
/// bare wake panics then.
pub fn wake(waker: Waker) {
    if Port::is_entered() {
        waker.wake();
    }
}
