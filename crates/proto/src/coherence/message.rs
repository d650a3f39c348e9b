//! What homes and holders say to each other.
//!
//! Two classes, a lane each. [`Request`]s may wait for their turn. [`FromHome`]
//! and [`ToHome`] (replies, invalidations, acks, results, releases) are always
//! taken at once; handling one never waits for a request, which is what keeps
//! the protocol free of deadlock. Lanes are FIFO per ordered pair of shards.

use super::ValueSource;
use crate::clock::Millis;

/// Number of a request; its holder's own, never given twice by one incarnation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestTicket(pub u64);

/// Number of a load or write that a home has granted; never given twice, also
/// not by the home's next incarnation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Lease(pub u64);

/// How long a value may be used, in milliseconds on the scale that all shards
/// of the process share. `fresh <= stale` and `fresh <= on_error`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Freshness {
    /// Before this it is served as it is.
    pub fresh_until_ms: Millis,
    /// Before this it may be served while it is loaded anew (RFC 5861
    /// section 3).
    pub stale_until_ms: Millis,
    /// Before this it may be served when loading it anew fails (RFC 5861
    /// section 4).
    pub error_until_ms: Millis,
    /// In which era of the change feed its load began; 0 without one. Eras in
    /// which changes made elsewhere are told are even.
    pub era: u64,
}

impl Freshness {
    /// Usable until `until_ms`, and then no more.
    pub fn until(until_ms: Millis) -> Self {
        Self {
            fresh_until_ms: until_ms,
            stale_until_ms: until_ms,
            error_until_ms: until_ms,
            era: 0,
        }
    }

    /// What it is worth in this era. A value of another era, or of one in which
    /// nobody tells of changes, may have been changed elsewhere: as long as it
    /// would have been fresh it only stands in for a load that fails.
    pub fn seen_in(&self, era: u64) -> Self {
        if self.era == era && era.is_multiple_of(2) {
            return *self;
        }
        Self {
            fresh_until_ms: 0,
            stale_until_ms: 0,
            error_until_ms: self.error_until_ms.max(self.fresh_until_ms),
            era: self.era,
        }
    }

    /// Whether it may be served without asking anybody.
    pub fn is_fresh(&self, now_ms: Millis) -> bool {
        now_ms < self.fresh_until_ms
    }

    /// Whether it may be served, if it is loaded anew meanwhile.
    pub fn is_usable(&self, now_ms: Millis) -> bool {
        now_ms < self.stale_until_ms.max(self.fresh_until_ms)
    }

    /// Whether it may stand in for a load that failed.
    pub fn is_usable_on_error(&self, now_ms: Millis) -> bool {
        now_ms < self.error_until_ms
    }
}

/// A value and how long it is good for.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Replica<V> {
    /// The value. Shared, so cloning it is cheap.
    pub value: V,
    /// Until when.
    pub freshness: Freshness,
}

/// Who may write beside whom.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum WriteMode {
    /// One writer; readers wait for it.
    Exclusive,
    /// Any number of writers at once; readers meanwhile load for themselves
    /// and keep nothing. For keys that stand for many others (tags), where
    /// one writer at a time would undo group commit.
    Shared,
}

/// What a holder asks of a key's home. May wait.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Request<K> {
    /// The value, or a lease to load it. `refresh` asks for a fresh one though
    /// a stale one may still be served.
    Read {
        /// Of which key.
        key: K,
        /// Named in the reply.
        ticket: RequestTicket,
        /// A stale copy will not do.
        refresh: bool,
    },
    /// The value if it is cached; never a lease.
    Peek {
        /// Of which key.
        key: K,
        /// Named in the reply.
        ticket: RequestTicket,
    },
    /// A lease to write the key.
    Write {
        /// Which key.
        key: K,
        /// Named in the reply.
        ticket: RequestTicket,
        /// Beside whom.
        mode: WriteMode,
    },
    /// Forget the key everywhere: it has been written already, or is unwanted.
    Invalidate {
        /// Which key.
        key: K,
        /// Named in the reply; without it there is none.
        ticket: Option<RequestTicket>,
    },
    /// Change how long the key's value is good for.
    Touch {
        /// Which key.
        key: K,
        /// Named in the reply.
        ticket: RequestTicket,
        /// From now on.
        freshness: Freshness,
    },
    /// Forget every key that has this home.
    Flush {
        /// Named in the reply.
        ticket: RequestTicket,
    },
}

