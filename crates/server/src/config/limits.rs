//! Limits of the files that configure a server.

/// A core map file, bytes: one table with every key for each of
/// [`CPU_IDS_MAX`](corelane::internals::limits::CPU_IDS_MAX) shards, with comments, fits.
pub const CORE_MAP_BYTES_MAX: usize = 256 * 1_024;
/// A config file, bytes: every key with its comments, and an embedded core map.
pub const CONFIG_BYTES_MAX: usize = 2 * CORE_MAP_BYTES_MAX;
