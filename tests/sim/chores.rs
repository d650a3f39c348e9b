//! What is neither read nor write: purges (with or without a write past the
//! protocol before), touches, peeks and flushes.

use corelane_proto::coherence::{Answer, Replica, Rules};

use crate::mutation::Mutation;
use crate::operation::{OperationId, Step, Task};
use crate::trace::trace;
use crate::world::{Fault, Key, World, Written};

impl<R: Rules> World<R> {
    pub(crate) fn begin_chore(&mut self, shard: usize, client: usize) {
        let key = self.random_key();
        let is_loose = self.registers[usize::from(key)].is_loose;
        let task = match self.rng.u8(..16) {
            0..6 if is_loose => return self.begin_outside(shard, client, key),
            0..4 => Task::Purge { key },
            4..10 => Task::Touch { key },
            10..15 => Task::Peek { key },
            _ => Task::Flush,
        };
        let floor = self.registers[usize::from(key)].floor();
        let id = self.begin(shard, Some(client), task);
        if let Some(operation) = self.operations.find(id) {
            operation.floor = floor;
        }
        trace!(self, Some(key), "shard {shard} begins a chore, {id:?}");
        self.ask_chore(id, self.home_of(key));
    }

    fn ask_chore(&mut self, id: OperationId, home: usize) {
        let (freshness, now_ms) = (self.freshness(), self.now_ms());
        let is_told = self.rng.u8(..8) > 0;
        let Some(operation) = self.operations.find(id) else {
            return;
        };
        let (shard, task, wait) = (operation.shard, operation.task.clone(), id.wait());
        let Some(live) = self.shards[shard].live.as_mut() else {
            return;
        };
        operation.is_waiting = true;
        let holder = &mut live.holder;
        match task {
            Task::Purge { key } if !is_told => {
                operation.is_waiting = false;
                holder.invalidate(key, home, None, now_ms);
                self.coverage.purges += 1;
                self.end(id);
            }
            Task::Purge { key } | Task::Outside { key, .. } => {
                holder.invalidate(key, home, Some(wait), now_ms);
            }
            Task::Touch { key } => holder.touch(key, home, freshness, wait, now_ms),
            Task::Peek { key } => holder.peek(key, home, wait, now_ms),
            _ => holder.flush(home, wait, now_ms),
        }
    }

    /// The database is changed first, by somebody else.
    fn begin_outside(&mut self, shard: usize, client: usize, key: Key) {
        let start = self.tick();
        let number = self.registers[usize::from(key)].write_starts(start);
        let task = Task::Outside {
            key,
            number,
            is_committed: false,
        };
        let id = self.begin(shard, Some(client), task);
        self.plan_step(id, self.climate.write_us, Step::Purge);
    }

    /// Then it is purged (or all of its home is flushed), however long it
    /// takes; then it counts as acknowledged.
    pub(crate) fn purge_outside(&mut self, id: OperationId) {
        let by_flush = self.rng.u8(..8) == 0;
        let Some(operation) = self.operations.find(id) else {
            return;
        };
        let shard = operation.shard;
        let Task::Outside {
            key,
            number,
            is_committed,
        } = &mut operation.task
        else {
            return;
        };
        let (key, number) = (*key, *number);
        if !std::mem::replace(is_committed, true) {
            trace!(self, Some(key), "a write from outside:");
            self.write_to_database(key, number);
            return self.plan_step(id, self.climate.lane_delay_us, Step::Purge);
        }
        if self.mutation == Mutation::NoPurges {
            return self.outside_ends(id, key, number);
        }
        trace!(self, Some(key), "shard {shard} purges it for {number}");
        let (home, now_ms) = (self.home_of(key), self.now_ms());
        if !by_flush {
            return self.ask_chore(id, home);
        }
        self.await_answer(id);
        if let Some(live) = self.live_at(shard) {
            live.holder.flush(home, id.wait(), now_ms);
        }
    }

    fn outside_ends(&mut self, id: OperationId, key: Key, number: u32) {
        let at = self.tick();
        self.acknowledge(key, number, at);
        self.coverage.outside_writes += 1;
        self.end(id);
    }

    pub(crate) fn chore_answered(
        &mut self,
        id: OperationId,
        task: &Task,
        answer: Answer<Written, Fault>,
    ) {
        let is_refused = matches!(answer, Answer::HomeGone | Answer::TimedOut);
        match (task, answer) {
            // Some give up, or slow lanes would fill with what is asked again.
            (Task::Outside { .. }, _) if is_refused && self.rng.u8(..4) > 0 => {
                self.plan_step(id, self.climate.restart_us, Step::Purge);
            }
            (_, _) if is_refused => drop(self.end(id)),
            (Task::Outside { key, number, .. }, answer) => {
                self.coverage.flushes += u64::from(matches!(answer, Answer::Flushed));
                self.outside_ends(id, *key, *number);
            }
            (Task::Purge { .. }, Answer::Invalidated(_)) => {
                self.coverage.purges += 1;
                self.end(id);
            }
            (Task::Touch { key }, Answer::Invalidated(had)) => {
                self.coverage.touches += 1;
                self.coverage.touches_of_something += u64::from(had.is_some());
                self.seen(id, *key, had);
            }
            (Task::Peek { key }, Answer::Value { replica, .. }) => {
                self.coverage.peeks += 1;
                self.seen(id, *key, Some(replica));
            }
            (Task::Peek { .. }, Answer::Absent) => {
                self.coverage.peeks_absent += 1;
                self.end(id);
            }
            (Task::Flush, Answer::Flushed) => {
                self.coverage.flushes += 1;
                self.end(id);
            }
            (task, answer) => self.fail(None, format!("{task:?} was told {answer:?}")),
        }
    }

    /// What a touch or a peek came to is a read as well.
    fn seen(&mut self, id: OperationId, key: Key, had: Option<Replica<Written>>) {
        match had {
            Some(replica) => self.read_ends(id, key, replica.value),
            None => drop(self.end(id)),
        }
    }
}
