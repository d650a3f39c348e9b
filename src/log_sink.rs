//! The access log's writer: one thread per process that writes batches of
//! lines to stdout, stderr or a file.
//!
//! In the life of a request: its shard encodes a line into its own
//! [`ShardLog`]; full batches, and whatever there is at the shard's sweep,
//! go through a bounded queue to the writer.
//!
//! Invariants: a shard never waits for the disk: a full queue drops lines and
//! counts them; lines of one shard stay in order; a line is in the file at
//! most one sweep (1 s) and one write after its request; after a write that
//! failed half-way the next batch starts on a line of its own.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use crate::access_log::{AccessEntry, LineEncoder, LogFormat};
use crate::error_log::ErrorLog;
use crate::limits::{ACCESS_LOG_BATCH_BYTES, ACCESS_LOG_QUEUE_BATCHES_MAX};

/// Where lines go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LogTarget {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
    /// A file, appended to, created with mode 0640 if it is not there.
    File(PathBuf),
}

/// The running writer. Clone it to give every thread a handle; keep one to
/// [`close`](Self::close) it at the end.
#[derive(Debug, Clone)]
pub struct AccessLogSink {
    queue: SyncSender<Message>,
    shared: Arc<Shared>,
    format: LogFormat,
}

/// What the writer thread and its handles both see.
#[derive(Debug, Default)]
struct Shared {
    reopen: AtomicBool,
}

#[derive(Debug)]
enum Message {
    Batch {
        bytes: Vec<u8>,
        lines: u64,
        /// Where lines that cannot be written are counted: at their shard.
        failed: Arc<AtomicU64>,
    },
    /// Look at `Shared::reopen`.
    Wake,
    /// Write what is queued, answer, end.
    Close(SyncSender<()>),
}

impl AccessLogSink {
    /// Opens the target and starts the writer thread.
    ///
    /// # Errors
    /// When the file cannot be opened for appending, or the thread cannot be
    /// started; the message names the path.
    pub fn start(target: LogTarget, format: LogFormat, errors: ErrorLog) -> io::Result<Self> {
        let output = Output::open(target)?;
        Self::start_on(output, format, errors, ACCESS_LOG_QUEUE_BATCHES_MAX)
    }

    fn start_on(
        output: Output,
        format: LogFormat,
        errors: ErrorLog,
        queue_batches: usize,
    ) -> io::Result<Self> {
        let (queue, messages) = sync_channel(queue_batches);
        let shared = Arc::<Shared>::default();
        let writer = Writer {
            output,
            shared: shared.clone(),
            torn: false,
            complained: None,
            errors,
        };
        thread::Builder::new()
            .name("corelane-log".to_owned())
            .spawn(move || writer.run(messages))?;
        Ok(Self {
            queue,
            shared,
            format,
        })
    }

    /// The handle of one shard.
    pub fn shard_log(&self) -> ShardLog {
        ShardLog {
            encoder: LineEncoder::new(self.format),
            batch: Vec::new(),
            lines: 0,
            queue: self.queue.clone(),
            lines_dropped: 0,
            lines_failed: Arc::default(),
        }
    }

    /// Has the file opened anew by its path, after logrotate has renamed it.
    /// Lines already queued go to the new file. If it cannot be opened, the
    /// old one stays in use and stderr says so. Never blocks.
    pub fn reopen(&self) {
        self.shared.reopen.store(true, Ordering::Release);
        // A full queue means that the writer is awake and will see the flag.
        let _ = self.queue.try_send(Message::Wake);
    }

    /// Writes what is queued and ends the writer; true when it did so within
    /// `timeout`. Call it after the shards have flushed theirs; what they log
    /// later is dropped. Blocks its thread.
    pub fn close(self, timeout: Duration) -> bool {
        let deadline = Instant::now() + timeout;
        let (done, written) = sync_channel(1);
        let mut message = Message::Close(done);
        loop {
            match self.queue.try_send(message) {
                Ok(()) => break,
                Err(TrySendError::Disconnected(_)) => return true,
                Err(TrySendError::Full(back)) if Instant::now() < deadline => {
                    message = back;
                    thread::sleep(Duration::from_millis(5));
                }
                Err(TrySendError::Full(_)) => return false,
            }
        }
        let left = deadline.saturating_duration_since(Instant::now());
        // Disconnected: the writer was already closed by another handle.
        !matches!(written.recv_timeout(left), Err(RecvTimeoutError::Timeout))
    }
}

/// One shard's side: encodes lines and hands over batches. Dropping it
/// flushes it.
#[derive(Debug)]
pub struct ShardLog {
    encoder: LineEncoder,
    batch: Vec<u8>,
    lines: u64,
    queue: SyncSender<Message>,
    lines_dropped: u64,
    /// Counted by the writer.
    lines_failed: Arc<AtomicU64>,
}

impl ShardLog {
    /// Adds the line of a finished request. Hands the batch over when it is
    /// full; drops it when the writer cannot take it.
    pub fn log(&mut self, entry: &AccessEntry<'_>) {
        self.encoder.encode(entry, &mut self.batch);
        self.lines += 1;
        if self.batch.len() >= ACCESS_LOG_BATCH_BYTES && !self.hand_over() {
            self.lines_dropped += self.lines;
            self.lines = 0;
            self.batch.clear();
        }
    }

    /// Hands over what there is; the shard's sweep calls it once a second. If
    /// the writer cannot take it now, it waits for the next sweep.
    pub fn flush(&mut self) {
        self.hand_over();
    }

