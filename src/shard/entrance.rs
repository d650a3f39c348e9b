//! One listener of a shard and the connections that came in through it.
//!
//! Every shard has a public entrance; shard 0 alone has the admin entrance
//! too. An operator's requests are few, so one shard is enough, and with one
//! socket instead of one per shard no connection waits at a shard that is
//! busy, or is lost with one, while others are free. Both entrances run the
//! same code; each has its own limit, so that neither can fill the other.

use std::cell::Cell;

use super::admission::Admission;
use crate::Error;
use crate::app::Door;
use crate::engine::TcpListener;
use crate::http1::RequestHead;
use crate::limits::ADMIN_CONNECTIONS_MAX;

/// What the admin entrance is built from.
pub(crate) struct AdminStart {
    pub(crate) listener: std::net::TcpListener,
    /// Whoever knows it may come in; without one, whoever is on this machine.
    pub(crate) token: Option<String>,
}

/// A listener at work.
pub(super) struct Entrance {
    pub(super) door: Door,
    pub(super) listener: TcpListener,
    /// Its accept tasks that have not ended.
    pub(super) accepting: Cell<usize>,
    /// Connections that came in here and have not ended.
    pub(super) connections: Cell<usize>,
    pub(super) connections_max: usize,
    /// Connections over the limit that are being told so.
    pub(super) overload_answers: Cell<usize>,
    /// Asked for every request; `None` lets everybody in.
    admission: Option<Admission>,
}

impl Entrance {
    /// For everybody.
    ///
    /// # Errors
    /// When the reactor cannot register the listener.
    pub(super) fn public(
        listener: std::net::TcpListener,
        connections_max: usize,
    ) -> Result<Self, Error> {
        Self::new(Door::Public, listener, connections_max, None)
    }

    /// For an operator.
    ///
    /// # Errors
    /// When the reactor cannot register the listener.
    pub(super) fn admin(start: AdminStart) -> Result<Self, Error> {
        let admission = Admission::new(start.token);
        Self::new(
            Door::Admin,
            start.listener,
            ADMIN_CONNECTIONS_MAX,
            Some(admission),
        )
    }

    fn new(
        door: Door,
        listener: std::net::TcpListener,
        connections_max: usize,
        admission: Option<Admission>,
    ) -> Result<Self, Error> {
        Ok(Self {
            door,
            listener: TcpListener::from_std(listener)?,
            accepting: Cell::new(0),
            connections: Cell::new(0),
            connections_max,
            overload_answers: Cell::new(0),
            admission,
        })
    }

    /// Whether a request may be routed at all.
    ///
    /// # Errors
    /// 401 or 403, whatever is asked for.
    pub(super) fn check(&self, head: &RequestHead) -> Result<(), Error> {
        match &self.admission {
            Some(admission) => admission.check(head),
            None => Ok(()),
        }
    }

    /// Whether no operation on its listener or on a connection that is being
    /// refused is in flight.
    pub(super) fn is_quiet(&self) -> bool {
        self.accepting.get() == 0 && self.overload_answers.get() == 0
    }
}
