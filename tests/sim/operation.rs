//! What clients have under way.

use corelane_proto::coherence::{LoadId, Replica, WaitId, WriteId, WriteMode};

use crate::world::{Key, Written};
use crate::zones::Moment;

/// An operation; never the same again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct OperationId {
    index: u32,
    generation: u32,
}

impl OperationId {
    /// Its name for the holder.
    pub(crate) fn wait(self) -> WaitId {
        WaitId(u64::from(self.generation) << 32 | u64::from(self.index))
    }

    pub(crate) fn of(wait: WaitId) -> Self {
        Self {
            index: wait.0 as u32,
            generation: (wait.0 >> 32) as u32,
        }
    }
}

/// Something an operation does by and by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    /// A loader asks the database.
    Query,
    /// And gives its result.
    FinishLoad,
    /// A writer's transaction takes effect.
    Commit,
    /// And the writer is told so.
    FinishWrite,
    /// An outside writer has it purged.
    Purge,
    /// Whoever ran it is gone.
    Drop,
}

/// One operation of a client, or of nobody (a refresh in the background).
#[derive(Debug)]
pub(crate) struct Operation {
    generation: u32,
    pub(crate) shard: usize,
    pub(crate) client: Option<usize>,
    pub(crate) start: Moment,
    /// What a read must not fall behind.
    pub(crate) floor: u32,
    /// The holder owes an answer.
    pub(crate) is_waiting: bool,
    pub(crate) task: Task,
}

/// What it is about.
#[derive(Debug, Clone)]
pub(crate) enum Task {
    /// Over; the place is free.
    Ended,
    Read {
        key: Key,
        load: Option<LoadId>,
        stale: Option<Replica<Written>>,
        /// What the database said; before it is asked, when the read began.
        loaded: Option<Written>,
    },
    Write(Write),
    /// Written past the protocol, then purged or flushed.
    Outside {
        key: Key,
        number: u32,
        is_committed: bool,
    },
    Touch {
        key: Key,
    },
    Peek {
        key: Key,
    },
    Purge {
        key: Key,
    },
    Flush,
}

/// A write of some keys in one transaction.
#[derive(Debug, Clone)]
pub(crate) struct Write {
    /// Ascending.
    pub(crate) parts: Vec<Part>,
    /// Leases held: of the first so many parts.
    pub(crate) granted: usize,
    pub(crate) is_committed: bool,
    pub(crate) fails: bool,
}

/// One key of a write.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Part {
    pub(crate) key: Key,
    pub(crate) number: u32,
    pub(crate) mode: WriteMode,
    pub(crate) lease: WriteId,
}

/// All that is under way.
#[derive(Debug, Default)]
pub(crate) struct Operations {
    places: Vec<Operation>,
    free: Vec<u32>,
}

impl Operations {
    pub(crate) fn begin(
        &mut self,
        shard: usize,
        client: Option<usize>,
        start: Moment,
        task: Task,
    ) -> OperationId {
        let index = self.free.pop().unwrap_or(self.places.len() as u32);
        if index as usize == self.places.len() {
            self.places.push(Operation {
                generation: 0,
                shard,
                client,
                start,
                floor: 0,
                is_waiting: false,
                task: Task::Ended,
            });
        }
        let place = &mut self.places[index as usize];
        place.generation += 1;
        (place.shard, place.client, place.start) = (shard, client, start);
        (place.floor, place.is_waiting, place.task) = (0, false, task);
        OperationId {
            index,
            generation: place.generation,
        }
    }

    pub(crate) fn find(&mut self, id: OperationId) -> Option<&mut Operation> {
        let place = self.places.get_mut(id.index as usize)?;
        let is_it = place.generation == id.generation && !matches!(place.task, Task::Ended);
        is_it.then_some(place)
    }

    /// Ends it; what it was about, and whose it was.
    pub(crate) fn end(&mut self, id: OperationId) -> Option<(Task, usize, Option<usize>)> {
        let place = self.find(id)?;
        let task = std::mem::replace(&mut place.task, Task::Ended);
        let ended = (task, place.shard, place.client);
        self.free.push(id.index);
        Some(ended)
    }

    /// What runs on a shard.
    pub(crate) fn of_shard(&self, shard: usize) -> Vec<OperationId> {
        let alive = |place: &&Operation| !matches!(place.task, Task::Ended);
        let places = self.places.iter().enumerate();
        places
            .filter(|(_, place)| place.shard == shard && alive(place))
            .map(|(index, place)| OperationId {
                index: index as u32,
                generation: place.generation,
            })
            .collect()
    }

    /// Those not ended.
    pub(crate) fn under_way(&self) -> impl Iterator<Item = &Operation> {
        let places = self.places.iter();
        places.filter(|place| !matches!(place.task, Task::Ended))
    }
}
