//! TCP connections on the monoio reactor.

mod halves;
mod sealed;

pub use halves::{ReadHalf, WriteHalf};

use std::cell::{Cell, UnsafeCell};
use std::future::{Future, poll_fn};
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, RawFd};
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;

use bytes::Bytes;
use monoio::buf::{IoBuf, IoBufMut};
use monoio::io::{AsyncReadRent, AsyncWriteRent};
use monoio::net::TcpStream as ReactorStream;
use rustix::ioctl;

use corelane_proto::limits::WRITE_BUFFER_KEEP_BYTES;

/// A connection. Reads and writes take and give back their buffers, because
/// the kernel owns them meanwhile.
pub struct TcpStream {
    /// A cell because a read and a write may be in flight at once.
    inner: UnsafeCell<ReactorStream>,
    link: Rc<Link>,
}

/// The descriptor while its stream lives; `None` afterwards, when the number
/// may already be somebody else's.
struct Link {
    fd: Cell<Option<RawFd>>,
}

/// Ends a connection from outside its task, as the sweep does with expired
/// ones: a pending read or write then completes.
#[derive(Clone)]
pub struct StreamCloser {
    link: Rc<Link>,
}

impl StreamCloser {
    /// shutdown(2) in both directions; nothing if the stream is gone.
    pub fn shutdown(&self) {
        self.shut(rustix::net::Shutdown::Both);
    }

    /// Whether the stream is still there.
    pub(super) fn is_open(&self) -> bool {
        self.link.fd.get().is_some()
    }

    /// Lets a pending read end, after what has already arrived; writing goes
    /// on.
    pub fn shutdown_read(&self) {
        self.shut(rustix::net::Shutdown::Read);
    }

    /// Bytes written that the client's system has not acknowledged; 0 if the
    /// stream is gone.
    pub fn unsent_bytes(&self) -> u64 {
        let Some(fd) = self.link.fd.get() else {
            return 0;
        };
        // SAFETY: as in `shut`; SIOCOUTQ writes one int to the place that
        // `Getter` provides.
        let unsent = unsafe {
            let fd = BorrowedFd::borrow_raw(fd);
            ioctl::ioctl(fd, ioctl::Getter::<SIOCOUTQ, std::ffi::c_int>::new())
        };
        unsent
            .ok()
            .and_then(|bytes| u64::try_from(bytes).ok())
            .unwrap_or(0)
    }

    fn shut(&self, how: rustix::net::Shutdown) {
        if let Some(fd) = self.link.fd.get() {
            // SAFETY: `fd` is cleared before the stream closes its descriptor,
            // and stream and closer live on one thread.
            let fd = unsafe { BorrowedFd::borrow_raw(fd) };
            let _ = rustix::net::shutdown(fd, how);
        }
    }
}

/// Of `linux/sockios.h`. Where the number is another one (MIPS, PowerPC,
/// SPARC) the call fails and the slow client is judged by our writes alone.
const SIOCOUTQ: ioctl::Opcode = 0x5411;

impl Drop for TcpStream {
    fn drop(&mut self) {
        self.link.fd.set(None);
    }
}

impl TcpStream {
    pub(super) fn new(stream: ReactorStream) -> Self {
        let fd = stream.as_raw_fd();
        Self {
            inner: UnsafeCell::new(stream),
            link: Rc::new(Link {
                fd: Cell::new(Some(fd)),
            }),
        }
    }

    /// A handle that can end this connection from another task of the shard.
    pub fn closer(&self) -> StreamCloser {
        StreamCloser {
            link: self.link.clone(),
        }
    }

    /// Reads into the spare capacity of `buffer`, which must not be full.
    /// `Ok(0)` is the end of the stream. Dropped while pending, it may lose
    /// bytes: only where the connection then closes.
    pub async fn read(&mut self, buffer: Vec<u8>) -> (io::Result<usize>, Vec<u8>) {
        self.receive_after(buffer).await
    }

