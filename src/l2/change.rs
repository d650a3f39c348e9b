//! One write of a row, as far as Redis is concerned.

use super::RowCache;
use super::pending_invalidations::RowTombstone;
use super::session::RowSession;
use crate::redis_codec::{VERSION_ABOVE_ALL, version_digits};

/// A row that is being written. Dropped without having been told how that
/// ended, the row is taken for one that may have been changed, or may still be.
///
/// The row as it was written is put there at once instead of a tombstone. That
/// is as safe: it has the version of the write and lives longer than a
/// tombstone, so nothing older can be put there in its place; and it is put
/// there only until half of a tombstone's life after the write began, in the
/// generation in which it began, so that it cannot come after something newer
/// that has expired or was given up. Otherwise it becomes a tombstone.
#[must_use]
pub struct RowChange {
    rows: RowCache,
    id: i64,
    begun: Option<RowSession>,
    begun_ms: u64,
    is_ended: bool,
}

impl RowChange {
    pub(super) fn begin(rows: &RowCache, id: i64) -> Self {
        let begun = rows.present_session();
        Self {
            rows: rows.clone(),
            id,
            begun,
            begun_ms: begun.map_or(0, |session| session.server_now_ms()),
            is_ended: rows.redis().is_none(),
        }
    }

    /// The row was written, and is `row` now in this version. When it returns,
    /// nothing older is read by this process.
    pub async fn written(mut self, version: i64, row: &[u8]) {
        self.end(version, row).await;
    }

    /// The row was deleted. As [`written`](Self::written).
    pub async fn deleted(mut self) {
        self.end(VERSION_ABOVE_ALL, b"").await;
    }

    /// Nothing was written.
    pub fn nothing_done(mut self) {
        self.is_ended = true;
    }

    /// It is not known whether it was written, and it may still be: nothing is
    /// put there for as long as that may happen.
    pub async fn in_doubt(mut self) {
        if !self.is_ended {
            self.is_ended = true;
            self.rows.put_or_record(self.id, self.doubt(), None).await;
        }
    }

    async fn end(&mut self, version: i64, row: &[u8]) {
        if self.is_ended {
            return;
        }
        let tombstone = RowTombstone {
            version,
            life_ms: self.rows.inner.plan.options.tombstone_ms,
        };
        let row = self.begun.map(|session| (session, self.begun_ms, row));
        // Only then: it may be dropped while it waits.
        self.rows.put_or_record(self.id, tombstone, row).await;
        self.is_ended = true;
    }

    fn doubt(&self) -> RowTombstone {
        let options = &self.rows.inner.plan.options;
        RowTombstone {
            version: VERSION_ABOVE_ALL,
            life_ms: options.doubt_ms + options.tombstone_ms,
        }
    }
}

impl Drop for RowChange {
    fn drop(&mut self) {
        if !self.is_ended {
            self.rows.record(self.id, self.doubt());
        }
    }
}

impl RowCache {
    /// Tells Redis of a write; remembers it if that cannot be done.
    pub(super) async fn put_or_record(
        &self,
        id: i64,
        tombstone: RowTombstone,
        row: Option<(RowSession, u64, &[u8])>,
    ) {
        if self.put(id, tombstone, row).await.is_err() {
            self.count(|counters| counters.failures += 1);
            self.record(id, tombstone);
        }
    }

    /// Puts the row there, or a tombstone, unless something newer is there.
    pub(super) async fn put(
        &self,
        id: i64,
        tombstone: RowTombstone,
        row: Option<(RowSession, u64, &[u8])>,
    ) -> Result<(), crate::redis::RedisFault> {
        let options = &self.inner.plan.options;
        let (generation, last_ms, row) = match row {
            Some((session, begun_ms, row)) => {
                let last_ms = begun_ms + options.tombstone_ms / 2;
                (session.generation.to_vec(), last_ms, row.to_vec())
            }
            None => (Vec::new(), 0, Vec::new()),
        };
        let args = [
            generation,
            version_digits(tombstone.version).into_bytes(),
            row,
            options.ttl_ms.to_string().into_bytes(),
            last_ms.to_string().into_bytes(),
            tombstone.life_ms.to_string().into_bytes(),
        ];
        self.run(&self.inner.scripts.put_written, id, &args).await?;
        self.count(|counters| counters.writes += 1);
        Ok(())
    }

    pub(super) fn record(&self, id: i64, tombstone: RowTombstone) {
        self.inner.plan.pending.record(id, tombstone);
        self.count(|counters| counters.debts += 1);
        self.retry_soon();
    }
}
