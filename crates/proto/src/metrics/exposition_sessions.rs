//! The family of sessions and logins.

use prometheus::proto::MetricFamily;

use super::ShardTotals;
use super::families::{counter, counters, label, shard_labels};

pub(super) fn session_families(shards: &[ShardTotals], families: &mut Vec<MetricFamily>) {
    let mut events = Vec::new();
    for shard in shards {
        for (event, count) in shard.counters.sessions.named() {
            let mut labels = shard_labels(shard);
            labels.push(label("event", event));
            events.push(counter(labels, count as f64));
        }
    }
    families.push(counters(
        "corelane_sessions_total",
        "What happened to sessions: created, found or expired (the cookie led to none), ended; \
         login_refused is a wrong email or password, login_busy one too many at once, \
         origin_refused what another site's page sent.",
        events,
    ));
}
