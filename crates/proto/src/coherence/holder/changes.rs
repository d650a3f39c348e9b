//! Writing, purging, touching, peeking, flushing: one request, one answer.

use super::{
    Answer, EntryStore, Freshness, Held, HeldCopy, Holder, PendingChange, Release, Replica,
    Request, RequestTicket, Rules, ToHome, WaitId, WaitPlace, WriteId, WriteMode,
};
use crate::clock::Millis;

/// How a write ended.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum WriteOutcome<V> {
    /// It is written, with this value if the writer knows it; or it surely is
    /// not and never will be.
    Done(Option<Replica<V>>),
    /// It may have happened or may still.
    InDoubt,
}

impl<K, V, E, S, R> Holder<K, V, E, S, R>
where
    K: Clone + Ord,
    V: Clone,
    E: Clone,
    S: EntryStore<K, HeldCopy<V>>,
    R: Rules,
{
    /// Asks for the lease to write a key. The answer is [`Answer::Granted`],
    /// [`Answer::HomeGone`] or [`Answer::TimedOut`].
    pub fn write(&mut self, key: K, home: usize, mode: WriteMode, wait: WaitId, now_ms: Millis) {
        let write = Some((key.clone(), mode));
        if let Some(ticket) = self.begin_change(home, wait, write, now_ms) {
            self.ask(home, Request::Write { key, ticket, mode });
        }
    }

    /// Ends a write and gives its lease back.
    pub fn finish_write(&mut self, id: WriteId, outcome: WriteOutcome<V>) {
        let Some(held) = self.writes.remove(&id) else {
            return;
        };
        let release = match outcome {
            WriteOutcome::Done(replica) => Release::Done { replica },
            WriteOutcome::InDoubt => Release::InDoubt,
        };
        let lease = held.lease;
        self.say(held.home, ToHome::Released { lease, release });
    }

    /// Has a key forgotten everywhere. The answer, if `wait` is there, is
    /// [`Answer::Invalidated`] with what was cached.
    pub fn invalidate(&mut self, key: K, home: usize, wait: Option<WaitId>, now_ms: Millis) {
        let ticket = match wait {
            None => None,
            Some(wait) => match self.begin_change(home, wait, None, now_ms) {
                Some(ticket) => Some(ticket),
                None => return,
            },
        };
        if self.alive.contains(home) {
            self.ask(home, Request::Invalidate { key, ticket });
        }
    }

    /// Drops this shard's own copy of a key that has been written already, and
    /// lets nobody join what was asked before. A [`invalidate`](Self::invalidate) sent
    /// after it is taken before whatever this shard asks the home next.
    pub fn drop_copy(&mut self, key: &K) {
        self.entries.remove(key);
        self.open.remove(key);
        if let Some(id) = self.leased.remove(key)
            && let Some(load) = self.loads.get_mut(&id)
        {
            load.revoked = true;
        }
    }

    /// Changes how long a key's value is good for. The answer is
    /// [`Answer::Invalidated`] with the value, or without if it is not cached.
    pub fn touch(
        &mut self,
        key: K,
        home: usize,
        freshness: Freshness,
        wait: WaitId,
        now_ms: Millis,
    ) {
        if let Some(ticket) = self.begin_change(home, wait, None, now_ms) {
            self.ask(
                home,
                Request::Touch {
                    key,
                    ticket,
                    freshness,
                },
            );
        }
    }

    /// Asks for a key's value without ever loading it. The answer is
    /// [`Answer::Value`] or [`Answer::Absent`].
    pub fn peek(&mut self, key: K, home: usize, wait: WaitId, now_ms: Millis) {
        // The key is kept: a value that comes is a copy.
        let write = Some((key.clone(), WriteMode::Shared));
        if let Some(ticket) = self.begin_change(home, wait, write, now_ms) {
            self.ask(home, Request::Peek { key, ticket });
        }
    }

    /// Has every key of one home forgotten. The answer is [`Answer::Flushed`].
    pub fn flush(&mut self, home: usize, wait: WaitId, now_ms: Millis) {
        if let Some(ticket) = self.begin_change(home, wait, None, now_ms) {
            self.ask(home, Request::Flush { ticket });
        }
    }

    /// A request could not be sent: who waits for it is told
    /// [`Answer::TimedOut`], and nothing is done.
    pub fn refuse(&mut self, request: &Request<K>) {
        match request {
            Request::Read { ticket, .. } => {
                let group = self.take_group(*ticket);
                for wait in group.into_iter().flat_map(|group| group.waits) {
                    self.answer(wait, Answer::TimedOut);
                }
            }
            Request::Peek { ticket, .. }
            | Request::Write { ticket, .. }
            | Request::Touch { ticket, .. }
            | Request::Flush { ticket } => self.end_change(*ticket, Answer::TimedOut),
            Request::Invalidate { ticket, .. } => {
                if let Some(ticket) = ticket {
                    self.end_change(*ticket, Answer::TimedOut);
                }
            }
        }
    }

    fn begin_change(
        &mut self,
        home: usize,
        wait: WaitId,
        write: Option<(K, WriteMode)>,
        now_ms: Millis,
    ) -> Option<RequestTicket> {
        if !self.alive.contains(home) {
            self.answer(wait, Answer::HomeGone);
            return None;
        }
        let ticket = RequestTicket(self.number());
        let change = PendingChange {
            home,
            wait,
            write,
            since_ms: now_ms,
        };
        self.changes.insert(ticket, change);
        self.waits.insert(wait, WaitPlace::Change(ticket));
        Some(ticket)
    }

    /// A lease has come. If nobody waits for it any more it goes back unused.
    pub(super) fn granted(&mut self, home: usize, ticket: RequestTicket, lease: super::Lease) {
        let change = self.changes.remove(&ticket);
        let Some((wait, (key, mode))) = change.and_then(|c| Some((c.wait, c.write?))) else {
            let release = Release::Done { replica: None };
            return self.say(home, ToHome::Released { lease, release });
        };
        let id = WriteId(self.number());
        let held = Held {
            key,
            home,
            lease,
            mode,
        };
        self.writes.insert(id, held);
        self.answer(wait, Answer::Granted(id));
    }

    pub(super) fn end_change(&mut self, ticket: RequestTicket, answer: Answer<V, E>) {
        if let Some(change) = self.changes.remove(&ticket) {
            self.answer(change.wait, answer);
        }
    }
}
