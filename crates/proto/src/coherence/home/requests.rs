//! What shards ask for.

use std::collections::VecDeque;

use super::{
    Asker, Busy, BusyPhase, EntryStore, FromHome, Home, Idle, Late, Request, Rules, ShardSet, Then,
    WriteMode,
};
use crate::clock::Millis;
use crate::coherence::ValueSource;

impl<K, V, E, S, R> Home<K, V, E, S, R>
where
    K: Clone + Ord,
    V: Clone,
    E: Clone,
    S: EntryStore<K, Idle<V>>,
    R: Rules,
{
    /// Takes a request of shard `from`. Only when it
    /// [`is_ready`](Self::is_ready).
    pub fn on_request(&mut self, from: usize, request: Request<K>, now_ms: Millis) {
        debug_assert!(self.is_ready(), "requests wait until every peer said hello");
        match request {
            Request::Read {
                key,
                ticket,
                refresh,
            } => self.read(key, (from, ticket), refresh, now_ms),
            Request::Peek { key, ticket } => self.peek(&key, (from, ticket), now_ms),
            Request::Flush { ticket } => self.start_flush((from, ticket), now_ms),
            Request::Write { .. } | Request::Invalidate { .. } | Request::Touch { .. } => {
                self.change(from, request, now_ms);
            }
        }
    }

    fn read(&mut self, key: K, asker: Asker, refresh: bool, now_ms: Millis) {
        if self.flush.is_some() || self.is_in_doubt(&key, now_ms) {
            return self.bypass(asker);
        }
        if let Some(busy) = self.busy.get_mut(&key) {
            let (from, ticket) = asker;
            match &mut busy.phase {
                BusyPhase::Loading { era, .. } if *era != self.era => {
                    let read = Request::Read {
                        key: key.clone(),
                        ticket,
                        refresh,
                    };
                    self.outdate_load(key, (from, read), now_ms);
                }
                BusyPhase::Loading { waiters, .. } => {
                    self.counters.collapsed += 1;
                    waiters.push(asker);
                }
                phase if phase.is_shared() => self.bypass(asker),
                _ => busy.queue.push_back((
                    from,
                    Request::Read {
                        key,
                        ticket,
                        refresh,
                    },
                )),
            }
            return;
        }
        let (from, _) = asker;
        let era = self.era;
        let usable = |entry: &Idle<V>| match refresh {
            true => entry.replica.freshness.seen_in(era).is_fresh(now_ms),
            false => entry.replica.freshness.seen_in(era).is_usable(now_ms),
        };
        if let Some(entry) = self.idle.find(&key)
            && usable(entry)
        {
            let replica = entry.replica.clone();
            if !R::FORGET_HOLDERS && !entry.holders.contains(from) {
                self.idle.update(&key, |entry| {
                    entry.holders.insert(from);
                });
            }
            self.counters.hits += 1;
            return self.give(asker, &replica, ValueSource::Home);
        }
        let prior = self.idle.remove(&key);
        self.start_load(key, asker, Vec::new(), prior, now_ms);
    }

    pub(super) fn start_load(
        &mut self,
        key: K,
        (by, ticket): Asker,
        waiters: Vec<Asker>,
        prior: Option<Idle<V>>,
        now_ms: Millis,
    ) {
        let lease = self.new_lease();
        self.counters.loads += 1;
        let stale = prior.as_ref().map(|entry| &entry.replica);
        let stale = stale.filter(|replica| self.is_usable_on_error(replica, now_ms));
        let stale = stale.cloned();
        self.loads.insert(lease, key.clone());
        let phase = BusyPhase::Loading {
            lease,
            by,
            era: self.era,
            waiters,
            prior,
        };
        self.busy.insert(key, Busy::new(phase));
        self.reply(
            by,
            FromHome::Load {
                ticket,
                lease,
                stale,
            },
        );
    }

    fn peek(&mut self, key: &K, (from, ticket): Asker, now_ms: Millis) {
        if let Some(busy) = self.busy.get_mut(key)
            && !busy.phase.is_shared()
            && !matches!(busy.phase, BusyPhase::Loading { .. })
        {
            // The writer may have been answered already, and its value is
            // under way.
            let key = key.clone();
            return busy.queue.push_back((from, Request::Peek { key, ticket }));
        }
        let found = self.idle.find(key).map(|entry| entry.replica.clone());
        let fresh = found.filter(|replica| self.is_fresh(replica, now_ms));
        let Some(replica) = fresh else {
            return self.reply(from, FromHome::Absent { ticket });
        };
        self.counters.hits += 1;
        self.idle.update(key, |entry| {
            entry.holders.insert(from);
        });
        self.give((from, ticket), &replica, ValueSource::Home);
    }

    /// A write, invalidation or touch.
    fn change(&mut self, from: usize, request: Request<K>, now_ms: Millis) {
        if let Some(flush) = &mut self.flush {
            return flush.queue.push_back((from, request));
        }
        let key = match &request {
            Request::Write { key, .. }
            | Request::Invalidate { key, .. }
            | Request::Touch { key, .. } => key.clone(),
            _ => return,
        };
        let Some(busy) = self.busy.get_mut(&key) else {
            let entry = self.idle.remove(&key);
            return self.change_idle(key, entry, from, request, now_ms);
        };
        match &mut busy.phase {
            BusyPhase::Loading { .. } => {
                let holders = self.revoke_load(&key);
                let then = then_of(from, request, None);
                self.invalidate_copies(key, holders, then, VecDeque::new(), now_ms);
            }
            BusyPhase::Revoking {
                then: Then::Grant { mode, to },
                ..
            } if *mode == WriteMode::Shared => match request {
                Request::Write {
                    mode: WriteMode::Shared,
                    ticket,
                    ..
                } if busy.queue.is_empty() => to.push((from, ticket)),
                request => busy.queue.push_back((from, request)),
            },
            BusyPhase::Revoking { .. } => busy.queue.push_back((from, request)),
            BusyPhase::Writing { .. } => self.change_while_writing(key, from, request),
        }
    }

    fn change_idle(
        &mut self,
        key: K,
        entry: Option<Idle<V>>,
        from: usize,
        request: Request<K>,
        now_ms: Millis,
    ) {
        let (replica, holders) = match entry {
            Some(entry) => (Some(entry.replica), entry.holders),
            None => (None, ShardSet::new()),
        };
        let replica = replica.filter(|replica| self.is_fresh(replica, now_ms));
        let then = match (request, replica) {
            (
                Request::Touch {
                    ticket, freshness, ..
                },
                Some(mut replica),
            ) => {
                replica.freshness = freshness;
                let to = Some((from, ticket));
                Then::Touched { to, replica }
            }
            (request, replica) => then_of(from, request, replica),
        };
        self.invalidate_copies(key, holders, then, VecDeque::new(), now_ms);
    }

    /// There are no copies now. A writer may have been answered already, with
    /// its value still under way: whoever comes after it waits for that.
    fn change_while_writing(&mut self, key: K, from: usize, request: Request<K>) {
        let Some(busy) = self.busy.get_mut(&key) else {
            return;
        };
        let BusyPhase::Writing { mode, tainted, .. } = &mut busy.phase else {
            return;
        };
        match request {
            Request::Write {
                ticket,
                mode: WriteMode::Shared,
                ..
            } if *mode == WriteMode::Shared && busy.queue.is_empty() => {
                let lease = self.new_lease();
                self.counters.writes += 1;
                self.reply(from, FromHome::Granted { ticket, lease });
                if let Some(busy) = self.busy.get_mut(&key)
                    && let BusyPhase::Writing { leases, .. } = &mut busy.phase
                {
                    leases.push((lease, from));
                }
                self.writes.insert(lease, key);
            }
            // Of writers beside each other none leaves a value, and each may
            // itself be the one that asks.
            Request::Invalidate { ticket, .. }
                if *mode == WriteMode::Shared || ticket.is_none() =>
            {
                *tainted = true;
                if let Some(ticket) = ticket {
                    self.reply(from, FromHome::Invalidated { ticket, had: None });
                }
            }
            request => busy.queue.push_back((from, request)),
        }
    }

    /// What is being loaded may have been changed elsewhere before `reader`
    /// asked: it is loaded anew. What stands in for a load that fails stays.
    fn outdate_load(&mut self, key: K, reader: (usize, Request<K>), now_ms: Millis) {
        let phase = self.busy.get(&key).map(|busy| &busy.phase);
        let then = match phase {
            Some(BusyPhase::Loading {
                prior: Some(prior), ..
            }) => Then::Touched {
                to: None,
                replica: prior.replica.clone(),
            },
            _ => Then::Evicted,
        };
        let holders = self.revoke_load(&key);
        self.invalidate_copies(key, holders, then, VecDeque::from([reader]), now_ms);
    }

    /// Ends the load of a busy key for those who ask from now on; who may have
    /// a copy of it, or will have.
    pub(super) fn revoke_load(&mut self, key: &K) -> ShardSet {
        let Some(busy) = self.busy.remove(key) else {
            return ShardSet::new();
        };
        let BusyPhase::Loading {
            lease,
            by,
            waiters,
            prior,
            ..
        } = busy.phase
        else {
            self.busy.insert(key.clone(), busy);
            return ShardSet::new();
        };
        self.counters.loads_revoked += 1;
        let mut holders = prior.map(|entry| entry.holders).unwrap_or_default();
        holders.insert(by);
        // Those who wait close their ranks too: who asks there from now on must
        // not be answered with the late result.
        for (shard, _) in &waiters {
            holders.insert(*shard);
        }
        self.loads.remove(&lease);
        self.late.insert(lease, Late { by, waiters });
        holders
    }
}

/// What follows a write, invalidation or touch of a key whose value was `had`.
fn then_of<K, V>(from: usize, request: Request<K>, had: Option<super::Replica<V>>) -> Then<V> {
    match request {
        Request::Write { ticket, mode, .. } => Then::Grant {
            mode,
            to: vec![(from, ticket)],
        },
        Request::Invalidate { ticket, .. } => Then::Invalidated {
            to: ticket.map(|ticket| (from, ticket)),
            had,
        },
        Request::Touch { ticket, .. } => Then::Invalidated {
            to: Some((from, ticket)),
            had: None,
        },
        Request::Read { .. } | Request::Peek { .. } | Request::Flush { .. } => Then::Evicted,
    }
}
