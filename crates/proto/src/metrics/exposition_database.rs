//! The families of the connections to a database server.

use prometheus::proto::{MetricFamily, MetricType};

use super::DatabaseSnapshot;
use super::families::{counter, counters, family, gauge, label};

pub(super) fn database_families(database: &DatabaseSnapshot, families: &mut Vec<MetricFamily>) {
    let level = |name, help, value: u64| {
        let sample = gauge(Vec::new(), value as f64);
        family(name, help, MetricType::GAUGE, vec![sample])
    };
    let in_use = database
        .open
        .saturating_sub(database.idle + database.exclusive);
    let states = [
        ("idle", database.idle),
        ("shared", in_use),
        ("exclusive", database.exclusive),
    ];
    let by_state = states.map(|(state, count)| gauge(vec![label("state", state)], count as f64));
    families.extend([
        level(
            "corelane_database_connections_max",
            "Connections the process may have to its database server.",
            database.connections_max,
        ),
        family(
            "corelane_database_connections",
            "Connections of the shards by state; one more listens for changes.",
            MetricType::GAUGE,
            by_state.to_vec(),
        ),
        level(
            "corelane_database_connections_borrowed",
            "Connections that shards have over their share.",
            database.borrowed,
        ),
        level(
            "corelane_database_calls_in_flight",
            "Calls to the database under way.",
            database.in_flight,
        ),
        level(
            "corelane_database_calls_waiting",
            "Calls that wait for a connection.",
            database.waiting,
        ),
        level(
            "corelane_database_shards_cut_off",
            "Shards that cannot reach the database server.",
            database.pools_down,
        ),
    ]);
    happened(database, families);
}

fn happened(database: &DatabaseSnapshot, families: &mut Vec<MetricFamily>) {
    let total = |name, help, value: u64| {
        let sample = counter(Vec::new(), value as f64);
        counters(name, help, vec![sample])
    };
    let reasons = [
        ("waited_too_long", database.checkout_timeouts),
        ("too_many_wait", database.refused),
        ("deadline", database.deadlines),
    ];
    let by_reason = reasons.map(|(why, count)| counter(vec![label("reason", why)], count as f64));
    families.extend([
        total(
            "corelane_database_calls_total",
            "Calls to the database that got a connection.",
            database.calls,
        ),
        counters(
            "corelane_database_calls_given_up_total",
            "Calls to the database that were given up, by reason.",
            by_reason.to_vec(),
        ),
        total(
            "corelane_database_reads_retried_total",
            "Reads tried again because their connection broke.",
            database.retries,
        ),
        total(
            "corelane_database_connects_total",
            "Connections to the database made.",
            database.connects,
        ),
        total(
            "corelane_database_connect_failures_total",
            "Connections to the database that could not be made.",
            database.connect_failures,
        ),
        total(
            "corelane_database_connections_lost_total",
            "Connections to the database that broke or did not answer.",
            database.connections_lost,
        ),
        total(
            "corelane_database_outages_total",
            "How often a shard found the database server gone.",
            database.outages,
        ),
        total(
            "corelane_database_cancels_total",
            "Requests to the database server to cancel a statement.",
            database.cancels,
        ),
    ]);
}

#[cfg(test)]
mod tests {
    use super::super::{ProcessSnapshot, ProcessStats, prometheus_text};
    use super::*;

    #[test]
    fn a_process_with_a_database_server_tells_of_its_connections() {
        let mut snapshot = ProcessSnapshot::empty(ProcessStats::default());
        assert!(!prometheus_text(&snapshot).contains("corelane_database"));
        snapshot.database = Some(DatabaseSnapshot {
            connections_max: 92,
            open: 7,
            idle: 3,
            exclusive: 1,
            deadlines: 5,
            ..DatabaseSnapshot::default()
        });
        let text = prometheus_text(&snapshot);
        for line in [
            "corelane_database_connections_max 92",
            "corelane_database_connections{state=\"idle\"} 3",
            "corelane_database_connections{state=\"shared\"} 3",
            "corelane_database_connections{state=\"exclusive\"} 1",
            "corelane_database_calls_given_up_total{reason=\"deadline\"} 5",
        ] {
            assert!(text.lines().any(|found| found == line), "{line}: {text}");
        }
    }
}
