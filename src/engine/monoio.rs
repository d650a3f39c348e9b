//! The monoio reactor behind the seam: its io_uring driver and its epoll
//! driver, built explicitly. This folder alone names monoio.
#![allow(unsafe_code)]

mod file;

pub use file::File;

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, BorrowedFd, RawFd};
use std::rc::Rc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use monoio::buf::{IoBuf, IoBufMut};
use monoio::io::{AsyncReadRent, AsyncWriteRent, Canceller};
use monoio::net::{TcpListener as ReactorListener, TcpStream as ReactorStream};
use monoio::time::TimeDriver;
use monoio::{IoUringDriver, LegacyDriver, RuntimeBuilder};
use rustix::ioctl;

use super::remote::{Port, Pumped};
use super::{BlockingPool, BuildError, Elapsed, EngineKind, EngineOptions};

/// One shard's event loop. Lives and dies on the thread that built it.
pub struct Runtime {
    driver: Driver,
    port: Rc<Port>,
    bell: Option<std::os::unix::net::UnixStream>,
    pool: BlockingPool,
}

enum Driver {
    IoUring(monoio::Runtime<TimeDriver<IoUringDriver>>),
    Epoll(monoio::Runtime<TimeDriver<LegacyDriver>>),
}

impl Runtime {
    /// Builds the runtime that `options` asks for, never another one.
    ///
    /// Rings of processes that have just exited are given back late, so a lack
    /// of locked memory is retried for a second.
    ///
    /// # Errors
    /// See [`BuildError`]; each says what the operator can do.
    pub fn build(options: &EngineOptions, pool: BlockingPool) -> Result<Self, BuildError> {
        let driver = match options.kind {
            EngineKind::IoUring => Driver::IoUring(build_io_uring(options.ring_entries)?),
            EngineKind::Epoll => Driver::Epoll(
                RuntimeBuilder::<LegacyDriver>::new()
                    .with_entries(options.ring_entries)
                    .enable_timer()
                    .build()
                    .map_err(BuildError::Io)?,
            ),
        };
        let (port, bell) = Port::new().map_err(BuildError::Io)?;
        if options.kind == EngineKind::Epoll {
            bell.set_nonblocking(true).map_err(BuildError::Io)?;
        }
        Ok(Self {
            driver,
            port,
            bell: Some(bell),
            pool,
        })
    }

    /// Runs `future` and everything it spawns until `future` is done. May be
    /// called again: tasks that were left go on.
    pub fn block_on<F: Future>(&mut self, future: F) -> F::Output {
        let _port = self.port.enter();
        self.pool.enter();
        let pump = self.bell.take().map(|bell| (bell, self.port.clone()));
        let main = async move {
            if let Some((bell, port)) = pump {
                let bell = monoio::net::UnixStream::from_std(bell).expect("a registered doorbell");
                monoio::spawn(pump_arrivals(bell, port));
            }
            future.await
        };
        match &mut self.driver {
            Driver::IoUring(runtime) => runtime.block_on(main),
            Driver::Epoll(runtime) => runtime.block_on(main),
        }
    }

    /// Frees the runtime after its own operations have ended. Every task that
    /// reads, writes or accepts must have ended before.
    pub fn shutdown(mut self) {
        let port = self.port.clone();
        self.block_on(async move {
            port.close();
            // Operations that were cancelled complete within a moment.
            sleep(SETTLE).await;
        });
    }

    /// Leaks the runtime with whatever operations it still has in flight. A
    /// ring is torn down by the kernel some time after it is closed; freeing
    /// the buffers of unfinished operations before that would let the kernel
    /// write into freed memory.
    pub fn abandon(self) {
        std::mem::forget(self);
    }
}

/// What the reactor gets to complete cancelled operations before its memory
/// is freed.
const SETTLE: Duration = Duration::from_millis(20);

