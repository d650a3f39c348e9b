//! Who lives, and how the ends of lanes reach them.
//!
//! In the life of a shard: [`Mesh::attach`] makes fresh lanes between it and
//! every living peer and leaves the peers' ends with their memberships;
//! [`Mesh::detach`] tells the peers that it is gone. Both happen under one
//! lock, so every membership gets "down" of an incarnation before "up" of the
//! next. The lock is held at starts and deaths of shards only; a message
//! never touches it.
//!
//! Invariant: lanes belong to one pair of incarnations. What a dead shard left
//! in them goes with them, and nothing sent to it reaches its successor.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::endpoint::Endpoint;
use super::lane::lane;
use super::membership::{Membership, Peer, PeerEvent};
use super::notifier::Notifier;
use crate::limits::{LANE_MESSAGES_MAX, LANE_MESSAGES_MIN, LANES_TOTAL_MESSAGES_MAX};

/// Messages each lane should hold, by the number of shards: two classes of
/// lanes between every two shards stay within [`LANES_TOTAL_MESSAGES_MAX`].
#[must_use]
pub fn lane_messages_for(shards: usize) -> usize {
    let lanes = 2 * shards.max(1).pow(2);
    (LANES_TOTAL_MESSAGES_MAX / lanes).clamp(LANE_MESSAGES_MIN, LANE_MESSAGES_MAX)
}

/// The shards of a process, as far as they live.
pub struct Mesh<M> {
    registry: Mutex<Registry<M>>,
    lane_messages: usize,
}

/// The membership of every living shard.
type Registry<M> = Vec<Option<Arc<Membership<M>>>>;

impl<M: Send + 'static> Mesh<M> {
    /// For `shards` shards, none of them attached yet; each lane holds
    /// `lane_messages` messages, see [`lane_messages_for`].
    ///
    /// # Panics
    /// When a lane shall hold nothing.
    #[must_use]
    pub fn new(shards: usize, lane_messages: usize) -> Arc<Self> {
        assert!(lane_messages > 0, "a lane holds at least one message");
        Arc::new(Self {
            registry: Mutex::new((0..shards).map(|_| None).collect()),
            lane_messages,
        })
    }

    /// Attaches the current shard as number `index`. A predecessor that nobody
    /// detached is detached first.
    ///
    /// # Panics
    /// When there is no such shard, or on a thread that runs no
    /// [`Runtime`](crate::engine::Runtime).
    #[must_use]
    pub fn attach(&self, index: usize) -> Endpoint<M> {
        let mut registry = self.registry();
        let predecessor = depart(&mut registry, index);
        let shards = registry.len();
        let membership = Arc::new(Membership::of_current_shard(shards));
        let mut peers: Vec<Option<Box<Peer<M>>>> = (0..shards).map(|_| None).collect();
        for (living, slot) in registry.iter().zip(&mut peers) {
            let Some(living) = living else { continue };
            let (ours, theirs) = self.connect(&membership.notifier, &living.notifier);
            *slot = Some(Box::new(ours));
            living.post(PeerEvent::Up(index, Box::new(theirs)));
        }
        registry[index] = Some(membership.clone());
        drop(registry);
        drop(predecessor);
        Endpoint::new(index, membership, peers)
    }

    /// Shard `index` died or ended; its peers are told. May be called from any
    /// thread, and again.
    pub fn detach(&self, index: usize) {
        let gone = depart(&mut self.registry(), index);
        // What its membership holds is dropped here, outside of the lock.
        drop(gone);
    }

    /// Fresh lanes between two shards: the ends of the one, and of the other.
    fn connect(&self, one: &Arc<Notifier>, other: &Arc<Notifier>) -> (Peer<M>, Peer<M>) {
        let (requests_to, requests_at_other) = lane(self.lane_messages);
        let (replies_to, replies_at_other) = lane(self.lane_messages);
        let (requests_back, requests_at_one) = lane(self.lane_messages);
        let (replies_back, replies_at_one) = lane(self.lane_messages);
        let ours = Peer {
            notifier: other.clone(),
            requests_out: requests_to,
            replies_out: replies_to,
            requests_in: requests_at_one,
            replies_in: replies_at_one,
        };
        let theirs = Peer {
            notifier: one.clone(),
            requests_out: requests_back,
            replies_out: replies_back,
            requests_in: requests_at_other,
            replies_in: replies_at_other,
        };
        (ours, theirs)
    }

    fn registry(&self) -> MutexGuard<'_, Registry<M>> {
        self.registry.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Takes a shard out and tells the others.
fn depart<M>(registry: &mut Registry<M>, index: usize) -> Option<Arc<Membership<M>>> {
    let gone = registry.get_mut(index)?.take()?;
    for living in registry.iter().flatten() {
        living.post(PeerEvent::Down(index));
    }
    Some(gone)
}

impl<M> std::fmt::Debug for Mesh<M> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Mesh of lanes of {}", self.lane_messages)
    }
}