    /// As [`read`](Self::read); see [`receive`](Self::receive).
    async fn receive_after(&self, buffer: Vec<u8>) -> (io::Result<usize>, Vec<u8>) {
        let filled = buffer.len();
        let capacity = buffer.capacity();
        debug_assert!(filled < capacity, "a read needs room");
        if filled == 0 {
            return self.start_read(buffer).await;
        }
        let (result, slice) = self.start_read(buffer.slice_mut(filled..capacity)).await;
        (result, slice.into_inner())
    }

    /// Waits until a read would not wait, without pinning a buffer.
    ///
    /// # Errors
    /// As poll(2).
    pub async fn readable(&mut self) -> io::Result<()> {
        self.inner.get_mut().readable(false).await
    }

    /// Writes all of `buffer` and gives it back. `on_progress` is told the
    /// bytes of every partial write.
    pub async fn write_all(
        &mut self,
        buffer: Vec<u8>,
        on_progress: impl Fn(usize),
    ) -> (io::Result<()>, Vec<u8>) {
        self.write_buffer(buffer, on_progress).await
    }

    /// Writes all of `bytes`, without copying them.
    ///
    /// # Errors
    /// As send(2).
    pub async fn write_all_bytes(
        &mut self,
        bytes: Bytes,
        on_progress: impl Fn(usize),
    ) -> io::Result<()> {
        self.write_buffer(bytes, on_progress).await.0
    }

    /// Writes all of `output` and meanwhile reads into `input`, which must be
    /// empty: the next request is waited for in the same turn that answers the
    /// last. Ends when both have ended; a failed write ends the read.
    pub async fn write_and_read(
        &mut self,
        output: Vec<u8>,
        input: Vec<u8>,
        on_progress: impl Fn(usize),
        on_written: impl FnOnce(),
    ) -> WrittenAndRead {
        debug_assert!(
            input.is_empty() && input.capacity() > 0,
            "a read needs room"
        );
        let sent = self.send_at_once(output.as_slice());
        if matches!(sent, Ok(n) if n == output.len()) {
            on_progress(output.len());
            on_written();
            // Who waits long need not keep what a long answer took.
            let is_large = output.capacity() > WRITE_BUFFER_KEEP_BYTES;
            let output = if is_large { Vec::new() } else { output };
            let (read, input) = self.start_read(input).await;
            return WrittenAndRead {
                written: Ok(()),
                output,
                read,
                input,
            };
        }
        let mut write = pin!(self.write_rest(sent, output, on_progress));
        let mut read = pin!(self.start_read(input));
        let mut on_written = Some(on_written);
        let mut written = None;
        let mut got = None;
        poll_fn(|cx| {
            if written.is_none()
                && let Poll::Ready(outcome) = write.as_mut().poll(cx)
            {
                if outcome.0.is_err() {
                    self.closer().shutdown();
                }
                written = Some(outcome);
                if let Some(tell) = on_written.take() {
                    tell();
                }
            }
            if got.is_none()
                && let Poll::Ready(outcome) = read.as_mut().poll(cx)
            {
                got = Some(outcome);
            }
            match (written.take(), got.take()) {
                (Some((written, output)), Some((read, input))) => Poll::Ready(WrittenAndRead {
                    written,
                    output,
                    read,
                    input,
                }),
                (one, other) => {
                    (written, got) = (one, other);
                    Poll::Pending
                }
            }
        })
        .await
    }

    async fn write_buffer<B: IoBuf>(
        &self,
        buffer: B,
        on_progress: impl Fn(usize),
    ) -> (io::Result<()>, B) {
        // SAFETY: `buffer` promises that so many bytes from there on are
        // initialised, and it is not touched while the slice lives.
        let bytes = unsafe { std::slice::from_raw_parts(buffer.read_ptr(), buffer.bytes_init()) };
        let sent = self.send_at_once(bytes);
        self.write_rest(sent, buffer, on_progress).await
    }

