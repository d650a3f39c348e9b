//! What has been heard of changes made elsewhere.

use prometheus::proto::{MetricFamily, MetricType};
use serde::Serialize;

use super::families::{counter, counters, family, gauge};

/// The feed of changes that others make in the database.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct FeedSnapshot {
    /// Whether changes are told now; while they are not, nothing cached counts
    /// as fresh.
    pub running: bool,
    /// How often it was cut while it ran.
    pub cuts: u64,
    /// Changes that were told: statements elsewhere that wrote something.
    pub changes: u64,
}

pub(super) fn feed_families(feed: &FeedSnapshot, families: &mut Vec<MetricFamily>) {
    let total = |name, help, value: u64| {
        let sample = counter(Vec::new(), value as f64);
        counters(name, help, vec![sample])
    };
    families.extend([
        family(
            "corelane_change_feed_running",
            "1 while changes made elsewhere are told, 0 while nothing cached counts as fresh.",
            MetricType::GAUGE,
            vec![gauge(Vec::new(), f64::from(u8::from(feed.running)))],
        ),
        total(
            "corelane_change_feed_cuts_total",
            "How often the feed of changes made elsewhere was cut.",
            feed.cuts,
        ),
        total(
            "corelane_change_feed_changes_total",
            "Changes made elsewhere that were told.",
            feed.changes,
        ),
    ]);
}

#[cfg(test)]
mod tests {
    use super::super::{MetricsView, ProcessSnapshot, ProcessStats, prometheus_text};
    use super::*;

    #[test]
    fn a_feed_is_told_of_where_there_is_one() {
        let mut snapshot = ProcessSnapshot::empty(ProcessStats::default());
        assert!(!prometheus_text(&snapshot).contains("change_feed"));
        let json = serde_json::to_value(MetricsView::from(&snapshot)).unwrap();
        assert!(json.get("changeFeed").is_none());
        snapshot.change_feed = Some(FeedSnapshot {
            running: true,
            cuts: 2,
            changes: 7,
        });
        let text = prometheus_text(&snapshot);
        for line in [
            "corelane_change_feed_running 1",
            "corelane_change_feed_cuts_total 2",
            "corelane_change_feed_changes_total 7",
        ] {
            assert!(text.lines().any(|found| found == line), "{line}: {text}");
        }
        let json = serde_json::to_value(MetricsView::from(&snapshot)).unwrap();
        let expected = serde_json::json!({"running": true, "cuts": 2, "changes": 7});
        assert_eq!(json["changeFeed"], expected);
    }
}
