//! One connection of a pool and the calls on it.

use std::cell::{Cell, RefCell};
use std::future::{Future, poll_fn};
use std::rc::Rc;
use std::task::{Poll, Waker};
use std::time::{Duration, Instant};

use slab::Slab;
use tokio_postgres::CancelToken;

use super::Inner;
use super::request::{Group, Request, Want};
use crate::engine::Target;
use crate::postgres::client::Line;
use crate::postgres::{Connection, DirectConnection};

/// What a connection is there for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    /// Short calls of anybody.
    Shared,
    /// No new calls: a caller who wants one alone gets it when it is idle.
    Promised,
    /// One caller's alone, or being looked at after they left it.
    Exclusive,
    /// A call on it passed its deadline; it has a moment to show that it
    /// answers.
    Suspect,
    /// No new calls: it is closed when it is idle.
    Leaving,
}

/// One connection. It is closed when the last hold on it is dropped.
pub(super) struct Link {
    pub(super) connection: Connection,
    pub(super) line: Rc<Line>,
    /// The server it leads to.
    pub(super) target: Target,
    pub(super) cancel: CancelToken,
    pub(super) state: Cell<State>,
    pub(super) retire_at: Instant,
    /// When it last became idle.
    pub(super) idle_since: Cell<Instant>,
    /// When it last showed that it answers.
    pub(super) well_at: Cell<Instant>,
    /// A call on it was answered since it was last idle.
    pub(super) was_answered: Cell<bool>,
    /// A statement on it was cancelled; what runs next may have been hit.
    pub(super) was_cancelled: Cell<bool>,
    calls: RefCell<Slab<Call>>,
    /// How many calls on it were answered.
    pub(super) answered: Cell<u64>,
    /// That number when it was looked at last, and since when it is the same
    /// with calls on it; none before the first look at calls that came after a
    /// rest, which is no silence.
    silent: Cell<Option<(u64, Instant)>>,
    /// Whose read is first on it and has not been answered for long.
    pub(super) stuck: Cell<Option<Group>>,
    /// No new calls of this group: it is stuck elsewhere.
    pub(super) kept_from: Cell<Option<Group>>,
    /// Calls on it that write. What was sent after one is answered after its
    /// commit is on disk.
    writes: Cell<usize>,
}

struct Call {
    request: Request,
    /// Counts up in the order of being sent.
    number: u64,
    is_expired: bool,
    /// It is to be asked elsewhere.
    is_moved: bool,
    waker: Option<Waker>,
}

/// Why a call has no outcome.
pub(super) enum Interrupted {
    /// Its deadline has passed.
    Expired,
    /// It was behind one of another group that is stuck: it is a read, and goes
    /// elsewhere.
    Moved,
}

impl Link {
    pub(super) fn new(direct: DirectConnection, max_lifetime: Duration) -> Self {
        let now = Instant::now();
        // A tenth of jitter, so that not all connections are made anew at once.
        let lifetime = max_lifetime.mul_f64(0.9 + 0.1 * fastrand::f64());
        Self {
            cancel: direct.client().cancel_token(),
            connection: direct.connection,
            line: direct.line,
            target: direct.target,
            state: Cell::new(State::Shared),
            retire_at: now + lifetime,
            idle_since: Cell::new(now),
            well_at: Cell::new(now),
            was_answered: Cell::new(false),
            was_cancelled: Cell::new(false),
            calls: RefCell::new(Slab::new()),
            answered: Cell::new(0),
            silent: Cell::new(None),
            stuck: Cell::new(None),
            kept_from: Cell::new(None),
            writes: Cell::new(0),
        }
    }

    pub(super) fn in_flight(&self) -> usize {
        self.calls.borrow().len()
    }

    pub(super) fn is_idle(&self) -> bool {
        self.calls.borrow().is_empty()
    }

    #[cfg(test)]
    pub(super) fn writes(&self) -> usize {
        self.writes.get()
    }

    /// Whether a call that writes is on it.
    pub(super) fn is_writing(&self) -> bool {
        self.writes.get() > 0
    }

    /// Whether calls may be put on it.
    pub(super) fn is_shared(&self) -> bool {
        self.state.get() == State::Shared && !self.line.is_over()
    }

