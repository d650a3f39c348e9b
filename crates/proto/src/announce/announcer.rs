//! The shard that tells of its own writes.
//!
//! Before a write it asks [`may_tell`](Announcer::may_tell); after it says what
//! became of it: [`committed`](Announcer::committed), [`doubt`](Announcer::doubt),
//! or nothing was done. Whoever has the connection asks
//! [`poll_output`](Announcer::poll_output) what to send, one message at a time, and
//! says how it went: [`sent`](Announcer::sent), or [`lost`](Announcer::lost).

use std::marker::PhantomData;
use std::time::{Duration, Instant};

use super::WrittenRow;
use super::peers::Word;
use super::queue::{Batch, Queue, Rows};
use super::rules::{Rules, Sound};
use crate::limits::{DATABASE_BEAT_MS, DATABASE_LEASE_MS, DATABASE_PRESENCE_MS};

/// How long things take elsewhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Patience {
    /// Until then a statement has been sent and given up.
    pub call: Duration,
    /// How long the server lets a statement run.
    pub statement: Duration,
}

/// One shard's.
#[derive(Debug)]
pub struct Announcer<R = Sound> {
    patience: Patience,
    queue: Queue,
    /// When what the others have last heard of us was sent.
    heard_at: Option<Instant>,
    /// When a write last asked whether it may be told of here.
    used_at: Instant,
    /// Writes sent as ours of which the end is not known yet: while there are
    /// any, no goodbye is said.
    under_way: u32,
    is_leaving: bool,
    connection: Option<Connection>,
    rules: PhantomData<R>,
}

#[derive(Debug, Default)]
struct Connection {
    /// When the others were last told that we are there.
    beaten_at: Option<Instant>,
    sending: Option<Sending>,
}

/// What is being sent.
#[derive(Debug)]
enum Sending {
    Beat(Instant),
    Bye,
    Batch(Batch),
}

/// What to do next.
#[derive(Debug, PartialEq, Eq)]
pub enum Output {
    /// Send this, and say how it went.
    Send(Message),
    /// Ask again then at the latest, and when something has been said before.
    Wait(Option<Instant>),
    /// Everything was told, goodbye too.
    Left,
}

/// What others are told at once.
#[derive(Debug, PartialEq, Eq)]
pub struct Message {
    /// Of the shard itself.
    pub word: Option<Word>,
    /// Whether who begins to listen later is to expect it.
    pub is_present: bool,
    /// Rows that were written, or may have been.
    pub rows: Option<Rows>,
}

impl<R: Rules> Announcer<R> {
    /// One that nobody has heard of.
    pub fn new(patience: Patience, now: Instant) -> Self {
        Self {
            patience,
            queue: Queue::default(),
            heard_at: None,
            used_at: now,
            under_way: 0,
            is_leaving: false,
            connection: None,
            rules: PhantomData,
        }
    }

    /// Whether a write that begins now will be missed if we fall silent; else it
    /// must be told of in its own transaction.
    pub fn may_tell(&mut self, now: Instant) -> bool {
        self.used_at = now;
        let lease = Duration::from_millis(DATABASE_LEASE_MS);
        let lasts = |at| R::IGNORE_LEASE || now.saturating_duration_since(at) < lease;
        !self.is_leaving && self.heard_at.is_some_and(lasts)
    }

    /// Whether the others rely on us now.
    pub fn is_heard(&self) -> bool {
        self.heard_at.is_some()
    }

    /// A write counts among those under way, or no more.
    pub fn count(&mut self, was_ours: bool, is_ours: bool) {
        self.under_way = self.under_way - u32::from(was_ours) + u32::from(is_ours);
    }

    /// A row was written; the number with which [`told`](Self::told) says that the
    /// others know.
    pub fn committed(&mut self, row: WrittenRow) -> u64 {
        self.queue.join(row)
    }

    /// The last number that was told.
    pub fn told(&self) -> u64 {
        self.queue.told()
    }

