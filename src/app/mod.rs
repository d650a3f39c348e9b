//! The public API: an [`App`] of routes, per-shard state and middleware;
//! handlers `async fn(Ctx) -> Result<Response, Error>`.
//!
//! An app is built (`builder`), checked and made into each shard's routes
//! (`compiled`), and run by its handlers (`handler`, `ctx`, `body`,
//! `response`, `sessions`). What a cache keeps is in `prepared` and `cache_line`, whether
//! a client needs it in `conditions`; `compression` is middleware of ours. Stands between `shard`, which feeds it
//! requests, and `handlers`, which are written on it like any user's code.

mod app_error;
mod background;
mod body;
mod builder;
mod cache_line;
mod check;
mod compiled;
mod compression;
mod conditions;
mod ctx;
mod door;
mod drain_signal;
mod handler;
mod lifecycle;
mod prepared;
pub mod rate_limit;
mod redis_cache;
mod response;
mod route;
mod sessions;
mod shard_context;
mod states;

pub use app_error::AppError;
pub use background::Background;
pub use body::{Body, RequestBody};
pub use builder::{App, ShardInfo};
pub use cache_line::SecondLevel;
pub use compression::{Compression, InvalidCompression};
pub use conditions::{ConditionFields, precondition_failed};
pub use ctx::Ctx;
pub use handler::{Handler, Middleware, Next};
pub use prepared::{PreparedResponse, SharedResponse};
pub use rate_limit::{RateLimit, RateLimitKey, RateRules};
pub use redis_cache::RedisCache;
pub use response::Response;
pub use route::Route;

pub(crate) use body::{BodyKind, BodySource, ByteStream, ChunkFuture};
pub(crate) use compiled::{CompiledApp, Unrouted};
pub(crate) use compression::ShardCompression;
pub(crate) use ctx::RequestParts;
pub(crate) use door::Door;
pub(crate) use drain_signal::DrainSignal;
pub(crate) use handler::HandlerFuture;
pub(crate) use lifecycle::ShardLife;
pub(crate) use redis_cache::AnswerCounts;
pub(crate) use response::HeadParts;
pub(crate) use shard_context::ShardContext;
