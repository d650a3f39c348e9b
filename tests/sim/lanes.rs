//! Messages under way: a queue for each ordered pair of shards and each class,
//! with a pace of its own. What a sender tells itself goes the same way.

use std::collections::VecDeque;

use corelane_proto::coherence::{FromHome, Request, ToHome};

use crate::world::{Fault, Key, Written};

/// What is under way.
#[derive(Debug)]
pub(crate) enum Parcel {
    Request(Request<Key>),
    FromHome(FromHome<Key, Written, Fault>),
    ToHome(ToHome<Key, Written, Fault>),
}

/// The two classes: the second never waits for the first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Class {
    Requests,
    Replies,
}

impl Parcel {
    pub(crate) fn class(&self) -> Class {
        match self {
            Self::Request(_) => Class::Requests,
            Self::FromHome(_) | Self::ToHome(_) => Class::Replies,
        }
    }
}

/// One lane, by its place in [`Lanes`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct LaneId {
    pub(crate) from: usize,
    pub(crate) to: usize,
    pub(crate) class: Class,
}

/// The end of a lane where messages come out.
#[derive(Debug, Default)]
pub(crate) struct Lane {
    pub(crate) queue: VecDeque<Parcel>,
    /// A delivery is due.
    pub(crate) is_scheduled: bool,
    pub(crate) delay_us: u64,
}

/// All lanes of a run.
#[derive(Debug)]
pub(crate) struct Lanes {
    shards: usize,
    lanes: Vec<Lane>,
    /// Replies of a shard for which its lanes of length 1 have no room.
    outbox: Vec<usize>,
}

impl Lanes {
    pub(crate) fn new(shards: usize) -> Self {
        let mut lanes = Vec::new();
        lanes.resize_with(2 * shards * shards, Lane::default);
        Self {
            shards,
            lanes,
            outbox: vec![0; shards],
        }
    }

    pub(crate) fn lane(&mut self, id: LaneId) -> &mut Lane {
        let class = usize::from(id.class == Class::Replies);
        &mut self.lanes[2 * (id.from * self.shards + id.to) + class]
    }

    pub(crate) fn push(&mut self, id: LaneId, parcel: Parcel) {
        let lane = self.lane(id);
        lane.queue.push_back(parcel);
        let is_full = lane.queue.len() > 1;
        if is_full && id.class == Class::Replies && id.from != id.to {
            self.outbox[id.from] += 1;
        }
    }

    /// Takes a message out: the first, or `at` another place.
    pub(crate) fn take(&mut self, id: LaneId, at: usize) -> Option<Parcel> {
        let lane = self.lane(id);
        let parcel = lane.queue.remove(at)?;
        let was_full = !lane.queue.is_empty();
        if was_full && id.class == Class::Replies && id.from != id.to {
            self.outbox[id.from] -= 1;
        }
        Some(parcel)
    }

    /// Whether replies of a shard wait for room.
    pub(crate) fn has_outbox(&self, from: usize) -> bool {
        self.outbox[from] > 0
    }

    /// A shard has died: nothing comes from it or to it any more.
    pub(crate) fn cut(&mut self, dead: usize) {
        for other in 0..self.shards {
            for class in [Class::Requests, Class::Replies] {
                for (from, to) in [(dead, other), (other, dead)] {
                    let id = LaneId { from, to, class };
                    while self.take(id, 0).is_some() {}
                }
            }
        }
    }
}
