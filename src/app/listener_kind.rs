//! The two listeners of a server. What came in through one is never routed by
//! the other's routes: a connection keeps its listener from accept to close.

/// Where a connection came in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ListenerKind {
    /// The listeners of all shards, for everybody.
    Public,
    /// The one listener for an operator; its routes are those of
    /// [`App::admin`](super::App::admin).
    Admin,
}
