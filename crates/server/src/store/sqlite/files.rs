//! Whether the files that are open are still those at the database's path.
//!
//! Somebody may remove the database, put a backup in its place, or take away its
//! log, while all of them are open here: SQLite writes on into files that nobody
//! finds any more, and what it acknowledged is gone with the process. So the files
//! are compared before a group of writes begins and before it is answered: three
//! stat(2), some microseconds per commit.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::store::StoreError;

/// The database, its log and the log's index, as they were when they were opened.
#[derive(Debug, Clone)]
pub(super) struct Files {
    opened: Vec<(PathBuf, FileId)>,
}

/// Which file of all of the machine: device and inode.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct FileId(u64, u64);

impl Files {
    /// Those of a database that is open now, and has been read from: then log
    /// and index are there. They stay as long as any connection does.
    pub(super) fn of(path: &Path) -> Self {
        // SQLite follows a link to the database before it names the other two;
        // the database stays by its own path, so that another link is noticed.
        let real = path.canonicalize().unwrap_or_else(|_| path.to_owned());
        let beside = ["-wal", "-shm"].map(|suffix| {
            let mut name = real.as_os_str().to_owned();
            name.push(suffix);
            PathBuf::from(name)
        });
        let names = std::iter::once(path.to_owned()).chain(beside);
        let opened = names.filter_map(|name| {
            let id = FileId::at(&name).ok()?;
            Some((name, id))
        });
        Self {
            opened: opened.collect(),
        }
    }

    /// # Errors
    /// [`StoreError::Unavailable`] says which of them is gone, and the cure.
    pub(super) fn check(&self) -> Result<(), StoreError> {
        for (path, opened) in &self.opened {
            let why = match FileId::at(path) {
                Ok(found) if found == *opened => continue,
                Ok(_) => "is another file than the one that is open".to_owned(),
                Err(error) => format!("is gone ({error})"),
            };
            return Err(StoreError::Unavailable(format!(
                "{} {why}, and what is written would be lost: put the file back, or restart \
                 corelane on what is there",
                path.display()
            )));
        }
        Ok(())
    }

    /// The same, and that the file system takes writes; for health checks.
    ///
    /// # Errors
    /// As [`check`](Self::check).
    pub(super) fn check_writable(&self) -> Result<(), StoreError> {
        self.check()?;
        let Some((path, _)) = self.opened.first() else {
            return Ok(());
        };
        let file_system = rustix::fs::statvfs(path);
        let is_read_only = |found: rustix::fs::StatVfs| {
            found.f_flag.contains(rustix::fs::StatVfsMountFlags::RDONLY)
        };
        match file_system.is_ok_and(is_read_only) {
            true => Err(StoreError::Unavailable(format!(
                "the file system of {} takes no writes now: look at dmesg, and mount it writable",
                path.display()
            ))),
            false => Ok(()),
        }
    }
}

impl FileId {
    fn at(path: &Path) -> std::io::Result<Self> {
        let found = std::fs::metadata(path)?;
        Ok(Self(found.dev(), found.ino()))
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn the_log_of_a_database_behind_a_link_is_missed_too() {
        let folder = tempfile::tempdir().unwrap();
        let (real, link) = (folder.path().join("real.db"), folder.path().join("c.db"));
        let log = folder.path().join("real.db-wal");
        let write = || [&real, &log].map(|path| fs::write(path, "x").unwrap());
        write();
        symlink(&real, &link).unwrap();
        let files = Files::of(&link);
        files.check().unwrap();
        fs::remove_file(&log).unwrap();
        assert!(
            files
                .check()
                .unwrap_err()
                .to_string()
                .contains("real.db-wal")
        );
        write();
        let files = Files::of(&link);
        fs::remove_file(&link).unwrap();
        fs::write(&link, "another").unwrap();
        assert!(files.check().unwrap_err().to_string().contains("c.db"));
    }
}
