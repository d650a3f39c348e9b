//! Calls that wait for a connection: reads, writes, and those that want one
//! alone, of each group, each in a line of their own, first come, first served.
//! A write that waits does not hold reads up, an export neither of them, one
//! group none of the others; where several could go on, who came first does.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Poll, Waker};
use std::time::Instant;

use super::link::{State, Ticket};
use super::request::{Group, Request, Want};
use crate::engine;
use crate::limits::POSTGRES_WAITERS_MAX;
use crate::postgres::PostgresError;

#[derive(Default)]
pub(super) struct Queue {
    /// One for each want of each group; a handful.
    lines: Vec<Line>,
    /// How many have ever joined.
    joined: u64,
}

struct Line {
    want: Want,
    group: Group,
    waiters: VecDeque<Rc<Waiter>>,
}

/// One caller who waits.
pub(super) struct Waiter {
    pub(super) request: Request,
    /// Counts up in the order of coming.
    number: u64,
    give_up_at: Instant,
    outcome: RefCell<Option<Result<Ticket, PostgresError>>>,
    waker: RefCell<Option<Waker>>,
    is_gone: Cell<bool>,
}

impl Queue {
    /// Joins the line; `None` when those of its group are too many.
    pub(super) fn join(&mut self, request: Request, give_up_at: Instant) -> Option<Waiting> {
        if self.of_group(request.group) >= POSTGRES_WAITERS_MAX {
            self.forget_the_gone();
            if self.of_group(request.group) >= POSTGRES_WAITERS_MAX {
                return None;
            }
        }
        self.joined += 1;
        let waiter = Rc::new(Waiter {
            request,
            number: self.joined,
            give_up_at,
            outcome: RefCell::default(),
            waker: RefCell::default(),
            is_gone: Cell::new(false),
        });
        self.line(request).push_back(waiter.clone());
        Some(Waiting(waiter))
    }

    /// The first of each line, who has waited longest first.
    pub(super) fn first_of_each(&mut self) -> Vec<Rc<Waiter>> {
        for line in &mut self.lines {
            while line
                .waiters
                .front()
                .is_some_and(|waiter| waiter.is_gone.get())
            {
                line.waiters.pop_front();
            }
        }
        let heads = self.lines.iter().filter_map(|line| line.waiters.front());
        let mut heads: Vec<_> = heads.cloned().collect();
        heads.sort_by_key(|waiter| waiter.number);
        heads
    }

    /// Who was first in its line has been served.
    pub(super) fn pop(&mut self, served: &Waiter) {
        self.line(served.request).pop_front();
    }

    /// Whether anybody waits for the same.
    pub(super) fn has(&self, want: Want, group: Group) -> bool {
        let same = |line: &&Line| line.want == want && line.group == group;
        let line = self.lines.iter().find(same);
        line.is_some_and(|line| !line.waiters.is_empty())
    }

    /// Whether anybody waits who is not of this group.
    pub(super) fn has_others(&mut self, group: Group) -> bool {
        let heads = self.first_of_each();
        heads.iter().any(|waiter| waiter.request.group != group)
    }

    pub(super) fn len(&self, want: Want) -> usize {
        let same = self.lines.iter().filter(|line| line.want == want);
        same.map(|line| line.waiters.len()).sum()
    }

    /// How many connections reads need that wait, so many on each; those of
    /// different groups each their own.
    pub(super) fn connections_for_reads(&self, on_each: usize) -> usize {
        let reads = self.lines.iter().filter(|line| line.want == Want::Read);
        reads.map(|line| line.waiters.len().div_ceil(on_each)).sum()
    }

    pub(super) fn total(&self) -> usize {
        self.lines.iter().map(|line| line.waiters.len()).sum()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.lines.iter().all(|line| line.waiters.is_empty())
    }

    /// Those who have waited long enough.
    pub(super) fn take_expired(&mut self, now: Instant) -> Vec<Rc<Waiter>> {
        self.forget_the_gone();
        let mut expired = Vec::new();
        for line in &mut self.lines {
            line.waiters.retain(|waiter| {
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
        let lines = self.lines.iter_mut();
        lines.flat_map(|line| line.waiters.drain(..)).collect()
    }

    fn forget_the_gone(&mut self) {
        for line in &mut self.lines {
            line.waiters.retain(|waiter| !waiter.is_gone.get());
        }
    }

    fn of_group(&self, group: Group) -> usize {
        let same = self.lines.iter().filter(|line| line.group == group);
        same.map(|line| line.waiters.len()).sum()
    }

    fn line(&mut self, request: Request) -> &mut VecDeque<Rc<Waiter>> {
        let Request { want, group, .. } = request;
        let known = |line: &Line| line.want == want && line.group == group;
        let index = self.lines.iter().position(known).unwrap_or_else(|| {
            self.lines.push(Line {
                want,
                group,
                waiters: VecDeque::new(),
            });
            self.lines.len() - 1
        });
        &mut self.lines[index].waiters
    }
}

impl Waiter {
    /// Lets the caller go on. Not under a borrow of the queue: what is dropped
    /// here may come back to it.
    pub(super) fn serve(&self, outcome: Result<Ticket, PostgresError>) {
        *self.outcome.borrow_mut() = Some(outcome);
        let waker = self.waker.borrow_mut().take();
        waker.into_iter().for_each(engine::wake);
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
