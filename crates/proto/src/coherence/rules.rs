//! The protocol's three promises, each of which can be broken to show that the
//! checkers notice.

use std::fmt::Debug;
use std::hash::Hash;

/// Which promises are kept. The product knows only [`Sound`]; tests write their
/// own, to see the simulation and the model checker fail.
pub trait Rules: Debug + Clone + PartialEq + Eq + Hash + 'static {
    /// A write is granted although copies have not been acknowledged as gone.
    const GRANT_BEFORE_ACKS: bool = false;
    /// The result of a load that was revoked is kept all the same.
    const KEEP_REVOKED_LOADS: bool = false;
    /// A shard that is given a copy is not noted as its holder.
    const FORGET_HOLDERS: bool = false;
}

/// All promises kept.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Sound;

impl Rules for Sound {}
