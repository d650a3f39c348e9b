//! The chapter's `/metrics` JSON: `requests`, `errors`, `avgResponseTime`,
//! `errorRate`, and what operators ask next.
//!
//! Times are milliseconds with three decimals, rates are fractions, `errors`
//! are answers of 5xx. A quantile is at most 0.8 % over the exact one.

use std::collections::BTreeMap;

use serde::Serialize;

use super::compression::compression_view;
use super::{
    BridgeView, CacheSnapshot, Counters, DatabaseSnapshot, FeedSnapshot, MeshCounters,
    ProcessSnapshot, ProcessStats, RateLimitsView, RedisView, SecondLevelView, ShardTotals,
    StatusClass, Tally, TimeoutKind,
};

/// The whole document.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct MetricsView {
    /// All requests of the process.
    #[serde(flatten)]
    pub total: RequestsView,
    /// Connections, refusals, timeouts, panics.
    #[serde(flatten)]
    pub connections: ConnectionsView,
    /// By route, `GET /api/users/{id}`; `* unmatched` holds 404, 405 and what
    /// the codec refused.
    pub routes: BTreeMap<String, RequestsView>,
    /// Every cache, all shards together.
    pub caches: Vec<CacheView>,
    /// Rate limits, all shards together.
    pub rate_limits: RateLimitsView,
    /// Redis, if there is one, all shards together.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub redis: Option<RedisView>,
    /// Every cache in Redis, all shards together.
    pub second_levels: Vec<SecondLevelView>,
    /// Compressed answers, if there is compression, all shards together.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub compression: Option<BTreeMap<String, u64>>,
    /// The tokio bridge.
    pub bridge: BridgeView,
    /// By shard.
    pub shards: Vec<ShardView>,
    /// Shards that did not answer in time and are in no sum.
    pub missing_shards: Vec<usize>,
    /// What the kernel says.
    pub process: ProcessView,
    /// Connections to a database server, where there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub database: Option<DatabaseSnapshot>,
    /// The feed of changes made elsewhere, where there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub change_feed: Option<FeedSnapshot>,
}

/// A set of requests.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RequestsView {
    /// All of them.
    pub requests: u64,
    /// Answered 5xx.
    pub errors: u64,
    /// Answered 4xx.
    pub client_errors: u64,
    /// `errors / requests`, 0 to 1.
    pub error_rate: f64,
    /// Mean response time, ms.
    pub avg_response_time: f64,
    /// Median, ms.
    pub p50: f64,
    /// 90 % were at most this, ms.
    pub p90: f64,
    /// 99 % were at most this, ms.
    pub p99: f64,
    /// 99.9 % were at most this, ms.
    pub p999: f64,
    /// The longest, ms.
    pub max: f64,
    /// Counts by status class, those that occurred.
    pub status: BTreeMap<&'static str, u64>,
    /// Bytes received, heads included.
    pub request_bytes: u64,
    /// Bytes sent, heads included.
    pub response_bytes: u64,
}

/// Counters beside the requests.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ConnectionsView {
    /// Open now.
    pub connections: u64,
    /// Accepted since start.
    pub connections_opened: u64,
    /// Turned away because a shard was full.
    pub connections_refused: u64,
    /// Requests being answered now.
    pub requests_in_flight: u64,
    /// Requests the codec refused.
    pub parse_errors: u64,
    /// Panics caught.
    pub panics: u64,
    /// Deadlines that passed, by kind.
    pub timeouts: BTreeMap<&'static str, u64>,
    /// Access log lines lost.
    pub access_log_lines_dropped: u64,
}

/// One cache.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct CacheView {
    /// Its name.
    pub name: String,
    /// Reads answered without waiting for a load.
    pub hits: u64,
    /// Reads that waited for one.
    pub misses: u64,
    /// `hits / (hits + misses)`, 0 to 1.
    pub hit_ratio: f64,
    /// Values kept.
    pub keys: u64,
    /// Memory of keys, values and bookkeeping, bytes.
    pub bytes: u64,
    /// Copies on shards.
    pub copies: u64,
    /// What the copies count for, bytes; they share the values' memory.
    pub copy_bytes: u64,
    /// What happened how often: the fields of
    /// [`CacheCounters`](super::CacheCounters).
    pub counters: BTreeMap<String, u64>,
}

/// Messages between shards, as one of them counted.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct MeshView {
    /// Requests for other shards.
    pub requests_sent: u64,
    /// Requests of other shards.
    pub requests_received: u64,
    /// Replies, invalidations and acknowledgements for other shards.
    pub replies_sent: u64,
    /// The same, of other shards.
    pub replies_received: u64,
    /// Other shards woken.
    pub doorbells_rung: u64,
    /// Requests not sent because too many waited.
    pub requests_refused: u64,
    /// Messages that had to wait for room in their lane.
    pub lane_full: u64,
}

