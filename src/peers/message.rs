//! What shards send each other: one kind of message for each service.
//!
//! The words of all services are here, as data, so that the lanes carry one
//! type and no service need know another. A new service is one more kind here
//! and one more arm where a shard's services are put together.

use crate::cache::{CacheKey, Payload};
use crate::coherence::{FromHome, Request, ToHome};
use crate::error::Error;
use crate::rate_limit::{KeyHash, Quota, QuotaVerdict};

/// A message between two shards of a process, by the service it is for.
#[derive(Debug)]
pub(crate) enum PeerMessage {
    /// Of homes and holders.
    Cache(CacheMessage),
    /// Of the limiters.
    Limit(LimitMessage),
}

/// A message is moved four times on its way: not one byte more than it takes.
const _: () = assert!(size_of::<PeerMessage>() == size_of::<CacheMessage>());

/// A message about one cache, by its number.
#[derive(Debug)]
pub(crate) struct CacheMessage {
    pub(crate) cache: u16,
    pub(crate) body: CacheMessageBody,
}

#[derive(Debug)]
pub(crate) enum CacheMessageBody {
    Request(Request<CacheKey>),
    FromHome(FromHome<CacheKey, Payload, Error>),
    ToHome(ToHome<CacheKey, Payload, Error>),
}

/// A message about one key that is limited.
#[derive(Debug)]
pub(crate) struct LimitMessage {
    /// Names the wait of the shard that asks.
    pub(crate) ticket: u64,
    pub(crate) body: LimitMessageBody,
}

#[derive(Debug)]
pub(crate) enum LimitMessageBody {
    /// The key in halves, so that messages are not aligned to 16 bytes.
    Ask([u64; 2], Quota),
    Judged(QuotaVerdict),
}

impl CacheMessage {
    pub(crate) fn request(cache: u16, request: Request<CacheKey>) -> Self {
        let body = CacheMessageBody::Request(request);
        Self { cache, body }
    }

    pub(crate) fn from_home(cache: u16, message: FromHome<CacheKey, Payload, Error>) -> Self {
        let body = CacheMessageBody::FromHome(message);
        Self { cache, body }
    }

    pub(crate) fn to_home(cache: u16, message: ToHome<CacheKey, Payload, Error>) -> Self {
        let body = CacheMessageBody::ToHome(message);
        Self { cache, body }
    }
}

impl LimitMessage {
    pub(crate) fn ask(ticket: u64, key: KeyHash, quota: Quota) -> Self {
        let halves = [(key.0 >> 64) as u64, key.0 as u64];
        let body = LimitMessageBody::Ask(halves, quota);
        Self { ticket, body }
    }

    pub(crate) fn judged(ticket: u64, verdict: QuotaVerdict) -> Self {
        let body = LimitMessageBody::Judged(verdict);
        Self { ticket, body }
    }
}
