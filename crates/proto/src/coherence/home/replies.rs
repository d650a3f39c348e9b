//! What shards report: copies dropped, loads and writes that ended.

use super::{
    Asker, BusyPhase, EntryStore, FromHome, Home, Idle, Lease, Rules, ShardSet, WriteMode,
};
use crate::clock::Millis;
use crate::coherence::{Freshness, Outcome, Release, ToHome, ValueSource};

impl<K, V, E, S, R> Home<K, V, E, S, R>
where
    K: Clone + Ord,
    V: Clone,
    E: Clone,
    S: EntryStore<K, Idle<V>>,
    R: Rules,
{
    /// Takes what shard `from` says. At any time.
    pub fn on_message(&mut self, from: usize, message: ToHome<K, V, E>, now_ms: Millis) {
        match message {
            ToHome::Ack { key } => self.acknowledged(from, key, now_ms),
            ToHome::AckAll => self.acknowledged_all(from, now_ms),
            ToHome::Loaded { lease, outcome } => self.loaded(lease, outcome, now_ms),
            ToHome::Released { lease, release } => self.released(lease, release, now_ms),
            ToHome::Hello { writes } => self.on_hello(from, writes, now_ms),
        }
    }

    /// Late acks (of a revocation that went on without them) change nothing:
    /// a round ends only when each of its shards has said so, or has died and
    /// its lane with it, so an ack can belong to no other round.
    fn acknowledged(&mut self, from: usize, key: K, now_ms: Millis) {
        if let Some(busy) = self.busy.get_mut(&key)
            && let BusyPhase::Revoking { acks, .. } = &mut busy.phase
            && acks.remove(from)
            && acks.is_empty()
        {
            self.proceed(key, now_ms);
        }
    }

    fn loaded(&mut self, lease: Lease, outcome: Outcome<V, E>, now_ms: Millis) {
        if let Some(late) = self.late.remove(&lease) {
            return self.answer_late(late.waiters, outcome);
        }
        let Some(key) = self.loads.remove(&lease) else {
            return;
        };
        let Some(busy) = self.busy.remove(&key) else {
            return;
        };
        debug_assert!(busy.queue.is_empty(), "nobody queues behind a load");
        let BusyPhase::Loading {
            by, waiters, prior, ..
        } = busy.phase
        else {
            return;
        };
        match outcome {
            Outcome::Value(replica) => {
                let mut holders = holders_of(&prior);
                holders.insert(by);
                let entry = Idle { replica, holders };
                self.keep_loaded(key, entry, &waiters, ValueSource::Collapsed, now_ms);
            }
            Outcome::Failed(error) => self.load_failed(key, prior, waiters, &error, now_ms),
            Outcome::Refused(error) => {
                let prior = prior.map(|mut entry| {
                    // It was asked for, so it is not fresh any more.
                    entry.replica.freshness = Freshness::until(0);
                    entry
                });
                self.load_failed(key, prior, waiters, &error, now_ms);
            }
            Outcome::Abandoned => self.load_again(key, waiters, prior, now_ms),
        }
    }

    fn keep_loaded(
        &mut self,
        key: K,
        entry: Idle<V>,
        waiters: &[Asker],
        source: ValueSource,
        now_ms: Millis,
    ) {
        let Idle {
            replica,
            mut holders,
        } = entry;
        for asker in waiters {
            self.give(*asker, &replica, source);
            holders.insert(asker.0);
        }
        if R::FORGET_HOLDERS {
            holders = ShardSet::new();
        }
        self.keep(key, Idle { replica, holders }, now_ms);
    }

    /// An expired value may stand in for one that cannot be had.
    fn load_failed(
        &mut self,
        key: K,
        prior: Option<Idle<V>>,
        waiters: Vec<Asker>,
        error: &E,
        now_ms: Millis,
    ) {
        if let Some(entry) = prior {
            if self.is_usable_on_error(&entry.replica, now_ms) {
                return self.keep_loaded(key, entry, &waiters, ValueSource::StaleOnError, now_ms);
            }
            if !entry.holders.is_empty() {
                // Expired, but a clock may be behind: they stay known.
                self.keep(key, entry, now_ms);
            }
        }
        for (to, ticket) in waiters {
            let error = error.clone();
            self.reply(to, FromHome::Failed { ticket, error });
        }
    }

    /// The next in line loads; if there is none, the key is as it was.
    pub(super) fn load_again(
        &mut self,
        key: K,
        mut waiters: Vec<Asker>,
        prior: Option<Idle<V>>,
        now_ms: Millis,
    ) {
        if !waiters.is_empty() {
            let next = waiters.remove(0);
            return self.start_load(key, next, waiters, prior, now_ms);
        }
        if let Some(entry) = prior
            && (!entry.holders.is_empty() || self.is_usable_on_error(&entry.replica, now_ms))
        {
            self.keep(key, entry, now_ms);
        }
    }

    pub(super) fn answer_late(&mut self, waiters: Vec<Asker>, outcome: Outcome<V, E>) {
        for (to, ticket) in waiters {
            let answer = match &outcome {
                Outcome::Value(replica) => FromHome::Uncached {
                    ticket,
                    replica: replica.clone(),
                },
                Outcome::Failed(error) | Outcome::Refused(error) => FromHome::Failed {
                    ticket,
                    error: error.clone(),
                },
                Outcome::Abandoned => FromHome::Bypass { ticket },
            };
            self.reply(to, answer);
        }
    }

    fn released(&mut self, lease: Lease, release: Release<V>, now_ms: Millis) {
        let Some(key) = self.writes.remove(&lease) else {
            return;
        };
        if matches!(release, Release::InDoubt) {
            self.doubt(key.clone(), now_ms);
        }
        let Some(busy) = self.busy.get_mut(&key) else {
            return;
        };
        let BusyPhase::Writing {
            mode,
            leases,
            tainted,
        } = &mut busy.phase
        else {
            return;
        };
        leases.retain(|(held, _)| *held != lease);
        if !leases.is_empty() {
            return;
        }
        let keeps = *mode == WriteMode::Exclusive && !*tainted;
        let replica = match release {
            Release::Done { replica } if keeps => replica,
            _ => None,
        };
        self.finish_busy(&key, replica, now_ms);
    }
}

fn holders_of<V>(prior: &Option<Idle<V>>) -> ShardSet {
    let holders = prior.as_ref().map(|entry| entry.holders.clone());
    holders.unwrap_or_default()
}
