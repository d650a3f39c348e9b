//! The listening sockets of a server, bound or handed in before any shard starts
//! and kept until it ends: a shard gets a duplicate, so its death closes none of
//! them.

use std::io::{self, ErrorKind::AddrInUse};
use std::net::{SocketAddr, TcpListener};
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use super::{AdminOptions, ServerOptions, StartError};
use crate::engine::{Stop, adopt_std, bind_alone_std, bind_std};
use crate::limits::{ADMIN_BACKLOG, PORT_RETRY_MS, PORT_WAIT_MS};
use crate::shard::Sockets;

/// Those of one shard: one of them.
#[derive(Debug, Default)]
pub(super) struct ShardListeners {
    pub(super) public: Option<Sockets>,
    pub(super) admin: Option<Sockets>,
}

impl ShardListeners {
    pub(super) fn try_clone(&self) -> io::Result<Self> {
        Ok(Self {
            public: self.public.as_ref().map(Sockets::try_clone).transpose()?,
            admin: self.admin.as_ref().map(Sockets::try_clone).transpose()?,
        })
    }
}

/// Those of all shards, and where they are. The last is that of the admin
/// listener, where the server has one.
#[derive(Debug)]
pub(super) struct Listeners {
    pub(super) by_shard: Vec<ShardListeners>,
    pub(super) local_addr: SocketAddr,
    pub(super) admin_addr: Option<SocketAddr>,
}

/// Listening sockets that somebody else has bound.
#[derive(Debug, Default)]
pub(super) struct Inherited {
    pub(super) public: Vec<OwnedFd>,
    pub(super) admin: Option<OwnedFd>,
}

impl Inherited {
    pub(super) fn is_empty(&self) -> bool {
        self.public.is_empty() && self.admin.is_none()
    }
}

impl Listeners {
    /// What was handed in, and what is missing bound: one public socket per
    /// shard on the same address, and the admin socket.
    pub(super) fn open(
        options: &ServerOptions,
        inherited: Inherited,
        count: usize,
    ) -> Result<Self, StartError> {
        let public = match inherited.public.is_empty() {
            true => bind_all(options.listen, options.http.backlog, count)?,
            false => adopt_all(inherited.public, count)?,
        };
        let first = &public[0].listeners[0];
        let local_addr = first.local_addr().map_err(StartError::Thread)?;
        let of_shard = |public| ShardListeners {
            public: Some(public),
            admin: None,
        };
        let mut listeners = Self {
            by_shard: public.into_iter().map(of_shard).collect(),
            local_addr,
            admin_addr: None,
        };
        if let Some((admin, address)) = open_admin(options, inherited.admin, local_addr)? {
            listeners.admin_addr = Some(address);
            listeners.by_shard.push(ShardListeners {
                public: None,
                admin: Some(admin),
            });
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
/// share the port silently. Waits [`PORT_WAIT_MS`] for one that is going.
fn try_bind(address: SocketAddr) -> io::Result<()> {
    match address.port() {
        0 => Ok(()),
        _ => patiently(|| TcpListener::bind(address)).map(drop),
    }
}

/// Tries again while the port is taken, for a while: the ring of a process that
/// was killed lets go of its listener some milliseconds after its end.
fn patiently<T>(bind: impl Fn() -> io::Result<T>) -> io::Result<T> {
    let deadline = Instant::now() + Duration::from_millis(PORT_WAIT_MS);
    loop {
        match bind() {
            Err(error) if error.kind() == AddrInUse && Instant::now() < deadline => {
                std::thread::sleep(Duration::from_millis(PORT_RETRY_MS));
            }
            result => return result,
        }
    }
}

/// One listening socket per shard on the same address.
fn bind_all(address: SocketAddr, backlog: u32, count: usize) -> Result<Vec<Sockets>, StartError> {
    let failed = |source| StartError::Bind { address, source };
    check_listen(address)?;
    let first = patiently(|| bind_std(address, backlog)).map_err(failed)?;
    let address = first.local_addr().map_err(failed)?;
    let mut listeners = vec![bound(first)];
    while listeners.len() < count {
        listeners.push(bound(bind_std(address, backlog).map_err(failed)?));
    }
    Ok(listeners)
}

/// Every socket has a shard, because connections would wait for ever in the
/// queue of one that has none; and every shard has a socket, which it shares with
/// others where there are too few.
fn adopt_all(sockets: Vec<OwnedFd>, count: usize) -> Result<Vec<Sockets>, StartError> {
    let adopt = |(index, socket)| {
        let adopted = adopt_std(socket);
        adopted.map_err(|source| StartError::Adopt { index, source })
    };
    let sockets = sockets.into_iter().enumerate().map(adopt);
    let sockets = sockets.collect::<Result<Vec<_>, _>>()?;
    let mut by_shard: Vec<Sockets> = (0..count).map(|_| adopted(Vec::new())).collect();
    for turn in 0..count.max(sockets.len()) {
        let socket = sockets[turn % sockets.len()].try_clone();
        let socket = socket.map_err(StartError::Thread)?;
        by_shard[turn % count].listeners.push(socket);
    }
    Ok(by_shard)
}

fn open_admin(
    options: &ServerOptions,
    inherited: Option<OwnedFd>,
    public: SocketAddr,
) -> Result<Option<(Sockets, SocketAddr)>, StartError> {
    let sockets = match (&options.admin, inherited) {
        (_, Some(socket)) => adopted(vec![adopt_std(socket).map_err(StartError::AdoptAdmin)?]),
        (Some(admin), None) => bind_admin(admin.listen)?,
        (None, None) => return Ok(None),
    };
    let listen = sockets.listeners[0].local_addr();
    let listen = listen.map_err(StartError::Thread)?;
    let token = options.admin.as_ref().and_then(|admin| admin.token.clone());
    // What can be reached from elsewhere is told by the socket, not by the options.
    let admin = AdminOptions { listen, token };
    admin.check(public).map_err(StartError::Admin)?;
    Ok(Some((sockets, listen)))
}

fn bind_admin(address: SocketAddr) -> Result<Sockets, StartError> {
    let failed = |source| StartError::AdminBind { address, source };
    // Without SO_REUSEPORT: no other process can share an operator's requests.
    Ok(bound(
        patiently(|| bind_alone_std(address, ADMIN_BACKLOG)).map_err(failed)?,
    ))
}

/// This server's own: they end with it.
fn bound(listener: TcpListener) -> Sockets {
    Sockets {
        listeners: vec![listener],
        stop: Stop::Close,
    }
}

/// Whoever handed them in goes on with them.
fn adopted(listeners: Vec<TcpListener>) -> Sockets {
    Sockets {
        listeners,
        stop: Stop::HandOver,
    }
}
