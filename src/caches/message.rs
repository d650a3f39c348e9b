//! What shards send each other about their caches.

use crate::Error;
use crate::cache::{CacheKey, Payload};
use crate::coherence::{FromHome, Request, ToHome};
use crate::limiter::LimitMessage;

/// A message about one cache, by its number.
#[derive(Debug)]
pub(crate) struct CacheMessage {
    pub(super) cache: u16,
    pub(super) body: Body,
}

#[derive(Debug)]
pub(super) enum Body {
    Request(Request<CacheKey>),
    FromHome(FromHome<CacheKey, Payload, Error>),
    ToHome(ToHome<CacheKey, Payload, Error>),
    /// Of the limiter, which has no lanes of its own.
    Limit(LimitMessage),
}

impl CacheMessage {
    pub(super) fn request(cache: u16, request: Request<CacheKey>) -> Self {
        let body = Body::Request(request);
        Self { cache, body }
    }

    pub(super) fn from_home(cache: u16, message: FromHome<CacheKey, Payload, Error>) -> Self {
        let body = Body::FromHome(message);
        Self { cache, body }
    }

    pub(super) fn limit(message: LimitMessage) -> Self {
        let body = Body::Limit(message);
        // It is of no cache.
        Self { cache: 0, body }
    }

    pub(super) fn to_home(cache: u16, message: ToHome<CacheKey, Payload, Error>) -> Self {
        let body = Body::ToHome(message);
        Self { cache, body }
    }
}
