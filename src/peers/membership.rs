//! How a shard learns who lives: each incarnation's membership, where the ends
//! of the lanes to a new peer arrive, and the news that one is gone.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::lane::{Incoming, Outgoing};
use super::notifier::Notifier;

/// Where one incarnation of a shard learns who came and who went.
pub(super) struct Membership<M> {
    events: Mutex<VecDeque<PeerEvent<M>>>,
    pub(super) notifier: Arc<Notifier>,
}

impl<M> Membership<M> {
    /// Of the current shard, and empty.
    pub(super) fn of_current_shard(shards: usize) -> Self {
        Self {
            events: Mutex::default(),
            notifier: Arc::new(Notifier::of_current_shard(shards)),
        }
    }

    pub(super) fn post(&self, event: PeerEvent<M>) {
        self.events().push_back(event);
        self.notifier.notify_peer_event();
    }

    /// All that has come, in order.
    pub(super) fn take(&self) -> VecDeque<PeerEvent<M>> {
        std::mem::take(&mut *self.events())
    }

    fn events(&self) -> MutexGuard<'_, VecDeque<PeerEvent<M>>> {
        self.events.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A shard came or went.
pub(super) enum PeerEvent<M> {
    /// A shard lives; the lanes to it and from it.
    Up(usize, Box<Peer<M>>),
    /// A shard is gone.
    Down(usize),
}

/// A living peer: the ends of the lanes to it and from it.
pub(super) struct Peer<M> {
    /// The peer's, to make it look.
    pub(super) notifier: Arc<Notifier>,
    pub(super) requests_out: Outgoing<M>,
    pub(super) replies_out: Outgoing<M>,
    pub(super) requests_in: Incoming<M>,
    pub(super) replies_in: Incoming<M>,
}
