//! The families of Redis, sums over the shards, and of the tokio bridge.

use prometheus::proto::{Metric, MetricFamily, MetricType};

use super::exposition::{counter, counters, family, gauge, label};
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
    families.extend([
        one(
            "corelane_redis_connected_shards",
            "Shards whose connection to Redis is there; the circuit of the others is open.",
            MetricType::GAUGE,
            redis.connected,
        ),
        one(
            "corelane_redis_in_flight",
            "Commands that wait for an answer of Redis.",
            MetricType::GAUGE,
            redis.in_flight,
        ),
        one(
            "corelane_redis_commands_total",
            "Commands, scripts and pipelines asked for.",
            MetricType::COUNTER,
            redis.commands,
        ),
        counters(
            "corelane_redis_failures_total",
            "Commands that failed: down and busy were not sent, or lost with their connection; \
             too_slow missed the deadline; the others were refused by the server.",
            failures.to_vec(),
        ),
        one(
            "corelane_redis_connects_total",
            "Connections made, all shards together.",
            MetricType::COUNTER,
            redis.connects,
        ),
        one(
            "corelane_redis_connect_failures_total",
            "Connections that could not be made.",
            MetricType::COUNTER,
            redis.connect_failures,
        ),
        one(
            "corelane_redis_outages_total",
            "Connections lost, those given up by the circuit included.",
            MetricType::COUNTER,
            redis.outages,
        ),
        one(
            "corelane_redis_circuit_trips_total",
            "Circuits opened because of too many missed deadlines in a row.",
            MetricType::COUNTER,
            redis.trips,
        ),
        one(
            "corelane_redis_exclusives_total",
            "Pieces of work on an exclusive connection asked for.",
            MetricType::COUNTER,
            redis.exclusives,
        ),
        one(
            "corelane_redis_exclusive_failures_total",
            "Pieces of work on an exclusive connection that failed.",
            MetricType::COUNTER,
            redis.exclusive_failures,
        ),
    ]);
}

pub(super) fn bridge_families(bridge: &BridgeCounters, families: &mut Vec<MetricFamily>) {
    families.extend([
        one(
            "corelane_bridge_in_flight",
            "Tasks on the tokio bridge.",
            MetricType::GAUGE,
            bridge.in_flight,
        ),
        one(
            "corelane_bridge_tasks_total",
            "Tasks started on the tokio bridge.",
            MetricType::COUNTER,
            bridge.started,
        ),
        one(
            "corelane_bridge_panics_total",
            "Tasks on the tokio bridge that panicked.",
            MetricType::COUNTER,
            bridge.panicked,
        ),
        one(
            "corelane_bridge_cancelled_total",
            "Tasks on the tokio bridge that were aborted: nobody waited for them any more.",
            MetricType::COUNTER,
            bridge.cancelled,
        ),
        one(
            "corelane_bridge_refused_total",
            "Tasks not started because too many were on the tokio bridge.",
            MetricType::COUNTER,
            bridge.refused,
        ),
    ]);
}

fn one(name: &str, help: &str, kind: MetricType, value: u64) -> MetricFamily {
    let sample: fn(_, _) -> Metric = match kind {
        MetricType::GAUGE => gauge,
        _ => counter,
    };
    family(name, help, kind, vec![sample(Vec::new(), value as f64)])
}
