//! Opens connections with their pragmas, and sorts SQLite's errors by what the
//! caller or the operator can do about them.

use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, ErrorCode, OpenFlags};

use crate::store::limits;
use crate::store::{OpenError, StoreError, StoreOptions};

/// What a connection is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    /// Reads on a shard; cannot write.
    Reader,
    /// Writes.
    Writer,
}

/// Where the database is and how to talk to it; what later connections need.
#[derive(Debug, Clone)]
pub(super) struct Target {
    pub(super) path: PathBuf,
    pub(super) options: StoreOptions,
}

impl Target {
    /// A connection ready for `role`. The file must exist.
    ///
    /// # Errors
    /// Whatever SQLite says.
    pub(super) fn connect(&self, role: Role) -> rusqlite::Result<Connection> {
        // Readers are opened read-write too, so that any of them can recover
        // the log after a crash; `query_only` keeps them from writing.
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(&self.path, flags)?;
        self.configure(&connection, role)?;
        Ok(connection)
    }

    fn configure(&self, connection: &Connection, role: Role) -> rusqlite::Result<()> {
        let options = &self.options;
        let busy_ms = match role {
            Role::Reader => options
                .busy_timeout_ms
                .min(limits::STORE_READ_BUSY_TIMEOUT_MS_MAX),
            Role::Writer => options.busy_timeout_ms,
        };
        connection.busy_timeout(Duration::from_millis(busy_ms))?;
        connection.set_prepared_statement_cache_capacity(limits::STORE_STATEMENTS_MAX);
        let cache_kib = i64::try_from(options.cache_kib).unwrap_or(i64::MAX);
        let mmap_bytes = i64::try_from(options.mmap_mib)
            .unwrap_or(0)
            .saturating_mul(1 << 20);
        connection.pragma_update(None, "cache_size", -cache_kib)?;
        connection.pragma_update_and_check(None, "mmap_size", mmap_bytes, |_| Ok(()))?;
        connection.pragma_update(None, "foreign_keys", true)?;
        connection.pragma_update(None, "trusted_schema", false)?;
        connection.pragma_update(None, "temp_store", "MEMORY")?;
        match role {
            Role::Reader => connection.pragma_update(None, "query_only", true),
            Role::Writer => {
                let synchronous = if options.durable { "FULL" } else { "NORMAL" };
                connection.pragma_update(None, "synchronous", synchronous)?;
                connection.pragma_update_and_check(
                    None,
                    "wal_autocheckpoint",
                    CHECKPOINT_PAGES,
                    |_| Ok(()),
                )?;
                connection.pragma_update_and_check(
                    None,
                    "journal_size_limit",
                    JOURNAL_KEEP_BYTES,
                    |_| Ok(()),
                )
            }
        }
    }
}

/// The log is copied into the database when it has this many pages (16 MiB):
/// one commit pays for it.
const CHECKPOINT_PAGES: i64 = 4_096;
/// A log that has grown over this is cut back after it was copied.
const JOURNAL_KEEP_BYTES: i64 = 64 << 20;

/// What a failed read or write means to the API.
pub(super) fn store_error(error: rusqlite::Error) -> StoreError {
    let text = error.to_string();
    let rusqlite::Error::SqliteFailure(failure, _) = &error else {
        return StoreError::Failed(text);
    };
    match failure.code {
        ErrorCode::ConstraintViolation
            if failure.extended_code == CONSTRAINT_UNIQUE && text.contains("users.email") =>
        {
            StoreError::DuplicateEmail
        }
        ErrorCode::DiskFull => StoreError::DiskFull(text),
        ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked => {
            StoreError::Unavailable(format!("another process holds it ({text})"))
        }
        ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase => StoreError::Failed(format!(
            "the file is damaged ({text}); restore a backup, or save what can be read with \
             sqlite3's .recover"
        )),
        ErrorCode::SystemIoFailure
        | ErrorCode::CannotOpen
        | ErrorCode::ReadOnly
        | ErrorCode::PermissionDenied
        | ErrorCode::OutOfMemory => StoreError::Unavailable(text),
        _ => StoreError::Failed(text),
    }
}

/// What a failure to open means to the operator.
pub(super) fn open_error(path: &Path, error: &rusqlite::Error) -> OpenError {
    let (path, why) = (path.to_owned(), error.to_string());
    match error.sqlite_error_code() {
        Some(ErrorCode::NotADatabase) => OpenError::NotADatabase { path },
        Some(ErrorCode::DatabaseCorrupt) => OpenError::Damaged { path, why },
        Some(ErrorCode::DiskFull) => OpenError::DiskFull { path },
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => OpenError::Locked { path },
        Some(ErrorCode::ReadOnly | ErrorCode::PermissionDenied | ErrorCode::CannotOpen) => {
            OpenError::Permission { path, why }
        }
        _ => OpenError::Other { path, why },
    }
}

/// `SQLITE_CONSTRAINT_UNIQUE`.
const CONSTRAINT_UNIQUE: i32 = rusqlite::ffi::SQLITE_CONSTRAINT_UNIQUE;

#[cfg(test)]
mod tests {
    use super::*;

    fn failure(extended_code: i32) -> rusqlite::Error {
        rusqlite::Error::SqliteFailure(rusqlite::ffi::Error::new(extended_code), None)
    }

    #[test]
    fn errors_are_sorted_by_what_can_be_done() {
        use rusqlite::ffi::*;
        let store = |code| store_error(failure(code));
        assert!(matches!(store(SQLITE_FULL), StoreError::DiskFull(_)));
        assert!(matches!(
            store(SQLITE_BUSY_SNAPSHOT),
            StoreError::Unavailable(_)
        ));
        assert!(matches!(
            store(SQLITE_IOERR_READ),
            StoreError::Unavailable(_)
        ));
        assert!(matches!(store(SQLITE_CORRUPT), StoreError::Failed(why) if why.contains("backup")));
        assert!(matches!(store(SQLITE_MISUSE), StoreError::Failed(_)));

        let open = |code| open_error(Path::new("/d/c.db"), &failure(code));
        assert!(matches!(open(SQLITE_FULL), OpenError::DiskFull { .. }));
        assert!(matches!(open(SQLITE_BUSY), OpenError::Locked { .. }));
        assert!(matches!(
            open(SQLITE_READONLY),
            OpenError::Permission { .. }
        ));
        assert!(matches!(open(SQLITE_CORRUPT), OpenError::Damaged { .. }));
        assert!(open(SQLITE_FULL).to_string().contains("df -h"));
        assert!(open(SQLITE_READONLY).to_string().contains("chown"));
    }
}
