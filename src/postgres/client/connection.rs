//! One connection to PostgreSQL: its client, what its users keep with it, and
//! whether it may be used again.

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::rc::Rc;

use tokio_postgres::Client;

/// A connection of a shard. Its methods take `&self`: statements of several
/// tasks are pipelined.
pub(crate) struct Connection {
    client: Client,
    /// One of each type; gone with the connection.
    kept: RefCell<Vec<Rc<dyn Any>>>,
    is_spoiled: Cell<bool>,
}

impl Connection {
    /// A connection over `client`, whose driver runs.
    pub(crate) fn new(client: Client) -> Self {
        Self {
            client,
            kept: RefCell::default(),
            is_spoiled: Cell::new(false),
        }
    }

    pub(crate) fn client(&self) -> &Client {
        &self.client
    }

    /// What those who use the connection keep with it for as long as it lives,
    /// such as the statements they have prepared: one of each type, made when
    /// it is first asked for.
    pub(crate) fn kept<T: Default + 'static>(&self) -> Rc<T> {
        let kept = |one: &Rc<dyn Any>| one.clone().downcast::<T>().ok();
        let known = self.kept.borrow().iter().find_map(kept);
        known.unwrap_or_else(|| {
            let new = Rc::<T>::default();
            self.kept.borrow_mut().push(new.clone());
            new
        })
    }

    /// Whether somebody left it in a state that nobody should meet: half a
    /// result under way, a transaction open. It must be closed.
    pub(crate) fn is_spoiled(&self) -> bool {
        self.is_spoiled.get()
    }

    /// Says that it must be closed, unless [`Self::restore`] comes.
    pub(crate) fn spoil(&self) {
        self.is_spoiled.set(true);
    }

    /// It is as it was.
    pub(crate) fn restore(&self) {
        self.is_spoiled.set(false);
    }
}
