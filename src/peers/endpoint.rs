//! One shard's end of all its lanes.
//!
//! In one poll of its shard: [`Endpoint::note_awake`], [`Endpoint::receive`],
//! work through the events and send, [`Endpoint::flush`]; and when there is
//! nothing left to do, [`Endpoint::try_park`] before the reactor sleeps.
//!
//! Invariants: events are worked through before the next `receive`, because
//! they speak of the peers as they were at theirs; what was sent is seen by
//! its receiver after a flush; a peer's replies are all taken at every
//! `receive`, so its outbox always empties in the end.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{Ordering, fence};

use super::membership::{Membership, Peer, PeerEvent};
use super::peer_set::PeerSet;
use crate::limits::{LANE_REQUESTS_PER_POLL_MAX, LANE_REQUESTS_WAITING_MAX};

/// The lanes of one shard, made by [`Mesh::attach`](super::Mesh::attach).
pub struct Endpoint<M> {
    index: usize,
    membership: Arc<Membership<M>>,
    peers: Vec<Option<Box<Peer<M>>>>,
    /// Alive at the attachment; `PeerUp` was not given yet.
    newly_up: PeerSet,
    /// Lanes of replies to look into.
    replies_ready: PeerSet,
    /// Lanes of requests to look into.
    requests_ready: PeerSet,
    /// Whose turn it is to have a request taken.
    requests_turn: usize,
    /// Peers from whom something was taken in this `receive`; else empty.
    taken_from: PeerSet,
    /// Peers whose rings have got something since they were last notified.
    dirty: PeerSet,
    /// Peers for whom something waits in an outbox.
    queued: PeerSet,
    counters: Counters,
}

/// What a shard learns from the mesh.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event<M> {
    /// A shard lives; messages to it and from it are those of a new life.
    PeerUp(usize),
    /// A shard is gone; nothing more comes from that life of it, and what was
    /// sent to it may be lost.
    PeerDown(usize),
    /// A reply, invalidation or acknowledgement.
    Reply {
        /// Who sent it.
        from: usize,
        /// What.
        message: M,
    },
    /// A request.
    Request {
        /// Who sent it.
        from: usize,
        /// What.
        message: M,
    },
}

/// Why a request was not sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refused<M> {
    /// Too many requests wait for that peer.
    Full(M),
    /// The peer does not live.
    Dead(M),
}

/// Whether requests are left in the lanes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use = "requests that are left are not announced again"]
pub enum Left {
    /// No.
    Nothing,
    /// Yes: come again.
    Requests,
}

/// What went through an endpoint since its attachment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counters {
    /// Requests accepted for a peer.
    pub requests_sent: u64,
    /// Replies accepted for a peer.
    pub replies_sent: u64,
    /// Requests received.
    pub requests_received: u64,
    /// Replies received.
    pub replies_received: u64,
    /// Doorbells rung because the peer was parked.
    pub doorbells_rung: u64,
    /// Requests refused because too many waited.
    pub requests_refused_full: u64,
    /// Messages that found their lane full and had to wait.
    pub lane_full: u64,
}

impl<M> Endpoint<M> {
    pub(super) fn new(
        index: usize,
        membership: Arc<Membership<M>>,
        peers: Vec<Option<Box<Peer<M>>>>,
    ) -> Self {
        let shards = peers.len();
        let mut newly_up = PeerSet::new(shards);
        let living = peers.iter().enumerate().filter(|(_, peer)| peer.is_some());
        living.for_each(|(peer, _)| newly_up.insert(peer));
        Self {
            index,
            membership,
            peers,
            newly_up,
            replies_ready: PeerSet::new(shards),
            requests_ready: PeerSet::new(shards),
            requests_turn: 0,
            taken_from: PeerSet::new(shards),
            dirty: PeerSet::new(shards),
            queued: PeerSet::new(shards),
            counters: Counters::default(),
        }
    }

