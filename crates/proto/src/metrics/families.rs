//! Prometheus text format 0.0.4, written by the `prometheus` crate's encoder
//! from its plain data model (no registry, no atomics).
//!
//! The crate was chosen over `prometheus-client`, which writes OpenMetrics
//! only (its issue 51) and wants a registry of `Send + Sync` collectors.
//!
//! Families of routes, caches and Redis are sums over the shards. While a shard is missing they are
//! left out: a sum that dips and comes back looks like a counter reset and
//! would be told as a burst of requests. A gap is honest, and the families by
//! shard stay.

use prometheus::TextEncoder;
use prometheus::proto::{
    Bucket, Counter, Gauge, Histogram, LabelPair, Metric, MetricFamily, MetricType,
};

use super::compression::compression_families;
use super::exposition_caches::{cache_families, mesh_families};
use super::exposition_database::database_families;
use super::exposition_redis::{bridge_families, redis_families};
use super::exposition_second_level::second_level_families;
use super::exposition_sessions::session_families;
use super::feed::feed_families;
use super::limiter::limiter_families;
use super::{Counters, ProcessSnapshot, RouteName, ShardTotals, StatusClass, Tally, TimeoutKind};

/// `Content-Type` of [`prometheus_text`].
pub const PROMETHEUS_CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// The snapshot in Prometheus text format.
pub fn prometheus_text(snapshot: &ProcessSnapshot) -> String {
    let mut families = Vec::with_capacity(64);
    if snapshot.missing_shards.is_empty() {
        route_families(snapshot, &mut families);
        cache_families(&snapshot.caches, &mut families);
        limiter_families(&snapshot.limits, &mut families);
    }
    if let (Some(redis), []) = (&snapshot.redis, &*snapshot.missing_shards) {
        redis_families(redis, &mut families);
    }
    if snapshot.missing_shards.is_empty() {
        second_level_families(&snapshot.second_levels, &mut families);
        if let Some(compression) = &snapshot.compression {
            compression_families(compression, &mut families);
        }
    }
    bridge_families(&snapshot.bridge, &mut families);
    mesh_families(&snapshot.shards, &mut families);
    session_families(&snapshot.shards, &mut families);
    shard_families(snapshot, &mut families);
    connection_families(&snapshot.shards, &mut families);
    trouble_families(&snapshot.shards, &mut families);
    if let Some(database) = &snapshot.database {
        database_families(database, &mut families);
    }
    if let Some(feed) = &snapshot.change_feed {
        feed_families(feed, &mut families);
    }
    process_families(snapshot, &mut families);
    // The encoder refuses a family without samples.
    families.retain(|family| !family.get_metric().is_empty());
    // Writing to a String cannot fail, and every family has a name and samples.
    TextEncoder::new()
        .encode_to_string(&families)
        .unwrap_or_default()
}

fn route_families(snapshot: &ProcessSnapshot, families: &mut Vec<MetricFamily>) {
    let mut requests = Vec::new();
    let mut durations = Vec::new();
    let (mut received, mut sent) = (Vec::new(), Vec::new());
    for route in &snapshot.routes {
        let tally = &route.tally;
        for class in StatusClass::ALL {
            let count = tally.by_class[class as usize];
            // 1xx is rare; the others are there from the start, so that the
            // first error is an increase and not a new series.
            if class != StatusClass::Informational || count > 0 {
                let mut labels = route_labels(&route.name);
                labels.push(label("code_class", class.name()));
                requests.push(counter(labels, count as f64));
            }
        }
        received.push(counter(
            route_labels(&route.name),
            tally.request_bytes as f64,
        ));
        sent.push(counter(
            route_labels(&route.name),
            tally.response_bytes as f64,
        ));
        if tally.requests() > 0 {
            durations.push(histogram(route_labels(&route.name), tally));
        }
    }
    families.extend([
        counters(
            "corelane_http_requests_total",
            "Requests answered, by route and status class; \
             route \"unmatched\" holds 404, 405 and what the codec refused.",
            requests,
        ),
        family(
            "corelane_http_request_duration_seconds",
            "Time from the last head byte of a request to its response being queued.",
            MetricType::HISTOGRAM,
            durations,
        ),
        counters(
            "corelane_http_request_bytes_total",
            "Bytes of requests received, heads included.",
            received,
        ),
        counters(
            "corelane_http_response_bytes_total",
            "Bytes of responses sent, heads included.",
            sent,
        ),
    ]);
}

