//! What has been heard of changes made elsewhere.

use serde::Serialize;

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
