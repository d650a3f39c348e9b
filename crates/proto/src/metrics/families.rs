//! Everything the process has counted, as families in the order of the
//! exposition.
//!
//! Families of routes, caches and Redis are sums over the shards. While a shard is missing they are
//! left out: a sum that dips and comes back looks like a counter reset and
//! would be told as a burst of requests. A gap is honest, and the families by
//! shard stay.

use super::counted::{Counted, families_of};
use super::family::{Family, FamilyKind, Label, Sample, SampleValue};
use super::{
    FeedSnapshot, LimiterSnapshot, ProcessSnapshot, ProcessStats, RouteName, RouteSnapshot,
    ShardTotals, StatusClass, Tally,
};

/// The snapshot as families; those without a sample are left out.
pub fn families(snapshot: &ProcessSnapshot) -> Vec<Family> {
    let mut families = Vec::with_capacity(96);
    if snapshot.missing_shards.is_empty() {
        sums_over_shards(snapshot, &mut families);
    }
    families.extend(families_of(&alone(&snapshot.bridge)));
    let shards = &snapshot.shards;
    families.extend(by_shard(shards, |shard| &shard.mesh));
    families.extend(by_shard(shards, |shard| &shard.counters.sessions));
    shard_families(snapshot, &mut families);
    families.extend(by_shard(shards, |shard| &shard.counters.connections));
    families.extend(by_shard(shards, |shard| &shard.counters.parse_errors));
    families.extend(by_shard(shards, |shard| &shard.counters.timeouts));
    families.extend(by_shard(shards, |shard| &shard.counters.failures));
    if let Some(database) = &snapshot.database {
        families.extend(families_of(&alone(database)));
    }
    if let Some(feed) = &snapshot.change_feed {
        feed_families(feed, &mut families);
    }
    process_families(&snapshot.process, &mut families);
    families.retain(|family| !family.samples.is_empty());
    families
}

fn sums_over_shards(snapshot: &ProcessSnapshot, families: &mut Vec<Family>) {
    route_families(&snapshot.routes, families);
    let caches = &snapshot.caches;
    families.extend(named("cache", caches, |c| (&c.name, &c.counters)));
    families.extend(named("cache", caches, |c| (&c.name, &c.gauges)));
    limiter_families(&snapshot.limits, families);
    if let Some(redis) = &snapshot.redis {
        families.extend(families_of(&alone(redis)));
    }
    let levels = &snapshot.second_levels;
    families.extend(named("cache", levels, |l| (&l.name, &l.counters)));
    if let Some(compression) = &snapshot.compression {
        families.extend(families_of(&alone(compression)));
    }
}

fn route_families(routes: &[RouteSnapshot], families: &mut Vec<Family>) {
    let mut requests = Vec::new();
    for RouteSnapshot { name, tally } in routes {
        for class in StatusClass::ALL {
            let count = tally.by_class[class as usize];
            // 1xx is rare; the others are there from the start, so that the
            // first error is an increase and not a new series.
            if class != StatusClass::Informational || count > 0 {
                let mut labels = route_labels(name);
                labels.push(("code_class", class.name().into()));
                requests.push(Sample::new(labels, count));
            }
        }
    }
    let by_route = |read: fn(&Tally) -> u64| {
        let samples = routes.iter();
        let samples = samples.map(|r| Sample::new(route_labels(&r.name), read(&r.tally)));
        samples.collect()
    };
    let durations = routes.iter().filter(|route| route.tally.requests() > 0);
    let durations = durations.map(|r| Sample::new(route_labels(&r.name), distribution(&r.tally)));
    families.extend([
        Family::counter(
            "corelane_http_requests_total",
            "Requests answered, by route and status class; \
             route \"unmatched\" holds 404, 405 and what the codec refused.",
            requests,
        ),
        Family {
            name: "corelane_http_request_duration_seconds",
            help: "Time from the last head byte of a request to its response being queued.",
            kind: FamilyKind::Histogram,
            samples: durations.collect(),
        },
        Family::counter(
            "corelane_http_request_bytes_total",
            "Bytes of requests received, heads included.",
            by_route(|tally| tally.request_bytes),
        ),
        Family::counter(
            "corelane_http_response_bytes_total",
            "Bytes of responses sent, heads included.",
            by_route(|tally| tally.response_bytes),
        ),
    ]);
    let blame = routes.iter();
    let blame = blame.map(|route| (route_labels(&route.name), &route.tally.blame));
    families.extend(families_of(&blame.collect::<Vec<_>>()));
}

/// A rule's keys are spread over all shards.
fn limiter_families(limits: &LimiterSnapshot, families: &mut Vec<Family>) {
    let rules = &limits.rules;
    families.extend(named("rule", rules, |r| (&r.name, &r.counters)));
    families.extend([
        Family::counter(
            "corelane_rate_limit_evictions_total",
            "Clients forgotten for want of room (rate_limit.keys_max); each has a whole burst again.",
            Sample::alone(limits.evicted),
        ),
        Family::gauge(
            "corelane_rate_limit_keys",
            "Clients remembered, over all rules and shards.",
            Sample::alone(limits.keys),
        ),
    ]);
}