fn shard_families(snapshot: &ProcessSnapshot, families: &mut Vec<MetricFamily>) {
    let shards = &snapshot.shards;
    let mut requests = Vec::new();
    for shard in shards {
        for class in StatusClass::ALL {
            let mut labels = shard_labels(shard);
            labels.push(label("code_class", class.name()));
            requests.push(counter(labels, shard.total.by_class[class as usize] as f64));
        }
    }
    let info = shards.iter().map(|shard| {
        let mut labels = shard_labels(shard);
        let core = shard
            .identity
            .core
            .map_or_else(|| "none".to_owned(), |core| core.to_string());
        labels.push(label("core", &core));
        labels.push(label("engine", shard.identity.engine));
        gauge(labels, 1.0)
    });
    let restarts = shards
        .iter()
        .map(|shard| counter(shard_labels(shard), f64::from(shard.identity.incarnation)));
    let duration = shards
        .iter()
        .map(|shard| counter(shard_labels(shard), seconds(shard.total.duration_total_ns)));
    families.extend([
        family(
            "corelane_shard_info",
            "The CPU (none when not pinned) and the engine of each shard; always 1.",
            MetricType::GAUGE,
            info.collect(),
        ),
        counters(
            "corelane_shard_restarts_total",
            "How often a shard was started again after its loop died.",
            restarts.collect(),
        ),
        counters(
            "corelane_shard_requests_total",
            "Requests answered, by shard and status class.",
            requests,
        ),
        counters(
            "corelane_shard_request_duration_seconds_total",
            "Sum of the response times of a shard's requests.",
            duration.collect(),
        ),
        family(
            "corelane_shards_missing",
            "Shards that did not answer this scrape in time; \
             while it is not 0, the families by route and by cache are left out.",
            MetricType::GAUGE,
            vec![gauge(Vec::new(), snapshot.missing_shards.len() as f64)],
        ),
    ]);
}

fn connection_families(shards: &[ShardTotals], families: &mut Vec<MetricFamily>) {
    families.extend([
        family(
            "corelane_connections",
            "Connections open now.",
            MetricType::GAUGE,
            by_shard(shards, gauge, Counters::connections_open),
        ),
        family(
            "corelane_http_requests_in_flight",
            "Requests being answered now.",
            MetricType::GAUGE,
            by_shard(shards, gauge, |c| c.requests_in_flight),
        ),
        counters(
            "corelane_connections_opened_total",
            "Connections accepted and served.",
            by_shard(shards, counter, |c| c.connections_opened),
        ),
        counters(
            "corelane_connections_refused_total",
            "Connections answered 503 because the shard was full.",
            by_shard(shards, counter, |c| c.connections_refused),
        ),
    ]);
}

fn trouble_families(shards: &[ShardTotals], families: &mut Vec<MetricFamily>) {
    let (mut parse_errors, mut timeouts) = (Vec::new(), Vec::new());
    for shard in shards {
        for (status, count) in shard.counters.parse_errors.iter() {
            let code = status.map_or_else(|| "other".to_owned(), |status| status.to_string());
            let mut labels = shard_labels(shard);
            labels.push(label("code", &code));
            parse_errors.push(counter(labels, count as f64));
        }
        for kind in TimeoutKind::ALL {
            let mut labels = shard_labels(shard);
            labels.push(label("kind", kind.name()));
            timeouts.push(counter(labels, shard.counters.timeouts_of(kind) as f64));
        }
    }
    families.extend([
        counters(
            "corelane_http_parse_errors_total",
            "Requests the codec refused, by the status they were answered.",
            parse_errors,
        ),
        counters(
            "corelane_timeouts_total",
            "Deadlines that passed, by kind.",
            timeouts,
        ),
        counters(
            "corelane_panics_total",
            "Panics of handlers and connections that were caught.",
            by_shard(shards, counter, |c| c.panics),
        ),
        counters(
            "corelane_access_log_lines_dropped_total",
            "Access log lines lost because the log writer could not keep up.",
            by_shard(shards, counter, |c| c.access_log_lines_dropped),
        ),
    ]);
}

