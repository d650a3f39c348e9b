//! The library's own middleware: compression, rate limits, other sites' pages
//! (CORS), answers kept in Redis, and sessions with the guard around what they
//! may change.
//!
//! Each stands between `app`, whose API it is written on and extends, and the
//! room below that does its thinking: `compression`, `rate_limit` and `limiter`,
//! `stored`, `session` and `sessions`.

#[cfg(feature = "compression")]
mod compression;
mod cors;
pub mod rate_limit;
#[cfg(feature = "redis")]
mod redis_cache;
#[cfg(feature = "sessions")]
mod sessions;

#[cfg(feature = "compression")]
pub use compression::{Compression, InvalidCompression};
pub use cors::{Cors, InvalidCors};
pub use rate_limit::{RateLimit, RateLimitKey, RateRules};
#[cfg(feature = "redis")]
pub use redis_cache::RedisCache;

use std::rc::Rc;

use crate::app::{App, ShardParts, ShardStates};
use crate::metrics::{MetricsSource, ShardSnapshot};

/// What all of it keeps on a shard with these states, some of which count for
/// the metrics. Goes on from what a predecessor that died has counted.
pub(crate) fn shard_parts(
    app: &App,
    states: &ShardStates,
    sources: &[Rc<dyn MetricsSource>],
    died: Option<&ShardSnapshot>,
) -> ShardParts {
    let mut parts = ShardParts::default();
    #[cfg(feature = "compression")]
    parts.add(compression::ShardCompression::resume(died));
    #[cfg(feature = "redis")]
    parts.add(redis_cache::AnswerCounts::beside(sources, died));
    #[cfg(feature = "sessions")]
    if let Some(part) = sessions::ShardSessions::of(app, states) {
        parts.add(part);
    }
    parts
}
