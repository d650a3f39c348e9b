//! The families of Redis, sums over the shards, and of the tokio bridge.

use prometheus::proto::{MetricFamily, MetricType};

use super::families::{counter, counters, family, gauge, label};
use super::{BridgeCounters, RedisCounters};

pub(super) fn redis_families(redis: &RedisCounters, families: &mut Vec<MetricFamily>) {
    let failures = [
        ("down", redis.failed_down),
        ("too_slow", redis.failed_too_slow),
        ("busy", redis.failed_busy),
        ("loading", redis.refused_loading),
        ("readonly", redis.refused_readonly),
        ("auth", redis.refused_auth),
        ("oom", redis.refused_oom),
        ("refused", redis.refused_other),
    ];
    let failures = failures.map(|(kind, count)| counter(vec![label("kind", kind)], count as f64));
    families.push(counters(
        "corelane_redis_failures_total",
        "Commands that failed: down and busy were not sent, or lost with their connection; \
         too_slow missed the deadline; the others were refused by the server.",
        failures.to_vec(),
    ));
    families.extend(REDIS.map(|(name, help, value)| one(name, help, value(redis))));
}

pub(super) fn bridge_families(bridge: &BridgeCounters, families: &mut Vec<MetricFamily>) {
    families.extend(BRIDGE.map(|(name, help, value)| one(name, help, value(bridge))));
}

/// Name, help, value. What ends in `_total` is a counter, the rest are levels.
type Told<T> = (&'static str, &'static str, fn(&T) -> u64);

const REDIS: [Told<RedisCounters>; 9] = [
    (
        "corelane_redis_connected_shards",
        "Shards whose connection to Redis is there; the circuit of the others is open.",
        |redis| redis.connected,
    ),
    (
        "corelane_redis_in_flight",
        "Commands that wait for an answer of Redis.",
        |redis| redis.in_flight,
    ),
    (
        "corelane_redis_commands_total",
        "Commands, scripts and pipelines asked for.",
        |redis| redis.commands,
    ),
    (
        "corelane_redis_connects_total",
        "Connections made, all shards together.",
        |redis| redis.connects,
    ),
    (
        "corelane_redis_connect_failures_total",
        "Connections that could not be made.",
        |redis| redis.connect_failures,
    ),
    (
        "corelane_redis_outages_total",
        "Connections lost, those given up by the circuit included.",
        |redis| redis.outages,
    ),
    (
        "corelane_redis_circuit_trips_total",
        "Circuits opened because of too many missed deadlines in a row.",
        |redis| redis.trips,
    ),
    (
        "corelane_redis_exclusives_total",
        "Pieces of work on an exclusive connection asked for.",
        |redis| redis.exclusives,
    ),
    (
        "corelane_redis_exclusive_failures_total",
        "Pieces of work on an exclusive connection that failed.",
        |redis| redis.exclusive_failures,
    ),
];

const BRIDGE: [Told<BridgeCounters>; 5] = [
    (
        "corelane_bridge_in_flight",
        "Tasks on the tokio bridge.",
        |bridge| bridge.in_flight,
    ),
    (
        "corelane_bridge_tasks_total",
        "Tasks started on the tokio bridge.",
        |bridge| bridge.started,
    ),
    (
        "corelane_bridge_panics_total",
        "Tasks on the tokio bridge that panicked.",
        |bridge| bridge.panicked,
    ),
    (
        "corelane_bridge_cancelled_total",
        "Tasks on the tokio bridge that were aborted: nobody waited for them any more.",
        |bridge| bridge.cancelled,
    ),
    (
        "corelane_bridge_refused_total",
        "Tasks not started because too many were on the tokio bridge.",
        |bridge| bridge.refused,
    ),
];

fn one(name: &str, help: &str, value: u64) -> MetricFamily {
    if name.ends_with("_total") {
        return counters(name, help, vec![counter(Vec::new(), value as f64)]);
    }
    let sample = gauge(Vec::new(), value as f64);
    family(name, help, MetricType::GAUGE, vec![sample])
}
