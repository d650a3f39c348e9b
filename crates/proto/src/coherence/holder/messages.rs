//! What homes say, and homes that come and go.

use super::reads::value;
use super::{
    Answer, EntryStore, HeldCopy, Holder, Joinable, Load, Outcome, ReadGroup, Replica,
    RequestTicket, Rules, ToHome, ValueSource,
};
use crate::clock::Millis;
use crate::coherence::{FromHome, Lease};

impl<K, V, E, S, R> Holder<K, V, E, S, R>
where
    K: Clone + Ord,
    V: Clone,
    E: Clone,
    S: EntryStore<K, HeldCopy<V>>,
    R: Rules,
{
    /// Takes what the home on shard `home` says. At any time, in order.
    pub fn on_message(&mut self, home: usize, message: FromHome<K, V, E>, now_ms: Millis) {
        match message {
            FromHome::Value {
                ticket,
                replica,
                source,
            } => self.given(home, ticket, &replica, source),
            FromHome::Load {
                ticket,
                lease,
                stale,
            } => self.on_load_granted(home, ticket, lease, stale, now_ms),
            FromHome::Uncached { ticket, replica } => {
                if let Some(group) = self.take_group(ticket) {
                    for wait in group.waits {
                        self.answer(wait, value(&replica, ValueSource::Collapsed));
                    }
                }
            }
            FromHome::Bypass { ticket } => {
                if let Some(group) = self.take_group(ticket) {
                    self.load_unkept(group.key, group.home, group.waits, now_ms);
                }
            }
            FromHome::Failed { ticket, error } => {
                if let Some(group) = self.take_group(ticket) {
                    for wait in group.waits {
                        self.answer(wait, Answer::Failed(error.clone()));
                    }
                }
            }
            FromHome::Absent { ticket } => self.end_change(ticket, Answer::Absent),
            FromHome::Granted { ticket, lease } => self.granted(home, ticket, lease),
            FromHome::Invalidated { ticket, had } => {
                self.end_change(ticket, Answer::Invalidated(had))
            }
            FromHome::Flushed { ticket } => self.end_change(ticket, Answer::Flushed),
            FromHome::Invalidate { key } => self.invalidated(home, key),
            FromHome::InvalidateAll => self.invalidated_all(home),
        }
    }

    /// The value is newer than any invalidation before it: it is kept even if
    /// nobody joins its group any more.
    fn given(
        &mut self,
        home: usize,
        ticket: RequestTicket,
        replica: &Replica<V>,
        source: ValueSource,
    ) {
        if let Some(ReadGroup { key, waits, .. }) = self.take_group(ticket) {
            self.keep(key, home, replica.clone());
            for wait in waits {
                self.answer(wait, value(replica, source));
            }
        } else if let Some(change) = self.changes.remove(&ticket) {
            if let Some((key, _)) = change.write {
                self.keep(key, home, replica.clone());
            }
            self.answer(change.wait, value(replica, source));
        }
    }

    fn on_load_granted(
        &mut self,
        home: usize,
        ticket: RequestTicket,
        lease: Lease,
        stale: Option<Replica<V>>,
        now_ms: Millis,
    ) {
        if let Some(group) = self.take_group(ticket) {
            let joinable = !self.open.contains_key(&group.key);
            let load = Load {
                key: group.key,
                home,
                lease: Some(lease),
                revoked: false,
                stale,
                waits: group.waits,
                since_ms: now_ms,
            };
            if self.lead(load, joinable) {
                return;
            }
        }
        let outcome = Outcome::Abandoned;
        self.say(home, ToHome::Loaded { lease, outcome });
    }

    fn invalidated(&mut self, home: usize, key: K) {
        if self.entries.remove(&key).is_some() {
            self.counters.invalidations += 1;
        }
        self.open.remove(&key);
        if let Some(id) = self.leased.remove(&key)
            && let Some(load) = self.loads.get_mut(&id)
        {
            load.revoked = true;
        }
        self.say(home, ToHome::Ack { key });
    }

    fn invalidated_all(&mut self, home: usize) {
        self.void(home);
        self.say(home, ToHome::AckAll);
    }

    /// Nothing that came from this home counts any more.
    fn void(&mut self, home: usize) {
        self.counters.invalidations += 1;
        self.epochs[home] = self.epochs[home].wrapping_add(1);
        for load in self.loads.values_mut() {
            load.revoked |= load.home == home;
        }
        let (reads, loads) = (&self.reads, &self.loads);
        self.open.retain(|_, joinable| match joinable {
            Joinable::Read(ticket) => reads.get(ticket).is_some_and(|g| g.home != home),
            Joinable::Load(id) => loads.get(id).is_some_and(|load| load.home != home),
        });
    }

    /// A shard has started, or started again: it is told which writes, granted
    /// by its predecessor, go on.
    pub fn peer_up(&mut self, peer: usize) {
        self.alive.insert(peer);
        let held = self.writes.values().filter(|held| held.home == peer);
        let writes = held
            .map(|held| (held.key.clone(), held.lease, held.mode))
            .collect();
        self.say(peer, ToHome::Hello { writes });
    }

    /// A shard has died, and its directory with it: every copy it gave is
    /// dropped. Reads that wait for it load for themselves, the rest is told
    /// [`Answer::HomeGone`].
    pub fn peer_down(&mut self, dead: usize, now_ms: Millis) {
        self.alive.remove(dead);
        self.void(dead);
        for load in self.loads.values_mut() {
            if load.home == dead {
                load.lease = None;
            }
        }
        let reads = self.reads.iter().filter(|(_, group)| group.home == dead);
        for ticket in reads.map(|(ticket, _)| *ticket).collect::<Vec<_>>() {
            if let Some(group) = self.take_group(ticket) {
                self.counters.given_up += group.waits.len() as u64;
                self.load_unkept(group.key, group.home, group.waits, now_ms);
            }
        }
        let changes = self
            .changes
            .iter()
            .filter(|(_, change)| change.home == dead);
        for ticket in changes.map(|(ticket, _)| *ticket).collect::<Vec<_>>() {
            self.end_change(ticket, Answer::HomeGone);
        }
    }
}
