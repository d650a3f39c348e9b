//! Control of shards: what the supervisor and `/metrics` tell them.
//!
//! One bounded inbox per shard. A full inbox refuses at once, a dead shard
//! refuses at once; nobody waits for a place. The registry of inboxes is
//! behind a mutex because a restarted shard gets a new one; it is locked for
//! the time of a queue push, off the hot path.

use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Mutex, PoisonError};

use crate::cache::CacheKey;
use crate::engine::{RemoteSender, ShardWaker};
use crate::limits::SHARD_INBOX_MESSAGES_MAX;
use crate::metrics::ShardSnapshot;

/// What a shard can be told.
#[derive(Debug)]
pub(crate) enum Message {
    /// Send your numbers back.
    Snapshot(RemoteSender<ShardSnapshot>),
    /// Stop accepting, finish what is in flight, end.
    Drain,
    /// Send back which keys of this cache are cached at home here.
    CacheKeys(u16, RemoteSender<Vec<CacheKey>>),
    /// Every shard has drained: end.
    End,
    /// Panic in the shard's own loop: fault injection, to show that the
    /// supervisor restarts a shard while the others go on.
    Crash,
}

/// The inboxes of all shards of a process.
#[derive(Debug)]
pub(crate) struct Mesh {
    lanes: Vec<Mutex<Option<Lane>>>,
}

#[derive(Debug)]
struct Lane {
    queue: SyncSender<Message>,
    waker: ShardWaker,
}

/// Why a message was not delivered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SendError {
    /// The inbox is full.
    Full,
    /// The shard is not running, or there is no such shard.
    Dead,
}

impl Mesh {
    /// A mesh for `shards` shards, none of them attached yet.
    pub(crate) fn new(shards: usize) -> Self {
        Self {
            lanes: (0..shards).map(|_| Mutex::new(None)).collect(),
        }
    }

    /// Attaches the current shard as number `index`, replacing a dead
    /// predecessor. The inbox must be polled after every wake of the shard.
    pub(crate) fn attach(&self, index: usize) -> Inbox {
        let (queue, messages) = sync_channel(SHARD_INBOX_MESSAGES_MAX);
        let lane = Lane {
            queue,
            waker: ShardWaker::current(),
        };
        *self.lane(index).expect("index is of this mesh") = Some(lane);
        Inbox { messages }
    }

    /// Marks shard `index` as not running.
    pub(crate) fn detach(&self, index: usize) {
        if let Some(mut lane) = self.lane(index) {
            *lane = None;
        }
    }

    /// Puts a message in the inbox of shard `index` and wakes it.
    ///
    /// # Errors
    /// [`SendError`]; the message is dropped.
    pub(crate) fn send(&self, index: usize, message: Message) -> Result<(), SendError> {
        let lane = self.lane(index).ok_or(SendError::Dead)?;
        let lane = lane.as_ref().ok_or(SendError::Dead)?;
        lane.queue.try_send(message).map_err(|error| match error {
            TrySendError::Full(_) => SendError::Full,
            TrySendError::Disconnected(_) => SendError::Dead,
        })?;
        lane.waker.wake();
        Ok(())
    }

    fn lane(&self, index: usize) -> Option<std::sync::MutexGuard<'_, Option<Lane>>> {
        Some(
            self.lanes
                .get(index)?
                .lock()
                .unwrap_or_else(PoisonError::into_inner),
        )
    }
}

/// The receiving end of one shard.
#[derive(Debug)]
pub(crate) struct Inbox {
    messages: Receiver<Message>,
}

impl Inbox {
    /// The next message, if one waits.
    pub(crate) fn poll(&self) -> Option<Message> {
        self.messages.try_recv().ok()
    }
}
