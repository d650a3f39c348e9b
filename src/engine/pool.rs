//! Blocking work off the shards: a few threads, one bounded queue.
//!
//! Results come back through [`remote`](super::remote). monoio's own
//! `spawn_blocking` is not used: its join handle can hang when it completes on
//! another thread.

use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};

use super::remote;
use crate::Error;
use crate::limits::BLOCKING_QUEUE_JOBS_MAX;

/// Runs `job` on the blocking pool of the current shard.
///
/// # Errors
/// [`PoolError::Full`] at once when [`BLOCKING_QUEUE_JOBS_MAX`] jobs wait;
/// [`PoolError::Panicked`] when the job did.
///
/// # Panics
/// When called on a thread that runs no [`super::Runtime`].
pub async fn unblock<T: Send + 'static>(
    job: impl FnOnce() -> T + Send + 'static,
) -> Result<T, PoolError> {
    let pool = CURRENT
        .with(|current| current.borrow().clone())
        .expect("a corelane runtime");
    let (sender, receiver) = remote();
    pool.submit(Box::new(move || sender.send(job())))?;
    receiver.await.map_err(|_| PoolError::Panicked)
}

/// Why blocking work did not happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PoolError {
    /// The queue is full.
    Full,
    /// The job panicked, or the pool is shutting down.
    Panicked,
}

impl From<PoolError> for Error {
    fn from(error: PoolError) -> Self {
        match error {
            PoolError::Full => Error::unavailable("the server is busy; try again", 1),
            PoolError::Panicked => Error::internal("a job on the blocking pool did not finish"),
        }
    }
}

type Job = Box<dyn FnOnce() + Send>;

/// The process's blocking threads; clones share them. The threads end when
/// the last clone is dropped.
#[derive(Debug, Clone)]
pub struct BlockingPool {
    jobs: SyncSender<Job>,
}

thread_local! {
    static CURRENT: RefCell<Option<BlockingPool>> = const { RefCell::new(None) };
}

impl BlockingPool {
    /// Starts `threads` threads (at least one). They inherit the affinity of
    /// the caller, which is the housekeeping thread.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn start(threads: usize) -> std::io::Result<Self> {
        let (jobs, queue) = sync_channel::<Job>(BLOCKING_QUEUE_JOBS_MAX);
        let queue = Arc::new(Mutex::new(queue));
        for index in 0..threads.max(1) {
            let queue = queue.clone();
            std::thread::Builder::new()
                .name(format!("blocking-{index}"))
                .spawn(move || work(&queue))?;
        }
        Ok(Self { jobs })
    }

    fn submit(&self, job: Job) -> Result<(), PoolError> {
        self.jobs.try_send(job).map_err(|error| match error {
            TrySendError::Full(_) => PoolError::Full,
            TrySendError::Disconnected(_) => PoolError::Panicked,
        })
    }

    /// Makes this the pool of the current thread.
    pub(super) fn enter(&self) {
        CURRENT.with(|current| *current.borrow_mut() = Some(self.clone()));
    }
}

fn work(queue: &Mutex<Receiver<Job>>) {
    loop {
        let job = queue.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(job) = job else { return };
        // The panic hook has printed it; the waiter sees its sender dropped.
        let _ = catch_unwind(AssertUnwindSafe(job));
    }
}
