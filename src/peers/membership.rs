//! How a shard learns who lives: a mailbox for each incarnation, in which the
//! ends of the lanes to a new peer arrive, and the news that one is gone.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::attention::Attention;
use super::lane::{Incoming, Outgoing};

/// Where one incarnation of a shard learns who came and who went.
pub(super) struct Mailbox<M> {
    parcels: Mutex<VecDeque<Parcel<M>>>,
    pub(super) attention: Arc<Attention>,
}

impl<M> Mailbox<M> {
    /// Of the current shard, and empty.
    pub(super) fn of_current_shard(shards: usize) -> Self {
        Self {
            parcels: Mutex::default(),
            attention: Arc::new(Attention::of_current_shard(shards)),
        }
    }

    pub(super) fn post(&self, parcel: Parcel<M>) {
        self.parcels().push_back(parcel);
        self.attention.notify_parcel();
    }

    /// All that has come, in order.
    pub(super) fn take(&self) -> VecDeque<Parcel<M>> {
        std::mem::take(&mut *self.parcels())
    }

    fn parcels(&self) -> MutexGuard<'_, VecDeque<Parcel<M>>> {
        self.parcels.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a mailbox gets.
pub(super) enum Parcel<M> {
    /// A shard lives; the lanes to it and from it.
    Up(usize, Box<Peer<M>>),
    /// A shard is gone.
    Down(usize),
}

/// A living peer: the ends of the lanes to it and from it.
pub(super) struct Peer<M> {
    /// The peer's, to make it look.
    pub(super) attention: Arc<Attention>,
    pub(super) requests_out: Outgoing<M>,
    pub(super) replies_out: Outgoing<M>,
    pub(super) requests_in: Incoming<M>,
    pub(super) replies_in: Incoming<M>,
}
