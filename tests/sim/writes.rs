//! Writes under leases: of one key or several, alone or beside others.

use corelane_proto::coherence::{Answer, Rules, WriteId, WriteMode, WriteOutcome};

use crate::mutation::Mutation;
use crate::operation::{OperationId, Part, Step, Task, Write};
use crate::schedule::Event;
use crate::trace::trace;
use crate::world::{Fault, Key, World, Written};

impl<R: Rules> World<R> {
    pub(crate) fn begin_write(&mut self, shard: usize, client: usize) {
        let mut keys = vec![self.random_key()];
        while self.rng.u8(..4) == 0 && keys.len() < 3 {
            keys.push(self.random_key());
        }
        keys.sort_unstable();
        keys.dedup();
        self.coverage.writes_of_several += u64::from(keys.len() > 1);
        let start = self.tick();
        let parts = keys.iter().map(|key| {
            let register = &mut self.registers[usize::from(*key)];
            let is_usual = self.rng.u8(..8) > 0;
            Part {
                key: *key,
                number: register.write_starts(start),
                mode: match register.is_shared && is_usual {
                    true => WriteMode::Shared,
                    false => WriteMode::Exclusive,
                },
                lease: WriteId(0),
            }
        });
        let write = Write {
            parts: parts.collect(),
            granted: 0,
            is_committed: false,
            fails: self.chance(self.climate.faults),
        };
        for part in &write.parts {
            trace!(
                self,
                Some(part.key),
                "shard {shard} wants to write {}",
                part.number
            );
        }
        let id = self.begin(shard, Some(client), Task::Write(write));
        self.want_lease(id);
    }

    /// Asks for the lease of the first part that has none; in the order of
    /// keys, so that no two wait for each other.
    fn want_lease(&mut self, id: OperationId) {
        let Some(operation) = self.operations.find(id) else {
            return;
        };
        let shard = operation.shard;
        let Task::Write(write) = &operation.task else {
            return;
        };
        let Some(part) = write.parts.get(write.granted).copied() else {
            return self.plan_step(id, self.climate.write_us, Step::Commit);
        };
        operation.is_waiting = true;
        let (home, now_ms) = (self.home_of(part.key), self.now_ms());
        if let Some(live) = self.live_at(shard) {
            live.holder
                .write(part.key, home, part.mode, id.wait(), now_ms);
        }
    }

    pub(crate) fn write_answered(&mut self, id: OperationId, answer: &Answer<Written, Fault>) {
        let Some(operation) = self.operations.find(id) else {
            return;
        };
        let (shard, Task::Write(write)) = (operation.shard, &mut operation.task) else {
            return;
        };
        match answer {
            Answer::Granted(lease) => {
                let part = &mut write.parts[write.granted];
                part.lease = *lease;
                let key = part.key;
                write.granted += 1;
                trace!(self, Some(key), "shard {shard} has lease {lease:?}");
                self.want_lease(id);
            }
            Answer::HomeGone | Answer::TimedOut => {
                let write = write.clone();
                self.finish_parts(shard, &write, |_| WriteOutcome::Done(None));
                self.write_fails(&write);
                self.end(id);
            }
            other => self.fail(None, format!("a write was told {other:?}")),
        }
    }

    fn finish_parts(
        &mut self,
        shard: usize,
        write: &Write,
        mut outcome: impl FnMut(&Part) -> WriteOutcome<Written>,
    ) {
        let is_traced = self.trace.is_on();
        for part in &write.parts[..write.granted] {
            let outcome = outcome(part);
            if is_traced {
                trace!(
                    self,
                    Some(part.key),
                    "shard {shard} ends {}: {outcome:?}",
                    part.number
                );
            }
            if let Some(live) = self.live_at(shard) {
                live.holder.finish_write(part.lease, outcome);
            }
        }
    }

    pub(crate) fn commit(&mut self, id: OperationId) {
        if self.chance(self.climate.faults) {
            return self.drop_operation(id);
        }
        let Some(operation) = self.operations.find(id) else {
            return;
        };
        let Task::Write(write) = &mut operation.task else {
            return;
        };
        write.is_committed = !write.fails;
        if write.is_committed {
            for part in write.parts.clone() {
                self.write_to_database(part.key, part.number);
            }
        }
        self.plan_step(id, self.climate.write_us, Step::FinishWrite);
    }

    /// The writer knows how it ended, or that it cannot know.
    pub(crate) fn finish_write(&mut self, id: OperationId) {
        let Some(operation) = self.operations.find(id) else {
            return;
        };
        let (shard, Task::Write(write)) = (operation.shard, operation.task.clone()) else {
            return;
        };
        if self.chance(self.climate.faults) {
            self.finish_parts(shard, &write, |_| WriteOutcome::InDoubt);
            self.write_is_lost(&write, true);
            self.end(id);
            return;
        }
        let knows_value = write.is_committed && self.rng.bool();
        let replicas = write.parts.iter().map(|part| {
            let (key, number) = (part.key, part.number);
            knows_value.then(|| self.replica(Written { key, number }))
        });
        let mut replicas = replicas.collect::<Vec<_>>().into_iter();
        self.coverage.writes_with_value += u64::from(knows_value);
        self.finish_parts(shard, &write, |_| {
            WriteOutcome::Done(replicas.next().flatten())
        });
        match write.is_committed {
            true => {
                let at = self.tick();
                for part in &write.parts {
                    self.acknowledge(part.key, part.number, at);
                }
                self.coverage.writes_acknowledged += 1;
            }
            false => self.write_fails(&write),
        }
        self.end(id);
    }

    pub(crate) fn acknowledge(&mut self, key: Key, number: u32, at: u64) {
        trace!(self, Some(key), "{number} is acknowledged");
        self.registers[usize::from(key)].acknowledge(number, at);
    }

    fn write_fails(&mut self, write: &Write) {
        self.coverage.writes_failed += 1;
        for part in &write.parts {
            self.registers[usize::from(part.key)].fail(part.number);
        }
    }

    /// Nobody will be told how a write ended. If all leases were there, and it
    /// has not been committed, it still may be, before the doubt has passed.
    pub(crate) fn write_is_lost(&mut self, write: &Write, is_in_doubt: bool) {
        if !is_in_doubt {
            return self.write_fails(write);
        }
        self.coverage.writes_in_doubt += 1;
        let last_us = (self.now_ms() + self.climate.doubt_ms) * 1_000 - 1;
        let happens = !write.is_committed && !write.fails && self.rng.bool();
        let mut at_us = match self.rng.bool() {
            true => last_us.max(self.now_us),
            false => self.rng.u64(self.now_us..=last_us.max(self.now_us)),
        };
        if self.mutation == Mutation::LateWrites {
            at_us += self.climate.doubt_ms * 1_000 + 50_000;
        }
        for part in &write.parts {
            let (key, number) = (part.key, part.number);
            if happens {
                self.schedule.plan(at_us, Event::LateCommit { key, number });
            }
            if self.mutation != Mutation::LateWrites {
                self.schedule
                    .plan(last_us + 1, Event::Expire { key, number });
            }
        }
    }
}
