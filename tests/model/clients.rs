//! Carries out a step of the clients: they begin, read and write the database,
//! and report to their shard.

use corelane_proto::coherence::{Freshness, Outcome, Replica, Rules, WaitId, WriteOutcome};

use crate::config::Config;
use crate::entry_store::Key;
use crate::steps::{Step, What};
use crate::world::{Client, Doing, STEP_MS, Value, World};

impl<R: Rules> World<R> {
    pub(crate) fn carry_out(&mut self, config: &Config, step: Step) {
        match step {
            Step::Begin { shard, key, what } => self.begin(config, shard, key, what),
            Step::Request { from, to } => self.take_request(from, to),
            Step::Reply { from, to } => self.take_reply(from, to, 0),
            Step::Overtake { from, to } => self.take_reply(from, to, 1),
            Step::Told { at, about } => self.told(at, about),
            Step::LeaderReads(id) => self.leader_reads(id),
            Step::Loaded(id) | Step::LoadFails(id) | Step::LeaderGone(id) => {
                self.end_load(id, step);
            }
            Step::Commit(id) => self.commit(id),
            Step::Release { client, tells } => self.release(client, tells),
            Step::InDoubt(id) => self.in_doubt(id),
            Step::LateCommit(key) => {
                if let Some(place) = self.late.iter().position(|(late, _)| *late == key) {
                    self.late.remove(place);
                    self.write_database(key);
                }
            }
            Step::Depart(id) => {
                self.left.departures -= 1;
                if let Some(client) = self.clients.remove(&id) {
                    self.at_holder(client.shard, |holder| holder.cancel_wait(id));
                }
            }
            Step::TimeOut(shard) => {
                self.left.timeouts -= 1;
                let late_ms = self.now_ms + 1;
                self.at_holder(shard, |holder| holder.handle_timeout(0, late_ms));
            }
            Step::Tick => self.tick(),
            Step::Die(dead) => {
                self.left.deaths -= 1;
                self.die(dead);
            }
            Step::Restart(me) => self.restart(config, me),
        }
    }

    fn begin(&mut self, config: &Config, shard: usize, key: Key, what: What) {
        let (home, now_ms) = (config.homes[usize::from(key)], self.now_ms);
        let floor = self.floor[usize::from(key)];
        let mode = config.mode;
        self.left.spend(what);
        if what == What::Read
            && let Some(value) = self.served_at_once(shard, key)
        {
            return self.has_read(key, value, floor);
        }
        let doing = match what {
            What::Read | What::Peek => Doing::Read { floor },
            What::Write => Doing::Write { mode },
            What::Purge | What::Flush => Doing::Forget {
                written: self.write_database(key),
            },
            What::Touch => Doing::Touch,
        };
        let wait = self.free_wait();
        self.clients.insert(wait, Client { shard, key, doing });
        self.at_holder(shard, |holder| match what {
            What::Read => holder.read(key, home, false, wait, now_ms),
            What::Peek => holder.peek(key, home, wait, now_ms),
            What::Write => holder.write(key, home, mode, wait, now_ms),
            What::Purge => holder.invalidate(key, home, Some(wait), now_ms),
            What::Flush => holder.flush(home, wait, now_ms),
            What::Touch => {
                let freshness = Freshness::until(now_ms + 2 * STEP_MS);
                holder.touch(key, home, freshness, wait, now_ms);
            }
        });
    }

    /// By the shard's own copy.
    fn served_at_once(&self, shard: usize, key: Key) -> Option<Value> {
        let shard = self.shards[shard].as_ref()?;
        let (_, replica) = shard.holder.look_up(&key, self.now_ms)?;
        Some(replica.value)
    }

    /// The lowest name that nobody has, so that equal states are equal.
    fn free_wait(&self) -> WaitId {
        let free = (0..).map(WaitId).find(|id| !self.clients.contains_key(id));
        free.expect("few clients")
    }

    fn write_database(&mut self, key: Key) -> Value {
        let value = &mut self.database[usize::from(key)];
        *value += 1;
        *value
    }

    fn replica(&self, value: Value) -> Replica<Value> {
        let freshness = Freshness::until(self.now_ms + STEP_MS);
        Replica { value, freshness }
    }

    fn leader_reads(&mut self, id: WaitId) {
        if let Some(client) = self.clients.get_mut(&id)
            && let Doing::Lead { read, .. } = &mut client.doing
        {
            *read = Some(self.database[usize::from(client.key)]);
        }
    }

    fn end_load(&mut self, id: WaitId, step: Step) {
        let Some(client) = self.clients.remove(&id) else {
            return;
        };
        let Doing::Lead { floor, load, read } = client.doing else {
            return;
        };
        let outcome = match (step, read) {
            (Step::Loaded(_), Some(value)) => {
                self.has_read(client.key, value, floor);
                Outcome::Value(self.replica(value))
            }
            (Step::LoadFails(_), _) => {
                self.left.failures -= 1;
                Outcome::Failed(())
            }
            _ => {
                self.left.abandons -= 1;
                Outcome::Abandoned
            }
        };
        self.at_holder(client.shard, |holder| holder.finish_load(load, outcome));
    }

    fn commit(&mut self, id: WaitId) {
        let Some(client) = self.clients.get(&id) else {
            return;
        };
        let value = self.write_database(client.key);
        if let Some(client) = self.clients.get_mut(&id)
            && let Doing::Hold { written, .. } = &mut client.doing
        {
            *written = Some(value);
        }
    }

    /// The client is told at once, before its shard's word reaches the home.
    fn release(&mut self, id: WaitId, tells: bool) {
        let Some(client) = self.clients.remove(&id) else {
            return;
        };
        if let Doing::Hold {
            id,
            written: Some(value),
            ..
        } = client.doing
        {
            let outcome = WriteOutcome::Done(tells.then(|| self.replica(value)));
            self.at_holder(client.shard, |holder| holder.finish_write(id, outcome));
            self.acknowledge(client.key, value);
        }
    }

    fn in_doubt(&mut self, id: WaitId) {
        let Some(client) = self.clients.remove(&id) else {
            return;
        };
        if let Doing::Hold { id, .. } = client.doing {
            self.left.doubts -= 1;
            self.late.push((client.key, self.now_ms + STEP_MS));
            self.at_holder(client.shard, |holder| {
                holder.finish_write(id, WriteOutcome::InDoubt);
            });
        }
    }

    /// What was late enough never happens.
    fn tick(&mut self) {
        self.left.ticks -= 1;
        self.now_ms += STEP_MS;
        let now_ms = self.now_ms;
        self.late.retain(|(_, until_ms)| now_ms < *until_ms);
        for shard in self.shards.iter_mut().flatten() {
            shard.home.handle_timeout(now_ms);
        }
    }
}