    /// Lines dropped since the last call, for the shard's counters.
    pub fn take_lines_dropped(&mut self) -> u64 {
        std::mem::take(&mut self.lines_dropped)
    }

    /// Lines since the last call that the writer had and could not write: the
    /// disk is full, or the pipe closed.
    pub fn take_lines_failed(&mut self) -> u64 {
        self.lines_failed.swap(0, Ordering::Relaxed)
    }

    /// False when the batch is still here.
    fn hand_over(&mut self) -> bool {
        if self.lines == 0 {
            return true;
        }
        let lines = self.lines;
        let bytes = std::mem::take(&mut self.batch);
        let failed = self.lines_failed.clone();
        let batch = Message::Batch {
            bytes,
            lines,
            failed,
        };
        match self.queue.try_send(batch) {
            Ok(()) => {
                self.lines = 0;
                true
            }
            Err(TrySendError::Full(message) | TrySendError::Disconnected(message)) => {
                if let Message::Batch { bytes, .. } = message {
                    self.batch = bytes;
                }
                false
            }
        }
    }
}

impl Drop for ShardLog {
    fn drop(&mut self) {
        self.hand_over();
    }
}

/// The thread's own.
struct Writer {
    output: Output,
    shared: Arc<Shared>,
    /// The last write stopped inside a line.
    torn: bool,
    /// When stderr was last told of a failure.
    complained: Option<Instant>,
    errors: ErrorLog,
}

impl Writer {
    /// Ends when closed, or when the last handle is gone.
    fn run(mut self, messages: Receiver<Message>) {
        while let Ok(message) = messages.recv() {
            if self.shared.reopen.swap(false, Ordering::Acquire) {
                self.reopen();
            }
            match message {
                Message::Batch {
                    bytes,
                    lines,
                    failed,
                } => self.write(&bytes, lines, &failed),
                Message::Wake => {}
                Message::Close(done) => {
                    // From here on senders see that their lines are dropped.
                    drop(messages);
                    // Nobody waits for the answer when close timed out.
                    let _ = done.send(());
                    return;
                }
            }
        }
    }

    fn write(&mut self, bytes: &[u8], lines: u64, failed: &AtomicU64) {
        if let Err(error) = self.write_whole_lines(bytes) {
            failed.fetch_add(lines, Ordering::Relaxed);
            self.complain(&format!("cannot write {}: {error}", self.output.name()));
        }
    }

    fn write_whole_lines(&mut self, bytes: &[u8]) -> io::Result<()> {
        if self.torn {
            self.output.write_all(b"\n")?;
            self.torn = false;
        }
        // Taken back when every byte is out: an error may stop inside a line.
        self.torn = true;
        self.output.write_all(bytes)?;
        self.torn = false;
        Ok(())
    }

    fn reopen(&mut self) {
        let Output::File { path, .. } = &self.output else {
            return;
        };
        match Output::open(LogTarget::File(path.clone())) {
            Ok(output) => {
                self.output = output;
                self.torn = false;
            }
            Err(error) => self.complain(&format!("{error}; writing on to the old file")),
        }
    }

    /// Tells stderr, at most once in [`COMPLAINT_INTERVAL`]: when the disk is
    /// full, every batch fails.
    fn complain(&mut self, message: &str) {
        if self
            .complained
            .is_none_or(|at| at.elapsed() >= COMPLAINT_INTERVAL)
        {
            self.complained = Some(Instant::now());
            self.errors.log(format!("access log: {message}"));
        }
    }
}

const COMPLAINT_INTERVAL: Duration = Duration::from_secs(60);

/// An open target.
enum Output {
    Stdout,
    Stderr,
    File {
        file: File,
        path: PathBuf,
    },
    #[cfg(test)]
    Test(Box<dyn Write + Send>),
}

impl Output {
    fn open(target: LogTarget) -> io::Result<Self> {
        match target {
            LogTarget::Stdout => Ok(Self::Stdout),
            LogTarget::Stderr => Ok(Self::Stderr),
            LogTarget::File(path) => Ok(Self::File {
                file: open_file(&path)?,
                path,
            }),
        }
    }

    fn name(&self) -> String {
        match self {
            Self::Stdout => "stdout".to_owned(),
            Self::Stderr => "stderr".to_owned(),
            Self::File { path, .. } => path.display().to_string(),
            #[cfg(test)]
            Self::Test(_) => "test".to_owned(),
        }
    }

    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Self::Stdout => {
                // Through the lock, so that a batch is not mixed with other
                // output; flushed, because a batch is already a second old.
                let mut stdout = io::stdout().lock();
                stdout.write_all(bytes)?;
                stdout.flush()
            }
            Self::Stderr => io::stderr().lock().write_all(bytes),
            Self::File { file, .. } => file.write_all(bytes),
            #[cfg(test)]
            Self::Test(output) => output.write_all(bytes),
        }
    }
}

fn open_file(path: &Path) -> io::Result<File> {
    use std::os::unix::fs::OpenOptionsExt;
    let mut options = OpenOptions::new();
    options
        .append(true)
        .create(true)
        .mode(0o640)
        .open(path)
        .map_err(|error| {
            let message = format!(
                "cannot append to the access log {}: {error} (does its folder exist, and may this \
             user write there?)",
                path.display()
            );
            io::Error::new(error.kind(), message)
        })
}

#[cfg(test)]
#[path = "log_sink_tests.rs"]
mod tests;
