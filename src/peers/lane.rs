//! One lane: a bounded ring from one shard to another, and what waits at its
//! sender while it is full.
//!
//! Why a full lane is not forgotten. The sender that finds no room sets
//! `starved`, then looks for room once more; the receiver that has made room
//! then looks at `starved`. Between the two steps each has a sequentially
//! consistent fence, so at least one sees what the other did: the sender finds
//! the room, or the receiver finds the flag, clears it and notifies the
//! sender, whose next flush fills the lane. The clear comes before the notice,
//! so a flag set after the notice stays.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering, fence};

use rtrb::{Consumer, Producer, PushError, RingBuffer};

/// A lane that holds `messages` messages.
pub(super) fn lane<M>(messages: usize) -> (Outgoing<M>, Incoming<M>) {
    let (producer, consumer) = RingBuffer::new(messages);
    let starved = Arc::new(AtomicBool::new(false));
    let outgoing = Outgoing {
        ring: producer,
        waiting: VecDeque::new(),
        starved: starved.clone(),
    };
    let incoming = Incoming {
        ring: consumer,
        starved,
    };
    (outgoing, incoming)
}

/// The sender's end.
#[derive(Debug)]
pub(super) struct Outgoing<M> {
    ring: Producer<M>,
    /// What found the ring full, in order. [`advance`](Self::advance) moves it.
    waiting: VecDeque<M>,
    starved: Arc<AtomicBool>,
}

impl<M> Outgoing<M> {
    /// Puts a message into the ring, if nothing waits and there is room.
    pub(super) fn push(&mut self, message: M) -> Result<(), M> {
        if !self.waiting.is_empty() {
            return Err(message);
        }
        self.ring
            .push(message)
            .map_err(|PushError::Full(message)| message)
    }

    /// Keeps a message that [`push`](Self::push) did not take.
    pub(super) fn keep(&mut self, message: M) {
        self.waiting.push_back(message);
    }

    /// Messages kept.
    pub(super) fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// Moves what waits into the ring. Returns how many were moved; if some
    /// are left, the receiver will notify when it has made room.
    pub(super) fn advance(&mut self) -> usize {
        let mut moved = self.move_waiting();
        if !self.waiting.is_empty() {
            self.starved.store(true, Ordering::Relaxed);
            fence(Ordering::SeqCst);
            moved += self.move_waiting();
            if self.waiting.is_empty() {
                self.starved.store(false, Ordering::Relaxed);
            }
        }
        moved
    }

    fn move_waiting(&mut self) -> usize {
        let before = self.waiting.len();
        while let Some(message) = self.waiting.pop_front() {
            if let Err(PushError::Full(message)) = self.ring.push(message) {
                self.waiting.push_front(message);
                break;
            }
        }
        before - self.waiting.len()
    }
}

/// The receiver's end.
#[derive(Debug)]
pub(super) struct Incoming<M> {
    ring: Consumer<M>,
    starved: Arc<AtomicBool>,
}

impl<M> Incoming<M> {
    pub(super) fn pop(&mut self) -> Option<M> {
        self.ring.pop().ok()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.ring.is_empty()
    }

    /// Gives all messages that are there now; a sender that goes on sending
    /// does not keep the receiver.
    pub(super) fn drain(&mut self, mut each: impl FnMut(M)) -> usize {
        let count = self.ring.slots();
        if let Ok(chunk) = self.ring.read_chunk(count) {
            chunk.into_iter().for_each(&mut each);
        }
        count
    }

    /// Whether the sender waits for room. Comes after the messages were taken
    /// and a sequentially consistent fence; the sender must then be notified.
    pub(super) fn take_starved(&self) -> bool {
        self.starved.load(Ordering::Relaxed) && self.starved.swap(false, Ordering::AcqRel)
    }
}
