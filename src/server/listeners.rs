//! The listening sockets of a server, bound before any shard starts and kept
//! until it ends: a shard gets a duplicate, so its death closes none of them.

use std::io;
use std::net::{SocketAddr, TcpListener};

use super::{ServerOptions, StartError};
use crate::engine::{bind_alone_std, bind_std};
use crate::limits::ADMIN_BACKLOG;

/// Those of one shard.
#[derive(Debug)]
pub(super) struct ShardListeners {
    pub(super) public: TcpListener,
    /// Of shard 0, where the options ask for one.
    pub(super) admin: Option<TcpListener>,
}

impl ShardListeners {
    pub(super) fn try_clone(&self) -> io::Result<Self> {
        Ok(Self {
            public: self.public.try_clone()?,
            admin: self
                .admin
                .as_ref()
                .map(TcpListener::try_clone)
                .transpose()?,
        })
    }
}

/// Those of all shards, and where they are.
#[derive(Debug)]
pub(super) struct Listeners {
    pub(super) by_shard: Vec<ShardListeners>,
    pub(super) local_addr: SocketAddr,
    pub(super) admin_addr: Option<SocketAddr>,
}

impl Listeners {
    /// One public socket per shard on the same address, and the admin socket.
    pub(super) fn bind(options: &ServerOptions, count: usize) -> Result<Self, StartError> {
        let public = bind_all(options.listen, options.http.backlog, count)?;
        let local_addr = public[0].local_addr().map_err(StartError::Thread)?;
        let without_admin = |public| ShardListeners {
            public,
            admin: None,
        };
        let mut listeners = Self {
            by_shard: public.into_iter().map(without_admin).collect(),
            local_addr,
            admin_addr: None,
        };
        if let Some(admin) = &options.admin {
            let address = admin.listen;
            let failed = |source| StartError::AdminBind { address, source };
            // Without SO_REUSEPORT: no other process can share an operator's
            // requests.
            let socket = bind_alone_std(address, ADMIN_BACKLOG).map_err(failed)?;
            listeners.admin_addr = Some(socket.local_addr().map_err(StartError::Thread)?);
            listeners.by_shard[0].admin = Some(socket);
        }
        Ok(listeners)
    }
}

/// Whether [`Server::start`](super::Server::start) could listen on `address`
/// now; for programs with long work between reading their options and
/// starting.
///
/// # Errors
/// [`StartError::Bind`] as `start` would give it.
pub fn check_listen(address: SocketAddr) -> Result<(), StartError> {
    try_bind(address).map_err(|source| StartError::Bind { address, source })
}

/// As [`check_listen`], for the admin listener.
///
/// # Errors
/// [`StartError::AdminBind`] as `start` would give it.
pub fn check_admin_listen(address: SocketAddr) -> Result<(), StartError> {
    try_bind(address).map_err(|source| StartError::AdminBind { address, source })
}

/// Binds without SO_REUSEPORT and lets go again: fails if anybody already
/// listens, another corelane of the same user included, which would otherwise
/// share the port silently.
fn try_bind(address: SocketAddr) -> io::Result<()> {
    match address.port() {
        0 => Ok(()),
        _ => TcpListener::bind(address).map(drop),
    }
}

/// One listening socket per shard on the same address.
fn bind_all(
    address: SocketAddr,
    backlog: u32,
    count: usize,
) -> Result<Vec<TcpListener>, StartError> {
    let failed = |source| StartError::Bind { address, source };
    check_listen(address)?;
    let first = bind_std(address, backlog).map_err(failed)?;
    let address = first.local_addr().map_err(failed)?;
    let mut listeners = vec![first];
    while listeners.len() < count {
        listeners.push(bind_std(address, backlog).map_err(failed)?);
    }
    Ok(listeners)
}
