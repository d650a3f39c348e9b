//! What is counted of compressed answers.

use std::collections::BTreeMap;

use prometheus::proto::MetricFamily;

use super::families::{counter, counters};
use super::json::camel_case;

/// One shard's compressed answers, or all shards' together. All only grow.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CompressionCounters {
    /// Answers compressed; those found compressed are not among them.
    pub answers: u64,
    /// Answers out of a cache that were found compressed already.
    pub reused: u64,
    /// Answers sent as they are because too many others were being compressed.
    pub busy: u64,
    /// Bytes that were compressed.
    pub plain_bytes: u64,
    /// Bytes they became.
    pub coded_bytes: u64,
}

impl CompressionCounters {
    /// Adds another shard's.
    pub fn add(&mut self, other: &Self) {
        let Self {
            answers,
            reused,
            busy,
            plain_bytes,
            coded_bytes,
        } = other;
        self.answers += answers;
        self.reused += reused;
        self.busy += busy;
        self.plain_bytes += plain_bytes;
        self.coded_bytes += coded_bytes;
    }

    /// Names and values, as the metrics show them.
    pub fn fields(&self) -> [(&'static str, u64); 5] {
        [
            ("answers", self.answers),
            ("reused", self.reused),
            ("busy", self.busy),
            ("plain_bytes", self.plain_bytes),
            ("coded_bytes", self.coded_bytes),
        ]
    }
}

/// As the JSON shows it.
pub(super) fn compression_view(compression: &CompressionCounters) -> BTreeMap<String, u64> {
    let fields = compression.fields().into_iter();
    fields
        .map(|(name, count)| (camel_case(name), count))
        .collect()
}

pub(super) fn compression_families(
    compression: &CompressionCounters,
    families: &mut Vec<MetricFamily>,
) {
    const HELP: [&str; 5] = [
        "Answers compressed with gzip; those found compressed are not among them.",
        "Answers out of a cache that were found compressed already.",
        "Answers sent as they are because too many others were being compressed.",
        "Bytes that were compressed.",
        "Bytes that compressed bytes became.",
    ];
    for ((name, count), help) in compression.fields().into_iter().zip(HELP) {
        let name = format!("corelane_compression_{name}_total");
        families.push(counters(
            &name,
            help,
            vec![counter(Vec::new(), count as f64)],
        ));
    }
}
