//! Whether a shard drains, and a wake-up for whatever waits for that.

use std::cell::{Cell, RefCell};
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use slab::Slab;

/// Begins once; from then on nobody waits.
#[derive(Default)]
pub(crate) struct DrainSignal {
    has_begun: Cell<bool>,
    waiters: RefCell<Slab<Waker>>,
}

impl DrainSignal {
    /// Wakes all who wait.
    pub(crate) fn begin(&self) {
        self.has_begun.set(true);
        let waiters = std::mem::take(&mut *self.waiters.borrow_mut());
        for (_, waker) in waiters {
            waker.wake();
        }
    }

    pub(crate) fn has_begun(&self) -> bool {
        self.has_begun.get()
    }

    /// Until it begins.
    pub(crate) fn wait(&self) -> impl Future<Output = ()> {
        DrainWait {
            signal: self,
            key: None,
        }
    }
}

/// Leaves no waker behind when it is dropped early, as by every timeout.
struct DrainWait<'a> {
    signal: &'a DrainSignal,
    key: Option<usize>,
}

impl Future for DrainWait<'_> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if self.signal.has_begun() {
            return Poll::Ready(());
        }
        let mut waiters = self.signal.waiters.borrow_mut();
        match self.key {
            Some(key) => waiters[key].clone_from(cx.waker()),
            None => {
                let key = waiters.insert(cx.waker().clone());
                drop(waiters);
                self.key = Some(key);
            }
        }
        Poll::Pending
    }
}

impl Drop for DrainWait<'_> {
    fn drop(&mut self) {
        // Once it has begun the slab is another, and empty for ever.
        if let Some(key) = self.key {
            let waker = self.signal.waiters.borrow_mut().try_remove(key);
            drop(waker);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;

    use super::*;

    #[test]
    fn who_waits_is_told_and_who_left_leaves_nothing() {
        let signal = DrainSignal::default();
        let mut cx = Context::from_waker(Waker::noop());
        let mut stays = pin!(signal.wait());
        assert!(stays.as_mut().poll(&mut cx).is_pending());
        for _ in 0..3 {
            let mut leaves = Box::pin(signal.wait());
            assert!(leaves.as_mut().poll(&mut cx).is_pending());
        }
        assert!(stays.as_mut().poll(&mut cx).is_pending());
        assert_eq!(signal.waiters.borrow().len(), 1);
        signal.begin();
        assert!(stays.as_mut().poll(&mut cx).is_ready());
        assert!(pin!(signal.wait()).poll(&mut cx).is_ready());
        assert!(signal.has_begun() && signal.waiters.borrow().is_empty());
    }
}
