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
use crate::metrics::{RecentFaults, ShardSnapshot};

/// What a shard can be told.
#[derive(Debug)]
pub(crate) enum ControlMessage {
    /// Say that you turn, and what went wrong lately.
    Ping(RemoteSender<RecentFaults>),
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
    #[cfg(feature = "fault-injection")]
    Crash,
}

/// The inboxes of all shards of a process.
#[derive(Debug)]
pub(crate) struct ControlInboxes {
    inboxes: Vec<Mutex<Option<InboxSender>>>,
}

#[derive(Debug)]
struct InboxSender {
    queue: SyncSender<ControlMessage>,
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

impl ControlInboxes {
    /// For `shards` shards, none of them attached yet; that of the admin listener
    /// is one of them.
    pub(crate) fn new(shards: usize) -> Self {
        Self {
            inboxes: (0..shards).map(|_| Mutex::new(None)).collect(),
        }
    }

    /// How many shards there are, whether they live or not.
    pub(crate) fn members(&self) -> usize {
        self.inboxes.len()
    }

    /// Attaches the current shard as number `index`, replacing a dead
    /// predecessor. The inbox must be polled after every wake of the shard.
    pub(crate) fn attach(&self, index: usize) -> ControlInbox {
        let (queue, messages) = sync_channel(SHARD_INBOX_MESSAGES_MAX);
        let sender = InboxSender {
            queue,
            waker: ShardWaker::current(),
        };
        *self.sender(index).expect("there is such a shard") = Some(sender);
        ControlInbox { messages }
    }

    /// Marks shard `index` as not running.
    pub(crate) fn detach(&self, index: usize) {
        if let Some(mut sender) = self.sender(index) {
            *sender = None;
        }
    }

    /// Puts a message in the inbox of shard `index` and wakes it.
    ///
    /// # Errors
    /// [`SendError`]; the message is dropped.
    pub(crate) fn send(&self, index: usize, message: ControlMessage) -> Result<(), SendError> {
        let sender = self.sender(index).ok_or(SendError::Dead)?;
        let sender = sender.as_ref().ok_or(SendError::Dead)?;
        sender
            .queue
            .try_send(message)
            .map_err(|error| match error {
                TrySendError::Full(_) => SendError::Full,
                TrySendError::Disconnected(_) => SendError::Dead,
            })?;
        sender.waker.wake();
        Ok(())
    }

    fn sender(&self, index: usize) -> Option<std::sync::MutexGuard<'_, Option<InboxSender>>> {
        Some(
            self.inboxes
                .get(index)?
                .lock()
                .unwrap_or_else(PoisonError::into_inner),
        )
    }
}

/// The receiving end of one shard.
#[derive(Debug)]
pub(crate) struct ControlInbox {
    messages: Receiver<ControlMessage>,
}

impl ControlInbox {
    /// The next message, if one waits.
    pub(crate) fn poll(&self) -> Option<ControlMessage> {
        self.messages.try_recv().ok()
    }
}
