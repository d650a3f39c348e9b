//! TCP connections on the monoio reactor: a socket, the two halves of it, and
//! what ends it from outside.

mod receiver;
mod sealed;
mod sender;

pub use receiver::Receiver;
pub use sender::Sender;

use std::cell::{Cell, UnsafeCell};
use std::future::Future;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, RawFd};
use std::rc::Rc;

use monoio::buf::{IoBuf, IoBufMut};
use monoio::io::{AsyncReadRent, AsyncWriteRent};
use monoio::net::TcpStream as ReactorStream;
use rustix::ioctl;

/// A connection, not yet taken apart.
pub struct TcpStream {
    receiver: Receiver,
    sender: Sender,
}

impl TcpStream {
    pub(super) fn new(stream: ReactorStream) -> Self {
        let socket = Rc::new(Socket {
            fd: Cell::new(stream.as_raw_fd()),
            stream: UnsafeCell::new(Some(stream)),
            halves: Cell::new(2),
        });
        Self {
            receiver: Receiver::new(socket.clone()),
            sender: Sender::new(socket),
        }
    }

    /// A half that receives and one that sends; neither waits for the other.
    pub fn into_halves(self) -> (Receiver, Sender) {
        (self.receiver, self.sender)
    }

    /// A handle that can end this connection from another task of the shard.
    pub fn closer(&self) -> StreamCloser {
        self.sender.closer()
    }

    pub(super) fn socket(&self) -> Rc<Socket> {
        self.sender.socket.clone()
    }
}

/// What the halves of a connection and its closers share.
pub(super) struct Socket {
    /// While one of the halves lives. A cell because a receive and a send may
    /// be in flight at once.
    stream: UnsafeCell<Option<ReactorStream>>,
    /// Its descriptor; [`CLOSED`] when the number may already be somebody
    /// else's.
    fd: Cell<RawFd>,
    halves: Cell<u8>,
}

impl Socket {
    /// One half is gone; with the last one the connection is closed.
    fn leave(&self) {
        self.halves.set(self.halves.get() - 1);
        if self.halves.get() == 0 {
            self.fd.set(CLOSED);
            // SAFETY: references to the stream live only within the functions
            // of this type, on this one thread, and none of them drops a half.
            drop(unsafe { (*self.stream.get()).take() });
        }
    }

    /// Makes a receive. One at a time: who calls it has `&mut` of the
    /// [`Receiver`], or of what it is dressed in.
    pub(super) fn receive<B: IoBufMut>(
        &self,
        buffer: B,
    ) -> impl Future<Output = (io::Result<usize>, B)> {
        // SAFETY: the reference lives while the operation is made, which
        // clones the descriptor and does not call back; nothing else refers
        // to the stream meanwhile, on this one thread. That a receive and a
        // send may be in flight at once is what monoio's `Split` promises.
        let stream = unsafe { (*self.stream.get()).as_mut() };
        stream.expect("a half that receives").read(buffer)
    }

    /// Makes a send. One at a time, as [`receive`](Self::receive).
    fn send<B: IoBuf>(&self, buffer: B) -> impl Future<Output = (io::Result<usize>, B)> {
        // SAFETY: as in `receive`.
        let stream = unsafe { (*self.stream.get()).as_mut() };
        stream.expect("a half that sends").write(buffer)
    }

    /// Until a receive would not wait.
    async fn readable(&self) -> io::Result<()> {
        // SAFETY: as in `receive`; the poll refers to the descriptor alone.
        let stream = unsafe { (*self.stream.get()).as_ref() };
        stream.expect("a half that receives").readable(false).await
    }

    /// Until a send would not wait.
    async fn writable(&self) -> io::Result<()> {
        // SAFETY: as in `readable`.
        let stream = unsafe { (*self.stream.get()).as_ref() };
        stream.expect("a half that sends").writable(false).await
    }

    /// The descriptor, while there is one.
    fn fd(&self) -> Option<BorrowedFd<'_>> {
        // SAFETY: the number is cleared before the stream closes its
        // descriptor, and all who have the socket are on one thread.
        let borrow = |fd| unsafe { BorrowedFd::borrow_raw(fd) };
        (self.fd.get() != CLOSED).then(|| borrow(self.fd.get()))
    }

    pub(super) fn shut(&self, how: rustix::net::Shutdown) {
        if let Some(fd) = self.fd() {
            let _ = rustix::net::shutdown(fd, how);
        }
    }
}

const CLOSED: RawFd = -1;

/// Ends a connection from outside its task, as the sweep does with expired
/// ones: a pending receive or send then completes.
#[derive(Clone)]
pub struct StreamCloser {
    socket: Rc<Socket>,
}

impl StreamCloser {
    /// shutdown(2) in both directions; nothing if the connection is gone.
    pub fn shutdown(&self) {
        self.socket.shut(rustix::net::Shutdown::Both);
    }

    /// Whether the connection is still there.
    pub(super) fn is_open(&self) -> bool {
        self.socket.fd.get() != CLOSED
    }

    /// Lets a pending receive end, after what has already arrived; sending
    /// goes on.
    pub fn shutdown_read(&self) {
        self.socket.shut(rustix::net::Shutdown::Read);
    }

    /// Says that nothing more will be sent (FIN); receiving goes on.
    pub fn shutdown_write(&self) {
        self.socket.shut(rustix::net::Shutdown::Write);
    }

    /// Bytes sent that the client's system has not acknowledged; 0 if the
    /// connection is gone.
    pub fn unsent_bytes(&self) -> u64 {
        let Some(fd) = self.socket.fd() else {
            return 0;
        };
        // SAFETY: SIOCOUTQ writes one int to the place that `Getter` provides.
        let unsent = unsafe { ioctl::ioctl(fd, ioctl::Getter::<SIOCOUTQ, std::ffi::c_int>::new()) };
        unsent
            .ok()
            .and_then(|bytes| u64::try_from(bytes).ok())
            .unwrap_or(0)
    }
}

/// Of `linux/sockios.h`. Where the number is another one (MIPS, PowerPC,
/// SPARC) the call fails and the slow client is judged by our writes alone.
const SIOCOUTQ: ioctl::Opcode = 0x5411;
