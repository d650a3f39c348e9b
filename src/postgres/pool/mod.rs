//! The connections of one shard.
//!
//! Short calls share connections: each takes some reads at once and one write,
//! which of them a call gets is told in `placing`. Another connection is opened
//! when none has room and the process may have one more, else callers wait in
//! line. Transactions and long row streams take one alone. A call costs a look
//! at the connections, a place in a slab and a reading of the clock; deadlines,
//! idle times and health are the sweep's.
//!
//! Every call ends by its deadline. A read whose connection broke before is
//! tried once more, a write never is; what the server says it has not done is
//! done again (`again`). While the server is known to be down calls fail at once
//! and one task looks for it.

mod again;
mod budget;
mod exclusive;
mod group;
mod link;
mod placing;
mod queue;
mod request;
mod server;
mod stats;
mod sweep;
#[cfg(test)]
mod tests;

use std::cell::{Cell, RefCell};
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::time::{Duration, Instant};

pub use budget::{Budget, ServerLimits};
pub use exclusive::Exclusive;
pub use request::Group;
pub use server::PostgresServer;

use budget::{Permit, Seat};
use group::Stuck;
use link::{Link, State, Ticket};
use queue::Queue;
use request::{Request, Want};
use stats::{PoolStats, count, level};

use super::client::{self, DialError, DirectConnection};
use super::{Connection, Intent, PostgresError};
use crate::backoff::RetrySchedule;
use crate::engine::{self, LocalEvent};
use crate::limits::POSTGRES_SETTLE_MS;

/// One shard's connections. Cheap to clone; never leaves its shard.
#[derive(Clone)]
pub struct Pool {
    inner: Rc<Inner>,
}

struct Inner {
    server: Arc<PostgresServer>,
    seat: Seat,
    stats: Arc<PoolStats>,
    links: RefCell<Vec<Rc<Link>>>,
    queue: RefCell<Queue>,
    /// Connections whose callers have left, and whether they failed them.
    returned: RefCell<Vec<(Rc<Link>, bool)>>,
    /// Connections being made.
    dialing: Cell<usize>,
    /// Why the server cannot be reached, while that is so.
    outage: RefCell<Option<String>>,
    /// No connection is tried before it is due.
    retry: RefCell<RetrySchedule>,
    /// Groups that are stuck on connections.
    stuck: RefCell<Vec<Stuck>>,
    has_many_groups: Cell<bool>,
    last_group: Cell<Option<Group>>,
    /// A connection is being freed of those who are stuck on it.
    is_freeing: Cell<bool>,
    /// When all connections were left because they take no writes.
    left_at: Cell<Option<Instant>>,
    /// Ends the sweep's long sleep when there is something to look after.
    stirred: LocalEvent,
    is_asleep: Cell<bool>,
    /// Calls that got a connection; told to the statistics by the sweep.
    calls: Cell<u64>,
}

impl Pool {
    /// The pool of the shard that calls this. Opens `pool_min` connections by
    /// and by; a server that is down is no error here.
    ///
    /// # Panics
    /// When called on a thread that runs no [`engine::Runtime`].
    pub fn new(server: &Arc<PostgresServer>) -> Self {
        let inner = Rc::new(Inner {
            seat: server.budget.join(),
            stats: server.stats.join(),
            server: server.clone(),
            links: RefCell::default(),
            queue: RefCell::default(),
            returned: RefCell::default(),
            dialing: Cell::new(0),
            outage: RefCell::default(),
            retry: RefCell::new(server.retry_schedule()),
            stuck: RefCell::default(),
            has_many_groups: Cell::new(false),
            last_group: Cell::new(None),
            is_freeing: Cell::new(false),
            left_at: Cell::new(None),
            stirred: LocalEvent::default(),
            is_asleep: Cell::new(false),
            calls: Cell::new(0),
        });
        engine::spawn_local(sweep::run(Rc::downgrade(&inner)));
        Self { inner }
    }

    /// Runs short work on a shared connection, at most until the deadline.
    /// Statements of others are in flight on it at the same time: no
    /// transactions, nothing that is streamed slowly. The intent chooses the
    /// connection too: nothing is sent behind a write that can go elsewhere.
    /// Work that writes is one statement: it is done again when the server says
    /// that it did nothing.
    ///
    /// # Errors
    /// [`PostgresError::Busy`] when too many wait or none became free in time,
    /// [`PostgresError::Unavailable`], for a write whose answer was lost
    /// [`PostgresError::OutcomeUnknown`], and what the server refused.
    pub async fn shared<T>(
        &self,
        intent: Intent,
        work: impl AsyncFn(&Connection) -> Result<T, tokio_postgres::Error>,
    ) -> Result<T, PostgresError> {
        self.shared_in(Group::default(), intent, work).await
    }

