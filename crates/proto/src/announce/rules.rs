//! The promises of the protocol, each of which a test may break to see that the
//! simulation notices.

/// What is done wrong; nothing, by default.
pub trait Rules: 'static {
    /// A goodbye is said although writes are under way.
    const LEAVE_WRITES_BEHIND: bool = false;
    /// Writes are begun as long as there is a connection, whatever was heard.
    const IGNORE_LEASE: bool = false;
    /// What may have been written is told once, and not again when it has ended.
    const TELL_DOUBTS_ONCE: bool = false;
    /// What could not be told is forgotten.
    const FORGET_UNTOLD: bool = false;
    /// A silence is doubted once, and not until what had begun has ended.
    const DOUBT_ONCE: bool = false;
    /// Who listens anew forgets who was there.
    const FORGET_PEERS: bool = false;
}

/// All promises kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sound;

impl Rules for Sound {}
