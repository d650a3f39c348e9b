//! The embedded store: SQLite in WAL mode. One writer thread owns the writing
//! connection; each shard reads on its own.
//!
//! Reads hold no transaction open once they return, so the next one sees every
//! write that was answered before it. Several processes may share the file;
//! SQLite's locks order their writes.

mod connection;
mod explain;
mod files;
mod list;
mod logins;
mod migrations;
mod near;
mod queries;
mod reader;
mod seeding;
mod session;
mod writer;
mod writes;

#[cfg(test)]
mod tests;

pub(super) use session::{Session, SqliteExport};

use std::io;
use std::path::{Path, PathBuf};

use rusqlite::{Connection, OpenFlags, OptionalExtension};

use connection::{Role, Target, open_error, store_error};
use migrations::{MIGRATIONS, migrate};
use writer::Writer;

use super::{OpenError, PlanReport, SeedPlan, SeedReport, StoreError, StoreOptions, WriterStats};

/// The process's side of an SQLite file: its writer, and what new connections
/// need.
#[derive(Debug)]
pub(super) struct SqliteDatabase {
    target: Target,
    writer: Writer,
}

impl SqliteDatabase {
    /// Opens or makes the file, migrates it and starts the writer.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub(super) fn open(path: &Path, options: &StoreOptions) -> Result<Self, OpenError> {
        let path = absolute(path)?;
        create_file(&path)?;
        let target = Target {
            path,
            options: options.clone(),
        };
        let connection = open_for_writing(&target)?;
        let writer =
            Writer::start(target.clone(), connection).map_err(|error| OpenError::Other {
                path: target.path.clone(),
                why: format!("no thread: {error}"),
            })?;
        Ok(Self { target, writer })
    }

    pub(super) fn is_empty(&self) -> Result<bool, StoreError> {
        // SQLite keeps the highest id ever given for AUTOINCREMENT.
        let ever: rusqlite::Result<Option<i64>> =
            self.target.connect(Role::Reader).and_then(|connection| {
                connection
                    .query_row(
                        "SELECT seq FROM sqlite_sequence WHERE name = 'users'",
                        [],
                        |row| row.get(0),
                    )
                    .optional()
            });
        Ok(ever.map_err(store_error)?.is_none())
    }

    pub(super) fn seed(
        &self,
        plan: &SeedPlan,
        progress: &mut dyn FnMut(u64, u64),
    ) -> Result<SeedReport, StoreError> {
        let connection = self.target.connect(Role::Writer).map_err(store_error)?;
        seeding::seed(connection, plan, progress)
    }

    pub(super) fn explain(&self) -> Result<Vec<PlanReport>, StoreError> {
        let connection = self.target.connect(Role::Reader).map_err(store_error)?;
        // Says what is wrong with the file once, not once per query.
        connection
            .query_row("SELECT count(*) FROM sqlite_schema", [], |_| Ok(()))
            .map_err(store_error)?;
        Ok(explain::explain(&connection))
    }

    /// From the file itself, not its path: the node in its file system and when
    /// that was made.
    pub(super) fn identity(&self) -> String {
        use std::os::unix::fs::MetadataExt;
        let Ok(metadata) = std::fs::metadata(&self.target.path) else {
            return "sqlite".to_owned();
        };
        let made = metadata.created().ok();
        let made = made.and_then(|made| made.duration_since(std::time::UNIX_EPOCH).ok());
        let made_ns = made.map_or(0, |made| made.as_nanos());
        format!(
            "sqlite-{:x}-{:x}-{made_ns:x}",
            metadata.dev(),
            metadata.ino()
        )
    }

    pub(super) fn writer_stats(&self) -> WriterStats {
        self.writer.stats()
    }

    pub(super) fn close(&self) {
        self.writer.close();
    }
}

/// SQLite takes paths that begin with `file:` for addresses with parameters;
/// an absolute one never does, and outlives a change of directory.
fn absolute(path: &Path) -> Result<PathBuf, OpenError> {
    std::path::absolute(path).map_err(|error| OpenError::Path {
        path: path.to_owned(),
        why: error.to_string(),
    })
}

/// Makes the folder and the file where they are missing. Done here because the
/// system's errors say more than SQLite's "unable to open database file".
fn create_file(path: &Path) -> Result<(), OpenError> {
    let folder = path.parent().unwrap_or(Path::new("/"));
    let made = std::fs::create_dir_all(folder).and_then(|()| {
        // Written as well as read: a file that may only be read must fail here.
        std::fs::OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(path)
    });
    made.map(drop).map_err(|error| path_error(path, &error))
}

fn path_error(path: &Path, error: &io::Error) -> OpenError {
    let (path, why) = (path.to_owned(), error.to_string());
    match error.kind() {
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
            OpenError::Permission { path, why }
        }
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => OpenError::DiskFull { path },
        _ => OpenError::Path { path, why },
    }
}

/// The writing connection of a file that exists, in WAL mode and migrated.
fn open_for_writing(target: &Target) -> Result<Connection, OpenError> {
    let path = &target.path;
    let fail = |error: rusqlite::Error| open_error(path, &error);
    // Before anything is set: is it a database, and may it be written?
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let probe = Connection::open_with_flags(path, flags).map_err(fail)?;
    let busy_timeout = std::time::Duration::from_millis(target.options.busy_timeout_ms);
    probe.busy_timeout(busy_timeout).map_err(fail)?;
    let mode: String = probe
        .pragma_update_and_check(None, "journal_mode", "WAL", |row| row.get(0))
        .map_err(fail)?;
    if mode != "wal" {
        return Err(OpenError::NoWal {
            path: path.clone(),
            found: mode,
        });
    }
    drop(probe);
    let mut connection = target.connect(Role::Writer).map_err(fail)?;
    if connection.is_readonly("main").map_err(fail)? {
        let why = "it can only be read".to_owned();
        return Err(OpenError::Permission {
            path: path.clone(),
            why,
        });
    }
    migrate(&mut connection, path, MIGRATIONS)?;
    Ok(connection)
}
