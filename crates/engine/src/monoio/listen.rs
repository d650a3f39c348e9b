//! Listening sockets on the monoio reactor: bound or handed in, accepted from,
//! and given up in one of two ways.
//!
//! The open socket may be somebody else's too: another shard's, another
//! process's, a successor's. So its O_NONBLOCK flag is theirs as well. epoll
//! needs it and sets it once; the ring takes the socket as it is, at any time.

use std::cell::{Cell, RefCell};
use std::future::{Future, poll_fn};
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;
use std::time::{Duration, Instant};

use monoio::io::{CancelHandle, Canceller};
use monoio::net::{TcpListener as ReactorListener, TcpStream as ReactorStream};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType, ipproto, sockopt};

use super::tcp::TcpStream;
use super::{sleep, spawn_local, timeout, yield_now};
use crate::{LocalEvent, NotListening};
use corelane_proto::limits::{
    ACCEPT_PAUSE_MS, ACCEPTS_IN_FLIGHT_MAX, ACCEPTS_PER_TURN_MAX, LISTENER_STOP_MS_MAX,
    LISTENER_STOP_RETRY_MS,
};

/// A listening socket at work on one shard. It is given up by
/// [`stop`](Self::stop), not by dropping it: accepts in flight would go on
/// taking connections.
pub struct Listener {
    socket: Rc<ListeningSocket>,
}

/// How a listener ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stop {
    /// For everybody who holds the socket: what waits in its queue is accepted,
    /// then it refuses.
    Close,
    /// For this shard alone: neither the socket nor its flags are touched, and
    /// who else holds it goes on accepting.
    HandOver,
    /// As a hand-over, of a shard that can serve nobody any more: it leaves in the
    /// queue what it can, and whoever runs a listener on the socket next finds it.
    Leave,
}

impl Listener {
    /// Takes over a listening socket, of [`bind_std`] or [`adopt_std`]. Call it
    /// on the shard.
    ///
    /// # Errors
    /// When the reactor cannot register it.
    pub fn from_std(listener: std::net::TcpListener) -> io::Result<Self> {
        if monoio::utils::is_legacy() && !is_nonblocking(&listener)? {
            listener.set_nonblocking(true)?;
        }
        Ok(Self {
            socket: Rc::new(ListeningSocket {
                inner: ReactorListener::from_std(listener)?,
                canceller: RefCell::default(),
                accepting: Cell::new(0),
                stop: Cell::new(None),
                stopping: LocalEvent::default(),
                ended: LocalEvent::default(),
                is_polled: Cell::new(false),
            }),
        })
    }

    /// Starts accepting; returns at once. Every connection goes to `on_accept`,
    /// and so does every error that makes accepting pause for
    /// [`ACCEPT_PAUSE_MS`], for lack of descriptors or memory as a rule; errors
    /// of one connection are skipped. Once in a listener's life.
    pub fn run<F>(&self, on_accept: F)
    where
        F: Fn(io::Result<(TcpStream, SocketAddr)>) + 'static,
    {
        debug_assert!(self.is_quiet() && self.socket.stop.get().is_none());
        // The ring takes as many connections in one turn of the shard as there
        // are accepts in flight. Under epoll a second waiter would take the
        // place of the first.
        let count = match monoio::utils::is_legacy() {
            true => 1,
            false => ACCEPTS_IN_FLIGHT_MAX,
        };
        let on_accept = Rc::new(on_accept);
        self.socket.accepting.set(count);
        for _ in 0..count {
            spawn_local(self.socket.clone().accept_until_stopped(on_accept.clone()));
        }
    }

    /// Accepts no more, and waits until no accept is in flight. What the last
    /// ones bring, and with [`Stop::Close`] what waits in the queue, goes to
    /// `on_accept` before it returns. `false` if accepts are left after
    /// [`LISTENER_STOP_MS_MAX`]. Dropped early it goes on by itself.
    ///
    /// A listener that was handed over may be closed afterwards; what waits is
    /// then reset.
    pub async fn stop(&self, how: Stop) -> bool {
        let socket = &self.socket;
        if socket.stop.get() != Some(Stop::Close) {
            socket.stop.set(Some(how));
        }
        let deadline = Instant::now() + Duration::from_millis(LISTENER_STOP_MS_MAX);
        while !self.is_quiet() && Instant::now() < deadline {
            socket.cancel();
            let retry = Duration::from_millis(LISTENER_STOP_RETRY_MS);
            let _ = timeout(retry, socket.ended.wait()).await;
        }
        if how == Stop::Close {
            socket.shut();
        }
        self.is_quiet()
    }

    /// Whether no accept is in flight.
    pub fn is_quiet(&self) -> bool {
        self.socket.accepting.get() == 0
    }

    /// The bound address, with the port the kernel chose.
    ///
    /// # Errors
    /// As getsockname(2).
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.socket.inner.local_addr()
    }
}

