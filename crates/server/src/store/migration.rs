//! A step of a database's schema: a numbered SQL file, applied once and
//! remembered with a checksum; a file that was released is never edited.

/// One step.
#[derive(Debug, Clone, Copy)]
pub(super) struct Migration {
    pub(super) version: i64,
    pub(super) name: &'static str,
    pub(super) sql: &'static str,
}

impl Migration {
    /// What tells it from one of the same number in another build.
    pub(super) fn checksum(&self) -> String {
        format!("{:016x}", xxhash_rust::xxh3::xxh3_64(self.sql.as_bytes()))
    }
}