    /// Sends a reply, invalidation or acknowledgement. It is never refused; to
    /// a dead peer it is dropped. What the lane does not hold waits in an
    /// outbox, which the protocol bounds: at most one reply per request the
    /// peer has outstanding, one invalidation per entry and holder, and one
    /// acknowledgement per invalidation.
    pub fn send_reply(&mut self, to: usize, message: M) {
        debug_assert_ne!(to, self.index, "a shard does not send to itself");
        let Some(peer) = self.peers.get_mut(to).and_then(Option::as_mut) else {
            return;
        };
        self.counters.replies_sent += 1;
        match peer.replies_out.push(message) {
            Ok(()) => self.dirty.insert(to),
            Err(message) => {
                self.counters.lane_full += 1;
                peer.replies_out.keep(message);
                self.queued.insert(to);
            }
        }
    }

    /// Sends a request. What the lane does not hold waits here, up to
    /// [`LANE_REQUESTS_WAITING_MAX`] per peer.
    ///
    /// # Errors
    /// [`Refused`], with the message.
    pub fn send_request(&mut self, to: usize, message: M) -> Result<(), Refused<M>> {
        debug_assert_ne!(to, self.index, "a shard does not send to itself");
        let Some(peer) = self.peers.get_mut(to).and_then(Option::as_mut) else {
            return Err(Refused::Dead(message));
        };
        match peer.requests_out.push(message) {
            Ok(()) => self.dirty.insert(to),
            Err(message) => {
                self.counters.lane_full += 1;
                if peer.requests_out.waiting() >= LANE_REQUESTS_WAITING_MAX {
                    self.counters.requests_refused_full += 1;
                    return Err(Refused::Full(message));
                }
                peer.requests_out.keep(message);
                self.queued.insert(to);
            }
        }
        self.counters.requests_sent += 1;
        Ok(())
    }

    /// Takes what has come, in this order: who came and who went, all replies,
    /// and, if `take_requests`, up to [`LANE_REQUESTS_PER_POLL_MAX`] requests,
    /// one peer after the other.
    pub fn receive(&mut self, into: &mut VecDeque<Event<M>>, take_requests: bool) -> Left {
        // The bits before the membership and both before the lanes: whoever set a
        // bit had delivered the lane before.
        let (replies, requests) = (&mut self.replies_ready, &mut self.requests_ready);
        self.membership.notifier.take_pending(|word, bits| {
            replies.insert_word(word, bits);
            requests.insert_word(word, bits);
        });
        self.take_peer_events(into);
        self.take_replies(into);
        if take_requests {
            self.take_requests(into);
        }
        self.notify_starved();
        let peers = &self.peers;
        self.requests_ready.retain(|peer| {
            let lanes = peers[peer].as_ref();
            lanes.is_some_and(|lanes| !lanes.requests_in.is_empty())
        });
        if self.requests_ready.is_empty() {
            Left::Nothing
        } else {
            Left::Requests
        }
    }

    /// Moves what waits into the lanes as far as there is room, and makes the
    /// receivers of what was sent look: once each, however much it was. Due at
    /// the end of every poll in which something was sent or received.
    pub fn flush(&mut self) {
        let (peers, dirty) = (&mut self.peers, &mut self.dirty);
        self.queued.retain(|index| {
            let Some(peer) = peers[index].as_mut() else {
                return false;
            };
            if peer.replies_out.advance() + peer.requests_out.advance() > 0 {
                dirty.insert(index);
            }
            peer.replies_out.waiting() + peer.requests_out.waiting() > 0
        });
        while let Some(index) = self.dirty.take_first() {
            if let Some(peer) = &self.peers[index] {
                self.counters.doorbells_rung += u64::from(peer.notifier.notify(self.index));
            }
        }
    }

    /// Replies that wait in outboxes. A home that has many stops taking
    /// requests until its peers have caught up.
    #[must_use]
    pub fn backlog(&self) -> usize {
        let mut replies = 0;
        let mut start = 0;
        while let Some(index) = self.queued.first_from(start) {
            let peer = self.peers[index].as_ref();
            replies += peer.map_or(0, |peer| peer.replies_out.waiting());
            start = index + 1;
        }
        replies
    }

