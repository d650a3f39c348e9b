//! What a pool does by the clock: one task for deadlines, waiting times, ages,
//! health, lending and looking for a server that is down.

use std::rc::{Rc, Weak};
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::Inner;
use super::exclusive::put_back;
use super::link::{Interrupted, Link, State};
use super::request::{Group, Request, Want};
use super::stats::{count, level};
use crate::engine;
use crate::limits::{POSTGRES_SWEEP_HUNGRY_MS, POSTGRES_SWEEP_IDLE_MS, POSTGRES_SWEEP_MS};
use crate::postgres::{Intent, PostgresError};

/// Runs until the pool is dropped.
pub(super) async fn run(pool: Weak<Inner>) {
    loop {
        let Some(inner) = pool.upgrade() else { return };
        inner.sweep(Instant::now());
        let pause_ms = inner.pause_ms();
        inner.is_asleep.set(pause_ms == POSTGRES_SWEEP_IDLE_MS);
        // A pool that is dropped meanwhile is kept for that long; then its
        // connections say goodbye.
        let pause = Duration::from_millis(pause_ms);
        let _ = engine::timeout(pause, inner.stirred.wait()).await;
    }
}

impl Inner {
    fn sweep(self: &Rc<Self>, now: Instant) {
        self.take_back();
        self.expire(now);
        self.retire(now);
        self.give_back();
        self.look_after(now);
        self.look_for_stuck(now);
        if self.queue.borrow().is_empty() {
            self.seat.is_fed();
            self.release_promises();
        } else {
            self.dispatch();
        }
        self.seek_server(now);
        let missing = self.missing();
        if missing > 0 {
            self.grow(missing);
        }
        self.publish();
    }

    /// Connections under `pool_min`, beside those being made.
    fn missing(&self) -> usize {
        let there = self.links.borrow().len() + self.dialing.get();
        match (self.server.options.pool_min as usize).saturating_sub(there) {
            0 => 0,
            missing => missing + self.dialing.get(),
        }
    }

    fn pause_ms(&self) -> u64 {
        if !self.queue.borrow().is_empty() {
            POSTGRES_SWEEP_HUNGRY_MS
        } else if self.outage.borrow().is_some()
            || self.seat.borrowed() > 0
            || self.links.borrow().iter().any(|link| !link.is_idle())
        {
            POSTGRES_SWEEP_MS
        } else {
            POSTGRES_SWEEP_IDLE_MS
        }
    }

    /// Connections whose callers have left.
    fn take_back(self: &Rc<Self>) {
        for (link, is_suspect) in self.returned.take() {
            let pool = self.clone();
            engine::spawn_local(async move { put_back(&pool, &link, is_suspect).await });
        }
    }

    fn expire(self: &Rc<Self>, now: Instant) {
        for link in self.links.borrow().iter() {
            link.expire(now);
        }
        let expired = self.queue.borrow_mut().take_expired(now);
        for waiter in expired {
            count(&self.stats.checkout_timeouts);
            waiter.serve(Err(PostgresError::Busy));
        }
    }

    /// Closes what is too old or not needed; a busy one when it is idle.
    fn retire(&self, now: Instant) {
        let idle_for = Duration::from_millis(self.server.options.idle_timeout_ms);
        let min = self.server.options.pool_min as usize;
        let mut open = self.links.borrow().len();
        self.links.borrow_mut().retain(|link| {
            if link.state.get() != State::Shared {
                return true;
            }
            let is_old = link.retire_at <= now;
            let is_spare = open > min && now.duration_since(link.idle_since.get()) >= idle_for;
            if is_old && !link.is_idle() {
                link.state.set(State::Leaving);
            }
            let stays = !link.is_idle() || !(is_old || is_spare);
            open -= usize::from(!stays);
            stays
        });
    }

    /// Another shard needs what this one has over its share.
    fn give_back(&self) {
        if !self.seat.owes() || self.count_of(State::Leaving) > 0 {
            return;
        }
        let least = {
            let links = self.links.borrow();
            let shared = links.iter().filter(|link| link.is_shared());
            shared.min_by_key(|link| link.in_flight()).cloned()
        };
        match least {
            Some(link) if link.is_idle() => self.remove(&link),
            Some(link) => link.state.set(State::Leaving),
            None => {}
        }
    }

    /// Asks idle connections whether they still answer.
    fn look_after(self: &Rc<Self>, now: Instant) {
        let every = Duration::from_millis(self.server.options.health_check_ms);
        let is_due = |link: &&Rc<Link>| {
            let unseen = now.saturating_duration_since(link.well_at.get());
            link.is_shared() && link.is_idle() && unseen >= every
        };
        let due: Vec<_> = self.links.borrow().iter().filter(is_due).cloned().collect();
        for link in due {
            let request = Request {
                want: Want::Read,
                group: Group::default(),
                deadline: now + self.deadline().min(every),
            };
            let (ticket, pool) = (self.ticket(&link, request), self.clone());
            let idle_since = link.idle_since.get();
            engine::spawn_local(async move {
                let answer = link.connection.client().simple_query("");
                let outcome = ticket.run(answer).await;
                drop(ticket);
                // The question is no use of it.
                link.idle_since.set(idle_since);
                match outcome {
                    Ok(Ok(_)) => {}
                    Ok(Err(_)) => link.line.cut(),
                    Err(Interrupted::Moved) => {}
                    Err(Interrupted::Expired) => drop(pool.expired(&link, Intent::Read)),
                }
            });
        }
    }

    /// While the server is down one connection at a time is tried.
    fn seek_server(self: &Rc<Self>, now: Instant) {
        let is_due = self.outage.borrow().is_some()
            && self.dialing.get() == 0
            && self.retry.borrow().is_due(now);
        if is_due && let Some(permit) = self.seat.take() {
            self.dial(permit);
        }
    }

    fn publish(&self) {
        let links = self.links.borrow();
        let idle = |link: &&Rc<Link>| link.is_shared() && link.is_idle();
        let in_flight: usize = links.iter().map(|link| link.in_flight()).sum();
        let stats = &self.stats;
        level(&stats.open, links.len() as u64);
        level(&stats.idle, links.iter().filter(idle).count() as u64);
        level(&stats.exclusive, self.count_of(State::Exclusive) as u64);
        level(&stats.borrowed, u64::from(self.seat.borrowed()));
        level(&stats.in_flight, in_flight as u64);
        let queue = self.queue.borrow();
        level(&stats.waiting, queue.total() as u64);
        stats.calls.store(self.calls.get(), Ordering::Relaxed);
    }
}