    /// Writes what `sent`, the outcome of the first attempt, has left.
    async fn write_rest<B: IoBuf>(
        &self,
        sent: io::Result<usize>,
        mut buffer: B,
        on_progress: impl Fn(usize),
    ) -> (io::Result<()>, B) {
        let total = buffer.bytes_init();
        let mut written = match sent {
            Ok(n) => n,
            Err(error) => return (Err(error), buffer),
        };
        if written > 0 {
            on_progress(written);
        }
        while written < total {
            let (result, slice) = self.start_write(buffer.slice(written..)).await;
            buffer = slice.into_inner();
            match check_write(result) {
                Ok(n) => {
                    written += n;
                    on_progress(n);
                }
                Err(error) => return (Err(error), buffer),
            }
        }
        (Ok(()), buffer)
    }

    /// Sends what the socket has room for, without waiting; often all of it.
    /// One send(2) costs less than an operation of the ring, its completion and
    /// the wake-up that follows, and the client has its answer before the turn
    /// is over.
    fn send_at_once(&self, bytes: &[u8]) -> io::Result<usize> {
        use rustix::net::{SendFlags, send};
        // SAFETY: the stream keeps its descriptor open during this call.
        let fd = unsafe { BorrowedFd::borrow_raw((*self.inner.get()).as_raw_fd()) };
        match send(fd, bytes, SendFlags::DONTWAIT | SendFlags::NOSIGNAL) {
            Ok(n) => Ok(n),
            Err(rustix::io::Errno::AGAIN | rustix::io::Errno::INTR) => Ok(0),
            Err(error) => Err(error.into()),
        }
    }

    /// Makes a read operation. One at a time: who calls it has `&mut self`, or
    /// is `receive`.
    fn start_read<B: IoBufMut>(&self, buffer: B) -> impl Future<Output = (io::Result<usize>, B)> {
        // SAFETY: the reference lives while the operation is made, which
        // clones the descriptor and does not call back; nothing else refers
        // to the stream meanwhile, on this one thread. That reads and writes
        // may be in flight at once is what monoio's `Split` for it promises.
        unsafe { (*self.inner.get()).read(buffer) }
    }

    /// Makes a write operation. One at a time: who calls it has `&mut self`, or
    /// is `send_all`.
    fn start_write<B: IoBuf>(&self, buffer: B) -> impl Future<Output = (io::Result<usize>, B)> {
        // SAFETY: as in `start_read`.
        unsafe { (*self.inner.get()).write(buffer) }
    }

    /// Says that nothing more will be written (FIN); reading goes on.
    pub fn finish_writing(&mut self) {
        self.shut_writing();
    }

    /// As [`finish_writing`](Self::finish_writing), through a shared reference.
    pub(super) fn shut_writing(&self) {
        self.closer().shut(rustix::net::Shutdown::Write);
    }

    /// Receives into the empty `buffer`. For an owner who has one receive and
    /// one send in flight at most, and each of them in a future of its own.
    pub(super) async fn receive(&self, buffer: Vec<u8>) -> (io::Result<usize>, Vec<u8>) {
        self.start_read(buffer).await
    }

    /// Sends all of `buffer`; see [`receive`](Self::receive).
    pub(super) async fn send_all(&self, buffer: Vec<u8>) -> (io::Result<()>, Vec<u8>) {
        self.write_buffer(buffer, |_| ()).await
    }
}

/// What came of [`TcpStream::write_and_read`], and the buffers.
pub struct WrittenAndRead {
    /// Whether all was written.
    pub written: io::Result<()>,
    /// What was written.
    pub output: Vec<u8>,
    /// As of [`TcpStream::read`].
    pub read: io::Result<usize>,
    /// What was read.
    pub input: Vec<u8>,
}

/// Zero bytes written is an error, an interrupted write is no progress.
fn check_write(result: io::Result<usize>) -> io::Result<usize> {
    match result {
        Ok(0) => Err(io::ErrorKind::WriteZero.into()),
        Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(0),
        other => other,
    }
}
