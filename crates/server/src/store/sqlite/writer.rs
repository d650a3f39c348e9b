//! The writer: one thread, one connection, a bounded queue. It takes all writes
//! that wait, runs each in a savepoint of one transaction, commits once and
//! then answers all: hundreds of small writes share one fsync.
//!
//! Nothing is acknowledged before its commit. A write that fails, fails alone;
//! a commit that fails, fails all. The thread survives errors and panics of
//! writes; should it die all the same, shards get an error and never wait.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use rusqlite::{Connection, ErrorCode};

use super::connection::{Role, Target, store_error};
use super::files::Files;
use super::writes::{Write, Written};
use crate::store::limits;
use crate::store::{StoreError, WriterStats};
use corelane::internals::clock::unix_ms;
use corelane::internals::engine::{RemoteReceiver, RemoteSender, remote};

type Outcome = Result<Written, StoreError>;

/// The shards' end of the writer.
#[derive(Debug)]
pub(super) struct Writer {
    queue: SyncSender<Job>,
    counters: Arc<Counters>,
    /// Those of the first connection; as long as a shard reads they stay.
    files: Files,
    /// Taken by the first `close`.
    thread: Mutex<Option<JoinHandle<()>>>,
}

/// Written by the writer only.
#[derive(Debug, Default)]
struct Counters {
    commits: AtomicU64,
    writes: AtomicU64,
    largest_group: AtomicU64,
}

enum Job {
    Write(Write, RemoteSender<Outcome>),
    Ping(RemoteSender<()>),
    Close,
    /// Ends the thread as a bug in it would.
    #[cfg(test)]
    Die,
}

impl Writer {
    /// Starts the thread on an open connection; `target` serves to open
    /// another should this one break.
    pub(super) fn start(target: Target, connection: Connection) -> io::Result<Self> {
        let (queue, jobs) = sync_channel(limits::STORE_WRITE_QUEUE_MAX);
        let counters = Arc::new(Counters::default());
        let files = Files::of(&target.path);
        let mut work = Work {
            target,
            files: files.clone(),
            connection: Some(connection),
            jobs,
            counters: Arc::clone(&counters),
        };
        let thread = std::thread::Builder::new()
            .name("store-writer".to_owned())
            .spawn(move || work.run())?;
        Ok(Self {
            queue,
            counters,
            files,
            thread: Mutex::new(Some(thread)),
        })
    }

    /// Queues a write. Called on a shard.
    ///
    /// # Errors
    /// [`StoreError::Busy`] when the queue is full, [`StoreError::Unavailable`]
    /// when the writer has ended.
    pub(super) fn submit(&self, write: Write) -> Result<RemoteReceiver<Outcome>, StoreError> {
        let (answer, answered) = remote();
        self.send(Job::Write(write, answer))?;
        Ok(answered)
    }

    /// Queues a request for a sign of life. Called on a shard.
    ///
    /// # Errors
    /// As [`Self::submit`].
    pub(super) fn ping(&self) -> Result<RemoteReceiver<()>, StoreError> {
        let (answer, answered) = remote();
        self.send(Job::Ping(answer))?;
        Ok(answered)
    }

    /// What is open, and what should be found at the database's path.
    pub(super) fn files(&self) -> &Files {
        &self.files
    }

    fn send(&self, job: Job) -> Result<(), StoreError> {
        self.queue.try_send(job).map_err(|error| match error {
            TrySendError::Full(_) => StoreError::Busy,
            TrySendError::Disconnected(_) => StoreError::Unavailable(ENDED.to_owned()),
        })
    }

    /// Ends the thread after the writes that wait, and waits for that.
    pub(super) fn close(&self) {
        let thread = self
            .thread
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if let Some(thread) = thread {
            // An error means that the thread has ended already.
            let _ = self.queue.send(Job::Close);
            let _ = thread.join();
        }
    }

    pub(super) fn stats(&self) -> WriterStats {
        WriterStats {
            commits: self.counters.commits.load(Ordering::Relaxed),
            writes: self.counters.writes.load(Ordering::Relaxed),
            largest_group: self.counters.largest_group.load(Ordering::Relaxed),
        }
    }

    #[cfg(test)]
    pub(super) fn die(&self) {
        self.queue.send(Job::Die).unwrap();
        let thread = self.thread.lock().unwrap().take().unwrap();
        assert!(thread.join().is_err());
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.close();
    }
}

/// The thread's side.
struct Work {
    target: Target,
    files: Files,
    /// None after it broke, until it could be opened again.
    connection: Option<Connection>,
    jobs: Receiver<Job>,
    counters: Arc<Counters>,
}

/// Writes taken together, and whom to answer.
#[derive(Default)]
struct Group {
    writes: Vec<Write>,
    answers: Vec<RemoteSender<Outcome>>,
    is_last: bool,
}

impl Work {
    fn run(&mut self) {
        while let Ok(job) = self.jobs.recv() {
            let group = self.collect(job);
            let is_last = group.is_last;
            self.write(group);
            if is_last {
                break;
            }
        }
        // What came after the request to close.
        while let Ok(job) = self.jobs.try_recv() {
            if let Job::Write(_, answer) = job {
                answer.send(Err(StoreError::Unavailable(ENDED.to_owned())));
            }
        }
    }

