//! What is counted of Redis and of the tokio bridge.

use super::counted::counters;

counters! {
    /// One shard's dealings with Redis, or all shards' together. All only grow,
    /// except `connected_shards` and `in_flight`, which are levels.
    pub struct RedisCounters, json [
        connected_shards in_flight commands connect_failures connects exclusive_failures exclusives
        failed_busy failed_down failed_too_slow outages refused_auth refused_loading refused_oom
        refused_other refused_readonly trips
    ] {
        counter "corelane_redis_failures_total"
        "Commands that failed: down and busy were not sent, or lost with their connection; \
         too_slow missed the deadline; the others were refused by the server."
        by kind {
            /// Not sent, or lost with their connection.
            failed_down: "down",
            /// Not answered within the deadline.
            failed_too_slow: "too_slow",
            /// Not sent because too many were in flight.
            failed_busy: "busy",
            /// Refused: the server is loading its data (`LOADING`).
            refused_loading: "loading",
            /// Refused: the server is a replica (`READONLY`).
            refused_readonly: "readonly",
            /// Refused: who is asking (`NOAUTH`, `WRONGPASS`, `NOPERM`).
            refused_auth: "auth",
            /// Refused: the server's memory is full (`OOM`).
            refused_oom: "oom",
            /// Refused with another error, or answered with another type than asked.
            refused_other: "refused",
        };
        gauge "corelane_redis_connected_shards"
        "Shards whose connection to Redis is there; the circuit of the others is open."
        => connected_shards;
        gauge "corelane_redis_in_flight"
        "Commands that wait for an answer of Redis."
        => in_flight;
        counter "corelane_redis_commands_total"
        "Commands, scripts and pipelines asked for."
        => commands;
        counter "corelane_redis_connects_total"
        "Connections made, all shards together."
        => connects;
        counter "corelane_redis_connect_failures_total"
        "Connections that could not be made."
        => connect_failures;
        counter "corelane_redis_outages_total"
        "Connections lost, those given up by the circuit included."
        => outages;
        counter "corelane_redis_circuit_trips_total"
        "Circuits opened because of too many missed deadlines in a row."
        => trips;
        counter "corelane_redis_exclusives_total"
        "Pieces of work on an exclusive connection asked for."
        => exclusives;
        counter "corelane_redis_exclusive_failures_total"
        "Pieces of work on an exclusive connection that failed."
        => exclusive_failures;
    }
}

impl RedisCounters {
    /// What a shard's successor starts from: no level outlives its shard.
    pub fn inherited(&self) -> Self {
        Self {
            connected_shards: 0,
            in_flight: 0,
            ..*self
        }
    }
}

counters! {
    /// The tokio bridge of the process. All only grow, except `in_flight`.
    pub struct BridgeCounters {
        gauge "corelane_bridge_in_flight" "Tasks on the tokio bridge." => in_flight;
        counter "corelane_bridge_tasks_total" "Tasks started on the tokio bridge." => started;
        counter "corelane_bridge_panics_total" "Tasks on the tokio bridge that panicked." => panics;
        counter "corelane_bridge_cancelled_total"
        "Tasks on the tokio bridge that were aborted: nobody waited for them any more."
        => cancelled;
        counter "corelane_bridge_refused_total"
        "Tasks not started because too many were on the tokio bridge."
        => refused;
    }
}
