//! Where a shard lets connections in, and those that came in there.
//!
//! Every shard has a public listener, but for one that has the admin listener
//! instead: a thread of its own, so that an operator gets in whatever blocks the
//! others. Both listeners run the same code, each with a limit of its own.

use std::cell::Cell;
use std::io;
use std::net::TcpListener;

use corelane_proto::http::RequestHead;

use super::admin_auth::AdminAuthorization;
use crate::Error;
use crate::app::ListenerKind;
use crate::engine::{Listener, Stop};
use crate::limits::ADMIN_CONNECTIONS_MAX;

/// What the admin listener is built from.
pub(crate) struct AdminStart {
    pub(crate) sockets: Sockets,
    /// Whoever knows it may come in; without one, whoever is on this machine.
    pub(crate) token: Option<String>,
}

/// Listening sockets, and whether a drain ends them for others too.
#[derive(Debug)]
pub(crate) struct Sockets {
    pub(crate) listeners: Vec<TcpListener>,
    pub(crate) stop: Stop,
}

impl Sockets {
    /// The same open sockets once more.
    pub(crate) fn try_clone(&self) -> io::Result<Self> {
        let listeners = self.listeners.iter().map(TcpListener::try_clone);
        Ok(Self {
            listeners: listeners.collect::<io::Result<_>>()?,
            stop: self.stop,
        })
    }
}

/// One of a shard's listeners at work.
pub(super) struct ShardListener {
    pub(super) kind: ListenerKind,
    /// One as a rule; more where a shard has a part of those handed in.
    pub(super) sockets: Vec<Listener>,
    /// What a drain does with them.
    pub(super) stop: Stop,
    /// Connections that came in here and have not ended.
    pub(super) connections: Cell<usize>,
    pub(super) connections_max: usize,
    /// Connections over the limit that are being told so.
    pub(super) overload_answers: Cell<usize>,
    /// Asked for every request; `None` lets everybody in.
    authorization: Option<AdminAuthorization>,
}

impl ShardListener {
    /// For everybody.
    ///
    /// # Errors
    /// When the reactor cannot register a listener.
    pub(super) fn public(sockets: Sockets, connections_max: usize) -> Result<Self, Error> {
        Self::new(ListenerKind::Public, sockets, connections_max, None)
    }

    /// For an operator.
    ///
    /// # Errors
    /// When the reactor cannot register a listener.
    pub(super) fn admin(start: AdminStart) -> Result<Self, Error> {
        let authorization = AdminAuthorization::new(start.token);
        Self::new(
            ListenerKind::Admin,
            start.sockets,
            ADMIN_CONNECTIONS_MAX,
            Some(authorization),
        )
    }

    fn new(
        kind: ListenerKind,
        sockets: Sockets,
        connections_max: usize,
        authorization: Option<AdminAuthorization>,
    ) -> Result<Self, Error> {
        let listeners = sockets.listeners.into_iter().map(Listener::from_std);
        Ok(Self {
            kind,
            sockets: listeners.collect::<io::Result<_>>()?,
            stop: sockets.stop,
            connections: Cell::new(0),
            connections_max,
            overload_answers: Cell::new(0),
            authorization,
        })
    }

    /// Whether a request may be routed at all.
    ///
    /// # Errors
    /// 401 or 403, whatever is asked for.
    pub(super) fn check(&self, head: &RequestHead) -> Result<(), Error> {
        match &self.authorization {
            Some(authorization) => authorization.check(head),
            None => Ok(()),
        }
    }

    /// Lets nobody in any more. Who came before it returns is in.
    pub(super) async fn stop_accepting(&self, how: Stop) {
        for socket in &self.sockets {
            socket.stop(how).await;
        }
    }

    /// Whether no operation on its listeners or on a connection that is being
    /// refused is in flight.
    pub(super) fn is_quiet(&self) -> bool {
        self.sockets.iter().all(Listener::is_quiet) && self.overload_answers.get() == 0
    }
}