    /// This job and those that wait, in order, up to a full group.
    fn collect(&self, first: Job) -> Group {
        let mut group = Group::default();
        let mut next = Some(first);
        while let Some(job) = next.take() {
            match job {
                Job::Write(write, answer) => {
                    group.writes.push(write);
                    group.answers.push(answer);
                }
                Job::Ping(answer) => answer.send(()),
                Job::Close => {
                    group.is_last = true;
                    break;
                }
                #[cfg(test)]
                Job::Die => panic!("asked to die"),
            }
            if group.writes.len() < limits::STORE_WRITE_GROUP_MAX {
                next = self.jobs.try_recv().ok();
            }
        }
        group
    }

    /// Runs and answers a group.
    fn write(&mut self, group: Group) {
        if group.writes.is_empty() {
            return;
        }
        let outcomes = catch_unwind(AssertUnwindSafe(|| self.commit(&group.writes)));
        let outcomes = outcomes.unwrap_or_else(|_| {
            let unknown = StoreError::OutcomeUnknown("the writer panicked".to_owned());
            vec![Err(unknown); group.writes.len()]
        });
        self.recover();
        for (answer, outcome) in group.answers.into_iter().zip(outcomes) {
            answer.send(outcome);
        }
    }

    /// One transaction for all writes; an outcome for each.
    fn commit(&mut self, writes: &[Write]) -> Vec<Outcome> {
        if let Err(gone) = self.files.check() {
            return vec![Err(gone); writes.len()];
        }
        if self.connection.is_none() {
            self.connection = self.target.connect(Role::Writer).ok();
        }
        let Some(connection) = &self.connection else {
            let gone = StoreError::Unavailable("the file cannot be opened any more".to_owned());
            return vec![Err(gone); writes.len()];
        };
        if let Err(error) = run(connection, "BEGIN IMMEDIATE") {
            return vec![Err(store_error(error)); writes.len()];
        }
        let mut outcomes = Vec::with_capacity(writes.len());
        let now_ms = unix_ms();
        for write in writes {
            match apply_alone(connection, write, now_ms) {
                Ok(outcome) => outcomes.push(outcome),
                Err(error) => return vec![Err(error); writes.len()],
            }
        }
        let committed = outcomes.iter().filter(|outcome| outcome.is_ok()).count() as u64;
        if committed == 0 {
            return outcomes;
        }
        // Nothing is acknowledged that is in files nobody will find.
        let found = || {
            let found = self.files.check();
            found.map_err(|gone| StoreError::OutcomeUnknown(gone.to_string()))
        };
        let commit = run(connection, "COMMIT").map_err(commit_error);
        match commit.and_then(|()| found()) {
            Ok(()) => self.counters.count(committed),
            Err(error) => {
                outcomes
                    .iter_mut()
                    .filter(|outcome| outcome.is_ok())
                    .for_each(|outcome| {
                        *outcome = Err(error.clone());
                    });
            }
        }
        outcomes
    }

    /// Makes sure that no transaction is left open; a connection that cannot
    /// even roll back is given up.
    fn recover(&mut self) {
        let Some(connection) = &self.connection else {
            return;
        };
        if !connection.is_autocommit() && run(connection, "ROLLBACK").is_err() {
            self.connection = None;
        }
    }
}

impl Counters {
    fn count(&self, writes: u64) {
        self.commits.fetch_add(1, Ordering::Relaxed);
        self.writes.fetch_add(writes, Ordering::Relaxed);
        self.largest_group.fetch_max(writes, Ordering::Relaxed);
    }
}

/// One write in a savepoint: it leaves either all of itself or nothing.
///
/// # Errors
/// The transaction is gone or must not be committed: SQLite gives it up when
/// the disk is full, for one.
fn apply_alone(connection: &Connection, write: &Write, now_ms: i64) -> Result<Outcome, StoreError> {
    run(connection, "SAVEPOINT one").map_err(store_error)?;
    let applied = catch_unwind(AssertUnwindSafe(|| write.apply(connection, now_ms)));
    let outcome =
        applied.unwrap_or_else(|_| Err(StoreError::Failed("the write panicked".to_owned())));
    if connection.is_autocommit() {
        let gone = StoreError::Unavailable("the transaction was given up".to_owned());
        return Err(outcome.err().unwrap_or(gone));
    }
    if outcome.is_err() {
        run(connection, "ROLLBACK TO one").map_err(store_error)?;
    }
    run(connection, "RELEASE one").map_err(store_error)?;
    Ok(outcome)
}

/// What a failed COMMIT means. When there was no room, or no lock, the commit
/// record was not written. After any other error it may be on the disk.
fn commit_error(error: rusqlite::Error) -> StoreError {
    match error.sqlite_error_code() {
        Some(ErrorCode::DiskFull | ErrorCode::DatabaseBusy | ErrorCode::ConstraintViolation) => {
            store_error(error)
        }
        _ => StoreError::OutcomeUnknown(error.to_string()),
    }
}

fn run(connection: &Connection, sql: &str) -> rusqlite::Result<()> {
    connection.prepare_cached(sql)?.execute([]).map(drop)
}

const ENDED: &str = "the writer has ended";
