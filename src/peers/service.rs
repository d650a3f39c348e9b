//! What stands on the road: services that take messages and learn who lives.

use std::collections::VecDeque;

use super::endpoint::{Endpoint, Event};
use super::message::PeerMessage;

/// The lanes of a shard as its services use them.
pub(crate) type PeerLanes = Endpoint<PeerMessage>;

/// One service at work. What it has to say it sends over the lanes it is given;
/// they are flushed when all that has come is taken.
pub(crate) trait PeerService {
    /// Its kind of message.
    type Message;

    /// A message has come, in the order of its lane.
    fn on_message(&mut self, from: usize, message: Self::Message, lanes: &mut PeerLanes);

    /// A shard lives; what comes from it is of a new life.
    fn peer_up(&mut self, peer: usize, lanes: &mut PeerLanes);

    /// A shard is gone; nothing that was asked of it will be answered.
    fn peer_down(&mut self, peer: usize, lanes: &mut PeerLanes);
}

/// All services of a shard. It is the one thing on the road that is not known
/// when it is compiled, so it is called once for all that has come; by which
/// service takes a message is decided behind it, by a match.
pub(crate) trait PeerServices {
    /// Takes everything out of `events`, in order.
    fn take(&self, events: &mut VecDeque<Event<PeerMessage>>, lanes: &mut PeerLanes);

    /// Whether requests of other shards may be taken. It stays so.
    fn are_ready(&self) -> bool;
}
