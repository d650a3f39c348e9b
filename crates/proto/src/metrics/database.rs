//! What the connections to a database server have counted.

use super::counted::counters;

counters! {
    /// Connections of the process to its database server.
    pub struct DatabaseSnapshot, json [
        connections_max open idle exclusive borrowed in_flight waiting pools_down calls connects
        connect_failures connections_lost outages checkout_timeouts refused deadlines cancels retries
    ] {
        gauge "corelane_database_connections_max"
        "Connections the process may have to its database server."
        => connections_max;
        gauge "corelane_database_connections"
        "Connections of the shards by state; one more listens for changes."
        by state {
            /// Connections of the shards that nobody uses.
            idle: "idle",
            /// Connections of the shards, open now; those neither idle nor exclusive are
            /// shared.
            open: "shared" = DatabaseSnapshot::shared,
            /// Connections of the shards that one caller has alone.
            exclusive: "exclusive",
        };
        gauge "corelane_database_connections_borrowed"
        "Connections that shards have over their share."
        => borrowed;
        gauge "corelane_database_calls_in_flight" "Calls to the database under way." => in_flight;
        gauge "corelane_database_calls_waiting" "Calls that wait for a connection." => waiting;
        gauge "corelane_database_shards_cut_off"
        "Shards that cannot reach the database server."
        => pools_down;
        counter "corelane_database_calls_total"
        "Calls to the database that got a connection."
        => calls;
        counter "corelane_database_calls_given_up_total"
        "Calls to the database that were given up, by reason."
        by reason {
            /// Calls that waited for a connection in vain.
            checkout_timeouts: "waited_too_long",
            /// Calls refused because too many waited.
            refused: "too_many_wait",
            /// Calls that were given up at their deadline.
            deadlines: "deadline",
        };
        counter "corelane_database_reads_retried_total"
        "Reads tried again because their connection broke."
        => retries;
        counter "corelane_database_connects_total"
        "Connections to the database made."
        => connects;
        counter "corelane_database_connect_failures_total"
        "Connections to the database that could not be made."
        => connect_failures;
        counter "corelane_database_connections_lost_total"
        "Connections to the database that broke or did not answer."
        => connections_lost;
        counter "corelane_database_outages_total"
        "How often a shard found the database server gone."
        => outages;
        counter "corelane_database_cancels_total"
        "Requests to the database server to cancel a statement."
        => cancels;
    }
}

impl DatabaseSnapshot {
    /// Connections in use that several callers may have.
    fn shared(&self) -> u64 {
        self.open.saturating_sub(self.idle + self.exclusive)
    }
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