/// The names every Prometheus client library uses.
fn process_families(snapshot: &ProcessSnapshot, families: &mut Vec<MetricFamily>) {
    let stats = &snapshot.process;
    let cpu = |mode: &str, us: u64| counter(vec![label("mode", mode)], us as f64 / 1e6);
    let level = |name, help, value: f64| {
        family(
            name,
            help,
            MetricType::GAUGE,
            vec![gauge(Vec::new(), value)],
        )
    };
    families.extend([
        counters(
            "process_cpu_seconds_total",
            "User and system CPU time.",
            vec![counter(Vec::new(), stats.cpu_us as f64 / 1e6)],
        ),
        counters(
            "corelane_process_cpu_mode_seconds_total",
            "CPU time by mode, to the kernel's tick.",
            vec![
                cpu("user", stats.cpu_user_us),
                cpu("system", stats.cpu_system_us),
            ],
        ),
        level(
            "process_start_time_seconds",
            "Start of the process since the Unix epoch.",
            stats.start_time_unix_ms as f64 / 1e3,
        ),
        level(
            "process_resident_memory_bytes",
            "Resident memory.",
            stats.resident_bytes as f64,
        ),
        level(
            "process_virtual_memory_bytes",
            "Address space.",
            stats.virtual_bytes as f64,
        ),
        level(
            "process_open_fds",
            "Open file descriptors.",
            stats.open_fds as f64,
        ),
        level(
            "process_max_fds",
            "Soft limit of file descriptors.",
            stats.fds_max as f64,
        ),
        level("process_threads", "Threads.", stats.threads as f64),
    ]);
}

pub(super) fn counters(name: &str, help: &str, samples: Vec<Metric>) -> MetricFamily {
    family(name, help, MetricType::COUNTER, samples)
}

pub(super) fn family(
    name: &str,
    help: &str,
    kind: MetricType,
    samples: Vec<Metric>,
) -> MetricFamily {
    let mut family = MetricFamily::default();
    family.set_name(name.to_owned());
    family.set_help(help.to_owned());
    family.set_field_type(kind);
    family.set_metric(samples);
    family
}

fn by_shard(
    shards: &[ShardTotals],
    sample: fn(Vec<LabelPair>, f64) -> Metric,
    value: fn(&Counters) -> u64,
) -> Vec<Metric> {
    shards
        .iter()
        .map(|shard| sample(shard_labels(shard), value(&shard.counters) as f64))
        .collect()
}

pub(super) fn counter(labels: Vec<LabelPair>, value: f64) -> Metric {
    let mut counter = Counter::default();
    counter.set_value(value);
    let mut sample = Metric::from_label(labels);
    sample.set_counter(counter);
    sample
}

pub(super) fn gauge(labels: Vec<LabelPair>, value: f64) -> Metric {
    let mut gauge = Gauge::default();
    gauge.set_value(value);
    let mut sample = Metric::from_label(labels);
    sample.set_gauge(gauge);
    sample
}

fn histogram(labels: Vec<LabelPair>, tally: &Tally) -> Metric {
    let counts = tally.latency.cumulative_counts(&BUCKETS_NS);
    let buckets = BUCKETS_NS.iter().zip(counts).map(|(&bound_ns, count)| {
        let mut bucket = Bucket::default();
        bucket.set_upper_bound(seconds(bound_ns));
        bucket.set_cumulative_count(count);
        bucket
    });
    let mut histogram = Histogram::default();
    histogram.set_bucket(buckets.collect());
    histogram.set_sample_count(tally.latency.count());
    histogram.set_sample_sum(seconds(tally.duration_total_ns));
    let mut sample = Metric::from_label(labels);
    sample.set_histogram(histogram);
    sample
}

fn route_labels(name: &RouteName) -> Vec<LabelPair> {
    vec![label("method", &name.method), label("route", &name.pattern)]
}

pub(super) fn shard_labels(shard: &ShardTotals) -> Vec<LabelPair> {
    vec![label("shard", &shard.identity.shard.to_string())]
}

pub(super) fn label(name: &str, value: &str) -> LabelPair {
    let mut pair = LabelPair::default();
    pair.set_name(name.to_owned());
    pair.set_value(value.to_owned());
    pair
}

fn seconds(ns: u64) -> f64 {
    ns as f64 / 1e9
}

/// Upper bounds of the duration buckets: from a cached read to the longest
/// anybody waits.
const BUCKETS_NS: [u64; 17] = [
    10_000,
    25_000,
    50_000,
    100_000,
    250_000,
    500_000,
    1_000_000,
    2_500_000,
    5_000_000,
    10_000_000,
    25_000_000,
    50_000_000,
    100_000_000,
    250_000_000,
    500_000_000,
    1_000_000_000,
    5_000_000_000,
];

#[cfg(test)]
#[path = "prometheus_tests.rs"]
mod tests;
