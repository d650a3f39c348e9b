//! Which connection a call gets.
//!
//! PostgreSQL answers the statements of a connection one after another, and a
//! write when its commit is on disk or its row is free: what is sent behind one
//! waits for that too. So a connection carries one write at a time, and reads
//! are pipelined on those without. Writes spread over connections instead,
//! where the server's group commit puts many of them to disk at once.
//!
//! Where there are two or more, one is kept from writes, so that reads have
//! where to go: pipelined, one does tens of thousands a second, and when it is
//! full they and the writes that wait take turns on the others, by age. A read
//! goes behind a write only when all connections write and no more can be had;
//! a write never goes behind another. It waits here, where the first connection
//! that is free takes it and where it is known not to be done. What is stuck
//! together holds up nobody else: see `group`.

use std::rc::Rc;

use super::Inner;
use super::link::{Link, State};
use super::queue::Waiter;
use super::request::{Group, Want};
use crate::limits::{POSTGRES_POOL_MAX, POSTGRES_POOL_MAX_LEAST};
use crate::postgres::Intent;

impl From<Intent> for Want {
    fn from(intent: Intent) -> Self {
        match intent {
            Intent::Read => Self::Read,
            Intent::Write => Self::Write,
        }
    }
}

impl Inner {
    /// The connection for a short call that holds nothing up and is not held
    /// up, if there is one: the one with the fewest calls.
    pub(super) fn place(&self, want: Want, group: Group) -> Option<Rc<Link>> {
        let links = self.links.borrow();
        let (mut shared, mut writing) = (0_usize, 0);
        let mut best: Option<(_, &Rc<Link>)> = None;
        for link in links.iter().filter(|link| link.is_open_to(group)) {
            shared += 1;
            if link.is_writing() {
                writing += 1;
                continue;
            }
            let rank = link.rank(group);
            if link.in_flight() >= self.in_flight_max() {
                continue;
            }
            if best.is_none_or(|(least, _)| rank < least) {
                best = Some((rank, link));
            }
        }
        let (_, link) = best?;
        let may = want == Want::Read || writing + kept_for_reads(shared) < shared;
        may.then(|| link.clone())
    }

    /// For a read where all connections write. One that does not and is full
    /// has room soon, one that writes perhaps not.
    fn place_behind_write(&self, group: Group) -> Option<Rc<Link>> {
        let links = self.links.borrow();
        let open = links.iter().filter(|link| link.is_open_to(group));
        let link = open.min_by_key(|link| (link.is_writing(), link.in_flight()))?;
        (link.is_writing() && link.in_flight() < self.in_flight_max()).then(|| link.clone())
    }

    /// Serves who waits as far as there are connections, and asks for more.
    pub(super) fn dispatch(self: &Rc<Self>) {
        self.serve_waiting(false);
        let queue = self.queue.borrow();
        let reads = queue.connections_for_reads(self.in_flight_max());
        let (writes, alone) = (queue.len(Want::Write), queue.len(Want::Alone));
        drop(queue);
        self.grow(reads + writes + alone);
        if self.dialing.get() == 0 && reads > 0 {
            self.serve_waiting(true);
        }
        match alone {
            0 => self.release_promises(),
            _ => self.promise(),
        }
    }

    /// Starts no task: it runs in destructors too.
    pub(super) fn serve_waiting(self: &Rc<Self>, behind_writes: bool) {
        while let Some((waiter, link)) = self.next_match(behind_writes) {
            self.queue.borrow_mut().pop(&waiter);
            if waiter.request.want == Want::Alone {
                link.state.set(State::Exclusive);
            }
            waiter.serve(Ok(self.ticket(&link, waiter.request)));
        }
    }

    fn next_match(&self, behind_writes: bool) -> Option<(Rc<Waiter>, Rc<Link>)> {
        let heads = self.queue.borrow_mut().first_of_each();
        let (alone, others): (Vec<_>, Vec<_>) =
            (heads.into_iter()).partition(|waiter| waiter.request.want == Want::Alone);
        if let Some(waiter) = alone.into_iter().next()
            && let Some(link) = self.idle_for_one()
        {
            return Some((waiter, link));
        }
        let place = |waiter: &Rc<Waiter>| self.place(waiter.request.want, waiter.request.group);
        if let Some((link, waiter)) = others
            .iter()
            .find_map(|waiter| Some((place(waiter)?, waiter)))
        {
            return Some((waiter.clone(), link));
        }
        let behind = |waiter: &Rc<Waiter>| self.place_behind_write(waiter.request.group);
        let reads = others
            .iter()
            .filter(|waiter| behind_writes && waiter.request.want == Want::Read);
        let mut matches = reads.filter_map(|waiter| Some((waiter.clone(), behind(waiter)?)));
        matches.next()
    }

    /// A connection for one caller alone, if so many may be.
    fn idle_for_one(&self) -> Option<Rc<Link>> {
        if !self.may_be_alone() {
            return None;
        }
        let links = self.links.borrow();
        let fits = |link: &&Rc<Link>| {
            matches!(link.state.get(), State::Shared | State::Promised)
                && link.is_idle()
                && !link.line.is_over()
        };
        let promised = |link: &&Rc<Link>| link.state.get() == State::Promised;
        let found = links.iter().filter(fits).find(promised);
        found.or_else(|| links.iter().find(fits)).cloned()
    }

    fn may_be_alone(&self) -> bool {
        let most = self.links_max().saturating_sub(1);
        self.count_of(State::Exclusive) < most.max(1)
    }

    /// When no more connections can be had, one that is shared is kept from
    /// new calls until it is idle.
    fn promise(&self) {
        if self.dialing.get() > 0 || !self.may_be_alone() || self.count_of(State::Promised) > 0 {
            return;
        }
        let links = self.links.borrow();
        let shared = links.iter().filter(|link| link.is_shared());
        if let Some(link) = shared.min_by_key(|link| link.in_flight()) {
            link.state.set(State::Promised);
        }
    }

    /// Who was promised a connection has left the line.
    pub(super) fn release_promises(&self) {
        for link in self.links.borrow().iter() {
            if link.state.get() == State::Promised {
                link.state.set(State::Shared);
            }
        }
    }

    /// Connections this shard may have: `pool_max`, or by itself its share of
    /// the budget within bounds. Over its share it borrows.
    pub(super) fn links_max(&self) -> usize {
        let options = &self.server.options;
        let most = match options.pool_max {
            0 => {
                let share = self.seat.share();
                let share = share.clamp(POSTGRES_POOL_MAX_LEAST, POSTGRES_POOL_MAX);
                share.max(options.pool_min)
            }
            most => most,
        };
        most as usize
    }
}

/// Of so many connections that calls share.
fn kept_for_reads(shared: usize) -> usize {
    usize::from(shared > 1)
}
