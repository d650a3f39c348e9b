//! The configurations: each small enough to be explored whole, each about one
//! part of the protocol.

use corelane_proto::coherence::WriteMode;

use crate::steps::What;
use crate::witness::Witness;

#[derive(Debug, Clone)]
pub(crate) struct Config {
    pub(crate) name: &'static str,
    pub(crate) shards: usize,
    /// The home of each key.
    pub(crate) homes: &'static [usize],
    /// Copies that fit on a shard, and entries that fit in a directory.
    pub(crate) holder_room: usize,
    pub(crate) home_room: usize,
    pub(crate) mode: WriteMode,
    /// Every shard begins with a copy of the first key.
    pub(crate) is_warm: bool,
    pub(crate) left: Left,
    /// How the harness itself is broken, to see that it is noticed.
    pub(crate) fault: Fault,
    /// What must have happened somewhere, so that nothing is proved vacuously.
    pub(crate) witnesses: &'static [Witness],
}

/// How often, on one path, each thing may happen.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub(crate) struct Left {
    pub(crate) reads: u8,
    pub(crate) peeks: u8,
    pub(crate) writes: u8,
    /// Writes made elsewhere that are followed by a purge of the key, or by a
    /// flush of its home.
    pub(crate) purges: u8,
    pub(crate) flushes: u8,
    pub(crate) touches: u8,
    /// Loads that fail, and that are abandoned.
    pub(crate) failures: u8,
    pub(crate) abandons: u8,
    /// Writes that end in doubt.
    pub(crate) doubts: u8,
    /// Clients that go away while they wait.
    pub(crate) departures: u8,
    /// Waits that are given up because they take too long.
    pub(crate) timeouts: u8,
    /// Steps of the clock: every copy expires.
    pub(crate) ticks: u8,
    pub(crate) deaths: u8,
}

impl Left {
    pub(crate) fn spend(&mut self, what: What) {
        let left = match what {
            What::Read => &mut self.reads,
            What::Peek => &mut self.peeks,
            What::Write => &mut self.writes,
            What::Purge => &mut self.purges,
            What::Flush => &mut self.flushes,
            What::Touch => &mut self.touches,
        };
        *left -= 1;
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    None,
    /// Of two replies on a lane the second may come first.
    RepliesOvertake,
    /// A successor takes requests before its peers have said hello.
    ServesBeforeHello,
}

impl Config {
    /// Two shards and one key, homed on the first; nothing happens yet.
    pub(crate) fn pair(name: &'static str, left: Left) -> Self {
        Self {
            name,
            shards: 2,
            homes: &[0],
            holder_room: 2,
            home_room: 2,
            mode: WriteMode::Exclusive,
            is_warm: false,
            left,
            fault: Fault::None,
            witnesses: &[],
        }
    }
}
