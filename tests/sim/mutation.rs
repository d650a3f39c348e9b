//! Things a world may do wrong on purpose, to see that it notices.

/// What is done wrong, beside the rules of the protocol itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mutation {
    Nothing,
    /// Now and then an invalidation is lost.
    LoseInvalidations,
    /// Now and then an invalidation is acknowledged and not heeded.
    IgnoreInvalidations,
    /// Replies overtake each other within their lane.
    ReorderReplies,
    /// A successor takes requests before its peers have said hello.
    ServeBeforeHello,
    /// Holders are not told that a shard has died.
    HoldersNotTold,
    /// Homes are not told that a shard has died.
    HomesNotTold,
    /// Writes in doubt happen after their time.
    LateWrites,
    /// Now and then the end of a write is not said.
    LoseReleases,
    /// Replies wait for room as requests do.
    RepliesWait,
    /// A loader gives what the database said before it was told to load.
    EarlyQueries,
    /// What outside writers have changed is acknowledged without a purge.
    NoPurges,
}

impl Mutation {
    pub(crate) const ALL: [Self; 11] = [
        Self::LoseInvalidations,
        Self::IgnoreInvalidations,
        Self::ReorderReplies,
        Self::ServeBeforeHello,
        Self::HoldersNotTold,
        Self::HomesNotTold,
        Self::LateWrites,
        Self::LoseReleases,
        Self::RepliesWait,
        Self::EarlyQueries,
        Self::NoPurges,
    ];
}