    /// [`shared`](Self::shared) as one of a group: where something holds up the
    /// statements of a group, those of others find their way around them.
    ///
    /// # Errors
    /// As [`shared`](Self::shared).
    pub async fn shared_in<T>(
        &self,
        group: Group,
        intent: Intent,
        work: impl AsyncFn(&Connection) -> Result<T, tokio_postgres::Error>,
    ) -> Result<T, PostgresError> {
        let outcome = self.inner.run(group, intent, work).await;
        if let Err(PostgresError::OutcomeUnknown(_)) = &outcome {
            self.inner.server.note_unknown();
        }
        outcome
    }

    /// A connection of one's own, for transactions and row streams. It goes
    /// back when dropped, or is closed if it is broken or was left inside a
    /// transaction. A shard with more than one connection always keeps one
    /// for short calls.
    ///
    /// # Errors
    /// As [`shared`](Self::shared), with nothing done.
    pub async fn exclusive(&self) -> Result<Exclusive, PostgresError> {
        let deadline = Instant::now() + self.inner.deadline();
        let request = Request {
            want: Want::Alone,
            group: Group::default(),
            deadline,
        };
        let ticket = self.inner.checkout(request).await?;
        Ok(Exclusive::new(&self.inner, ticket))
    }

    /// When a call is given up, counted from its start.
    pub fn deadline(&self) -> Duration {
        self.inner.deadline()
    }

    /// Whether the server answers; while it is known to be down, at once.
    ///
    /// # Errors
    /// It does not.
    #[cfg(test)]
    async fn ping(&self) -> Result<(), PostgresError> {
        let ask = async |connection: &Connection| connection.client().simple_query("").await;
        self.shared(Intent::Read, ask).await.map(drop)
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.server.stats.leave(&self.stats);
    }
}

impl Inner {
    fn deadline(&self) -> Duration {
        Duration::from_millis(self.server.options.deadline_ms)
    }

    fn in_flight_max(&self) -> usize {
        self.server.options.in_flight_per_connection_max as usize
    }

    /// A place on a connection, at once if there is one.
    async fn checkout(self: &Rc<Self>, request: Request) -> Result<Ticket, PostgresError> {
        let Request {
            want,
            group,
            deadline,
        } = request;
        if want != Want::Alone {
            let last_group = self.last_group.replace(Some(group));
            let is_same = last_group.is_none_or(|last| last == group);
            self.has_many_groups
                .set(self.has_many_groups.get() || !is_same);
        }
        let is_open = want != Want::Alone && !self.queue.borrow().has(want, group);
        if is_open && let Some(link) = self.place(want, group) {
            return Ok(self.ticket(&link, request));
        }
        if let Some(why) = &*self.outage.borrow() {
            return Err(PostgresError::Unavailable(why.clone()));
        }
        let patience = Duration::from_millis(self.server.options.checkout_timeout_ms);
        let give_up_at = deadline.min(Instant::now() + patience);
        let joined = self.queue.borrow_mut().join(request, give_up_at);
        let Some(waiting) = joined else {
            count(&self.stats.refused);
            return Err(PostgresError::Busy);
        };
        self.dispatch();
        self.stir();
        waiting.outcome().await
    }

    fn ticket(self: &Rc<Self>, link: &Rc<Link>, request: Request) -> Ticket {
        self.calls.set(self.calls.get() + 1);
        self.stir();
        Ticket::new(self, link, request)
    }

    fn stir(&self) {
        if self.is_asleep.replace(false) {
            self.stirred.notify();
        }
    }

    fn count_of(&self, state: State) -> usize {
        let links = self.links.borrow();
        links
            .iter()
            .filter(|link| link.state.get() == state)
            .count()
    }

    /// Starts making connections until `wanted` are being made, as far as
    /// pool, budget and server allow.
    fn grow(self: &Rc<Self>, wanted: usize) {
        while self.dialing.get() < wanted
            && self.links.borrow().len() + self.dialing.get() < self.links_max()
            && self.outage.borrow().is_none()
            && self.retry.borrow().is_due(Instant::now())
        {
            let Some(permit) = self.seat.take() else {
                return;
            };
            self.dial(permit);
        }
    }

    fn dial(self: &Rc<Self>, permit: Permit) {
        self.dialing.set(self.dialing.get() + 1);
        let (pool, server) = (Rc::downgrade(self), self.server.clone());
        engine::spawn_local(async move {
            let outcome = server.dialer.dial().await;
            if let Ok(dialed) = &outcome {
                dialed.line.when_closed(move || drop(permit));
            } else {
                drop(permit);
            }
            let Some(pool) = pool.upgrade() else { return };
            pool.dialing.set(pool.dialing.get() - 1);
            match outcome {
                Ok(dialed) => pool.admit(dialed),
                Err(error) => pool.dial_failed(&error),
            }
        });
    }

