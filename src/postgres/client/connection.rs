//! One connection to PostgreSQL: its client, what its users keep with it, and
//! whether it may be used again.

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::ops::Deref;
use std::rc::Rc;

use tokio_postgres::Client;

use super::line::Line;
use super::role::SessionRole;
use crate::engine::Target;

/// A connection of a shard. Its methods take `&self`: statements of several
/// tasks are pipelined.
pub struct Connection {
    client: Client,
    /// One of each type; gone with the connection.
    kept: RefCell<Vec<Rc<dyn Any>>>,
    is_spoiled: Cell<bool>,
}

impl Connection {
    /// A connection over `client`, whose driver runs.
    pub(super) fn new(client: Client) -> Self {
        Self {
            client,
            kept: RefCell::default(),
            is_spoiled: Cell::new(false),
        }
    }

    /// The library's client, to ask with: statements in flight are answered in
    /// the order they were sent.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// What those who use the connection keep with it for as long as it lives,
    /// such as the statements they have prepared: one of each type, made when
    /// it is first asked for.
    pub fn kept<T: Default + 'static>(&self) -> Rc<T> {
        let kept = |one: &Rc<dyn Any>| one.clone().downcast::<T>().ok();
        let known = self.kept.borrow().iter().find_map(kept);
        known.unwrap_or_else(|| {
            let new = Rc::<T>::default();
            self.kept.borrow_mut().push(new.clone());
            new
        })
    }

    /// Drops all of that: the session no longer fits it.
    pub(in crate::postgres) fn forget_kept(&self) {
        self.kept.take();
    }

    /// Whether somebody left it in a state that nobody should meet: half a
    /// result under way, a transaction open. It must be closed.
    pub(in crate::postgres) fn is_spoiled(&self) -> bool {
        self.is_spoiled.get()
    }

    /// Says that it must be closed, unless [`Self::restore`] comes.
    pub fn spoil(&self) {
        self.is_spoiled.set(true);
    }

    /// It is as it was.
    pub fn restore(&self) {
        self.is_spoiled.set(false);
    }
}

/// A connection that belongs to no pool and counts against no budget. It says
/// goodbye when it is dropped.
pub struct DirectConnection {
    pub(in crate::postgres) connection: Connection,
    pub(in crate::postgres) line: Rc<Line>,
    /// The server it leads to.
    pub(in crate::postgres) target: Target,
    pub(in crate::postgres) role: SessionRole,
}

impl DirectConnection {
    /// Whether its sessions take no writes: the server is a replica, or was told
    /// to take none.
    pub fn is_read_only(&self) -> bool {
        self.role.is_read_only
    }

    /// Gives it up as one that does not answer: whoever waits on it is told
    /// that it is closed.
    pub fn cut(&self) {
        self.line.cut();
    }

    /// The same for one that works and is not wanted any more.
    pub fn close(&self) {
        self.line.close();
    }

    /// Whether nothing can be asked over it any more.
    pub fn is_over(&self) -> bool {
        self.line.is_over()
    }

    /// Why it ended, if it was not by our goodbye.
    pub fn reason(&self) -> Option<String> {
        self.line.reason()
    }

    /// Runs `then` when nothing can be asked any more; at once if so already.
    pub fn when_over(&self, then: impl FnOnce() + 'static) {
        self.line.when_over(then);
    }

    /// Runs `then` when the server has closed it too, or does not do so in
    /// time.
    pub fn when_closed(&self, then: impl FnOnce() + 'static) {
        self.line.when_closed(then);
    }
}

impl Deref for DirectConnection {
    type Target = Connection;

    fn deref(&self) -> &Connection {
        &self.connection
    }
}
