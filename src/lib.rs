//! corelane: a thread-per-core HTTP application server for Linux on io_uring.
//!
//! One **shard** per pinned CPU core owns a listener, its connections, its
//! per-shard state and its database connection. Shards share nothing mutable;
//! they exchange messages. Handlers are plain `async fn(Ctx)`; their futures
//! never leave their shard and need not be `Send`.
//!
//! The house, floor by floor (a floor uses only floors below it):
//!
//! ```text
//! floor 5  process    cli  config  server
//! floor 4  app        app  shard  handlers
//! floor 3  resources  store  mesh
//! floor 2  machine    topology  engine  log_sink  error_log  process_stats  log_sink  process_stats
//! floor 1  thinking   http1 semantics router static_path metrics access_log
//!                     backoff
//! floor 0  ground     error limits clock ids
//! ```

pub mod clock;
pub mod error;
pub mod ids;
pub mod limits;

pub mod access_log;
pub mod backoff;
pub mod http1;
pub mod metrics;
pub mod router;
pub mod semantics;
pub mod static_path;

pub mod engine;
pub mod error_log;
pub mod log_sink;
pub mod process_stats;
pub mod topology;

pub mod mesh;
pub mod store;

pub mod app;
pub mod handlers;
pub mod shard;

pub mod cli;
pub mod config;
pub mod server;

pub use app::{App, Body, Ctx, Next, Response, Route, ShardInfo};
pub use error::Error;
pub use server::{Server, ServerHandle};
