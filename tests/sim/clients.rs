//! Clients: what they begin, and what becomes of it when they are gone.

use corelane_proto::coherence::{Answer, Outcome, Rules, WriteOutcome};

use crate::operation::{OperationId, Step, Task};
use crate::schedule::Event;
use crate::trace::trace;
use crate::world::{Fault, Key, World, Written};

impl<R: Rules> World<R> {
    /// A client's turn: one operation, or a few reads of what is at hand.
    pub(crate) fn client(&mut self, shard: usize, client: usize, incarnation: u32) {
        let is_gone =
            self.shards[shard].live.is_none() || self.shards[shard].incarnation != incarnation;
        if self.is_winding_down || is_gone {
            return;
        }
        let what = u16::from(self.rng.u8(..));
        let (writes, chores) = (
            u16::from(self.climate.writes),
            u16::from(self.climate.chores),
        );
        if what < writes {
            self.begin_write(shard, client);
        } else if what < writes + chores {
            self.begin_chore(shard, client);
        } else if self.read_several(shard, client) {
            self.client_goes_on(shard, Some(client));
        }
        self.flush_output(shard);
    }

    /// Whether all were answered at once.
    fn read_several(&mut self, shard: usize, client: usize) -> bool {
        let count = if self.rng.bool() {
            1
        } else {
            self.rng.u8(1..12)
        };
        (0..count).all(|_| {
            let key = self.random_key();
            self.begin_read(shard, client, key)
        })
    }

    fn client_goes_on(&mut self, shard: usize, client: Option<usize>) {
        let Some(client) = client else {
            return;
        };
        let incarnation = self.shards[shard].incarnation;
        let delay_us = self.delay_us(self.climate.think_us);
        self.plan(
            delay_us,
            Event::Client {
                shard,
                client,
                incarnation,
            },
        );
    }

    /// Begins an operation of a client, which some day may lose interest.
    pub(crate) fn begin(&mut self, shard: usize, client: Option<usize>, task: Task) -> OperationId {
        let start = self.tick();
        self.coverage.operations += u64::from(client.is_some());
        let id = self.operations.begin(shard, client, start, task);
        if self.chance(self.climate.drops) {
            self.plan_step(id, self.climate.write_us, Step::Drop);
        }
        id
    }

    /// Ends an operation; its client goes on to the next.
    pub(crate) fn end(&mut self, id: OperationId) -> Option<Task> {
        let (task, shard, client) = self.operations.end(id)?;
        if self.shards[shard].live.is_some() {
            self.client_goes_on(shard, client);
        }
        Some(task)
    }

    pub(crate) fn await_answer(&mut self, id: OperationId) {
        if let Some(operation) = self.operations.find(id) {
            operation.is_waiting = true;
        }
    }

    pub(crate) fn take_answer(&mut self, id: OperationId, answer: Answer<Written, Fault>) {
        let Some(operation) = self.operations.find(id) else {
            return;
        };
        let task = operation.task.clone();
        match &answer {
            Answer::TimedOut => self.coverage.timeouts += 1,
            Answer::HomeGone => self.coverage.homes_gone += 1,
            _ => {}
        }
        match task {
            Task::Read { key, .. } => self.read_answered(id, key, answer),
            Task::Write(_) => self.write_answered(id, &answer),
            task => self.chore_answered(id, &task, answer),
        }
    }

    /// A value has been read; the operation is over.
    pub(crate) fn read_ends(&mut self, id: OperationId, key: Key, value: Written) {
        let end = self.tick();
        let Some(operation) = self.operations.find(id) else {
            return;
        };
        let (shard, start, floor) = (operation.shard, operation.start, operation.floor);
        trace!(
            self,
            Some(key),
            "shard {shard} read {}, begun at {start}",
            value.number
        );
        self.check_read(key, value, floor, start, end);
        self.end(id);
    }

    pub(crate) fn check_read(
        &mut self,
        key: Key,
        value: Written,
        floor: u32,
        start: u64,
        end: u64,
    ) {
        if value.key != key {
            return self.fail(Some(key), format!("a read came to {value:?}"));
        }
        let register = &mut self.registers[usize::from(key)];
        if let Err(why) = register.read(value.number, floor, start, end) {
            self.fail(Some(key), why);
        }
    }

    /// Whoever ran an operation is gone, its shard is not.
    pub(crate) fn drop_operation(&mut self, id: OperationId) {
        let Some(operation) = self.operations.find(id) else {
            return;
        };
        let (shard, is_waiting) = (operation.shard, operation.is_waiting);
        let Some(task) = self.end(id) else {
            return;
        };
        trace!(self, None, "shard {shard} drops {task:?}");
        self.coverage.dropped += 1;
        let late = {
            let Some(live) = self.live_at(shard) else {
                return;
            };
            if is_waiting {
                live.holder.cancel_wait(id.wait());
            }
            match task {
                Task::Read {
                    load: Some(load), ..
                } => {
                    live.holder.finish_load(load, Outcome::Abandoned);
                    None
                }
                Task::Write(write) => {
                    // While it waits for a lease nothing has been sent yet.
                    let outcome = match is_waiting {
                        true => WriteOutcome::Done(None),
                        false => WriteOutcome::InDoubt,
                    };
                    for part in &write.parts[..write.granted] {
                        live.holder.finish_write(part.lease, outcome.clone());
                    }
                    Some((write, !is_waiting))
                }
                _ => None,
            }
        };
        if let Some((write, is_in_doubt)) = late {
            self.write_is_lost(&write, is_in_doubt);
        }
    }

    /// An operation's shard has died.
    pub(crate) fn lose(&mut self, id: OperationId) {
        let is_waiting = self
            .operations
            .find(id)
            .is_some_and(|operation| operation.is_waiting);
        self.coverage.lost += 1;
        if let Some(Task::Write(write)) = self.end(id) {
            self.write_is_lost(&write, !is_waiting);
        }
    }
}
