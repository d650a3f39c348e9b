//! Deadlines of the commands in flight, without a timer for each.
//!
//! All commands of a shard have the same deadline, so a counter that goes up
//! [`REDIS_DEADLINE_TICKS`] times in it is clock enough: a command notes it
//! when it starts, and one task, which sleeps while nothing is in flight, turns
//! it and wakes whoever has seen that many turns. A timer of the reactor for
//! each command costs 0.5 to 0.7 us of CPU more (64 in flight, unoptimised).

use std::cell::{Cell, RefCell};
use std::task::{Context, Waker};
use std::time::Duration;

use slab::Slab;

use crate::engine::{LocalEvent, sleep};
use crate::limits::{REDIS_DEADLINE_TICKS, REDIS_IN_FLIGHT_MAX};

#[derive(Default)]
pub(super) struct Pending {
    slots: RefCell<Slab<Slot>>,
    ticks: Cell<u64>,
    started: LocalEvent,
    closed: Cell<bool>,
}

struct Slot {
    started_at: u64,
    is_late: bool,
    waker: Option<Waker>,
}

impl Pending {
    /// Begins to count for one command; `None` when too many are in flight.
    pub(super) fn start(&self) -> Option<Deadline<'_>> {
        let mut slots = self.slots.borrow_mut();
        if slots.len() >= REDIS_IN_FLIGHT_MAX {
            return None;
        }
        if slots.is_empty() {
            self.started.notify();
        }
        let key = slots.insert(Slot {
            started_at: self.ticks.get(),
            is_late: false,
            waker: None,
        });
        Some(Deadline { of: self, key })
    }

    /// Commands in flight.
    pub(super) fn len(&self) -> usize {
        self.slots.borrow().len()
    }

    /// Lets [`turn`](Self::turn) end.
    pub(super) fn close(&self) {
        self.closed.set(true);
        self.started.notify();
    }

    /// Watches the deadlines until closed.
    pub(super) async fn turn(&self, deadline: Duration) {
        let tick = deadline / REDIS_DEADLINE_TICKS as u32;
        while !self.closed.get() {
            if self.len() == 0 {
                self.started.wait().await;
                continue;
            }
            sleep(tick).await;
            self.tick();
        }
    }

    fn tick(&self) {
        let now = self.ticks.get() + 1;
        self.ticks.set(now);
        let mut late = Vec::new();
        for (_, slot) in self.slots.borrow_mut().iter_mut() {
            if now - slot.started_at >= REDIS_DEADLINE_TICKS && !slot.is_late {
                slot.is_late = true;
                late.extend(slot.waker.take());
            }
        }
        late.into_iter().for_each(Waker::wake);
    }
}

/// One command's deadline; forgotten on drop.
pub(super) struct Deadline<'a> {
    of: &'a Pending,
    key: usize,
}

impl Deadline<'_> {
    /// Whether it has passed; if not, the task is woken when it does.
    pub(super) fn has_passed(&self, cx: &Context<'_>) -> bool {
        let slot = &mut self.of.slots.borrow_mut()[self.key];
        let known = slot.waker.as_ref();
        if !slot.is_late && !known.is_some_and(|waker| waker.will_wake(cx.waker())) {
            slot.waker = Some(cx.waker().clone());
        }
        slot.is_late
    }
}

impl Drop for Deadline<'_> {
    fn drop(&mut self) {
        self.of.slots.borrow_mut().remove(self.key);
    }
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use super::*;

    #[test]
    fn a_deadline_passes_after_its_ticks_and_not_before() {
        let pending = Pending::default();
        let cx = Context::from_waker(Waker::noop());
        let early = pending.start().unwrap();
        pending.tick();
        let later = pending.start().unwrap();
        for _ in 1..REDIS_DEADLINE_TICKS {
            assert!(!early.has_passed(&cx));
            pending.tick();
        }
        assert!(early.has_passed(&cx) && !later.has_passed(&cx));
        pending.tick();
        assert!(later.has_passed(&cx));
        drop((early, later));
        assert_eq!(pending.len(), 0);
    }

    #[test]
    fn too_many_are_refused_until_one_ends() {
        let pending = Pending::default();
        let mut all: Vec<_> = (0..REDIS_IN_FLIGHT_MAX)
            .map(|_| pending.start().unwrap())
            .collect();
        assert!(pending.start().is_none());
        all.pop();
        assert!(pending.start().is_some());
    }
}