/// One shard.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ShardView {
    /// Index.
    pub shard: usize,
    /// The CPU it is pinned to; `null` when it is not pinned.
    pub core: Option<usize>,
    /// `io_uring` or `epoll`.
    pub engine: &'static str,
    /// How often it has been restarted.
    pub restarts: u32,
    /// Its requests.
    #[serde(flatten)]
    pub total: RequestsView,
    /// Its counters.
    #[serde(flatten)]
    pub connections: ConnectionsView,
    /// Its messages to other shards and from them.
    pub mesh: MeshView,
}

/// The process.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ProcessView {
    /// Seconds since the server started.
    pub uptime: f64,
    /// Resident memory, bytes.
    pub resident_bytes: u64,
    /// Address space, bytes.
    pub virtual_bytes: u64,
    /// CPU time since start, user and kernel, seconds.
    pub cpu_seconds: f64,
    /// CPU time in user mode, seconds.
    pub cpu_user_seconds: f64,
    /// CPU time in the kernel, seconds.
    pub cpu_system_seconds: f64,
    /// Open file descriptors.
    pub open_fds: u64,
    /// Soft limit of file descriptors.
    pub fds_max: u64,
    /// Threads.
    pub threads: u64,
}

impl From<&ProcessSnapshot> for MetricsView {
    fn from(snapshot: &ProcessSnapshot) -> Self {
        let routes = snapshot.routes.iter();
        Self {
            total: RequestsView::from(&snapshot.total),
            connections: ConnectionsView::from(&snapshot.counters),
            routes: routes
                .map(|r| (r.name.to_string(), RequestsView::from(&r.tally)))
                .collect(),
            caches: snapshot.caches.iter().map(CacheView::from).collect(),
            rate_limits: RateLimitsView::from(&snapshot.limits),
            redis: snapshot.redis.as_ref().map(RedisView::from),
            second_levels: snapshot
                .second_levels
                .iter()
                .map(SecondLevelView::from)
                .collect(),
            compression: snapshot.compression.as_ref().map(compression_view),
            bridge: BridgeView::from(&snapshot.bridge),
            shards: snapshot.shards.iter().map(ShardView::from).collect(),
            missing_shards: snapshot.missing_shards.clone(),
            process: ProcessView::from(&snapshot.process),
            database: snapshot.database,
            change_feed: snapshot.change_feed,
        }
    }
}

impl From<&Tally> for RequestsView {
    fn from(tally: &Tally) -> Self {
        let quantile_ms = |quantile| ms(tally.latency.quantile_ns(quantile) as f64 / 1e6);
        let classes = StatusClass::ALL
            .iter()
            .map(|&c| (c.name(), tally.by_class[c as usize]));
        Self {
            requests: tally.requests(),
            errors: tally.errors(),
            client_errors: tally.client_errors(),
            error_rate: tally.error_rate(),
            avg_response_time: ms(tally.average_ms()),
            p50: quantile_ms(0.5),
            p90: quantile_ms(0.9),
            p99: quantile_ms(0.99),
            p999: quantile_ms(0.999),
            max: ms(tally.latency.max_ns() as f64 / 1e6),
            status: classes.filter(|&(_, count)| count > 0).collect(),
            request_bytes: tally.request_bytes,
            response_bytes: tally.response_bytes,
        }
    }
}

impl From<&Counters> for ConnectionsView {
    fn from(counters: &Counters) -> Self {
        let timeouts = TimeoutKind::ALL
            .iter()
            .map(|&k| (k.name(), counters.timeouts_of(k)));
        Self {
            connections: counters.connections_open(),
            connections_opened: counters.connections_opened,
            connections_refused: counters.connections_refused,
            requests_in_flight: counters.requests_in_flight,
            parse_errors: counters.parse_errors.total(),
            panics: counters.panics,
            timeouts: timeouts.collect(),
            access_log_lines_dropped: counters.access_log_lines_dropped,
        }
    }
}

impl From<&ShardTotals> for ShardView {
    fn from(shard: &ShardTotals) -> Self {
        Self {
            shard: shard.identity.shard,
            core: shard.identity.core,
            engine: shard.identity.engine,
            restarts: shard.identity.incarnation,
            total: RequestsView::from(&shard.total),
            connections: ConnectionsView::from(&shard.counters),
            mesh: MeshView::from(&shard.mesh),
        }
    }
}

