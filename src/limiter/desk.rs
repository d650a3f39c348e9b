//! Where messages about limits arrive: what is asked of this shard is judged
//! at once, what others answer is brought to the task that waits for it.

use std::cell::RefCell;
use std::collections::HashMap;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use crate::limits::LIMITER_WAITS_MAX;
use crate::rate_limit::{KeyHash, KeyStore, Quota, Verdict};

/// What shards tell each other about limits.
#[derive(Debug)]
pub(crate) struct LimitMessage {
    ticket: u64,
    body: Body,
}

#[derive(Debug)]
enum Body {
    /// The key in halves, so that messages are not aligned to 16 bytes.
    Ask([u64; 2], Quota),
    Judged(Verdict),
}

impl LimitMessage {
    pub(super) fn ask(ticket: u64, key: KeyHash, quota: Quota) -> Self {
        let halves = [(key.0 >> 64) as u64, key.0 as u64];
        let body = Body::Ask(halves, quota);
        Self { ticket, body }
    }
}

/// One shard's keys, and its tasks that wait for the verdicts of others.
pub(crate) struct Desk {
    keys: RefCell<KeyStore>,
    waits: RefCell<Waits>,
}

#[derive(Default)]
struct Waits {
    next: u64,
    open: HashMap<u64, Waiting>,
}

struct Waiting {
    home: usize,
    verdict: Option<Verdict>,
    is_over: bool,
    waker: Option<Waker>,
}

impl Desk {
    /// With room for `keys_max` keys.
    pub(crate) fn new(keys_max: usize) -> Rc<Self> {
        Rc::new(Self {
            keys: RefCell::new(KeyStore::new(keys_max)),
            waits: RefCell::default(),
        })
    }

    /// Judges a key that is at home here.
    pub(super) fn judge(&self, key: KeyHash, quota: &Quota, now_ns: u64) -> Verdict {
        self.keys.borrow_mut().check(key, quota, now_ns)
    }

    /// Takes a message of another shard; what to answer, if anything.
    pub(crate) fn take(&self, message: LimitMessage, now_ns: u64) -> Option<LimitMessage> {
        let LimitMessage { ticket, body } = message;
        match body {
            Body::Ask([upper, lower], quota) => {
                let key = KeyHash(u128::from(upper) << 64 | u128::from(lower));
                let body = Body::Judged(self.judge(key, &quota, now_ns));
                Some(LimitMessage { ticket, body })
            }
            Body::Judged(verdict) => {
                if let Some(wait) = self.waits.borrow_mut().open.get_mut(&ticket) {
                    wait.end(Some(verdict));
                }
                None
            }
        }
    }

    /// Nothing that was asked of `peer` will be answered.
    pub(crate) fn peer_down(&self, peer: usize) {
        let mut waits = self.waits.borrow_mut();
        let lost = waits.open.values_mut().filter(|wait| wait.home == peer);
        lost.for_each(|wait| wait.end(None));
    }

    /// A wait for the verdict of shard `home`; `None` when too many wait.
    pub(super) fn open_wait(self: &Rc<Self>, home: usize) -> Option<Wait> {
        let mut waits = self.waits.borrow_mut();
        if waits.open.len() >= LIMITER_WAITS_MAX {
            return None;
        }
        let ticket = waits.next;
        waits.next += 1;
        let waiting = Waiting {
            home,
            verdict: None,
            is_over: false,
            waker: None,
        };
        waits.open.insert(ticket, waiting);
        Some(Wait {
            desk: self.clone(),
            ticket,
        })
    }

    pub(super) fn sweep(&self, keys: usize, now_ns: u64) {
        self.keys.borrow_mut().sweep(keys, now_ns);
    }

    /// Keys remembered, and keys forgotten for want of room.
    pub(super) fn keys(&self) -> (u64, u64) {
        let keys = self.keys.borrow();
        (keys.len() as u64, keys.evicted())
    }
}

impl Waiting {
    fn end(&mut self, verdict: Option<Verdict>) {
        self.verdict = verdict;
        self.is_over = true;
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }
}

/// The future of one verdict; `None` when its judge died. Dropped, it forgets
/// what it waited for.
pub(super) struct Wait {
    desk: Rc<Desk>,
    ticket: u64,
}

impl Wait {
    pub(super) fn ticket(&self) -> u64 {
        self.ticket
    }
}

impl Future for Wait {
    type Output = Option<Verdict>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut waits = self.desk.waits.borrow_mut();
        let Some(wait) = waits.open.get_mut(&self.ticket) else {
            return Poll::Ready(None);
        };
        if wait.is_over {
            return Poll::Ready(wait.verdict);
        }
        wait.waker = Some(cx.waker().clone());
        Poll::Pending
    }
}

impl Drop for Wait {
    fn drop(&mut self) {
        self.desk.waits.borrow_mut().open.remove(&self.ticket);
    }
}