/// What a home says to a holder. Always taken at once.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum FromHome<K, V, E> {
    /// The value; from now on the shard is a holder of it.
    Value {
        /// Of the request.
        ticket: RequestTicket,
        /// The value.
        replica: Replica<V>,
        /// How the home came by it.
        source: ValueSource,
    },
    /// The shard shall load the value and say [`ToHome::Loaded`].
    Load {
        /// Of the request.
        ticket: RequestTicket,
        /// Named in the result.
        lease: Lease,
        /// What may be served should the load fail.
        stale: Option<Replica<V>>,
    },
    /// A value to answer with and not to keep: the load raced with a write.
    Uncached {
        /// Of the request.
        ticket: RequestTicket,
        /// The value.
        replica: Replica<V>,
    },
    /// Load it for yourself and keep nothing.
    Bypass {
        /// Of the request.
        ticket: RequestTicket,
    },
    /// The load this request waited for has failed.
    Failed {
        /// Of the request.
        ticket: RequestTicket,
        /// Why.
        error: E,
    },
    /// It is not cached ([`Request::Peek`]).
    Absent {
        /// Of the request.
        ticket: RequestTicket,
    },
    /// The lease to write.
    Granted {
        /// Of the request.
        ticket: RequestTicket,
        /// Named in the release.
        lease: Lease,
    },
    /// Nobody has a copy any more, but perhaps one of a later value; what was
    /// cached. Also the answer to [`Request::Touch`].
    Invalidated {
        /// Of the request.
        ticket: RequestTicket,
        /// The value there was.
        had: Option<Replica<V>>,
    },
    /// Nobody has a copy of any key of this home from before the request.
    Flushed {
        /// Of the request.
        ticket: RequestTicket,
    },
    /// Drop the copy and whatever is being loaded; say [`ToHome::Ack`].
    Invalidate {
        /// Which key.
        key: K,
    },
    /// The same for every key of this home; say [`ToHome::AckAll`].
    InvalidateAll,
}

/// What a holder says to a home without being asked to wait. Always taken at
/// once.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum ToHome<K, V, E> {
    /// There is no copy of the key here any more.
    Ack {
        /// Which key.
        key: K,
    },
    /// There is no copy of any key of that home here any more.
    AckAll,
    /// What a load came to.
    Loaded {
        /// Of the grant.
        lease: Lease,
        /// Its result.
        outcome: Outcome<V, E>,
    },
    /// A write has ended.
    Released {
        /// Of the grant.
        lease: Lease,
        /// How.
        release: Release<V>,
    },
    /// First word to a home that has just started: what was granted by its
    /// predecessor and goes on.
    Hello {
        /// Writes under way, with their leases.
        writes: Vec<(K, Lease, WriteMode)>,
    },
}

/// What a load came to.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Outcome<V, E> {
    /// A value.
    Value(Replica<V>),
    /// An error, for everybody who waits; an expired value may stand in.
    Failed(E),
    /// An error that is the answer (there is no such thing, say): for everybody
    /// who waits, and no expired value stands in.
    Refused(E),
    /// Nothing: whoever loaded it is gone. The next in line loads.
    Abandoned,
}

/// How a write ended.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Release<V> {
    /// Written, or surely not written.
    Done {
        /// The value from now on, if the writer knows it; else the next reader
        /// loads it.
        replica: Option<Replica<V>>,
    },
    /// It may still happen, at any time until the home's doubt has passed.
    InDoubt,
}
