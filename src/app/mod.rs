//! The public API: an [`App`] of routes, per-shard state and middleware;
//! handlers `async fn(Ctx) -> Result<Response, Error>`.
//!
//! An app is built (`builder`), checked and made into each shard's routes
//! (`check`, `compiled`), and run by its handlers (`handler`, `ctx`, `body`,
//! `response`); `lifecycle` is what it does beside its requests. What a cache
//! keeps is in `prepared` and `cache_line`, whether a client needs it in
//! `conditions`. Stands between `shard`, which feeds it requests, and
//! `middleware`, which is written on it like any user's code.

mod app_error;
mod background;
mod body;
mod builder;
mod cache_line;
mod check;
mod coding_offer;
mod compiled;
mod conditions;
mod ctx;
mod drain_signal;
mod error_map;
mod handler;
mod json;
mod lifecycle;
mod listener_kind;
mod parts;
mod prepared;
#[cfg(feature = "redis")]
mod redis_access;
mod response;
mod route;
mod shard_context;
mod shared;
mod states;
#[cfg(feature = "tokio")]
mod tokio_access;

pub use app_error::AppError;
pub use background::Background;
pub use body::{Body, RequestBody};
pub use builder::{App, ShardInfo};
pub use cache_line::SecondLevel;
pub use coding_offer::GzipOffer;
pub use conditions::{ConditionFields, precondition_failed};
pub use ctx::Ctx;
pub use handler::{Handler, Middleware, Next};
pub use json::parse_json;
pub use prepared::{PreparedResponse, SharedResponse};
pub use response::Response;
pub use route::Route;
pub use shard_context::ShardsHealth;

pub(crate) use body::{BodyKind, BodySource, ByteStream, ChunkFuture};
pub(crate) use cache_line::X_CACHE;
pub(crate) use compiled::{CompiledApp, Unrouted};
pub(crate) use ctx::RequestParts;
pub(crate) use drain_signal::DrainSignal;
pub(crate) use handler::HandlerFuture;
pub(crate) use lifecycle::ShardLife;
pub(crate) use listener_kind::ListenerKind;
pub(crate) use parts::{RouteRules, ShardPart, ShardParts};
pub(crate) use prepared::is_of_answer;
pub(crate) use response::HeadParts;
pub(crate) use shard_context::ShardContext;
pub(crate) use states::{Find, ShardStates, StateType};