    /// This row may have been written, or may be yet; without an id it is one
    /// that has none before.
    pub fn doubt(&mut self, id: Option<i64>, now: Instant) {
        let until = now + self.patience.call + self.statement_ends_within();
        self.queue.doubt(id, until);
    }

    /// Nobody writes any more.
    pub fn leave(&mut self) {
        self.is_leaving = true;
    }

    /// Whether that was said.
    pub fn is_leaving(&self) -> bool {
        self.is_leaving
    }

    /// There is a connection. A server that stood still begins only now what it
    /// was sent before.
    pub fn connected(&mut self, now: Instant) {
        self.connection = Some(Connection::default());
        self.queue.doubt_longer(now + self.statement_ends_within());
    }

    /// The connection is gone, and what was being sent is not known to be told:
    /// who begins to listen now does not see us.
    pub fn lost(&mut self) {
        self.heard_at = None;
        let connection = self.connection.take();
        if let Some(Sending::Batch(batch)) = connection.and_then(|connection| connection.sending)
            && !R::FORGET_UNTOLD
        {
            self.queue.put_back(batch);
        }
    }

    /// What [`poll_output`](Self::poll_output) gave to send has been told.
    pub fn sent(&mut self) {
        let sending = self
            .connection
            .as_mut()
            .and_then(|connection| connection.sending.take());
        match sending {
            Some(Sending::Beat(at)) => {
                self.heard_at = Some(at);
                let far = Duration::from_millis(DATABASE_PRESENCE_MS * 60);
                self.queue
                    .settle(if R::TELL_DOUBTS_ONCE { at + far } else { at });
            }
            Some(Sending::Batch(batch)) => self.queue.note_told(&batch),
            Some(Sending::Bye) | None => {}
        }
    }

    /// What to do next; nothing while a message is under way or there is no
    /// connection.
    pub fn poll_output(&mut self, now: Instant) -> Output {
        let is_idle = self.is_idle(now);
        let beat = Duration::from_millis(DATABASE_BEAT_MS);
        let Some(connection) = self.connection.as_mut() else {
            return Output::Wait(None);
        };
        if connection.sending.is_some() {
            return Output::Wait(None);
        }
        if is_idle {
            // Nothing that others have to rely on begins from here on.
            self.heard_at = None;
            if connection.beaten_at.take().is_none() {
                return match self.is_leaving {
                    true => Output::Left,
                    false => Output::Wait(None),
                };
            }
            connection.sending = Some(Sending::Bye);
            return Output::Send(Message {
                word: Some(Word::Bye),
                is_present: false,
                rows: None,
            });
        }
        let due_at = connection.beaten_at.map(|at| at + beat);
        if due_at.is_none_or(|at| now >= at) {
            connection.beaten_at = Some(now);
            connection.sending = Some(Sending::Beat(now));
            return Output::Send(Message {
                word: Some(Word::Beat),
                is_present: true,
                rows: self.queue.doubtful(),
            });
        }
        match self.queue.take() {
            None => Output::Wait(due_at),
            Some(batch) => {
                let rows = Some(batch.rows().clone());
                connection.sending = Some(Sending::Batch(batch));
                Output::Send(Message {
                    word: None,
                    is_present: true,
                    rows,
                })
            }
        }
    }

    /// Whether nobody writes, so that silence will mean nothing.
    fn is_idle(&self, now: Instant) -> bool {
        let presence = Duration::from_millis(DATABASE_PRESENCE_MS);
        let unused = now.saturating_duration_since(self.used_at);
        let is_unused = self.is_leaving || unused >= presence;
        let is_under_way = self.under_way > 0 && !R::LEAVE_WRITES_BEHIND;
        is_unused && !is_under_way && self.queue.is_empty()
    }

    /// Of a statement that the server has, and a second for the machines.
    fn statement_ends_within(&self) -> Duration {
        self.patience.statement + Duration::from_millis(DATABASE_BEAT_MS)
    }
}
