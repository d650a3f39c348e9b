//! What `corelane serve` says on stderr and, when it has started, on stdout.
//!
//! Nobody may read there, and a pipe that is full holds whoever writes: a server
//! starts, serves and ends all the same. So a thread of its own writes, from a
//! bounded queue; what does not fit is counted and said.

use std::backtrace::{Backtrace, BacktraceStatus};
use std::io::Write;
use std::sync::mpsc::sync_channel;
use std::thread;
use std::time::Duration;

use corelane::internals::error_log::ErrorLog;

use super::failure::Failure;

/// The writer. Its end waits a moment for what is queued.
pub(super) struct Console {
    stderr: ErrorLog,
}

impl Console {
    pub(super) fn start() -> Result<Self, Failure> {
        let started = ErrorLog::start().map(|stderr| Self { stderr });
        started.map_err(|error| {
            Failure::runtime(
                format!("the system gives no thread: {error}"),
                "raise LimitNPROC, TasksMax or `ulimit -u`",
            )
        })
    }

    /// On stderr.
    pub(super) fn say(&self, text: impl Into<String>) {
        self.stderr.say(text.into());
    }

    /// On stdout, where scripts wait for it, after what was said on stderr:
    /// usually both are there when this returns.
    pub(super) fn announce(&self, text: String) {
        self.stderr.flush(WRITTEN_WITHIN);
        let (done, written) = sync_channel(1);
        let write = move || {
            let mut stdout = std::io::stdout().lock();
            let _ = stdout.write_all(text.as_bytes());
            let _ = stdout.flush();
            let _ = done.send(());
        };
        if thread::Builder::new().spawn(write).is_ok() {
            let _ = written.recv_timeout(WRITTEN_WITHIN);
        }
    }

    /// Has panics, which a shard survives, told here too: their thread is the
    /// shard's, and would wait.
    pub(super) fn tell_panics(&self) {
        let stderr = self.stderr.clone();
        std::panic::set_hook(Box::new(move |panic| {
            let thread = thread::current();
            let name = thread.name().unwrap_or("unnamed").to_owned();
            let backtrace = Backtrace::capture();
            stderr.say(match backtrace.status() {
                BacktraceStatus::Captured => format!("thread '{name}' {panic}\n{backtrace}"),
                _ => format!("thread '{name}' {panic}"),
            });
        }));
    }
}

impl Drop for Console {
    fn drop(&mut self) {
        self.stderr.flush(WRITTEN_WITHIN);
    }
}

/// So long the start and the end wait for a reader.
const WRITTEN_WITHIN: Duration = Duration::from_millis(500);
