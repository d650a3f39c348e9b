//! Where messages about limits arrive: what is asked of this shard is judged
//! at once, what others answer is brought to the task that waits for it.

use std::cell::RefCell;
use std::collections::HashMap;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Instant;

use crate::engine;
use crate::limits::LIMITER_WAITS_MAX;
use crate::peers::{LimitMessage, LimitMessageBody, PeerLanes, PeerMessage, PeerService};
use crate::rate_limit::{KeyHash, KeyStore, Quota, QuotaVerdict};

/// One shard's keys, and its tasks that wait for the verdicts of others.
pub(crate) struct PeerLimiter {
    keys: RefCell<KeyStore>,
    waits: RefCell<VerdictWaits>,
    /// Zero of the time scale that all shards share.
    origin: Instant,
}

#[derive(Default)]
struct VerdictWaits {
    next: u64,
    open: HashMap<u64, OpenWait>,
}

struct OpenWait {
    home: usize,
    verdict: Option<QuotaVerdict>,
    is_over: bool,
    waker: Option<Waker>,
}

impl PeerLimiter {
    /// With room for `keys_max` keys, whose moments count from `origin`.
    pub(crate) fn new(keys_max: usize, origin: Instant) -> Rc<Self> {
        Rc::new(Self {
            keys: RefCell::new(KeyStore::new(keys_max)),
            waits: RefCell::default(),
            origin,
        })
    }

    /// Judges a key that is at home here.
    pub(super) fn judge(&self, key: KeyHash, quota: &Quota, now_ns: u64) -> QuotaVerdict {
        self.keys.borrow_mut().check(key, quota, now_ns)
    }

    /// A wait for the verdict of shard `home`; `None` when too many wait.
    pub(super) fn open_wait(self: &Rc<Self>, home: usize) -> Option<VerdictWait> {
        let mut waits = self.waits.borrow_mut();
        if waits.open.len() >= LIMITER_WAITS_MAX {
            return None;
        }
        let ticket = waits.next;
        waits.next += 1;
        let waiting = OpenWait {
            home,
            verdict: None,
            is_over: false,
            waker: None,
        };
        waits.open.insert(ticket, waiting);
        Some(VerdictWait {
            limiter: self.clone(),
            ticket,
        })
    }

    pub(super) fn sweep(&self, keys: usize) {
        let now_ns = self.now_ns();
        self.keys.borrow_mut().sweep(keys, now_ns);
    }

    /// Nanoseconds on the scale that all shards share.
    pub(super) fn now_ns(&self) -> u64 {
        self.origin.elapsed().as_nanos() as u64
    }

    /// Keys remembered, and keys forgotten for want of room.
    pub(super) fn keys(&self) -> (u64, u64) {
        let keys = self.keys.borrow();
        (keys.len() as u64, keys.evicted())
    }
}

impl PeerService for &PeerLimiter {
    type Message = LimitMessage;

    fn on_message(&mut self, from: usize, message: LimitMessage, lanes: &mut PeerLanes) {
        let LimitMessage { ticket, body } = message;
        match body {
            LimitMessageBody::Ask([upper, lower], quota) => {
                let key = KeyHash(u128::from(upper) << 64 | u128::from(lower));
                let verdict = self.judge(key, &quota, self.now_ns());
                let answer = LimitMessage::judged(ticket, verdict);
                lanes.send_reply(from, PeerMessage::Limit(answer));
            }
            LimitMessageBody::Judged(verdict) => {
                if let Some(wait) = self.waits.borrow_mut().open.get_mut(&ticket) {
                    wait.end(Some(verdict));
                }
            }
        }
    }

    fn peer_up(&mut self, _peer: usize, _lanes: &mut PeerLanes) {}

    fn peer_down(&mut self, peer: usize, _lanes: &mut PeerLanes) {
        let mut waits = self.waits.borrow_mut();
        let lost = waits.open.values_mut().filter(|wait| wait.home == peer);
        lost.for_each(|wait| wait.end(None));
    }
}

impl OpenWait {
    fn end(&mut self, verdict: Option<QuotaVerdict>) {
        self.verdict = verdict;
        self.is_over = true;
        self.waker.take().into_iter().for_each(engine::wake);
    }
}

/// The future of one verdict; `None` when its judge died. Dropped, it forgets
/// what it waited for.
pub(super) struct VerdictWait {
    limiter: Rc<PeerLimiter>,
    ticket: u64,
}

impl VerdictWait {
    pub(super) fn ticket(&self) -> u64 {
        self.ticket
    }
}

impl Future for VerdictWait {
    type Output = Option<QuotaVerdict>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut waits = self.limiter.waits.borrow_mut();
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

impl Drop for VerdictWait {
    fn drop(&mut self) {
        self.limiter.waits.borrow_mut().open.remove(&self.ticket);
    }
}