fn build_io_uring(entries: u32) -> Result<monoio::Runtime<TimeDriver<IoUringDriver>>, BuildError> {
    let deadline = Instant::now() + Duration::from_secs(1);
    loop {
        let mut flags = io_uring::IoUring::builder();
        flags
            .setup_single_issuer()
            .setup_coop_taskrun()
            .setup_taskrun_flag();
        let built = RuntimeBuilder::<IoUringDriver>::new()
            .uring_builder(flags)
            .with_entries(entries)
            .enable_timer()
            .build();
        let error = match built {
            Ok(runtime) => return Ok(runtime),
            Err(error) => error,
        };
        match rustix::io::Errno::from_io_error(&error) {
            Some(rustix::io::Errno::NOMEM) if Instant::now() < deadline => {
                std::thread::sleep(Duration::from_millis(50));
            }
            Some(rustix::io::Errno::NOMEM) => {
                let limit = rustix::process::getrlimit(rustix::process::Resource::Memlock);
                return Err(BuildError::LockedMemory {
                    source: error,
                    limit_bytes: limit.current,
                    ring_entries: entries,
                });
            }
            Some(
                rustix::io::Errno::PERM
                | rustix::io::Errno::ACCESS
                | rustix::io::Errno::NOSYS
                | rustix::io::Errno::INVAL
                | rustix::io::Errno::OPNOTSUPP,
            ) => return Err(BuildError::IoUringRefused(error)),
            _ => return Err(BuildError::Io(error)),
        }
    }
}

async fn pump_arrivals(mut bell: monoio::net::UnixStream, port: Rc<Port>) {
    let mut buffer = vec![0u8; 64];
    loop {
        let (result, returned) = bell.read(buffer).await;
        buffer = returned;
        match result {
            Ok(0) => return,
            Ok(_) => {
                if port.pump() == Pumped::Closed {
                    return;
                }
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => return,
        }
    }
}

/// Starts a task on the current shard. It runs to its end whether or not the
/// handle is kept.
pub fn spawn_local<F: Future + 'static>(future: F)
where
    F::Output: 'static,
{
    drop(monoio::spawn(future));
}

/// Lets every other ready task run first. (A task that wakes itself would go
/// to the front of the queue and starve the others.)
pub async fn yield_now() {
    monoio::spawn(async {}).await;
}

/// Waits. Not for deadlines of requests: those go by the shard's sweep.
pub async fn sleep(duration: Duration) {
    monoio::time::sleep(duration).await;
}

/// Waits until `deadline`, at most once per call; for periodic work that must
/// not drift.
pub async fn interval_tick(deadline: Instant) {
    monoio::time::sleep_until(deadline.into()).await;
}

/// Drops `future` if it is not done in time. Never use it on a read or accept
/// whose connection goes on: dropping the operation loses data.
///
/// # Errors
/// [`Elapsed`].
pub async fn timeout<F: Future>(duration: Duration, future: F) -> Result<F::Output, Elapsed> {
    monoio::time::timeout(duration, future)
        .await
        .map_err(|_| Elapsed)
}

/// A listening socket of one shard.
pub struct TcpListener {
    inner: ReactorListener,
    canceller: RefCell<Canceller>,
}

impl TcpListener {
    /// Binds with SO_REUSEPORT, SO_REUSEADDR and TCP_NODELAY (which accepted
    /// sockets inherit on Linux). Call it on the shard.
    ///
    /// # Errors
    /// As bind(2) and listen(2).
    pub fn bind(address: SocketAddr, backlog: u32) -> io::Result<Self> {
        Self::from_std(bind_std(address, backlog)?)
    }

    /// Takes over a listening socket, bound here or handed in.
    ///
    /// # Errors
    /// When the reactor cannot register it.
    pub fn from_std(listener: std::net::TcpListener) -> io::Result<Self> {
        // io_uring answers EAGAIN instead of waiting on a nonblocking socket.
        listener.set_nonblocking(monoio::utils::is_legacy())?;
        Ok(Self {
            inner: ReactorListener::from_std(listener)?,
            canceller: RefCell::default(),
        })
    }

    /// The next connection. Must not be raced or dropped while pending: an
    /// accepted connection would be lost.
    ///
    /// # Errors
    /// As accept(2); ECONNABORTED and EMFILE are for the caller to survive.
    pub async fn accept(&self) -> io::Result<(TcpStream, SocketAddr)> {
        let handle = self.canceller.borrow().handle();
        let (stream, peer) = self.inner.cancelable_accept(handle).await?;
        Ok((TcpStream::new(stream), peer))
    }

    /// Makes a pending [`accept`](Self::accept) return, with ECANCELED or with
    /// the connection that came first. The socket stays open for others who
    /// hold it.
    pub fn cancel_accept(&self) {
        let canceller = self.canceller.take();
        self.canceller.replace(canceller.cancel());
    }

    /// Ends the socket for everybody who holds it: a pending
    /// [`accept`](Self::accept) returns with an error and new connections are
    /// refused.
    pub fn close(&self) {
        // SAFETY: `self.inner` keeps the descriptor open during this call.
        let fd = unsafe { BorrowedFd::borrow_raw(self.inner.as_raw_fd()) };
        let _ = rustix::net::shutdown(fd, rustix::net::Shutdown::Both);
    }

    /// The bound address, with the port the kernel chose.
    ///
    /// # Errors
    /// As getsockname(2).
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.inner.local_addr()
    }
}

