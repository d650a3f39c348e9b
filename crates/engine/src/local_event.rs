//! A wake-up between tasks of one shard.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::task::{Poll, Waker};

/// Remembers one notification; one task waits at a time (a later waiter
/// replaces an earlier one).
#[derive(Debug, Default)]
pub struct LocalEvent {
    notified: Cell<bool>,
    waiter: RefCell<Option<Waker>>,
}

impl LocalEvent {
    /// Lets the waiter, now or later, go on.
    pub fn notify(&self) {
        self.notified.set(true);
        let waiter = self.waiter.borrow_mut().take();
        // Destructors notify too.
        if let Some(waker) = waiter {
            super::wake(waker);
        }
    }

    /// Waits for a notification since the last wait.
    pub async fn wait(&self) {
        poll_fn(|cx| {
            if self.notified.replace(false) {
                return Poll::Ready(());
            }
            *self.waiter.borrow_mut() = Some(cx.waker().clone());
            Poll::Pending
        })
        .await;
    }
}
