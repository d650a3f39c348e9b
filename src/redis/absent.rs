//! Redis in a build without the feature `redis`: none of these values can
//! exist, so that whoever may have one compiles, and what would use it is gone.

use std::convert::Infallible;
use std::fmt;
use std::sync::Arc;

use crate::Error;
use crate::bridge::Bridge;
use crate::error_log::ErrorLog;
use crate::metrics::{RedisCounters, ShardSnapshot};

/// An app's Redis, which it cannot have.
#[derive(Debug, Clone)]
pub(crate) enum Redis {}

impl Redis {
    pub(crate) async fn start(
        _: Option<Arc<RedisPlan>>,
        _: Option<&ShardSnapshot>,
    ) -> Option<Self> {
        None
    }

    pub(crate) fn counters(&self) -> RedisCounters {
        match *self {}
    }

    pub(crate) async fn close(&self) {
        match *self {}
    }

    pub(crate) fn is_closed(&self) -> bool {
        match *self {}
    }
}

/// Where Redis is, which nobody can say.
#[derive(Debug, Clone)]
pub(crate) enum RedisOptions {}

/// What shards have in common of Redis: nothing.
#[derive(Debug)]
pub(crate) enum RedisPlan {}

impl RedisPlan {
    pub(crate) fn new(
        _: Option<RedisOptions>,
        _: Bridge,
        _: ErrorLog,
    ) -> Result<Option<Arc<Self>>, RedisUrlError> {
        Ok(None)
    }
}

/// An address that cannot be used, of which there is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RedisUrlError(Infallible);

impl fmt::Display for RedisUrlError {
    fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {}
    }
}

/// A command without an answer, which nobody can give.
#[derive(Debug)]
pub(crate) enum RedisFault {}

impl From<RedisFault> for Error {
    fn from(fault: RedisFault) -> Self {
        match fault {}
    }
}
