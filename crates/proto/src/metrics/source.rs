//! Numbers of an app's own state.

use super::SecondLevelSnapshot;

/// State of an app that counts for the metrics: named by
/// `App::metrics_source`.
pub trait MetricsSource {
    /// Goes on from what the shard's predecessor, which died, had counted: once,
    /// before the shard serves. Takes out of `before` what is its own.
    fn resume(&self, before: &mut Vec<SecondLevelSnapshot>);

    /// What it has counted on this shard of what is kept in Redis.
    fn second_levels(&self) -> Vec<SecondLevelSnapshot>;
}