impl From<&CacheSnapshot> for CacheView {
    fn from(cache: &CacheSnapshot) -> Self {
        let (counters, gauges) = (&cache.counters, &cache.gauges);
        let fields = counters.fields().into_iter();
        Self {
            name: cache.name.clone(),
            hits: counters.hits(),
            misses: counters.missed(),
            hit_ratio: counters.hit_ratio(),
            keys: gauges.keys,
            bytes: gauges.bytes,
            copies: gauges.copies,
            copy_bytes: gauges.copy_bytes,
            counters: fields
                .map(|(name, count)| (camel_case(name), count))
                .collect(),
        }
    }
}

impl From<&MeshCounters> for MeshView {
    fn from(mesh: &MeshCounters) -> Self {
        Self {
            requests_sent: mesh.requests_sent,
            requests_received: mesh.requests_received,
            replies_sent: mesh.replies_sent,
            replies_received: mesh.replies_received,
            doorbells_rung: mesh.doorbells_rung,
            requests_refused: mesh.requests_refused_full,
            lane_full: mesh.lane_full,
        }
    }
}

impl From<&ProcessStats> for ProcessView {
    fn from(stats: &ProcessStats) -> Self {
        Self {
            uptime: stats.uptime_ms as f64 / 1e3,
            resident_bytes: stats.resident_bytes,
            virtual_bytes: stats.virtual_bytes,
            cpu_seconds: stats.cpu_us as f64 / 1e6,
            cpu_user_seconds: stats.cpu_user_us as f64 / 1e6,
            cpu_system_seconds: stats.cpu_system_us as f64 / 1e6,
            open_fds: stats.open_fds,
            fds_max: stats.fds_max,
            threads: stats.threads,
        }
    }
}

/// `hits_l1` as this document writes it, `hitsL1`.
pub(super) fn camel_case(name: &str) -> String {
    let mut words = name.split('_');
    let mut camel = words.next().unwrap_or_default().to_owned();
    for word in words {
        camel.push_str(&word[..1].to_ascii_uppercase());
        camel.push_str(&word[1..]);
    }
    camel
}

/// Milliseconds rounded to the microsecond.
fn ms(exact: f64) -> f64 {
    (exact * 1e3).round() / 1e3
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::{RouteIndex, RouteName, ShardIdentity, ShardMetrics};

    fn json() -> serde_json::Value {
        let identity = ShardIdentity {
            shard: 0,
            incarnation: 2,
            core: Some(4),
            engine: "io_uring",
        };
        let mut shard = ShardMetrics::new(vec![RouteName::new("GET", "/api/users/{id}")]);
        for _ in 0..3 {
            shard.record(RouteIndex(0), 200, 1_000_000, 500, 100);
        }
        shard.record(RouteIndex(0), 500, 5_000_000, 500, 100);
        shard.record(RouteIndex::UNMATCHED, 404, 1_000_000, 500, 100);
        shard.connection_opened();
        let stats = ProcessStats {
            uptime_ms: 1_500,
            cpu_us: 250_000,
            ..Default::default()
        };
        let merged = ProcessSnapshot::merge(vec![shard.snapshot(&identity)], vec![1], stats);
        serde_json::to_value(MetricsView::from(&merged)).unwrap()
    }

    #[test]
    fn the_chapters_keys_are_there_with_the_chapters_meaning() {
        let json = json();
        assert_eq!((&json["requests"], &json["errors"]), (&5.into(), &1.into()));
        assert_eq!(json["clientErrors"], 1);
        assert_eq!(json["avgResponseTime"], 1.8);
        assert_eq!(json["errorRate"], 0.2);
    }

    #[test]
    fn quantiles_are_milliseconds_within_a_hundredth() {
        let json = json();
        let near = |key: &str, exact: f64| {
            let told = json[key].as_f64().unwrap();
            assert!(
                (exact..exact * 1.01).contains(&told),
                "{key} is {told}, not {exact}"
            );
        };
        near("p50", 1.0);
        near("p90", 5.0);
        near("p99", 5.0);
        near("p999", 5.0);
    }

    #[test]
    fn routes_shards_and_process_are_told_apart() {
        let json = json();
        assert_eq!(json["routes"]["GET /api/users/{id}"]["requests"], 4);
        assert_eq!(json["routes"]["GET /api/users/{id}"]["status"]["5xx"], 1);
        assert_eq!(json["routes"]["* unmatched"]["clientErrors"], 1);
        assert_eq!(json["shards"][0]["core"], 4);
        assert_eq!(json["shards"][0]["restarts"], 2);
        assert_eq!(json["shards"][0]["requests"], 5);
        assert_eq!(json["connections"], 1);
        assert_eq!(json["missingShards"], serde_json::json!([1]));
        assert_eq!(json["process"]["uptime"], 1.5);
        assert_eq!(json["process"]["cpuSeconds"], 0.25);
    }
}
