//! What is counted of compressed answers.

use super::counted::counters;

counters! {
    /// One shard's compressed answers, or all shards' together. All only grow.
    pub struct CompressionCounters, json by_name {
        counter "corelane_compression_answers_total"
        "Answers compressed with gzip; those found compressed are not among them."
        => answers;
        counter "corelane_compression_reused_total"
        "Answers out of a cache that were found compressed already."
        => reused;
        counter "corelane_compression_busy_total"
        "Answers sent as they are because too many others were being compressed."
        => busy;
        counter "corelane_compression_plain_bytes_total"
        "Bytes that were compressed."
        => plain_bytes;
        counter "corelane_compression_coded_bytes_total"
        "Bytes that compressed bytes became."
        => coded_bytes;
    }
}
