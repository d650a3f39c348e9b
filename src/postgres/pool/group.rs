//! Statements that are held up together: by a lock on the table they read, for
//! one. Those of one group must not hold up those of another.
//!
//! PostgreSQL answers the statements of a connection one after another, so one
//! that waits for a lock holds up all behind it. When the first read of a
//! connection has waited for [`POSTGRES_STUCK_MS`], its group is *stuck* there:
//! the connection gets no more calls of others, reads of others that are behind
//! it are asked again elsewhere, and another connection is kept from the group
//! for as long as it is stuck and a while after. Where all connections are stuck
//! and no more can be had, one is freed by cancelling what is on it; what was
//! cancelled is asked again.

use std::rc::Rc;
use std::time::{Duration, Instant};

use super::Inner;
use super::link::Link;
use super::request::Group;
use crate::engine;
use crate::limits::{
    POSTGRES_SETTLE_MS, POSTGRES_STUCK_KEPT_MS, POSTGRES_STUCK_MS, POSTGRES_STUCK_TOLD_AFTER_MS,
};

/// A group that is stuck on a connection, or was lately.
#[derive(Debug, Clone, Copy)]
pub(super) struct Stuck {
    pub(super) group: Group,
    /// When it was seen last.
    seen_at: Instant,
}

impl Inner {
    /// Part of the sweep.
    pub(super) fn look_for_stuck(self: &Rc<Self>, now: Instant) {
        let kept_for = Duration::from_millis(POSTGRES_STUCK_KEPT_MS);
        let links = self.links.borrow().clone();
        for link in &links {
            if let Some(group) = link.look_for_stuck(now, Duration::from_millis(POSTGRES_STUCK_MS))
            {
                self.note_stuck(group, now);
                // Shorter waits are nothing an operator need hear of.
                if link.is_silent(now, Duration::from_millis(POSTGRES_STUCK_TOLD_AFTER_MS)) {
                    self.server.note_stuck(group, now);
                }
            }
        }
        self.stuck
            .borrow_mut()
            .retain(|stuck| now.duration_since(stuck.seen_at) < kept_for);
        let is_stuck = |group| self.stuck.borrow().iter().any(|stuck| stuck.group == group);
        for link in &links {
            if link.kept_from.get().is_some_and(|group| !is_stuck(group)) {
                link.kept_from.set(None);
            }
        }
        let stuck = self.stuck.borrow().clone();
        for Stuck { group, .. } in stuck {
            self.keep_one_from(group, &links);
        }
    }

    fn note_stuck(&self, group: Group, now: Instant) {
        let mut stuck = self.stuck.borrow_mut();
        match stuck.iter_mut().find(|stuck| stuck.group == group) {
            Some(stuck) => stuck.seen_at = now,
            None => stuck.push(Stuck {
                group,
                seen_at: now,
            }),
        }
    }

    /// Sees to a connection for others, if there are any and more than one
    /// connection may be.
    fn keep_one_from(self: &Rc<Self>, group: Group, links: &[Rc<Link>]) {
        if !self.has_many_groups.get() || self.links_max() < 2 {
            return;
        }
        let shared = || links.iter().filter(|link| link.is_shared());
        let is_kept = |link: &Rc<Link>| link.kept_from.get() == Some(group);
        if shared().any(|link| is_kept(link) && link.stuck.get().is_none()) {
            return;
        }
        let free = shared().filter(|link| link.stuck.get().is_none());
        let free = free.filter(|link| link.kept_from.get().is_none());
        if let Some(link) = free.min_by_key(|link| link.in_flight()) {
            // Not the only one: the group needs somewhere to go too.
            if shared().count() > 1 {
                link.kept_from.set(Some(group));
            }
        } else if self.dialing.get() == 0 && self.queue.borrow_mut().has_others(group) {
            self.grow(1);
            if self.dialing.get() == 0 {
                self.free_one(group, shared().min_by_key(|link| link.in_flight()));
            }
        }
    }

    /// A new connection is for those who are held up by others, if there are any.
    pub(super) fn keep_new(&self, link: &Link) {
        let links = self.links.borrow();
        let lacks_one = |group| {
            let is_kept = |link: &Rc<Link>| link.kept_from.get() == Some(group);
            !links
                .iter()
                .any(|link| is_kept(link) && link.stuck.get().is_none())
        };
        let stuck = self.stuck.borrow();
        let group = stuck
            .iter()
            .map(|stuck| stuck.group)
            .find(|group| lacks_one(*group));
        if self.has_many_groups.get() && links.iter().any(|link| link.is_shared()) {
            link.kept_from.set(group);
        }
    }

    fn free_one(self: &Rc<Self>, group: Group, link: Option<&Rc<Link>>) {
        let Some(link) = link.filter(|_| !self.is_freeing.replace(true)) else {
            return;
        };
        link.kept_from.set(Some(group));
        link.was_cancelled.set(true);
        let (pool, link) = (self.clone(), link.clone());
        engine::spawn_local(async move {
            // Each cancel ends the statement the server is at.
            for _ in 0..=pool.in_flight_max() {
                if link.is_idle() || link.line.is_over() {
                    break;
                }
                let before = link.answered.get();
                pool.cancel(&link).await;
                let begun = Instant::now();
                while link.answered.get() == before
                    && begun.elapsed() < Duration::from_millis(POSTGRES_SETTLE_MS)
                {
                    engine::sleep(Duration::from_millis(1)).await;
                }
            }
            link.was_cancelled.set(false);
            link.stuck.set(None);
            pool.is_freeing.set(false);
            pool.dispatch();
        });
    }
}
