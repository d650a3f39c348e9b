//! Work that needs tokio: one current-thread runtime per process, on a thread
//! of its own on the housekeeping CPUs, and the way there and back.
//!
//! A shard hands over a future and waits for its result through [`remote`], so
//! no waker crosses a thread. A round trip costs two wake-ups: 7 to 9 us of CPU
//! with 64 under way, 12 to 16 alone (unoptimised). What every request needs
//! belongs on the shard's own ring.
//!
//! At most [`BRIDGE_TASKS_MAX`] tasks are in flight per process; one more is
//! refused at once. The thread ends after the shards have.

mod fault;

pub use fault::BridgeFault;

use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use slab::Slab;
use tokio::runtime::{Builder, Handle};
use tokio::sync::oneshot;
use tokio::task::AbortHandle;

use crate::{CatchUnwind, Panic, Permit, Permits, remote};
use corelane_proto::limits::{BRIDGE_BLOCKING_THREADS_MAX, BRIDGE_TASKS_MAX};
use corelane_proto::metrics::BridgeCounters;

/// A shard's handle to the process's tokio runtime; clones share it. `Send`, so
/// state of any kind can keep one (`Ctx::bridge`). What
/// was started by it ends with its shard.
#[derive(Debug, Clone)]
pub struct Bridge {
    shared: Arc<Shared>,
    /// Tasks somebody on the shard waits for. Only the shard takes this lock,
    /// until it has ended.
    waited_for: Arc<Mutex<Slab<AbortHandle>>>,
}

#[derive(Debug)]
struct Shared {
    runtime: Handle,
    /// Taken by who ends the bridge.
    life: Mutex<Option<Life>>,
    tasks: Permits,
    started: AtomicU64,
    panicked: AtomicU64,
    cancelled: AtomicU64,
    refused: AtomicU64,
}

/// What the thread lives by.
#[derive(Debug)]
struct Life {
    /// Dropped to end it.
    stop: oneshot::Sender<Infallible>,
    /// Disconnected when it has ended.
    ended: mpsc::Receiver<Infallible>,
}

impl Bridge {
    /// Starts the thread. It inherits the affinity of the caller, which is the
    /// housekeeping thread.
    ///
    /// # Errors
    /// When the system gives no thread, or no descriptors for its reactor.
    pub fn start() -> io::Result<Self> {
        let runtime = Builder::new_current_thread()
            .enable_io()
            .enable_time()
            .max_blocking_threads(BRIDGE_BLOCKING_THREADS_MAX)
            .thread_name("tokio-blocking")
            .build()?;
        let handle = runtime.handle().clone();
        let (stop, stopped) = oneshot::channel::<Infallible>();
        let (living, ended) = mpsc::channel::<Infallible>();
        thread::Builder::new()
            .name("tokio-bridge".to_owned())
            .spawn(move || {
                let _living = living;
                let _ = runtime.block_on(stopped);
                // Drops every task, which tells who waits for them; blocking
                // work that does not end is left behind.
                runtime.shutdown_background();
            })?;
        Ok(Self {
            shared: Arc::new(Shared {
                runtime: handle,
                life: Mutex::new(Some(Life { stop, ended })),
                tasks: Permits::new(BRIDGE_TASKS_MAX),
                started: AtomicU64::new(0),
                panicked: AtomicU64::new(0),
                cancelled: AtomicU64::new(0),
                refused: AtomicU64::new(0),
            }),
            waited_for: Arc::default(),
        })
    }

    /// The handle of one shard.
    pub fn for_shard(&self) -> Self {
        Self {
            shared: self.shared.clone(),
            waited_for: Arc::default(),
        }
    }

    /// Aborts what the shard of this handle waited for. A shard that died may
    /// have left its futures where nobody drops them.
    pub fn abort_all(&self) {
        let tasks = std::mem::take(&mut *lock(&self.waited_for));
        for (_, task) in tasks {
            self.cancel(&task);
        }
    }

    fn cancel(&self, task: &AbortHandle) {
        self.shared.cancelled.fetch_add(1, Ordering::Relaxed);
        task.abort();
    }

    /// Runs `future` on the tokio runtime and brings its result back to this
    /// shard. Dropped before its end it aborts the task: at the task's next
    /// await nothing of it is left, and its place is free.
    ///
    /// The future runs beside those of all shards, on one thread: it must not
    /// block, and long computations hold up the others.
    ///
    /// # Errors
    /// [`BridgeFault`]; it becomes a response as an [`Error`](corelane_proto::Error).
    ///
    /// # Panics
    /// When it is polled on a thread that is not a shard.
    pub async fn run<T, F>(&self, future: F) -> Result<T, BridgeFault>
    where
        T: Send + 'static,
        F: Future<Output = T> + Send + 'static,
    {
        let permit = self.take_permit()?;
        let (sender, receiver) = remote();
        let task = self.shared.runtime.spawn(async move {
            let outcome = CatchUnwind::new(Box::pin(future)).await;
            // Before the result: who is told finds the place free.
            drop(permit);
            sender.send(outcome);
        });
        let mut waiting = Waiting {
            on: self,
            key: lock(&self.waited_for).insert(task.abort_handle()),
            is_done: false,
        };
        let outcome = receiver.await;
        waiting.is_done = true;
        drop(waiting);
        match outcome {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(Panic(text))) => {
                self.shared.panicked.fetch_add(1, Ordering::Relaxed);
                Err(BridgeFault::Panicked(text))
            }
            Err(_) => Err(BridgeFault::Closed),
        }
    }

    fn take_permit(&self) -> Result<Permit, BridgeFault> {
        let shared = &self.shared;
        let Some(permit) = shared.tasks.take() else {
            shared.refused.fetch_add(1, Ordering::Relaxed);
            return Err(BridgeFault::Full);
        };
        shared.started.fetch_add(1, Ordering::Relaxed);
        Ok(permit)
    }

    /// What it has done so far.
    pub fn counters(&self) -> BridgeCounters {
        let shared = &self.shared;
        BridgeCounters {
            in_flight: shared.tasks.taken() as u64,
            started: shared.started.load(Ordering::Relaxed),
            panics: shared.panicked.load(Ordering::Relaxed),
            cancelled: shared.cancelled.load(Ordering::Relaxed),
            refused: shared.refused.load(Ordering::Relaxed),
        }
    }

    /// Ends the runtime with all its tasks, and waits for the thread at most
    /// `timeout`: a task that blocks it is left behind.
    pub fn close(&self, timeout: Duration) {
        let life = lock(&self.shared.life).take();
        if let Some(Life { stop, ended }) = life {
            drop(stop);
            let _ = ended.recv_timeout(timeout);
        }
    }
}

/// Somebody who waits for a task; with them goes the task.
struct Waiting<'a> {
    on: &'a Bridge,
    key: usize,
    is_done: bool,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        let task = lock(&self.on.waited_for).try_remove(self.key);
        if let (Some(task), false) = (task, self.is_done) {
            self.on.cancel(&task);
        }
    }
}

/// Nothing that could panic happens under these locks.
fn lock<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}
