//! The monoio reactor behind the seam: its io_uring driver and its epoll
//! driver, built explicitly. This folder alone names monoio.
#![allow(unsafe_code)]

mod dial;
mod file;
mod listen;
mod tcp;

pub use dial::{ClientStream, Target, connect, is_ending};
pub use file::File;
pub use listen::{Listener, Stop, adopt_std, bind_alone_std, bind_std};
pub use tcp::{Receiver, Sender, StreamCloser, TcpStream};

use std::cell::Cell;
use std::future::Future;
use std::io;
use std::rc::Rc;
use std::time::{Duration, Instant};

use monoio::io::AsyncReadRent;
use monoio::time::TimeDriver;
use monoio::{IoUringDriver, LegacyDriver, RuntimeBuilder};

use super::remote::{Port, Pumped};
use corelane_proto::limits::TIMERS_LATE_MS;

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
        dial::open_clients();
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

    /// Frees the runtime after its own operations have ended, connections that
    /// were made with [`connect`] among them. Every other task that reads,
    /// writes or accepts must have ended before.
    pub fn shutdown(mut self) {
        let port = self.port.clone();
        self.block_on(async move {
            port.close();
            dial::close_clients();
            // Operations that were cancelled complete within a moment.
            sleep(SETTLE).await;
        });
    }

    /// Leaks the runtime with whatever operations it still has in flight. A
    /// ring is torn down by the kernel some time after it is closed; freeing
    /// the buffers of unfinished operations before that would let the kernel
    /// write into freed memory.
    pub fn abandon(self) {
        dial::close_clients();
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
        let is_full = rustix::io::Errno::from_io_error(&error) == Some(rustix::io::Errno::NOMEM);
        if !is_full {
            return Err(BuildError::of_ring(error));
        }
        if Instant::now() >= deadline {
            let limit = rustix::process::getrlimit(rustix::process::Resource::Memlock);
            return Err(BuildError::LockedMemory {
                source: error,
                limit_bytes: limit.current,
                ring_entries: entries,
            });
        }
        std::thread::sleep(Duration::from_millis(50));
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

/// Whether tasks can be started: not while a shard that has ended drops what it
/// left. For destructors; everything else runs on a shard.
pub fn is_running() -> bool {
    Port::is_entered()
}

/// The time that [`sleep`], [`interval_tick`] and [`timeout`] go by.
pub fn now() -> Instant {
    Instant::now()
}

/// Lets every other ready task run first. (A task that wakes itself would go
/// to the front of the queue and starve the others.)
pub async fn yield_now() {
    Port::note_yield();
    monoio::spawn(async {}).await;
}

thread_local! {
    /// When `yield_to_all` has last let timers run.
    static TIMERS_RAN: Cell<Option<Instant>> = const { Cell::new(None) };
}

/// As [`yield_now`], and now and then until the timers have run. The reactor
/// looks at them only when no task is ready, which clients that always have
/// another request under way could put off for as long as they like, and with it
/// every deadline. Costs a shard that is always busy 1 % of its time.
pub async fn yield_to_all() {
    let late = Duration::from_millis(TIMERS_LATE_MS);
    let ran = TIMERS_RAN.get();
    if ran.is_some_and(|at| at.elapsed() < late) {
        return yield_now().await;
    }
    sleep(Duration::from_millis(1)).await;
    TIMERS_RAN.set(Some(Instant::now()));
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