    /// Lets calls whose deadline has passed know; how many.
    pub(super) fn expire(&self, now: Instant) -> usize {
        let mut expired = 0;
        for (_, call) in self.calls.borrow_mut().iter_mut() {
            if call.request.deadline <= now && !call.is_expired {
                call.is_expired = true;
                expired += 1;
                if let Some(waker) = call.waker.take() {
                    waker.wake();
                }
            }
        }
        expired
    }

    /// Whether it is there and no answer has come for so long.
    pub(super) fn is_silent(&self, now: Instant, for_long: Duration) -> bool {
        let silent = self.silent.get();
        silent.is_some_and(|(_, since)| now.saturating_duration_since(since) >= for_long)
    }

    /// The group that is stuck on it, if one is. Others who are behind it and
    /// read are told to go.
    pub(super) fn look_for_stuck(&self, now: Instant, for_long: Duration) -> Option<Group> {
        let answered = self.answered.get();
        let is_news = self
            .silent
            .get()
            .is_none_or(|(before, _)| before != answered);
        if self.is_idle() || is_news {
            self.silent.set(Some((answered, now)));
            self.stuck.set(None);
            return None;
        }
        if !self.is_silent(now, for_long) {
            return None;
        }
        let mut calls = self.calls.borrow_mut();
        let first = calls
            .iter()
            .map(|(_, call)| call)
            .min_by_key(|call| call.number);
        let first = first.map(|call| call.request);
        let group = first.filter(|request| request.want == Want::Read)?.group;
        self.stuck.set(Some(group));
        for (_, call) in calls.iter_mut() {
            if call.request.group != group && call.request.want == Want::Read {
                call.is_moved = true;
                call.waker.take().into_iter().for_each(Waker::wake);
            }
        }
        Some(group)
    }

    /// Whether a call of this group may be put on it.
    pub(super) fn is_open_to(&self, group: Group) -> bool {
        let is_behind_others = self.stuck.get().is_some_and(|stuck| stuck != group);
        self.is_shared() && !is_behind_others && self.kept_from.get() != Some(group)
    }

    /// How much a call of this group wants it: where the group is not stuck, then
    /// where another is kept away.
    pub(super) fn rank(&self, group: Group) -> (bool, bool, usize) {
        let is_kept = self.kept_from.get().is_some_and(|kept| kept != group);
        (self.stuck.get().is_some(), !is_kept, self.in_flight())
    }
}

/// A place among the calls on a connection.
pub(super) struct Ticket {
    pub(super) link: Rc<Link>,
    pool: Rc<Inner>,
    key: usize,
    want: Want,
}

impl Ticket {
    pub(super) fn new(pool: &Rc<Inner>, link: &Rc<Link>, request: Request) -> Self {
        let want = request.want;
        if want == Want::Write {
            link.writes.set(link.writes.get() + 1);
        }
        if link.is_idle() {
            link.silent.set(None);
        }
        let key = link.calls.borrow_mut().insert(Call {
            request,
            number: pool.calls.get(),
            is_expired: false,
            is_moved: false,
            waker: None,
        });
        Self {
            link: link.clone(),
            pool: pool.clone(),
            key,
            want,
        }
    }

    /// Runs the call until it is done or the sweep interrupts it.
    pub(super) async fn run<T>(&self, work: impl Future<Output = T>) -> Result<T, Interrupted> {
        let mut work = std::pin::pin!(work);
        poll_fn(|cx| {
            if let Poll::Ready(outcome) = work.as_mut().poll(cx) {
                self.link.was_answered.set(true);
                self.link.answered.set(self.link.answered.get() + 1);
                return Poll::Ready(Ok(outcome));
            }
            let mut calls = self.link.calls.borrow_mut();
            let call = &mut calls[self.key];
            if call.is_expired {
                return Poll::Ready(Err(Interrupted::Expired));
            }
            if call.is_moved {
                return Poll::Ready(Err(Interrupted::Moved));
            }
            if !call
                .waker
                .as_ref()
                .is_some_and(|waker| waker.will_wake(cx.waker()))
            {
                call.waker = Some(cx.waker().clone());
            }
            Poll::Pending
        })
        .await
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        let mut calls = self.link.calls.borrow_mut();
        calls.remove(self.key);
        let is_idle = calls.is_empty();
        drop(calls);
        if self.want == Want::Write {
            self.link.writes.set(self.link.writes.get() - 1);
        }
        self.pool.call_ended(&self.link, is_idle);
    }
}
