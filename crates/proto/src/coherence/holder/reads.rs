//! Reading: asking once for all who want a key, loading, giving up.

use std::collections::VecDeque;

use super::{
    Answer, EntryStore, HeldCopy, Holder, Joinable, Load, LoadId, Outcome, ReadGroup, Replica,
    Request, RequestTicket, Rules, ToHome, ValueSource, WaitId, WaitPlace,
};
use crate::clock::Millis;

impl<K, V, E, S, R> Holder<K, V, E, S, R>
where
    K: Clone + Ord,
    V: Clone,
    E: Clone,
    S: EntryStore<K, HeldCopy<V>>,
    R: Rules,
{
    /// Asks `home` for a key of which there is no copy here, or (`refresh`) a
    /// stale one. The answer is a value, [`Answer::Lead`] or
    /// [`Answer::Failed`].
    pub fn read(&mut self, key: K, home: usize, refresh: bool, wait: WaitId, now_ms: Millis) {
        match self.open.get(&key) {
            Some(Joinable::Read(ticket)) => {
                if let Some(group) = self.reads.get_mut(ticket) {
                    group.waits.push_back(wait);
                    self.waits.insert(wait, WaitPlace::Read(*ticket));
                }
            }
            Some(Joinable::Load(load)) => {
                let id = *load;
                if let Some(load) = self.loads.get_mut(&id) {
                    load.waits.push_back(wait);
                    self.waits.insert(wait, WaitPlace::Load(id));
                }
            }
            None if self.alive.contains(home) => {
                let ticket = RequestTicket(self.number());
                let group = ReadGroup {
                    key: key.clone(),
                    home,
                    waits: VecDeque::from([wait]),
                    since_ms: now_ms,
                };
                self.reads.insert(ticket, group);
                self.open.insert(key.clone(), Joinable::Read(ticket));
                self.waits.insert(wait, WaitPlace::Read(ticket));
                self.ask(
                    home,
                    Request::Read {
                        key,
                        ticket,
                        refresh,
                    },
                );
            }
            None => {
                self.counters.given_up += 1;
                self.load_unkept(key, home, VecDeque::from([wait]), now_ms);
            }
        }
    }

    /// Whether the result of a load will be kept, as things stand.
    pub fn keeps(&self, id: LoadId) -> bool {
        let load = self.loads.get(&id);
        load.is_some_and(|load| load.lease.is_some() && !load.revoked)
    }

    /// Ends a load that was led: with its value, its error, or nothing at all
    /// when whoever led it is gone.
    pub fn finish_load(&mut self, id: LoadId, outcome: Outcome<V, E>) {
        if matches!(outcome, Outcome::Abandoned) && self.lead_next(id) {
            return;
        }
        let Some(load) = self.loads.remove(&id) else {
            return;
        };
        if self.open.get(&load.key) == Some(&Joinable::Load(id)) {
            self.open.remove(&load.key);
        }
        if self.leased.get(&load.key) == Some(&id) {
            self.leased.remove(&load.key);
        }
        let keeps = load.lease.is_some() && (!load.revoked || R::KEEP_REVOKED_LOADS);
        if let Outcome::Value(replica) = &outcome
            && keeps
        {
            self.keep(load.key.clone(), load.home, replica.clone());
        }
        for wait in load.waits {
            let answer = match (&outcome, &load.stale) {
                (Outcome::Value(replica), _) => value(replica, ValueSource::Collapsed),
                (Outcome::Failed(_), Some(stale)) => value(stale, ValueSource::StaleOnError),
                (Outcome::Failed(error), None) | (Outcome::Refused(error), _) => {
                    Answer::Failed(error.clone())
                }
                // Nobody waits for what was abandoned.
                (Outcome::Abandoned, _) => Answer::TimedOut,
            };
            self.answer(wait, answer);
        }
        if let Some(lease) = load.lease {
            self.say(load.home, ToHome::Loaded { lease, outcome });
        }
    }

    /// The next in line here loads instead of one who is gone.
    fn lead_next(&mut self, id: LoadId) -> bool {
        let Some(load) = self.loads.get_mut(&id) else {
            return false;
        };
        let Some(next) = load.waits.pop_front() else {
            return false;
        };
        let stale = load.stale.clone();
        let keeps = load.lease.is_some() && !load.revoked;
        self.answer(
            next,
            Answer::Lead {
                load: id,
                stale,
                keeps,
            },
        );
        true
    }

    /// Forgets a wait: whoever waited is gone.
    pub fn cancel_wait(&mut self, wait: WaitId) {
        match self.waits.remove(&wait) {
            Some(WaitPlace::Read(ticket)) => {
                if let Some(group) = self.reads.get_mut(&ticket) {
                    group.waits.retain(|waiting| *waiting != wait);
                }
            }
            Some(WaitPlace::Load(id)) => {
                if let Some(load) = self.loads.get_mut(&id) {
                    load.waits.retain(|waiting| *waiting != wait);
                }
            }
            // A lease that comes for it is given back.
            Some(WaitPlace::Change(ticket)) => drop(self.changes.remove(&ticket)),
            None => {}
        }
    }

    /// Starts a load whose leader is the first who waits; whether there is one.
    pub(super) fn lead(&mut self, load: Load<K, V>, joinable: bool) -> bool {
        let mut load = load;
        let Some(leader) = load.waits.pop_front() else {
            return false;
        };
        let id = LoadId(self.number());
        for wait in &load.waits {
            self.waits.insert(*wait, WaitPlace::Load(id));
        }
        if joinable {
            self.open.insert(load.key.clone(), Joinable::Load(id));
        }
        let stale = load.stale.clone();
        let keeps = load.lease.is_some() && !load.revoked;
        if keeps {
            self.leased.insert(load.key.clone(), id);
        }
        self.loads.insert(id, load);
        self.answer(
            leader,
            Answer::Lead {
                load: id,
                stale,
                keeps,
            },
        );
        true
    }

    /// Lets `waits` have a load of their own, whose result nobody keeps. Who
    /// comes later must not join: what is read may be older than their request.
    pub(super) fn load_unkept(
        &mut self,
        key: K,
        home: usize,
        waits: VecDeque<WaitId>,
        now_ms: Millis,
    ) {
        let load = Load {
            key,
            home,
            lease: None,
            revoked: true,
            stale: None,
            waits,
            since_ms: now_ms,
        };
        self.lead(load, false);
    }

    /// Takes a read group out; nobody joins it any more.
    pub(super) fn take_group(&mut self, ticket: RequestTicket) -> Option<ReadGroup<K>> {
        let group = self.reads.remove(&ticket)?;
        if self.open.get(&group.key) == Some(&Joinable::Read(ticket)) {
            self.open.remove(&group.key);
        }
        Some(group)
    }

    /// Ends what has waited longer than `wait_max_ms`: reads load for
    /// themselves, the rest is told [`Answer::TimedOut`]. Once a second or so.
    pub fn handle_timeout(&mut self, wait_max_ms: u64, now_ms: Millis) {
        let late = |since_ms: Millis| now_ms.saturating_sub(since_ms) > wait_max_ms;
        let reads = self.reads.iter().filter(|(_, group)| late(group.since_ms));
        for ticket in reads.map(|(ticket, _)| *ticket).collect::<Vec<_>>() {
            if let Some(group) = self.take_group(ticket) {
                self.counters.given_up += group.waits.len() as u64;
                self.load_unkept(group.key, group.home, group.waits, now_ms);
            }
        }
        let loads = self.loads.iter().filter(|(_, load)| late(load.since_ms));
        for id in loads.map(|(id, _)| *id).collect::<Vec<_>>() {
            self.overtake(id, now_ms);
        }
        let changes = self.changes.iter().filter(|(_, c)| late(c.since_ms));
        for ticket in changes.map(|(ticket, _)| *ticket).collect::<Vec<_>>() {
            if let Some(change) = self.changes.remove(&ticket) {
                self.counters.given_up += 1;
                self.answer(change.wait, Answer::TimedOut);
            }
        }
    }

    /// Those who wait for a load that takes long start one of their own.
    fn overtake(&mut self, id: LoadId, now_ms: Millis) {
        let Some(load) = self.loads.get_mut(&id) else {
            return;
        };
        let waits = std::mem::take(&mut load.waits);
        load.since_ms = now_ms;
        if waits.is_empty() {
            return;
        }
        let (key, home) = (load.key.clone(), load.home);
        self.counters.given_up += waits.len() as u64;
        self.load_unkept(key, home, waits, now_ms);
    }
}

pub(super) fn value<V: Clone, E>(replica: &Replica<V>, source: ValueSource) -> Answer<V, E> {
    Answer::Value {
        replica: replica.clone(),
        source,
    }
}
