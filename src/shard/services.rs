//! What of a shard other shards speak to: the caches and the limiter.

use std::collections::VecDeque;
use std::rc::Rc;

use crate::caches::Caches;
use crate::limiter::PeerLimiter;
use crate::peers::{Event, PeerLanes, PeerMessage, PeerService, PeerServices};

/// The services of one shard.
pub(super) struct ShardServices {
    pub(super) caches: Rc<Caches>,
    pub(super) limiter: Rc<PeerLimiter>,
}

impl PeerServices for ShardServices {
    fn take(&self, events: &mut VecDeque<Event<PeerMessage>>, lanes: &mut PeerLanes) {
        let mut caches = self.caches.service();
        let mut limiter = &*self.limiter;
        while let Some(event) = events.pop_front() {
            match event {
                Event::Reply { from, message } | Event::Request { from, message } => {
                    match message {
                        PeerMessage::Cache(message) => caches.on_message(from, message, lanes),
                        PeerMessage::Limit(message) => limiter.on_message(from, message, lanes),
                    }
                }
                Event::PeerUp(peer) => {
                    caches.peer_up(peer, lanes);
                    limiter.peer_up(peer, lanes);
                }
                Event::PeerDown(peer) => {
                    caches.peer_down(peer, lanes);
                    limiter.peer_down(peer, lanes);
                }
            }
        }
    }

    fn are_ready(&self) -> bool {
        self.caches.are_homes_ready()
    }
}