    /// Spares the peers the doorbell while the shard is at work. Every shard
    /// that calls it calls [`try_park`](Self::try_park) before it sleeps.
    pub fn note_awake(&self) {
        self.membership.notifier.note_awake();
    }

    /// Whether something has come that was not taken yet: a look at memory of
    /// this shard's own, for a shard that is busy with other things.
    #[must_use]
    pub fn has_arrivals(&self) -> bool {
        self.membership.notifier.has_arrivals()
    }

    /// Whether the shard may sleep; from then on the doorbell is rung for it.
    /// False when something has come in the meantime, or when requests were
    /// left in the lanes. Left requests do not keep a shard awake whose
    /// replies wait in outboxes: it is woken when there is room for them.
    #[must_use]
    pub fn try_park(&mut self) -> bool {
        self.flush();
        let requests_due = !self.requests_ready.is_empty() && self.backlog() == 0;
        if requests_due || !self.newly_up.is_empty() {
            self.note_awake();
            return false;
        }
        self.membership.notifier.try_park()
    }

    /// What went through.
    #[must_use]
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    fn take_peer_events(&mut self, into: &mut VecDeque<Event<M>>) {
        while let Some(peer) = self.newly_up.take_first() {
            into.push_back(Event::PeerUp(peer));
        }
        if !self.membership.notifier.take_peer_events() {
            return;
        }
        for event in self.membership.take() {
            match event {
                PeerEvent::Down(index) => {
                    self.forget(index);
                    into.push_back(Event::PeerDown(index));
                }
                PeerEvent::Up(index, peer) => {
                    self.peers[index] = Some(peer);
                    // Its bit may have been taken for its predecessor's.
                    self.replies_ready.insert(index);
                    self.requests_ready.insert(index);
                    into.push_back(Event::PeerUp(index));
                }
            }
        }
    }

    /// Drops the lanes of a peer that is gone, with all that is in them.
    fn forget(&mut self, index: usize) {
        self.peers[index] = None;
        for set in [
            &mut self.replies_ready,
            &mut self.requests_ready,
            &mut self.dirty,
            &mut self.queued,
        ] {
            set.remove(index);
        }
    }

    fn take_replies(&mut self, into: &mut VecDeque<Event<M>>) {
        while let Some(from) = self.replies_ready.take_first() {
            let Some(peer) = self.peers[from].as_mut() else {
                continue;
            };
            let count = peer
                .replies_in
                .drain(|message| into.push_back(Event::Reply { from, message }));
            if count > 0 {
                self.counters.replies_received += count as u64;
                self.taken_from.insert(from);
            }
        }
    }

    fn take_requests(&mut self, into: &mut VecDeque<Event<M>>) {
        let mut budget = LANE_REQUESTS_PER_POLL_MAX;
        while budget > 0
            && let Some(from) = self.requests_ready.next_round(self.requests_turn)
        {
            self.requests_turn = from + 1;
            let lane = self.peers[from].as_mut().map(|peer| &mut peer.requests_in);
            let Some(message) = lane.and_then(|lane| lane.pop()) else {
                self.requests_ready.remove(from);
                continue;
            };
            into.push_back(Event::Request { from, message });
            self.counters.requests_received += 1;
            self.taken_from.insert(from);
            budget -= 1;
        }
    }

    /// Notifies those peers whose messages waited for the room that there is
    /// now.
    fn notify_starved(&mut self) {
        if self.taken_from.is_empty() {
            return;
        }
        fence(Ordering::SeqCst);
        while let Some(index) = self.taken_from.take_first() {
            let Some(peer) = &self.peers[index] else {
                continue;
            };
            // Both flags are to be cleared: no short circuit.
            if peer.requests_in.take_starved() | peer.replies_in.take_starved() {
                self.counters.doorbells_rung += u64::from(peer.notifier.notify(self.index));
            }
        }
    }
}

impl<M> std::fmt::Debug for Endpoint<M> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let living = self.peers.iter().flatten().count();
        write!(f, "Endpoint {} with {living} living peers", self.index)
    }
}