struct ListeningSocket {
    inner: ReactorListener,
    /// Of the accepts in flight.
    canceller: RefCell<Canceller>,
    /// Accept tasks that have not ended.
    accepting: Cell<usize>,
    /// Set by `stop`, never taken back.
    stop: Cell<Option<Stop>>,
    /// Told by `stop`; who polls waits for it.
    stopping: LocalEvent,
    /// Told by every accept task that ends; `stop` waits for it.
    ended: LocalEvent,
    /// One task alone polls and accepts; set for good when an accept would not
    /// wait.
    is_polled: Cell<bool>,
}

impl ListeningSocket {
    /// Nothing races an accept: a connection accepted into a dropped future
    /// would be lost.
    async fn accept_until_stopped<F>(self: Rc<Self>, on_accept: Rc<F>)
    where
        F: Fn(io::Result<(TcpStream, SocketAddr)>) + 'static,
    {
        let mut accepted = 0u32;
        let mut polls = false;
        while self.stop.get().is_none() {
            let handle = self.canceller.borrow().handle();
            match self.accept(handle).await {
                Ok(connection) => {
                    on_accept(Ok(connection));
                    accepted = accepted.wrapping_add(1);
                    if accepted.is_multiple_of(ACCEPTS_PER_TURN_MAX) {
                        yield_now().await;
                    }
                }
                Err(_) if self.stop.get().is_some() => {}
                Err(error) => match Errno::from_io_error(&error) {
                    Some(Errno::CONNABORTED | Errno::INTR | Errno::PROTO) => {}
                    // The ring does not wait on a nonblocking socket. One task
                    // is enough to poll it.
                    Some(Errno::AGAIN) => {
                        if !polls && self.is_polled.replace(true) {
                            break;
                        }
                        polls = true;
                        self.wait_for_connection().await;
                    }
                    _ => {
                        on_accept(Err(error));
                        sleep(Duration::from_millis(ACCEPT_PAUSE_MS)).await;
                    }
                },
            }
        }
        if self.accepting.get() == 1 {
            self.finish(&*on_accept).await;
        }
        self.accepting.set(self.accepting.get() - 1);
        self.ended.notify();
    }

    async fn accept(&self, handle: CancelHandle) -> io::Result<(TcpStream, SocketAddr)> {
        let (stream, peer) = self.inner.cancelable_accept(handle).await?;
        // monoio's io_uring accept leaves it out; a child would inherit it.
        if !monoio::utils::is_legacy() {
            // SAFETY: `stream` keeps the descriptor open during this call.
            let fd = unsafe { BorrowedFd::borrow_raw(stream.as_raw_fd()) };
            let _ = rustix::io::fcntl_setfd(fd, rustix::io::FdFlags::CLOEXEC);
        }
        Ok((TcpStream::new(stream), peer))
    }

    /// Until a connection waits, or the listener stops. A poll takes nothing,
    /// so dropping it loses nothing.
    async fn wait_for_connection(&self) {
        let mut readable = pin!(self.inner.readable(true));
        let mut stopping = pin!(self.stopping.wait());
        poll_fn(|cx| {
            let is_over = stopping.as_mut().poll(cx).is_ready();
            match is_over || readable.as_mut().poll(cx).is_ready() {
                true => Poll::Ready(()),
                false => Poll::Pending,
            }
        })
        .await;
    }

    /// Makes every accept in flight return, with ECANCELED or with the
    /// connection that came first.
    fn cancel(&self) {
        let canceller = self.canceller.take();
        self.canceller.replace(canceller.cancel());
        self.stopping.notify();
    }

    /// The last accept has ended.
    async fn finish<F>(&self, on_accept: &F)
    where
        F: Fn(io::Result<(TcpStream, SocketAddr)>),
    {
        match self.stop.get() {
            Some(Stop::Close) => {
                for connection in self.accept_waiting() {
                    on_accept(Ok(connection));
                }
                self.shut();
            }
            Some(Stop::HandOver) => self.accept_unannounced(on_accept).await,
            Some(Stop::Leave) | None => {}
        }
    }

    /// The kernel tells one waiting ring of a new connection, whoever's it is.
    /// If that one's accept was just being cancelled, nobody else has heard of
    /// the connection: it is ours. At most one for every accept there was.
    async fn accept_unannounced<F>(&self, on_accept: &F)
    where
        F: Fn(io::Result<(TcpStream, SocketAddr)>),
    {
        if monoio::utils::is_legacy() {
            return;
        }
        for _ in 0..ACCEPTS_IN_FLIGHT_MAX {
            if !self.has_waiting() {
                return;
            }
            let canceller = Canceller::new();
            let mut accept = pin!(self.accept(canceller.handle()));
            // Its first poll puts it into the ring, where it is tried before
            // the cancellation that follows.
            let first = poll_fn(|cx| Poll::Ready(accept.as_mut().poll(cx))).await;
            let accepted = match first {
                Poll::Ready(accepted) => accepted,
                Poll::Pending => {
                    let _canceller = canceller.cancel();
                    accept.await
                }
            };
            // Else somebody was quicker.
            if accepted.is_ok() {
                on_accept(accepted);
            }
        }
    }

