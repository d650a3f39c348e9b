//! A key that something is being done with, and who waits for it.

use std::collections::VecDeque;

use super::{Idle, Lease, Replica, Request, RequestTicket, ShardSet, WriteMode};

/// Somebody who waits for a reply.
pub(super) type Asker = (usize, RequestTicket);

/// A key under way. It is in no store meanwhile.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Busy<K, V> {
    pub(super) phase: BusyPhase<V>,
    /// Requests that wait for the phase to end. At most one for each request
    /// that a shard has under way.
    pub(super) queue: VecDeque<(usize, Request<K>)>,
}

/// What is being done.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum BusyPhase<V> {
    /// One shard loads, others wait for its result.
    Loading {
        lease: Lease,
        by: usize,
        /// Of the change feed, when it began.
        era: u64,
        waiters: Vec<Asker>,
        /// The expired entry it will replace, with those who may hold it.
        prior: Option<Idle<V>>,
    },
    /// Copies are being invalidated.
    Revoking { acks: ShardSet, then: Then<V> },
    /// Somebody writes; there are no copies.
    Writing {
        mode: WriteMode,
        leases: Vec<(Lease, usize)>,
        /// Something else was written meanwhile: the writer's value is not
        /// kept.
        tainted: bool,
    },
}

/// What happens when all copies have been invalidated.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Then<V> {
    Grant {
        mode: WriteMode,
        to: Vec<Asker>,
    },
    Invalidated {
        to: Option<Asker>,
        had: Option<Replica<V>>,
    },
    Touched {
        to: Option<Asker>,
        replica: Replica<V>,
    },
    /// Nothing: the store had no room.
    Evicted,
}

impl<V> BusyPhase<V> {
    /// Whether writers may come in beside each other, so that readers need not
    /// wait for them.
    pub(super) fn is_shared(&self) -> bool {
        matches!(
            self,
            Self::Writing {
                mode: WriteMode::Shared,
                ..
            } | Self::Revoking {
                then: Then::Grant {
                    mode: WriteMode::Shared,
                    ..
                },
                ..
            }
        )
    }
}

impl<V> BusyPhase<V> {
    /// Whether whoever comes has to wait for its end.
    pub(super) fn holds_up_others(&self) -> bool {
        !self.is_shared() && !matches!(self, Self::Loading { .. })
    }
}

impl<V> Then<V> {
    /// Forgets what a dead shard has asked for.
    pub(super) fn drop_asker(&mut self, dead: usize) {
        match self {
            Self::Grant { to, .. } => to.retain(|(shard, _)| *shard != dead),
            Self::Invalidated { to, .. } | Self::Touched { to, .. } => {
                *to = to.filter(|(shard, _)| *shard != dead);
            }
            Self::Evicted => {}
        }
    }
}

impl<K, V> Busy<K, V> {
    pub(super) fn new(phase: BusyPhase<V>) -> Self {
        Self {
            phase,
            queue: VecDeque::new(),
        }
    }
}

/// A load that was revoked: its result is for those who asked before.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Late {
    pub(super) by: usize,
    pub(super) waiters: Vec<Asker>,
}

/// Everything is being forgotten.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Flush<K> {
    pub(super) acks: ShardSet,
    pub(super) askers: Vec<Asker>,
    /// Requests that wait for its end.
    pub(super) queue: VecDeque<(usize, Request<K>)>,
}
