//! What starts a server is given: where it is, what runs, and how to end it.

use std::net::SocketAddr;
use std::sync::mpsc::Sender;
use std::thread::JoinHandle;
use std::time::Duration;

use super::shard_thread::{ShardEvent, ShardPlan};
use crate::engine::EngineKind;
use crate::limits::LOG_CLOSE_TIMEOUT_MS;
#[cfg(feature = "fault-injection")]
use crate::peers::ControlMessage;

/// A running server. Dropping it does not stop it; [`drain`](Self::drain) and
/// [`wait`](Self::wait) do.
#[derive(Debug)]
pub struct ServerHandle {
    pub(super) local_addr: SocketAddr,
    pub(super) admin_addr: Option<SocketAddr>,
    pub(super) shards: Vec<ShardSummary>,
    pub(super) fallbacks: Fallbacks,
    pub(super) plan: ShardPlan,
    pub(super) commands: Sender<Command>,
    pub(super) supervisor: JoinHandle<ExitReport>,
}

/// What the host did not give, and why; something else runs in its place.
#[derive(Debug, Default)]
pub(super) struct Fallbacks {
    /// Epoll instead of io_uring.
    pub(super) engine: Option<String>,
    /// Shards where the scheduler puts them, instead of one on each core.
    pub(super) pinning: Option<String>,
}

/// One shard as it was started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShardSummary {
    /// Its index.
    pub index: usize,
    /// The CPU it is pinned to; `None` when unpinned.
    pub cpu: Option<usize>,
    /// The reactor it runs on.
    pub engine: EngineKind,
}

/// How a server ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExitReport {
    /// Every request in flight was finished within the drain timeout.
    pub drained: bool,
    /// Connections that were cut when it had passed.
    pub connections_cut: usize,
    /// Restarts of shards over the whole life of the server.
    pub restarts: u32,
}

impl ServerHandle {
    /// The address it listens on, with the port the kernel chose.
    pub fn local_addr(&self) -> SocketAddr {
        self.local_addr
    }

    /// The address of the admin listener, with the port the kernel chose.
    pub fn admin_addr(&self) -> Option<SocketAddr> {
        self.admin_addr
    }

    /// The shards and where they run.
    pub fn shards(&self) -> &[ShardSummary] {
        &self.shards
    }

    /// Why epoll runs although io_uring was asked for, if it does.
    pub fn fallback(&self) -> Option<&str> {
        self.fallbacks.engine.as_deref()
    }

    /// Why the shards are not pinned although they should be, if they are not.
    pub fn pinning_refused(&self) -> Option<&str> {
        self.fallbacks.pinning.as_deref()
    }

    /// Starts the drain: no new connections, requests in flight are finished,
    /// idle connections closed, after the timeout the rest is cut.
    pub fn drain(&self) {
        let _ = self.commands.send(Command::Drain);
    }

    /// Has a line written on stderr, by a thread of its own: whoever acts does
    /// not wait for whoever reads.
    pub(super) fn log(&self, text: String) {
        self.plan.errors.log(text);
    }

    /// Waits until what was logged is written, at most `timeout`.
    pub(super) fn flush_log(&self, timeout: Duration) {
        self.plan.errors.flush(timeout);
    }

    /// Waits until all shards have ended after a [`drain`](Self::drain), which
    /// takes little more than the drain timeout.
    pub fn wait(self) -> ExitReport {
        let report = self.supervisor.join();
        let timeout = Duration::from_millis(LOG_CLOSE_TIMEOUT_MS);
        if let Some(sink) = self.plan.sink {
            sink.close(timeout);
        }
        // Last: the access log may have had something to say of its end.
        self.plan.errors.flush(timeout);
        report.unwrap_or(ExitReport {
            drained: false,
            connections_cut: 0,
            restarts: 0,
        })
    }

    /// Whether all shards have ended.
    pub fn is_finished(&self) -> bool {
        self.supervisor.is_finished()
    }

    /// Opens the access log's file anew, after it was renamed.
    pub fn reopen_logs(&self) {
        if let Some(sink) = &self.plan.sink {
            sink.reopen();
        }
    }

    /// Fault injection: makes a shard's own loop panic, to see it restarted
    /// while the others go on. Its connections are lost.
    #[cfg(feature = "fault-injection")]
    pub fn crash_shard(&self, index: usize) {
        let _ = self.plan.peers.control.send(index, ControlMessage::Crash);
    }
}

/// What the supervisor is told.
#[derive(Debug)]
pub(super) enum Command {
    Drain,
    Shard(ShardEvent),
}