/// A listening socket as [`TcpListener::bind`] makes it, not yet on a shard.
///
/// # Errors
/// As bind(2) and listen(2).
pub fn bind_std(address: SocketAddr, backlog: u32) -> io::Result<std::net::TcpListener> {
    use socket2::{Domain, Protocol, Socket, Type};
    let socket = Socket::new(
        Domain::for_address(address),
        Type::STREAM,
        Some(Protocol::TCP),
    )?;
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(true)?;
    socket.set_tcp_nodelay(true)?;
    socket.bind(&address.into())?;
    socket.listen(i32::try_from(backlog).unwrap_or(i32::MAX))?;
    Ok(socket.into())
}

/// A connection. Reads and writes take and give back their buffers, because
/// the kernel owns them meanwhile.
pub struct TcpStream {
    inner: ReactorStream,
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
    fn new(stream: ReactorStream) -> Self {
        let fd = stream.as_raw_fd();
        // SAFETY: `stream` keeps the descriptor open during this call.
        let borrowed = unsafe { BorrowedFd::borrow_raw(fd) };
        // monoio's io_uring accept leaves it out; a child would inherit it.
        let _ = rustix::io::fcntl_setfd(borrowed, rustix::io::FdFlags::CLOEXEC);
        Self {
            inner: stream,
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
        let filled = buffer.len();
        let capacity = buffer.capacity();
        debug_assert!(filled < capacity, "a read needs room");
        if filled == 0 {
            return self.inner.read(buffer).await;
        }
        let (result, slice) = self.inner.read(buffer.slice_mut(filled..capacity)).await;
        (result, slice.into_inner())
    }

    /// Waits until a read would not wait, without pinning a buffer.
    ///
    /// # Errors
    /// As poll(2).
    pub async fn readable(&self) -> io::Result<()> {
        self.inner.readable(false).await
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

    async fn write_buffer<B: IoBuf>(
        &mut self,
        buffer: B,
        on_progress: impl Fn(usize),
    ) -> (io::Result<()>, B) {
        let total = buffer.bytes_init();
        let (result, mut buffer) = self.inner.write(buffer).await;
        let mut written = match check_write(result) {
            Ok(n) if n == total => {
                on_progress(n);
                return (Ok(()), buffer);
            }
            Ok(n) => n,
            Err(error) => return (Err(error), buffer),
        };
        on_progress(written);
        while written < total {
            let (result, slice) = self.inner.write(buffer.slice(written..)).await;
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

    /// Says that nothing more will be written (FIN); reading goes on.
    pub fn finish_writing(&mut self) {
        // SAFETY: `self.inner` keeps the descriptor open during this call.
        let fd = unsafe { BorrowedFd::borrow_raw(self.inner.as_raw_fd()) };
        let _ = rustix::net::shutdown(fd, rustix::net::Shutdown::Write);
    }
}

/// Zero bytes written is an error, an interrupted write is no progress.
fn check_write(result: io::Result<usize>) -> io::Result<usize> {
    match result {
        Ok(0) => Err(io::ErrorKind::WriteZero.into()),
        Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(0),
        other => other,
    }
}
