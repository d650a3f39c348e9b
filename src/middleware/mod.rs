//! The library's own middleware: compression, rate limits, answers kept in
//! Redis, and sessions with the guard around what they may change.
//!
//! Each stands between `app`, whose API it is written on and extends, and the
//! room below that does its thinking: `compression`, `rate_limit` and `limiter`,
//! `stored`, `session` and `sessions`.

mod compression;
pub mod rate_limit;
mod redis_cache;
mod sessions;

pub use compression::{Compression, InvalidCompression};
pub use rate_limit::{RateLimit, RateLimitKey, RateRules};
pub use redis_cache::RedisCache;

pub(crate) use compression::ShardCompression;
pub(crate) use redis_cache::AnswerCounts;
pub(crate) use sessions::{SessionPlan, UserCheck, guard};
