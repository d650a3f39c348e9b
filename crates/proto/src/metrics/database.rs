//! What the connections to a database server have counted.

use serde::Serialize;

/// Connections of the process to its database server.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct DatabaseSnapshot {
    /// Connections the process may have.
    pub connections_max: u64,
    /// Connections of the shards, open now.
    pub open: u64,
    /// Their part that nobody uses.
    pub idle: u64,
    /// Their part that one caller has alone.
    pub exclusive: u64,
    /// Connections that shards have over their share.
    pub borrowed: u64,
    /// Calls under way.
    pub in_flight: u64,
    /// Calls that wait for a connection.
    pub waiting: u64,
    /// Shards that cannot reach the server.
    pub pools_down: u64,
    /// Calls that got a connection.
    pub calls: u64,
    /// Connections made.
    pub connects: u64,
    /// Connections that could not be made.
    pub connect_failures: u64,
    /// Connections that broke, or were cut because they did not answer.
    pub connections_lost: u64,
    /// How often a shard found the server gone.
    pub outages: u64,
    /// Calls that waited for a connection in vain.
    pub checkout_timeouts: u64,
    /// Calls refused because too many waited.
    pub refused: u64,
    /// Calls that were given up at their deadline.
    pub deadlines: u64,
    /// Requests to cancel a statement.
    pub cancels: u64,
    /// Reads tried again because their connection broke.
    pub retries: u64,
}

impl DatabaseSnapshot {
    /// Adds another's numbers.
    pub fn add(&mut self, other: &Self) {
        self.connections_max += other.connections_max;
        self.open += other.open;
        self.idle += other.idle;
        self.exclusive += other.exclusive;
        self.borrowed += other.borrowed;
        self.in_flight += other.in_flight;
        self.waiting += other.waiting;
        self.pools_down += other.pools_down;
        self.calls += other.calls;
        self.connects += other.connects;
        self.connect_failures += other.connect_failures;
        self.connections_lost += other.connections_lost;
        self.outages += other.outages;
        self.checkout_timeouts += other.checkout_timeouts;
        self.refused += other.refused;
        self.deadlines += other.deadlines;
        self.cancels += other.cancels;
        self.retries += other.retries;
    }
}
