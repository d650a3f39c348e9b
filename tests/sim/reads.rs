//! Reads, and the loads they lead.

use corelane_proto::coherence::{Answer, Hit, LoadId, Outcome, Replica, Rules, ValueSource};

use crate::mutation::Mutation;
use crate::operation::{OperationId, Step, Task};
use crate::trace::trace;
use crate::world::{Fault, Key, World, Written};

impl<R: Rules> World<R> {
    /// Whether it was answered at once, by the shard's own copy.
    pub(crate) fn begin_read(&mut self, shard: usize, client: usize, key: Key) -> bool {
        let now_ms = self.now_ms();
        let floor = self.registers[usize::from(key)].floor();
        let Some(live) = self.live_at(shard) else {
            return false;
        };
        let found = live.holder.look_up(&key, now_ms);
        let Some((hit, value)) = found.map(|(hit, replica)| (hit, replica.value)) else {
            self.ask(shard, Some(client), key, false);
            return false;
        };
        self.coverage.operations += 1;
        let (start, end) = (self.tick(), self.tick());
        trace!(
            self,
            Some(key),
            "shard {shard} read {} off its copy ({hit:?})",
            value.number
        );
        self.check_read(key, value, floor, start, end);
        self.coverage.hits += 1;
        if hit == Hit::Stale {
            self.coverage.hits_stale += 1;
            self.ask(shard, None, key, true);
        }
        true
    }

    fn ask(&mut self, shard: usize, client: Option<usize>, key: Key, refresh: bool) {
        let number = self.registers[usize::from(key)].value();
        let task = Task::Read {
            key,
            load: None,
            stale: None,
            loaded: Some(Written { key, number }),
        };
        let floor = self.registers[usize::from(key)].floor();
        let id = self.begin(shard, client, task);
        if let Some(operation) = self.operations.find(id) {
            (operation.floor, operation.is_waiting) = (floor, true);
        }
        trace!(self, Some(key), "shard {shard} asks for it, {id:?}");
        let (home, now_ms) = (self.home_of(key), self.now_ms());
        if let Some(live) = self.live_at(shard) {
            live.holder.read(key, home, refresh, id.wait(), now_ms);
        }
    }

    pub(crate) fn read_answered(
        &mut self,
        id: OperationId,
        key: Key,
        answer: Answer<Written, Fault>,
    ) {
        match answer {
            Answer::Value { replica, source } => {
                match source {
                    ValueSource::Home => self.coverage.answers_from_home += 1,
                    ValueSource::Collapsed => self.coverage.answers_collapsed += 1,
                    ValueSource::StaleOnError => self.coverage.answers_on_error += 1,
                }
                self.read_ends(id, key, replica.value);
            }
            Answer::Lead { load, stale, keeps } => {
                self.coverage.leads += 1;
                self.coverage.leads_unkept += u64::from(!keeps);
                self.lead(id, load, stale);
            }
            Answer::Failed(_) => {
                self.coverage.answers_failed += 1;
                self.end(id);
            }
            // It could not be sent.
            Answer::TimedOut if self.climate.requests_max.is_some() => drop(self.end(id)),
            other => self.fail(Some(key), format!("a read was told {other:?}")),
        }
    }

    fn lead(&mut self, id: OperationId, told: LoadId, given: Option<Replica<Written>>) {
        let Some(operation) = self.operations.find(id) else {
            return;
        };
        if let Task::Read { load, stale, .. } = &mut operation.task {
            (*load, *stale) = (Some(told), given);
        }
        self.plan_step(id, self.climate.load_us, Step::Query);
    }

    /// The database says what it says at this moment.
    pub(crate) fn query(&mut self, id: OperationId) {
        let is_early = self.mutation == Mutation::EarlyQueries;
        let Some(operation) = self.operations.find(id) else {
            return;
        };
        if let Task::Read { key, loaded, .. } = &mut operation.task {
            let (key, number) = (*key, self.registers[usize::from(*key)].value());
            if !is_early {
                *loaded = Some(Written { key, number });
            }
            trace!(self, Some(key), "the database says {number} to {id:?}");
        }
        self.plan_step(id, self.climate.load_us, Step::FinishLoad);
    }

    pub(crate) fn finish_load(&mut self, id: OperationId) {
        let (fails, is_abandoned) = (
            self.chance(self.climate.faults),
            self.chance(self.climate.drops),
        );
        let Some(operation) = self.operations.find(id) else {
            return;
        };
        let shard = operation.shard;
        let Task::Read {
            key,
            load: Some(load),
            stale,
            loaded: Some(value),
        } = operation.task.clone()
        else {
            return;
        };
        let outcome = match (is_abandoned, fails) {
            (true, _) => Outcome::Abandoned,
            (false, true) => Outcome::Failed(1),
            (false, false) => Outcome::Value(self.replica(value)),
        };
        trace!(
            self,
            Some(key),
            "shard {shard} ends load {load:?}: {outcome:?}"
        );
        if let Some(live) = self.live_at(shard) {
            live.holder.finish_load(load, outcome.clone());
        }
        self.check_copies(shard);
        match (outcome, stale) {
            (Outcome::Value(_), _) => self.read_ends(id, key, value),
            (Outcome::Failed(_), Some(stale)) => {
                self.coverage.loads_failed += 1;
                self.coverage.answers_on_error += 1;
                self.read_ends(id, key, stale.value);
            }
            (Outcome::Failed(_), None) | (Outcome::Refused(_), _) => {
                self.coverage.loads_failed += 1;
                self.end(id);
            }
            (Outcome::Abandoned, _) => {
                self.coverage.loads_abandoned += 1;
                self.end(id);
            }
        }
    }
}
