//! What may happen next: a message arrives, a client begins or goes on, the
//! clock moves, a shard dies. Everything that a shard does in one step is done
//! before the next, as in the product, whose shards have one thread each.

use corelane_proto::coherence::WaitId;

use crate::entry_store::Key;
use crate::world::{Doing, Link, World};

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Step {
    Begin {
        shard: usize,
        key: Key,
        what: What,
    },
    /// The first of a lane arrives.
    Request {
        from: usize,
        to: usize,
    },
    Reply {
        from: usize,
        to: usize,
    },
    /// The second of a lane arrives: a broken lane.
    Overtake {
        from: usize,
        to: usize,
    },
    /// `at` learns that another has died, or has started again.
    Told {
        at: usize,
        about: usize,
    },
    /// The leader of a load has the database's answer.
    LeaderReads(WaitId),
    /// And gives it to its shard.
    Loaded(WaitId),
    LoadFails(WaitId),
    LeaderGone(WaitId),
    /// The database commits a write.
    Commit(WaitId),
    /// The writer says so, with the value or without.
    Release {
        client: WaitId,
        tells: bool,
    },
    /// The writer does not know; the write may happen later.
    InDoubt(WaitId),
    LateCommit(Key),
    /// A client goes away while it waits.
    Depart(WaitId),
    /// Everything that waits on a shard has waited too long.
    TimeOut(usize),
    Tick,
    Die(usize),
    Restart(usize),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum What {
    Read,
    Peek,
    Write,
    /// Written elsewhere, then purged.
    Purge,
    /// Written elsewhere, then the key's home flushed.
    Flush,
    /// How long it is good for changes.
    Touch,
}

impl Step {
    /// Whether it must happen sooner or later, unless another one like it does.
    /// When no such step is left, nobody may be waiting.
    pub(crate) fn is_due(&self) -> bool {
        match self {
            Self::Request { .. }
            | Self::Reply { .. }
            | Self::Told { .. }
            | Self::LeaderReads(_)
            | Self::Loaded(_)
            | Self::Commit(_)
            | Self::Release { .. }
            | Self::Restart(_) => true,
            Self::Begin { .. }
            | Self::Overtake { .. }
            | Self::LoadFails(_)
            | Self::LeaderGone(_)
            | Self::InDoubt(_)
            | Self::LateCommit(_)
            | Self::Depart(_)
            | Self::TimeOut(_)
            | Self::Tick
            | Self::Die(_) => false,
        }
    }
}

impl<R: corelane_proto::coherence::Rules> World<R> {
    pub(crate) fn steps(&self, may_overtake: bool, steps: &mut Vec<Step>) {
        if self.stale.is_some() {
            return;
        }
        self.arrivals(may_overtake, steps);
        for (id, client) in &self.clients {
            self.client_steps(*id, client.doing, steps);
        }
        self.beginnings(steps);
        for (key, _) in &self.late {
            let step = Step::LateCommit(*key);
            if !steps.contains(&step) {
                steps.push(step);
            }
        }
        if self.left.ticks > 0 {
            steps.push(Step::Tick);
        }
        self.deaths(steps);
    }

    fn arrivals(&self, may_overtake: bool, steps: &mut Vec<Step>) {
        let count = self.shards.len();
        for (from, to) in (0..count).flat_map(|from| (0..count).map(move |to| (from, to))) {
            match self.link(to, from) {
                Link::Open | Link::Down => {}
                _ if self.shards[to].is_some() => steps.push(Step::Told {
                    at: to,
                    about: from,
                }),
                _ => {}
            }
            if !self.is_open(from, to) {
                continue;
            }
            let lane = self.lane(from, to);
            let is_ready = self.shards[to].as_ref().is_some_and(|s| s.home.is_ready());
            if is_ready && !self.requests[lane].is_empty() {
                steps.push(Step::Request { from, to });
            }
            if !self.replies[lane].is_empty() {
                steps.push(Step::Reply { from, to });
            }
            if may_overtake && self.replies[lane].len() > 1 {
                steps.push(Step::Overtake { from, to });
            }
        }
    }

    fn client_steps(&self, id: WaitId, doing: Doing, steps: &mut Vec<Step>) {
        let left = &self.left;
        match doing {
            Doing::Lead { read, .. } => {
                steps.push(match read {
                    None => Step::LeaderReads(id),
                    Some(_) => Step::Loaded(id),
                });
                if left.failures > 0 && read.is_none() {
                    steps.push(Step::LoadFails(id));
                }
                if left.abandons > 0 && read.is_none() {
                    steps.push(Step::LeaderGone(id));
                }
            }
            Doing::Hold { written: None, .. } => {
                steps.push(Step::Commit(id));
                if left.doubts > 0 {
                    steps.push(Step::InDoubt(id));
                }
            }
            Doing::Hold {
                written: Some(_), ..
            } => {
                steps.extend([true, false].map(|tells| Step::Release { client: id, tells }));
            }
            Doing::Read { .. } | Doing::Write { .. } | Doing::Forget { .. } | Doing::Touch
                if left.departures > 0 =>
            {
                steps.push(Step::Depart(id));
            }
            _ => {}
        }
    }

    fn beginnings(&self, steps: &mut Vec<Step>) {
        let left = &self.left;
        let kinds = [
            (left.reads, What::Read),
            (left.peeks, What::Peek),
            (left.writes, What::Write),
            (left.purges, What::Purge),
            (left.flushes, What::Flush),
            (left.touches, What::Touch),
        ];
        for (shard, _) in self.living() {
            for what in kinds.iter().filter(|(left, _)| *left > 0).map(|(_, w)| *w) {
                for key in 0..self.database.len() as Key {
                    steps.push(Step::Begin { shard, key, what });
                }
            }
            if left.timeouts > 0 {
                steps.push(Step::TimeOut(shard));
            }
        }
    }

    fn deaths(&self, steps: &mut Vec<Step>) {
        for (index, shard) in self.shards.iter().enumerate() {
            match shard {
                None => steps.push(Step::Restart(index)),
                Some(_) if self.left.deaths > 0 && !self.died.contains(index) => {
                    steps.push(Step::Die(index));
                }
                Some(_) => {}
            }
        }
    }
}