    fn admit(self: &Rc<Self>, connection: DirectConnection) {
        count(&self.stats.connects);
        self.server.note_role(connection.is_read_only());
        self.retry.borrow_mut().worked();
        self.come_up();
        let lifetime = Duration::from_millis(self.server.options.max_lifetime_ms);
        let link = Rc::new(Link::new(connection, lifetime));
        let (pool, weak) = (Rc::downgrade(self), Rc::downgrade(&link));
        link.line.when_over(move || lost(&pool, &weak));
        if link.line.is_over() {
            return;
        }
        self.keep_new(&link);
        self.links.borrow_mut().push(link);
        self.dispatch();
    }

    fn come_up(&self) {
        if self.outage.take().is_some() {
            level(&self.stats.is_down, 0);
            self.server.tell_up();
        }
    }

    fn dial_failed(self: &Rc<Self>, error: &DialError) {
        count(&self.stats.connect_failures);
        self.retry.borrow_mut().failed(Instant::now());
        // While others still answer, those who wait may get one of them.
        if self.has_usable() {
            self.dispatch();
        } else {
            self.go_down(error.to_string());
        }
    }

    fn has_usable(&self) -> bool {
        let usable = |link: &Rc<Link>| link.state.get() != State::Suspect && !link.line.is_over();
        self.links.borrow().iter().any(usable)
    }

    /// From now on calls fail at once, until the sweep has found the server.
    fn go_down(self: &Rc<Self>, why: String) {
        if self.outage.replace(Some(why.clone())).is_none() {
            count(&self.stats.outages);
            level(&self.stats.is_down, 1);
            self.server.tell_down(&why);
        }
        let waiting = self.queue.borrow_mut().take_all();
        for waiter in waiting {
            waiter.serve(Err(PostgresError::Unavailable(why.clone())));
        }
        self.stir();
    }

    /// A call has given its place back.
    fn call_ended(self: &Rc<Self>, link: &Rc<Link>, is_idle: bool) {
        if is_idle {
            let now = Instant::now();
            link.idle_since.set(now);
            // Who left before the answer has not seen that it answers.
            if link.was_answered.take() {
                link.well_at.set(now);
            }
            if link.state.get() == State::Leaving {
                self.remove(link);
                self.stirred.notify();
            }
        }
        if !self.queue.borrow().is_empty() {
            self.serve_waiting(self.dialing.get() == 0);
        }
    }

    /// A call on the connection passed its deadline.
    fn expired(self: &Rc<Self>, link: &Rc<Link>, intent: Intent) -> PostgresError {
        count(&self.stats.deadlines);
        let state = link.state.get();
        if matches!(state, State::Shared | State::Promised | State::Leaving) {
            link.state.set(State::Suspect);
            link.was_cancelled.set(true);
            let (pool, link) = (self.clone(), link.clone());
            engine::spawn_local(async move { pool.settle(&link, state).await });
        }
        let why = format!("no answer within {} ms", self.server.options.deadline_ms);
        // The server itself ends a statement before: it is the server, or the
        // way to it, that does not answer. Unless it has answered others that
        // this one was behind.
        let (now, long) = (Instant::now(), self.deadline() / 2);
        let is_silent = self
            .links
            .borrow()
            .iter()
            .all(|link| link.is_silent(now, long));
        if is_silent && !self.has_usable() {
            self.go_down(why.clone());
        }
        client::lost(intent, why)
    }

    /// Has the server cancel what it does, and takes the connection back if it
    /// is free soon; else whoever still waits on it is told that it is gone.
    async fn settle(self: &Rc<Self>, link: &Rc<Link>, state: State) {
        self.cancel(link).await;
        let answer = link.connection.client().simple_query("");
        let patience = Duration::from_millis(POSTGRES_SETTLE_MS);
        if !matches!(engine::timeout(patience, answer).await, Ok(Ok(_))) {
            link.line.cut();
            return;
        }
        link.was_cancelled.set(false);
        self.come_up();
        link.state.set(match state {
            State::Leaving => State::Leaving,
            _ => State::Shared,
        });
        self.call_ended(link, link.is_idle());
    }

    /// Has the server give up what it does on a connection.
    async fn cancel(&self, link: &Link) {
        count(&self.stats.cancels);
        let dialer = &self.server.dialer;
        dialer.cancel(&link.target, link.cancel.clone()).await;
    }

    /// Takes a connection out; it says goodbye when nobody holds it any more.
    fn remove(&self, link: &Rc<Link>) {
        let mut links = self.links.borrow_mut();
        links.retain(|other| !Rc::ptr_eq(other, link));
    }
}

/// The connection has ended, whoever ended it.
fn lost(pool: &Weak<Inner>, link: &Weak<Link>) {
    let Some(pool) = pool.upgrade() else { return };
    if let Some(link) = link.upgrade() {
        pool.remove(&link);
        if link.line.reason().is_some() {
            count(&pool.stats.connections_lost);
        }
    }
    pool.stir();
    pool.dispatch();
}