    /// Whether a connection waits to be accepted.
    fn has_waiting(&self) -> bool {
        let mut polled = [PollFd::from_borrowed_fd(self.fd(), PollFlags::IN)];
        let at_once = Timespec::default();
        poll(&mut polled, Some(&at_once)).is_ok_and(|ready| ready > 0)
    }

    /// Takes the connections that wait to be accepted, and waits for no more,
    /// before the socket is shut, which would reset them.
    fn accept_waiting(&self) -> Vec<(TcpStream, SocketAddr)> {
        let fd = self.fd();
        let mut waiting = Vec::new();
        if rustix::io::ioctl_fionbio(fd, true).is_err() {
            return waiting;
        }
        while let Ok(accepted) = rustix::net::accept_with(fd, SocketFlags::CLOEXEC) {
            let stream = std::net::TcpStream::from(accepted);
            let registered = stream.peer_addr().and_then(|peer| {
                stream.set_nonblocking(monoio::utils::is_legacy())?;
                Ok((TcpStream::new(ReactorStream::from_std(stream)?), peer))
            });
            waiting.extend(registered);
        }
        waiting
    }

    /// Ends the socket for everybody who holds it.
    fn shut(&self) {
        let _ = rustix::net::shutdown(self.fd(), rustix::net::Shutdown::Both);
    }

    fn fd(&self) -> BorrowedFd<'_> {
        // SAFETY: `self.inner` keeps the descriptor open as long as `self`.
        unsafe { BorrowedFd::borrow_raw(self.inner.as_raw_fd()) }
    }
}

/// Binds with SO_REUSEPORT, SO_REUSEADDR and TCP_NODELAY, which accepted
/// sockets inherit on Linux.
///
/// # Errors
/// As bind(2) and listen(2).
pub fn bind_std(address: SocketAddr, backlog: u32) -> io::Result<std::net::TcpListener> {
    bind(address, backlog, true)
}

/// As [`bind_std`] without SO_REUSEPORT: nobody else can listen there too.
///
/// # Errors
/// As bind(2) and listen(2).
pub fn bind_alone_std(address: SocketAddr, backlog: u32) -> io::Result<std::net::TcpListener> {
    bind(address, backlog, false)
}

fn bind(address: SocketAddr, backlog: u32, reuse_port: bool) -> io::Result<std::net::TcpListener> {
    use socket2::{Domain, Protocol, Socket, Type};
    let socket = Socket::new(
        Domain::for_address(address),
        Type::STREAM,
        Some(Protocol::TCP),
    )?;
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(reuse_port)?;
    socket.set_tcp_nodelay(true)?;
    socket.bind(&address.into())?;
    socket.listen(i32::try_from(backlog).unwrap_or(i32::MAX))?;
    Ok(socket.into())
}

/// Takes a socket that somebody else has bound: it must be TCP and listening.
/// Sets CLOEXEC on this descriptor, and TCP_NODELAY, which accepted sockets
/// inherit.
///
/// # Errors
/// [`NotListening`]; the descriptor is closed.
pub fn adopt_std(socket: OwnedFd) -> Result<std::net::TcpListener, NotListening> {
    let kind = sockopt::socket_type(&socket).map_err(|error| match error {
        Errno::NOTSOCK => NotListening::NoSocket,
        error => NotListening::Io(error.into()),
    })?;
    let io = |error: Errno| NotListening::Io(error.into());
    let family = sockopt::socket_domain(&socket).map_err(io)?;
    let is_internet = matches!(family, AddressFamily::INET | AddressFamily::INET6);
    let is_tcp = sockopt::socket_protocol(&socket).map_err(io)? == Some(ipproto::TCP);
    if kind != SocketType::STREAM || !is_internet || !is_tcp {
        return Err(NotListening::NotTcp);
    }
    if !sockopt::socket_acceptconn(&socket).map_err(io)? {
        return Err(NotListening::Silent);
    }
    rustix::io::fcntl_setfd(&socket, rustix::io::FdFlags::CLOEXEC).map_err(io)?;
    sockopt::set_tcp_nodelay(&socket, true).map_err(io)?;
    Ok(socket.into())
}

fn is_nonblocking(listener: &std::net::TcpListener) -> io::Result<bool> {
    let flags = rustix::fs::fcntl_getfl(listener)?;
    Ok(flags.contains(rustix::fs::OFlags::NONBLOCK))
}
