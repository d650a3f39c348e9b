//! Calls that wait for a connection: reads, writes, and those that want one
//! alone, each in a line of their own, first come, first served. A write that
//! waits does not hold reads up, an export neither of them; where a read and a
//! write could both go on, who came first does.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Poll, Waker};
use std::time::Instant;

use super::link::{State, Ticket};
use crate::engine;
use crate::limits::POSTGRES_WAITERS_MAX;
use crate::postgres::PostgresError;

/// What is waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Want {
    /// A place among others, for a statement that waits for no commit.
    Read,
    /// A place among others, for one that commits.
    Write,
    /// A connection alone.
    Alone,
}

#[derive(Default)]
pub(super) struct Queue {
    reads: VecDeque<Rc<Waiter>>,
    writes: VecDeque<Rc<Waiter>>,
    alone: VecDeque<Rc<Waiter>>,
    /// How many have ever joined.
    joined: u64,
}

/// One caller who waits.
pub(super) struct Waiter {
    pub(super) deadline: Instant,
    /// Counts up in the order of coming.
    number: u64,
    give_up_at: Instant,
    outcome: RefCell<Option<Result<Ticket, PostgresError>>>,
    waker: RefCell<Option<Waker>>,
    is_gone: Cell<bool>,
}

impl Queue {
    /// Joins the line; `None` when it is too long.
    pub(super) fn join(
        &mut self,
        want: Want,
        give_up_at: Instant,
        deadline: Instant,
    ) -> Option<Waiting> {
        if self.total() >= POSTGRES_WAITERS_MAX {
            self.forget_the_gone();
            if self.total() >= POSTGRES_WAITERS_MAX {
                return None;
            }
        }
        self.joined += 1;
        let waiter = Rc::new(Waiter {
            deadline,
            number: self.joined,
            give_up_at,
            outcome: RefCell::default(),
            waker: RefCell::default(),
            is_gone: Cell::new(false),
        });
        self.line(want).push_back(waiter.clone());
        Some(Waiting(waiter))
    }

    /// Who is next, still in the line.
    pub(super) fn first(&mut self, want: Want) -> Option<Rc<Waiter>> {
        let line = self.line(want);
        while line.front().is_some_and(|waiter| waiter.is_gone.get()) {
            line.pop_front();
        }
        line.front().cloned()
    }

    /// Who was first has been served.
    pub(super) fn pop(&mut self, want: Want) {
        self.line(want).pop_front();
    }

    pub(super) fn len(&self, want: Want) -> usize {
        match want {
            Want::Read => self.reads.len(),
            Want::Write => self.writes.len(),
            Want::Alone => self.alone.len(),
        }
    }

    pub(super) fn total(&self) -> usize {
        self.reads.len() + self.writes.len() + self.alone.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.total() == 0
    }

    /// Which of reads and writes has waited longest, and the other.
    pub(super) fn by_age(&mut self) -> [Want; 2] {
        let read = self.first(Want::Read).map(|waiter| waiter.number);
        let write = self.first(Want::Write).map(|waiter| waiter.number);
        match (read, write) {
            (Some(read), Some(write)) if write < read => [Want::Write, Want::Read],
            _ => [Want::Read, Want::Write],
        }
    }

    /// Those who have waited long enough.
    pub(super) fn take_expired(&mut self, now: Instant) -> Vec<Rc<Waiter>> {
        self.forget_the_gone();
        let mut expired = Vec::new();
        for line in [&mut self.reads, &mut self.writes, &mut self.alone] {
            line.retain(|waiter| {
                let waits = waiter.give_up_at > now;
                if !waits {
                    expired.push(waiter.clone());
                }
                waits
            });
        }
        expired
    }

    pub(super) fn take_all(&mut self) -> Vec<Rc<Waiter>> {
        self.forget_the_gone();
        let Self {
            reads,
            writes,
            alone,
            ..
        } = self;
        let lines = [reads, writes, alone];
        lines.into_iter().flat_map(|line| line.drain(..)).collect()
    }

    fn forget_the_gone(&mut self) {
        for line in [&mut self.reads, &mut self.writes, &mut self.alone] {
            line.retain(|waiter| !waiter.is_gone.get());
        }
    }

    fn line(&mut self, want: Want) -> &mut VecDeque<Rc<Waiter>> {
        match want {
            Want::Read => &mut self.reads,
            Want::Write => &mut self.writes,
            Want::Alone => &mut self.alone,
        }
    }
}

impl Waiter {
    /// Lets the caller go on. Not under a borrow of the queue: what is dropped
    /// here may come back to it.
    pub(super) fn serve(&self, outcome: Result<Ticket, PostgresError>) {
        *self.outcome.borrow_mut() = Some(outcome);
        let waker = self.waker.borrow_mut().take();
        if let Some(waker) = waker {
            engine::wake(waker);
        }
    }
}

/// The caller's side; dropped, the caller is gone.
pub(super) struct Waiting(Rc<Waiter>);

impl Waiting {
    pub(super) async fn outcome(self) -> Result<Ticket, PostgresError> {
        poll_fn(|cx| match self.0.outcome.borrow_mut().take() {
            Some(outcome) => Poll::Ready(outcome),
            None => {
                *self.0.waker.borrow_mut() = Some(cx.waker().clone());
                Poll::Pending
            }
        })
        .await
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.is_gone.set(true);
        // A place that was given and not taken goes back.
        let unclaimed = self.0.outcome.borrow_mut().take();
        // One that was given alone is shared again; one that is on its way out
        // or looked at stays so.
        if let Some(Ok(ticket)) = &unclaimed
            && ticket.link.state.get() == State::Exclusive
        {
            ticket.link.state.set(State::Shared);
        }
        drop(unclaimed);
    }
}
