//! What happens when: events in order of virtual time, then of being planned.

use std::cmp::Ordering;
use std::collections::BinaryHeap;

use crate::lanes::LaneId;
use crate::operation::{OperationId, Step};
use crate::world::Key;

/// Something that happens.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Event {
    /// A client of a shard's incarnation begins something.
    Client {
        shard: usize,
        client: usize,
        incarnation: u32,
    },
    Deliver(LaneId),
    Step(OperationId, Step),
    /// A write that its shard knows nothing of any more takes effect.
    LateCommit {
        key: Key,
        number: u32,
    },
    /// From now on it does not.
    Expire {
        key: Key,
        number: u32,
    },
    /// A shard's incarnation learns the next of who has died and come.
    Control {
        shard: usize,
        incarnation: u32,
        about: usize,
    },
    Tick {
        shard: usize,
        incarnation: u32,
    },
    Kill,
    Restart(usize),
}

#[derive(Debug)]
struct Planned {
    at_us: u64,
    order: u64,
    event: Event,
}

impl PartialEq for Planned {
    fn eq(&self, other: &Self) -> bool {
        (self.at_us, self.order) == (other.at_us, other.order)
    }
}

impl Eq for Planned {}

impl PartialOrd for Planned {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Planned {
    /// The earliest is the greatest, for the heap.
    fn cmp(&self, other: &Self) -> Ordering {
        (other.at_us, other.order).cmp(&(self.at_us, self.order))
    }
}

/// The events to come.
#[derive(Debug, Default)]
pub(crate) struct Schedule {
    planned: BinaryHeap<Planned>,
    order: u64,
}

impl Schedule {
    pub(crate) fn plan(&mut self, at_us: u64, event: Event) {
        self.order += 1;
        let order = self.order;
        self.planned.push(Planned {
            at_us,
            order,
            event,
        });
    }

    pub(crate) fn next(&mut self) -> Option<(u64, Event)> {
        let next = self.planned.pop()?;
        Some((next.at_us, next.event))
    }
}
