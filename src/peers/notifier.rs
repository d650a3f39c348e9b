//! How a sender gets a shard to look: a bit per peer, and a doorbell that is
//! rung only when the shard is parked.
//!
//! Why no wake is lost. The sender stores its message, sets its bit, then
//! reads `awake`; the receiver clears `awake`, then reads the bits. All four
//! are sequentially consistent, so in their one order either the sender's read
//! comes after the clear, and it rings, or its bit comes before the receiver's
//! read, and the receiver does not park. A ring is never wasted: the doorbell
//! stays rung until its shard begins to look.
//!
//! Why no message is missed. The receiver takes (swaps to 0) the bits before
//! it looks into the lanes. A message whose bit was taken is in its lane by
//! then; one that comes later sets its bit again.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use super::peer_set::{bit, words_for};
use crate::engine::ShardWaker;

/// What one incarnation of a shard shares with those who send to it.
#[derive(Debug)]
pub(super) struct Notifier {
    /// Who has sent something, or made room for something; one bit per peer.
    pending: Box<[AtomicU64]>,
    /// Whether the membership has events.
    peer_events: AtomicBool,
    /// False only while the shard is parked or about to.
    awake: AtomicBool,
    waker: ShardWaker,
}

impl Notifier {
    /// Of the current shard, which is awake.
    pub(super) fn of_current_shard(shards: usize) -> Self {
        Self {
            pending: (0..words_for(shards)).map(|_| AtomicU64::new(0)).collect(),
            peer_events: AtomicBool::new(false),
            awake: AtomicBool::new(true),
            waker: ShardWaker::current(),
        }
    }

    /// `peer` has sent something or made room. Says whether the doorbell had
    /// to be rung.
    pub(super) fn notify(&self, peer: usize) -> bool {
        self.pending[peer / 64].fetch_or(bit(peer), Ordering::SeqCst);
        self.ring_if_parked()
    }

    /// The membership has got an event.
    pub(super) fn notify_peer_event(&self) {
        self.peer_events.store(true, Ordering::SeqCst);
        self.ring_if_parked();
    }

    fn ring_if_parked(&self) -> bool {
        let parked = !self.awake.load(Ordering::SeqCst);
        if parked {
            self.waker.wake();
        }
        parked
    }

    /// Receiver: gives each word of bits that is not 0, and clears it.
    pub(super) fn take_pending(&self, mut each: impl FnMut(usize, u64)) {
        for (index, word) in self.pending.iter().enumerate() {
            // The plain read spares the senders' cache line when nothing came.
            if word.load(Ordering::Relaxed) != 0 {
                each(index, word.swap(0, Ordering::SeqCst));
            }
        }
    }

    /// Receiver: whether the membership has events. After [`take_pending`], so that
    /// the lanes of whoever set a bit are there before they are looked into.
    ///
    /// [`take_pending`]: Self::take_pending
    pub(super) fn take_peer_events(&self) -> bool {
        self.peer_events.load(Ordering::SeqCst) && self.peer_events.swap(false, Ordering::SeqCst)
    }

    /// Receiver: whether something has come that was not taken yet. May miss
    /// what comes this moment; that rings, or is seen before parking.
    pub(super) fn has_arrivals(&self) -> bool {
        let came = |word: &AtomicU64| word.load(Ordering::Relaxed) != 0;
        self.pending.iter().any(came) || self.peer_events.load(Ordering::Relaxed)
    }

    /// Receiver: senders need not ring.
    pub(super) fn note_awake(&self) {
        if !self.awake.load(Ordering::Relaxed) {
            self.awake.store(true, Ordering::SeqCst);
        }
    }

    /// Receiver: whether it may park. From then on senders ring.
    pub(super) fn try_park(&self) -> bool {
        self.awake.store(false, Ordering::SeqCst);
        let something = self.peer_events.load(Ordering::SeqCst)
            || self
                .pending
                .iter()
                .any(|word| word.load(Ordering::SeqCst) != 0);
        if something {
            self.awake.store(true, Ordering::SeqCst);
        }
        !something
    }
}
