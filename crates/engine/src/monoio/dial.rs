//! Outgoing connections on the monoio reactor, as they are, or dressed as tokio's
//! `AsyncRead` and `AsyncWrite` for the protocol libraries that want them. No
//! tokio runtime is involved.

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::os::fd::{FromRawFd, IntoRawFd, OwnedFd};
use std::path::PathBuf;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use monoio::net::{TcpStream as ReactorStream, UnixStream as ReactorUnixStream};
use send_wrapper::SendWrapper;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::tcp::{Socket, StreamCloser, TcpStream};
use crate::unblock;
use corelane_proto::limits::{CLIENT_READ_BUFFER_BYTES, CLIENT_WRITE_BUFFER_BYTES};

/// Where to connect to.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Target {
    /// A host by name or address, and a TCP port.
    Tcp {
        /// `db.example`, `10.0.0.7`, `::1`.
        host: String,
        /// The port.
        port: u16,
    },
    /// The path of a Unix socket.
    Unix(PathBuf),
}

impl std::fmt::Display for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Tcp { host, port } if host.contains(':') => write!(f, "[{host}]:{port}"),
            Self::Tcp { host, port } => write!(f, "{host}:{port}"),
            Self::Unix(path) => write!(f, "{}", path.display()),
        }
    }
}

/// Connects from the current shard. A name is looked up on the blocking pool
/// and its addresses are tried in turn. May be dropped; put
/// [`timeout`](super::timeout) around it. When the runtime ends the connection
/// is closed, and on a shard that is ending this does not return: nothing would
/// close the connection any more.
///
/// A protocol library takes it as a [`ClientStream`]. The stream of a Unix socket
/// is of the same type: it only reads and writes.
///
/// # Errors
/// As getaddrinfo(3), socket(2) and connect(2); of several addresses the last
/// one's.
///
/// # Panics
/// When called on a thread that runs no [`super::Runtime`].
pub async fn connect(target: &Target) -> io::Result<TcpStream> {
    let dialled = match is_ending() {
        true => std::future::pending().await,
        false => dial(target).await,
    };
    if is_ending() {
        drop(dialled);
        return std::future::pending().await;
    }
    dialled.map(register)
}

/// Has the end of the runtime close it.
fn register(stream: ReactorStream) -> TcpStream {
    let stream = TcpStream::new(stream);
    CLIENTS.with_borrow_mut(|clients| {
        clients.retain(StreamCloser::is_open);
        clients.push(stream.closer());
    });
    stream
}

/// Whether this shard has closed the connections it had made: that one is gone
/// says nothing of who was at its other end.
pub fn is_ending() -> bool {
    IS_ENDING.get()
}

async fn dial(target: &Target) -> io::Result<ReactorStream> {
    match target {
        Target::Unix(path) => {
            let stream = ReactorUnixStream::connect(path).await?;
            // SAFETY: `into_raw_fd` gives up an open descriptor that nothing
            // else owns; connecting has ended, so no operation refers to it.
            let fd = unsafe { OwnedFd::from_raw_fd(stream.into_raw_fd()) };
            // The stream type only sends and receives on its descriptor, which
            // is the same for a Unix socket.
            ReactorStream::from_std(fd.into())
        }
        Target::Tcp { host, port } => {
            let mut failure = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
            for address in addresses(host, *port).await? {
                match ReactorStream::connect_addr(address).await {
                    Ok(stream) => {
                        stream.set_nodelay(true)?;
                        return Ok(stream);
                    }
                    Err(error) => failure = error,
                }
            }
            Err(failure)
        }
    }
}

async fn addresses(host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
    if let Ok(ip) = host.parse::<IpAddr>() {
        return Ok(vec![SocketAddr::new(ip, port)]);
    }
    let host = host.to_owned();
    let found = unblock(move || (host.as_str(), port).to_socket_addrs().map(Vec::from_iter)).await;
    found.map_err(|_| io::Error::other("the threads that look up names are busy"))?
}

/// A connection of this shard, as tokio's traits.
///
/// It satisfies `Send` bounds of libraries, but must be used and dropped on
/// the shard that made it.
///
/// # Panics
/// When it is used or dropped on another thread.
pub struct ClientStream {
    inner: SendWrapper<Inner>,
}

type Reading = Pin<Box<dyn Future<Output = (io::Result<usize>, Vec<u8>)>>>;
type Writing = Pin<Box<dyn Future<Output = (io::Result<()>, Vec<u8>)>>>;