fn shard_families(snapshot: &ProcessSnapshot, families: &mut Vec<Family>) {
    let shards = &snapshot.shards;
    let mut requests = Vec::new();
    for shard in shards {
        for class in StatusClass::ALL {
            let mut labels = shard_labels(shard);
            labels.push(("code_class", class.name().into()));
            requests.push(Sample::new(labels, shard.total.by_class[class as usize]));
        }
    }
    let info = shards.iter().map(|shard| {
        let core = shard.identity.core;
        let core = core.map_or_else(|| "none".into(), |core| core.to_string().into());
        let mut labels = shard_labels(shard);
        labels.extend([("core", core), ("engine", shard.identity.engine.into())]);
        Sample::new(labels, 1)
    });
    let restarts = shards.iter();
    let restarts =
        restarts.map(|s| Sample::new(shard_labels(s), u64::from(s.identity.incarnation)));
    let duration = shards.iter();
    let duration =
        duration.map(|s| Sample::new(shard_labels(s), seconds(s.total.duration_total_ns)));
    families.extend([
        Family::gauge(
            "corelane_shard_info",
            "The CPU (none when not pinned) and the engine of each shard; always 1.",
            info.collect(),
        ),
        Family::counter(
            "corelane_shard_restarts_total",
            "How often a shard was started again after its loop died.",
            restarts.collect(),
        ),
        Family::counter(
            "corelane_shard_requests_total",
            "Requests answered, by shard and status class.",
            requests,
        ),
        Family::counter(
            "corelane_shard_request_duration_seconds_total",
            "Sum of the response times of a shard's requests.",
            duration.collect(),
        ),
        Family::gauge(
            "corelane_shards_missing",
            "Shards that did not answer this scrape in time; \
             while it is not 0, the families by route and by cache are left out.",
            Sample::alone(snapshot.missing_shards.len() as u64),
        ),
    ]);
}

fn feed_families(feed: &FeedSnapshot, families: &mut Vec<Family>) {
    families.extend([
        Family::gauge(
            "corelane_change_feed_running",
            "1 while changes made elsewhere are told, 0 while nothing cached counts as fresh.",
            Sample::alone(u64::from(feed.running)),
        ),
        Family::counter(
            "corelane_change_feed_cuts_total",
            "How often the feed of changes made elsewhere was cut.",
            Sample::alone(feed.cuts),
        ),
        Family::counter(
            "corelane_change_feed_changes_total",
            "Changes made elsewhere that were told.",
            Sample::alone(feed.changes),
        ),
    ]);
}

/// The names every Prometheus client library uses.
fn process_families(stats: &ProcessStats, families: &mut Vec<Family>) {
    let cpu =
        |mode: &'static str, us: u64| Sample::new(vec![("mode", mode.into())], us as f64 / 1e6);
    let level = |name, help, value: u64| Family::gauge(name, help, Sample::alone(value));
    families.extend([
        Family::counter(
            "process_cpu_seconds_total",
            "User and system CPU time.",
            Sample::alone(stats.cpu_us as f64 / 1e6),
        ),
        Family::counter(
            "corelane_process_cpu_mode_seconds_total",
            "CPU time by mode, to the kernel's tick.",
            vec![
                cpu("user", stats.cpu_user_us),
                cpu("system", stats.cpu_system_us),
            ],
        ),
        Family::gauge(
            "process_start_time_seconds",
            "Start of the process since the Unix epoch.",
            Sample::alone(stats.start_time_unix_ms as f64 / 1e3),
        ),
        level(
            "process_resident_memory_bytes",
            "Resident memory.",
            stats.resident_bytes,
        ),
        level(
            "process_virtual_memory_bytes",
            "Address space.",
            stats.virtual_bytes,
        ),
        level("process_open_fds", "Open file descriptors.", stats.open_fds),
        level(
            "process_max_fds",
            "Soft limit of file descriptors.",
            stats.fds_max,
        ),
        level("process_threads", "Threads.", stats.threads),
    ]);
}

fn alone<T>(counted: &T) -> [(Vec<Label>, &T); 1] {
    [(Vec::new(), counted)]
}

fn by_shard<T: Counted>(shards: &[ShardTotals], part: fn(&ShardTotals) -> &T) -> Vec<Family> {
    let owners: Vec<_> = shards.iter().map(|s| (shard_labels(s), part(s))).collect();
    families_of(&owners).collect()
}

/// Of parts that a label tells apart by their name.
fn named<S, T: Counted>(
    label: &'static str,
    parts: &[S],
    part: fn(&S) -> (&String, &T),
) -> Vec<Family> {
    let owners = parts.iter().map(part);
    let owners = owners.map(|(name, counted)| (vec![(label, name.clone().into())], counted));
    families_of(&owners.collect::<Vec<_>>()).collect()
}

fn route_labels(name: &RouteName) -> Vec<Label> {
    let (method, pattern) = (name.method.to_string(), name.pattern.to_string());
    vec![("method", method.into()), ("route", pattern.into())]
}

fn shard_labels(shard: &ShardTotals) -> Vec<Label> {
    let name = match shard.identity.is_admin {
        true => "admin".into(),
        false => shard.identity.shard.to_string().into(),
    };
    vec![("shard", name)]
}

fn distribution(tally: &Tally) -> SampleValue {
    let counts = tally.latency.cumulative_counts(&BUCKETS_NS);
    SampleValue::Distribution {
        cumulative: BUCKETS_NS.map(seconds).into_iter().zip(counts).collect(),
        sum: seconds(tally.duration_total_ns),
        count: tally.latency.count(),
    }
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
