//! Metrics: recorded per shard in plain integers, merged once a scrape, shown
//! as the chapter's JSON or as Prometheus text.
//!
//! In the life of a request: the shard calls [`ShardMetrics::record`] after the
//! last byte of a response is queued. When `/metrics` is asked, every shard
//! hands over a [`ShardSnapshot`]; [`ProcessSnapshot::merge`] adds them up.
//!
//! Every counter is written once, by `counters!` (`counted.rs`). [`families()`]
//! is what an exporter sends; the two texts stand on top and nothing on them.
//!
//! Invariants: nothing here is shared between shards and nothing is atomic;
//! recording does not allocate (but for a route's first request), does not use
//! floats and never panics; merging snapshots gives exactly what one shard
//! would have recorded alone.

mod caches;
mod compression;
mod counted;
mod counters;
mod database;
mod families;
mod family;
mod feed;
mod json;
mod latency;
mod limiter;
mod mesh;
mod prometheus;
mod recent;
mod redis;
mod second_level;
mod shard_metrics;
mod snapshot;
mod source;
mod tally;

pub use caches::{CacheCounters, CacheGauges, CacheSnapshot};
pub use compression::CompressionCounters;
pub use counters::{
    ConnectionCounters, Counters, FailureCounters, ParseErrorCounters, SessionCounters,
    TimeoutCounters, TimeoutKind,
};
pub use database::DatabaseSnapshot;
pub use families::families;
pub use family::{Family, FamilyKind, Label, Sample, SampleValue, Unit};
pub use feed::FeedSnapshot;
pub use json::MetricsView;
pub use latency::Latency;
pub use limiter::{LimiterSnapshot, RuleCounters, RuleSnapshot};
pub use mesh::MeshCounters;
pub use prometheus::{PROMETHEUS_CONTENT_TYPE, prometheus_text};
pub use recent::{RECENT_MS, RecentFailures, RecentFaults};
pub use redis::{BridgeCounters, RedisCounters};
pub use second_level::{SecondLevelCounters, SecondLevelSnapshot};
pub use shard_metrics::{RouteIndex, ShardMetrics};
pub use snapshot::{
    ProcessSnapshot, ProcessStats, RouteName, RouteSnapshot, ShardIdentity, ShardSnapshot,
    ShardTotals,
};
pub use source::MetricsSource;
pub use tally::{BlameCounters, StatusClass, Tally};

#[cfg(test)]
mod golden_tests;
