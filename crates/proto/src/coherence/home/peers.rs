//! Shards that come and go, and forgetting everything.

use std::collections::VecDeque;

use super::{
    Asker, Busy, BusyPhase, EntryStore, Flush, FromHome, Home, Idle, Late, Lease, Rules, ShardSet,
    Then, WriteMode,
};
use crate::clock::Millis;
use crate::coherence::Outcome;

impl<K, V, E, S, R> Home<K, V, E, S, R>
where
    K: Clone + Ord,
    V: Clone,
    E: Clone,
    S: EntryStore<K, Idle<V>>,
    R: Rules,
{
    /// A shard has started, or started again. It holds nothing.
    pub fn peer_up(&mut self, peer: usize) {
        self.alive.insert(peer);
    }

    /// A shard has ended. It runs nothing more, and nothing more comes from
    /// it: its copies are gone, its loads go to the next in line, its writes
    /// are in doubt, its requests are forgotten.
    pub fn peer_down(&mut self, dead: usize, now_ms: Millis) {
        self.alive.remove(dead);
        self.hello_is_over(dead, now_ms);
        if let Some(flush) = &mut self.flush {
            flush.queue.retain(|(from, _)| *from != dead);
            flush.askers.retain(|(from, _)| *from != dead);
        }
        for late in self.late.values_mut() {
            late.waiters.retain(|(from, _)| *from != dead);
        }
        let orphaned = self.late.iter().filter(|(_, late)| late.by == dead);
        for lease in orphaned.map(|(lease, _)| *lease).collect::<Vec<_>>() {
            if let Some(Late { waiters, .. }) = self.late.remove(&lease) {
                self.answer_late(waiters, Outcome::Abandoned);
            }
        }
        for key in self.busy.keys().cloned().collect::<Vec<_>>() {
            self.bury(&key, dead, now_ms);
        }
        self.acknowledged_all(dead, now_ms);
    }

    /// A peer of a home that has just started has said its first word, or
    /// never will. Writes that a predecessor granted may have been left behind
    /// by it until now.
    fn hello_is_over(&mut self, peer: usize, now_ms: Millis) {
        let has_predecessor = self.doubt_all_until_ms > 0;
        if self.before_hello.remove(peer) && has_predecessor {
            let until_ms = now_ms.saturating_add(self.doubt_ms);
            self.doubt_all_until_ms = self.doubt_all_until_ms.max(until_ms);
        }
    }

    /// Takes a dead shard out of what is done with one key.
    fn bury(&mut self, key: &K, dead: usize, now_ms: Millis) {
        let Some(busy) = self.busy.get_mut(key) else {
            return;
        };
        busy.queue.retain(|(from, _)| *from != dead);
        match &mut busy.phase {
            BusyPhase::Loading { by, waiters, .. } => {
                waiters.retain(|(from, _)| *from != dead);
                if *by == dead {
                    self.take_over_load(key, now_ms);
                }
            }
            BusyPhase::Revoking { acks, then } => {
                then.drop_asker(dead);
                if acks.remove(dead) && acks.is_empty() {
                    self.proceed(key.clone(), now_ms);
                }
            }
            BusyPhase::Writing { leases, .. } => {
                let held = leases.iter().filter(|(_, by)| *by == dead);
                let void: Vec<Lease> = held.map(|(lease, _)| *lease).collect();
                leases.retain(|(_, by)| *by != dead);
                let ended = leases.is_empty();
                if void.is_empty() {
                    return;
                }
                for lease in void {
                    self.writes.remove(&lease);
                    self.doubt(key.clone(), now_ms);
                }
                if ended {
                    self.finish_busy(key, None, now_ms);
                }
            }
        }
    }

    fn take_over_load(&mut self, key: &K, now_ms: Millis) {
        let Some(Busy {
            phase:
                BusyPhase::Loading {
                    lease,
                    waiters,
                    prior,
                    ..
                },
            ..
        }) = self.busy.remove(key)
        else {
            return;
        };
        self.loads.remove(&lease);
        self.load_again(key.clone(), waiters, prior, now_ms);
    }

    /// A peer's first word to a home that has just started.
    pub(super) fn on_hello(
        &mut self,
        from: usize,
        writes: Vec<(K, Lease, WriteMode)>,
        now_ms: Millis,
    ) {
        self.hello_is_over(from, now_ms);
        for (key, lease, mode) in writes {
            self.writes.insert(lease, key.clone());
            let busy = self.busy.entry(key).or_insert_with(|| {
                Busy::new(BusyPhase::Writing {
                    mode,
                    leases: Vec::new(),
                    // Whether it was, the predecessor knew.
                    tainted: true,
                })
            });
            if let BusyPhase::Writing { leases, .. } = &mut busy.phase {
                leases.push((lease, from));
            }
        }
    }

    /// Forgets every key. Until all shards have dropped their copies, readers
    /// load for themselves and changes wait.
    pub(super) fn start_flush(&mut self, asker: Asker, _now_ms: Millis) {
        if let Some(flush) = &mut self.flush {
            // No copy has been given since it began; but a write that was
            // granted since may give one when it ends.
            flush.askers.push(asker);
            for busy in self.busy.values_mut() {
                if let BusyPhase::Writing { tainted, .. } = &mut busy.phase {
                    *tainted = true;
                }
            }
            return;
        }
        self.idle.clear();
        for key in self.busy.keys().cloned().collect::<Vec<_>>() {
            let Some(busy) = self.busy.get_mut(&key) else {
                continue;
            };
            match &mut busy.phase {
                BusyPhase::Loading { .. } => {
                    self.revoke_load(&key);
                }
                BusyPhase::Revoking { then, .. } => {
                    if let Then::Touched { to, .. } = then {
                        *then = Then::Invalidated { to: *to, had: None };
                    }
                }
                BusyPhase::Writing { tainted, .. } => *tainted = true,
            }
        }
        let acks: ShardSet = self.alive.clone();
        for shard in acks.iter() {
            self.output.push_back((shard, FromHome::InvalidateAll));
        }
        self.flush = Some(Flush {
            acks,
            askers: vec![asker],
            queue: VecDeque::new(),
        });
    }

    pub(super) fn acknowledged_all(&mut self, from: usize, now_ms: Millis) {
        let Some(flush) = &mut self.flush else {
            return;
        };
        flush.acks.remove(from);
        if !flush.acks.is_empty() {
            return;
        }
        let Some(flush) = self.flush.take() else {
            return;
        };
        for (to, ticket) in flush.askers {
            self.reply(to, FromHome::Flushed { ticket });
        }
        for (from, request) in flush.queue {
            self.on_request(from, request, now_ms);
        }
    }
}
