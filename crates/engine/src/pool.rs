//! Blocking work off the shards: a few threads, one bounded queue, and another
//! of both for work that computes for long, so that it delays no other.
//!
//! Results come back through [`remote`](super::remote). monoio's own
//! `spawn_blocking` is not used: its join handle can hang when it completes on
//! another thread.

use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};

use super::remote;
use corelane_proto::Error;
use corelane_proto::limits::{BLOCKING_QUEUE_JOBS_MAX, COMPUTING_THREADS};

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
    run(|pool| &pool.jobs, job).await
}

/// As [`unblock`], for what takes milliseconds of a core each time, password
/// hashes for one. It runs on [`COMPUTING_THREADS`] threads of its own: on
/// those of the others it would have them wait for all that came before.
///
/// # Errors
/// As [`unblock`].
///
/// # Panics
/// As [`unblock`].
pub async fn compute<T: Send + 'static>(
    job: impl FnOnce() -> T + Send + 'static,
) -> Result<T, PoolError> {
    run(|pool| &pool.computations, job).await
}

async fn run<T: Send + 'static>(
    queue: impl FnOnce(&BlockingPool) -> &SyncSender<Job>,
    job: impl FnOnce() -> T + Send + 'static,
) -> Result<T, PoolError> {
    let pool = CURRENT
        .with(|current| current.borrow().clone())
        .expect("a corelane runtime");
    let (sender, receiver) = remote();
    submit(queue(&pool), Box::new(move || sender.send(job())))?;
    // Not kept over the wait: the threads end with the last who has it.
    drop(pool);
    receiver.await.map_err(|_| PoolError::Panicked)
}

fn submit(queue: &SyncSender<Job>, job: Job) -> Result<(), PoolError> {
    queue.try_send(job).map_err(|error| match error {
        TrySendError::Full(_) => PoolError::Full,
        TrySendError::Disconnected(_) => PoolError::Panicked,
    })
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
    computations: SyncSender<Job>,
}

thread_local! {
    static CURRENT: RefCell<Option<BlockingPool>> = const { RefCell::new(None) };
}

impl BlockingPool {
    /// Starts `threads` threads (at least one), and those that compute. They
    /// inherit the affinity of the caller, which is the housekeeping thread.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn start(threads: usize) -> std::io::Result<Self> {
        Ok(Self {
            jobs: start("blocking", threads.max(1))?,
            computations: start("computing", COMPUTING_THREADS)?,
        })
    }

    /// Makes this the pool of the current thread.
    pub(super) fn enter(&self) {
        CURRENT.with(|current| *current.borrow_mut() = Some(self.clone()));
    }
}

fn start(name: &str, threads: usize) -> std::io::Result<SyncSender<Job>> {
    let (jobs, queue) = sync_channel::<Job>(BLOCKING_QUEUE_JOBS_MAX);
    let queue = Arc::new(Mutex::new(queue));
    for index in 0..threads {
        let queue = queue.clone();
        std::thread::Builder::new()
            .name(format!("{name}-{index}"))
            .spawn(move || work(&queue))?;
    }
    Ok(jobs)
}

fn work(queue: &Mutex<Receiver<Job>>) {
    loop {
        let job = queue.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(job) = job else { return };
        // The panic hook has printed it; the waiter sees its sender dropped.
        let _ = catch_unwind(AssertUnwindSafe(job));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{EngineKind, EngineOptions, Runtime, spawn_local};

    #[test]
    fn what_computes_for_long_delays_no_blocking_work() {
        for kind in [EngineKind::IoUring, EngineKind::Epoll] {
            let options = EngineOptions {
                kind,
                ring_entries: 64,
            };
            let pool = BlockingPool::start(1).unwrap();
            let mut runtime = Runtime::build(&options, pool).unwrap();
            let (release, released) = std::sync::mpsc::channel::<()>();
            let released = Arc::new(Mutex::new(released));
            runtime.block_on(async {
                // More than there are threads for.
                for _ in 0..2 * COMPUTING_THREADS {
                    let released = released.clone();
                    spawn_local(compute(move || {
                        released.lock().is_ok_and(|end| end.recv().is_err())
                    }));
                }
                crate::yield_now().await;
                assert_eq!(unblock(|| 7).await, Ok(7));
                drop(release);
                assert_eq!(compute(|| 8).await, Ok(8));
            });
        }
    }
}
