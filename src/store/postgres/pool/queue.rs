//! Calls that wait for a connection, first come, first served; those that
//! want one alone in a line of their own, so that an export that waits does
//! not hold short reads up.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Poll, Waker};
use std::time::Instant;

use super::link::{State, Ticket};
use crate::limits::DATABASE_WAITERS_MAX;
use crate::store::StoreError;

/// What is waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Want {
    /// A place among others.
    Place,
    /// A connection alone.
    Alone,
}

#[derive(Default)]
pub(super) struct Queue {
    places: VecDeque<Rc<Waiter>>,
    alone: VecDeque<Rc<Waiter>>,
}

/// One caller who waits.
pub(super) struct Waiter {
    pub(super) deadline: Instant,
    give_up_at: Instant,
    outcome: RefCell<Option<Result<Ticket, StoreError>>>,
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
        if self.places.len() + self.alone.len() >= DATABASE_WAITERS_MAX {
            self.forget_the_gone();
            if self.places.len() + self.alone.len() >= DATABASE_WAITERS_MAX {
                return None;
            }
        }
        let waiter = Rc::new(Waiter {
            deadline,
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
            Want::Place => self.places.len(),
            Want::Alone => self.alone.len(),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.places.is_empty() && self.alone.is_empty()
    }

    /// Those who have waited long enough.
    pub(super) fn take_expired(&mut self, now: Instant) -> Vec<Rc<Waiter>> {
        self.forget_the_gone();
        let mut expired = Vec::new();
        for line in [&mut self.places, &mut self.alone] {
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
        self.places.drain(..).chain(self.alone.drain(..)).collect()
    }

    fn forget_the_gone(&mut self) {
        self.places.retain(|waiter| !waiter.is_gone.get());
        self.alone.retain(|waiter| !waiter.is_gone.get());
    }

    fn line(&mut self, want: Want) -> &mut VecDeque<Rc<Waiter>> {
        match want {
            Want::Place => &mut self.places,
            Want::Alone => &mut self.alone,
        }
    }
}

impl Waiter {
    /// Lets the caller go on. Not under a borrow of the queue: what is dropped
    /// here may come back to it.
    pub(super) fn serve(&self, outcome: Result<Ticket, StoreError>) {
        *self.outcome.borrow_mut() = Some(outcome);
        let waker = self.waker.borrow_mut().take();
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

/// The caller's side; dropped, the caller is gone.
pub(super) struct Waiting(Rc<Waiter>);

impl Waiting {
    pub(super) async fn outcome(self) -> Result<Ticket, StoreError> {
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