struct Inner {
    socket: Rc<Socket>,
    /// Closes it when it is dropped.
    _stream: TcpStream,
    /// What was received and not yet taken begins at `taken`.
    input: Vec<u8>,
    taken: usize,
    reading: Option<Reading>,
    /// What is to be sent next; swapped with the buffer of a finished write.
    output: Vec<u8>,
    spare: Vec<u8>,
    writing: Option<Writing>,
}

thread_local! {
    /// Of this shard's connections, those that have ended not all taken out.
    static CLIENTS: RefCell<Vec<StreamCloser>> = const { RefCell::new(Vec::new()) };
    /// They have been closed, and no others are made: a task that finds its
    /// connection gone and makes another one would leave it open, because
    /// tasks of a dead shard may never be dropped.
    static IS_ENDING: Cell<bool> = const { Cell::new(false) };
}

/// A runtime begins on this thread.
pub(super) fn open_clients() {
    IS_ENDING.set(false);
}

/// Ends every connection that this thread has made, so that no operation on
/// them stays in flight, and makes no more.
pub(super) fn close_clients() {
    IS_ENDING.set(true);
    for client in CLIENTS.take() {
        client.shutdown();
    }
}

impl ClientStream {
    /// [`connect`], dressed.
    ///
    /// # Errors
    /// As of [`connect`].
    ///
    /// # Panics
    /// As [`connect`].
    pub async fn connect(target: &Target) -> io::Result<Self> {
        connect(target).await.map(Self::new)
    }

    /// Dresses a connection.
    pub fn new(stream: TcpStream) -> Self {
        Self {
            inner: SendWrapper::new(Inner {
                socket: stream.socket(),
                _stream: stream,
                input: Vec::new(),
                taken: 0,
                reading: None,
                output: Vec::new(),
                spare: Vec::new(),
                writing: None,
            }),
        }
    }
}

impl std::fmt::Debug for ClientStream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ClientStream").finish_non_exhaustive()
    }
}

impl AsyncRead for ClientStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.inner.poll_read(cx, buffer)
    }
}

impl AsyncWrite for ClientStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.inner.poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.inner.poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.inner.poll_flush(cx))?;
        self.inner.socket.shut(rustix::net::Shutdown::Write);
        Poll::Ready(Ok(()))
    }
}

impl Inner {
    fn poll_read(&mut self, cx: &mut Context<'_>, to: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.taken == self.input.len() {
            ready!(self.poll_receive(cx))?;
        }
        let waiting = &self.input[self.taken..];
        let count = waiting.len().min(to.remaining());
        to.put_slice(&waiting[..count]);
        self.taken += count;
        Poll::Ready(Ok(()))
    }

    /// Receives into the empty input; it stays empty at the end of the stream.
    fn poll_receive(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let reading = self.reading.get_or_insert_with(|| {
            let mut buffer = std::mem::take(&mut self.input);
            // What is polled again before it is done finds nothing to take.
            self.taken = 0;
            buffer.clear();
            buffer.reserve(CLIENT_READ_BUFFER_BYTES);
            let socket = self.socket.clone();
            Box::pin(async move { socket.receive(buffer).await })
        });
        let (result, buffer) = ready!(reading.as_mut().poll(cx));
        self.reading = None;
        self.input = buffer;
        self.taken = 0;
        Poll::Ready(result.map(drop))
    }

    fn poll_write(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        while self.output.len() >= CLIENT_WRITE_BUFFER_BYTES {
            ready!(self.poll_send(cx))?;
        }
        let room = CLIENT_WRITE_BUFFER_BYTES - self.output.len();
        let count = bytes.len().min(room);
        self.output.extend_from_slice(&bytes[..count]);
        Poll::Ready(Ok(count))
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.writing.is_some() || !self.output.is_empty() {
            ready!(self.poll_send(cx))?;
        }
        Poll::Ready(Ok(()))
    }

    /// Sends what is to be sent, one write at a time.
    fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let writing = self.writing.get_or_insert_with(|| {
            let spare = std::mem::take(&mut self.spare);
            let buffer = std::mem::replace(&mut self.output, spare);
            let socket = self.socket.clone();
            Box::pin(async move { socket.send_all(buffer, |_| ()).await })
        });
        let (result, mut buffer) = ready!(writing.as_mut().poll(cx));
        self.writing = None;
        buffer.clear();
        self.spare = buffer;
        Poll::Ready(result)
    }
}
