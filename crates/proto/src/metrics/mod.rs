//! Metrics: recorded per shard in plain integers, merged once a scrape, shown
//! as the chapter's JSON or as Prometheus text.
//!
//! In the life of a request: the shard calls [`ShardMetrics::record`] after the
//! last byte of a response is queued. When `/metrics` is asked, every shard
//! hands over a [`ShardSnapshot`]; [`ProcessSnapshot::merge`] adds them up.
//!
//! Invariants: nothing here is shared between shards and nothing is atomic;
//! recording does not allocate (but for a route's first request), does not use
//! floats and never panics; merging snapshots gives exactly what one shard
//! would have recorded alone.

mod caches;
mod compression;
mod counters;
mod database;
mod exposition_caches;
mod exposition_database;
mod exposition_redis;
mod exposition_second_level;
mod exposition_sessions;
mod families;
mod feed;
mod json;
mod json_redis;
mod latency;
mod limiter;
mod redis;
mod second_level;
mod shard_metrics;
mod snapshot;
mod source;
mod tally;

pub use caches::{CacheCounters, CacheGauges, CacheSnapshot, MeshCounters};
pub use compression::CompressionCounters;
pub use counters::{Counters, ParseErrorCounts, SessionCounters, TimeoutKind};
pub use database::DatabaseSnapshot;
pub use families::{PROMETHEUS_CONTENT_TYPE, prometheus_text};
pub use feed::FeedSnapshot;
pub use json::{
    CacheView, ConnectionsView, MeshView, MetricsView, ProcessView, RequestsView, ShardView,
};
pub use json_redis::{BridgeView, RedisView, SecondLevelView};
pub use latency::Latency;
pub use limiter::{LimiterSnapshot, RateLimitsView, RuleCounters, RuleSnapshot};
pub use redis::{BridgeCounters, RedisCounters};
pub use second_level::{SecondLevelCounters, SecondLevelSnapshot};
pub use shard_metrics::{RouteIndex, RouteName, ShardIdentity, ShardMetrics};
pub use snapshot::{ProcessSnapshot, ProcessStats, RouteSnapshot, ShardSnapshot, ShardTotals};
pub use source::MetricsSource;
pub use tally::{StatusClass, Tally};

#[cfg(test)]
mod golden_tests;
