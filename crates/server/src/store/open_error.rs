//! Why the store could not be opened, each with what to do about it. These end
//! a start; the operator reads them.

use std::fmt;
use std::path::{Display, PathBuf};

use corelane::postgres::ConnectError;

/// Why the store could not be opened. `Display` names the cure.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum OpenError {
    /// The address is not one corelane can use.
    Url(String),
    /// This user may not read and write the file or its folder.
    Permission { path: PathBuf, why: String },
    /// The file or folder cannot be made or opened for another reason.
    Path { path: PathBuf, why: String },
    /// The file is something else.
    NotADatabase { path: PathBuf },
    /// An SQLite database, but not corelane's.
    Foreign { path: PathBuf },
    /// No room.
    DiskFull { path: PathBuf },
    /// Another process holds it and did not let go in time.
    Locked { path: PathBuf },
    /// A newer corelane wrote it.
    NewerSchema {
        path: PathBuf,
        found: i64,
        known: i64,
    },
    /// A migration that was applied is not the one in this binary.
    MigrationChanged {
        path: PathBuf,
        version: i64,
        name: String,
    },
    /// The file system cannot share the log between processes.
    NoWal { path: PathBuf, found: String },
    /// The file is damaged.
    Damaged { path: PathBuf, why: String },
    /// This process could not start a thread or open a connection.
    Other { path: PathBuf, why: String },
    /// A PostgreSQL database with a table of another program.
    ForeignTable { place: String, table: String },
    /// A PostgreSQL extension is missing and cannot be made.
    Extension {
        place: String,
        name: String,
        cure: String,
    },
    /// Another node applies migrations and takes too long.
    MigrationLock { place: String, waited_ms: u64 },
    /// A PostgreSQL server that cannot be reached or used.
    Server { place: String, why: String },
    /// The certificates for TLS to PostgreSQL cannot be used.
    Tls(String),
    /// PostgreSQL cannot be reached, or says nothing that makes sense.
    Unreachable { place: String, why: String },
    /// None of the PostgreSQL servers of the address is one that it asks for.
    Unfit { place: String, why: String },
    /// PostgreSQL does not let us in.
    Login { place: String, why: String },
    /// PostgreSQL has no connection left (53300).
    ServerFull { place: String, why: String },
    /// The connections that are allowed do not suffice for the shards.
    ConnectionsMax {
        /// What is allowed, all in all.
        allowed: u32,
        /// What is needed at least.
        needed: u32,
        shards: u32,
        /// `database.pool_min`.
        pool_min: u32,
        /// The server's `max_connections`, if `allowed` comes from there.
        server_max: Option<u32>,
    },
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Url(why) => write!(f, "store address: {why}"),
            Self::Permission { path, why } | Self::Path { path, why } => {
                self.fmt_place(f, path.display(), why)
            }
            Self::NotADatabase { path } | Self::Foreign { path } => {
                self.fmt_other_file(f, path.display())
            }
            Self::DiskFull { path } => write!(
                f,
                "no space left for the database {}: free space on that file system (df -h) \
                 or raise the user's quota",
                path.display()
            ),
            Self::Locked { path } => write!(
                f,
                "another process holds the database {0}: find it with `fuser {0}` and stop it, \
                 or raise the store's busy_timeout_ms",
                path.display()
            ),
            Self::NewerSchema { path, found, known } => write!(
                f,
                "the database {} was written by a newer corelane (schema {found}, this binary \
                 knows {known}): run that version, or restore a backup made before the upgrade",
                path.display()
            ),
            Self::MigrationChanged {
                path,
                version,
                name,
            } => write!(
                f,
                "migration {version} ({name}) was applied to {} in another form than this binary \
                 has: it was made by a different build of corelane; run that build, or export the \
                 data and start with a new file",
                path.display()
            ),
            Self::NoWal { path, found } => write!(
                f,
                "the database {} cannot use a write-ahead log (it stays in mode {found:?}): put \
                 it on a local file system, not on NFS or another network share",
                path.display()
            ),
            Self::Damaged { path, why } => write!(
                f,
                "the database {0} is damaged ({why}): restore a backup, or save what can be read \
                 with `sqlite3 {0} .recover`",
                path.display()
            ),
            Self::ForeignTable { .. }
            | Self::Extension { .. }
            | Self::MigrationLock { .. }
            | Self::Server { .. }
            | Self::Tls(_)
            | Self::Unreachable { .. }
            | Self::Unfit { .. }
            | Self::Login { .. }
            | Self::ServerFull { .. }
            | Self::ConnectionsMax { .. } => self.fmt_server(f),
            Self::Other { path, why } => {
                write!(
                    f,
                    "the database {} could not be opened: {why}",
                    path.display()
                )
            }
        }
    }
}

impl OpenError {
    /// Whether it may go by itself: a server that is not up yet, or that others
    /// fill, or of which none takes writes at the moment.
    pub fn is_transient(&self) -> bool {
        matches!(
            self,
            Self::Unreachable { .. } | Self::Unfit { .. } | Self::ServerFull { .. }
        )
    }

    /// What is wrong with a PostgreSQL database.
    fn fmt_server(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ForeignTable { place, table } => write!(
                f,
                "the database {place} has a table {table} of another program: name another \
                 database, or a schema of its own with the role's search_path"
            ),
            Self::Extension { place, name, cure } => write!(
                f,
                "the database {place} lacks the extension {name} and this role may not or cannot \
                 make it: {cure}"
            ),
            Self::MigrationLock { place, waited_ms } => write!(
                f,
                "another node has held the migration lock of the database {place} for over \
                 {waited_ms} ms: wait for it and start again, or find and end its session with \
                 SELECT pid FROM pg_locks WHERE locktype = 'advisory'"
            ),
            Self::Server { place, why } => {
                write!(f, "the database {place} cannot be used: {why}")
            }
            Self::Tls(why) if why.contains("server does not support TLS") => write!(
                f,
                "TLS to PostgreSQL: {why}: set ssl = on in its postgresql.conf, or leave sslmode= \
                 out of the store's address where the way to it is safe"
            ),
            Self::Tls(why) => write!(
                f,
                "TLS to PostgreSQL: {why}: name a file of PEM certificates with sslrootcert= in \
                 the store's address, or install ca-certificates"
            ),
            Self::Unreachable { place, why } => write!(
                f,
                "PostgreSQL at {place} cannot be reached: {why}: start it, or name another with \
                 --store postgres://USER@HOST/DATABASE; `pg_isready` tells whether it takes \
                 connections"
            ),
            Self::Unfit { place, why } => write!(
                f,
                "none of the PostgreSQL servers at {place} will do: {why}: let the store's address \
                 lead to the primary, or change target_session_attrs in it"
            ),
            Self::Login { place, why } => write!(
                f,
                "PostgreSQL at {place} does not let corelane in: {why}: check user, password and \
                 database of the store's address, and pg_hba.conf; `createdb` makes a database"
            ),
            Self::ServerFull { .. } | Self::ConnectionsMax { .. } => self.fmt_connections(f),
            _ => Ok(()),
        }
    }

    fn fmt_place(&self, f: &mut fmt::Formatter<'_>, path: Display<'_>, why: &str) -> fmt::Result {
        if matches!(self, Self::Permission { .. }) {
            return write!(
                f,
                "no permission for the database {path} ({why}): its folder and the files \
                 NAME, NAME-wal and NAME-shm must be readable and writable by the user that runs \
                 corelane (chown them), or choose another place with --data DIR"
            );
        }
        write!(
            f,
            "cannot make or open the database {path} ({why}): name a file in a folder that \
             can be made, with --data DIR or --store sqlite:PATH"
        )
    }

    fn fmt_connections(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ServerFull { place, why } => write!(
                f,
                "PostgreSQL at {place} has no connection left: {why}: raise its max_connections, \
                 close what others hold (pg_stat_activity), or lower database.connections_max of \
                 the other nodes"
            ),
            Self::ConnectionsMax {
                allowed,
                needed,
                shards,
                pool_min,
                server_max,
            } => {
                let source = match server_max {
                    Some(max) => &format!(
                        "what PostgreSQL's max_connections of {max} leaves, less those that are \
                         reserved or kept for others,"
                    ),
                    None => "database.connections_max",
                };
                write!(
                    f,
                    "{shards} shards with database.pool_min {pool_min} and the connection that \
                     listens for changes need {needed} connections to PostgreSQL, but {source} \
                     is {allowed}: {}lower database.pool_min, or raise {}",
                    match allowed.saturating_sub(1) / (*pool_min).max(1) {
                        0 => String::new(),
                        shards => format!("run at most {shards} shards, "),
                    },
                    match server_max {
                        Some(_) => {
                            "max_connections in postgresql.conf, or the CONNECTION LIMIT of role \
                             or database where that is lower"
                        }
                        None => "database.connections_max",
                    }
                )
            }
            _ => Ok(()),
        }
    }

    fn fmt_other_file(&self, f: &mut fmt::Formatter<'_>, path: Display<'_>) -> fmt::Result {
        if matches!(self, Self::NotADatabase { .. }) {
            return write!(
                f,
                "{path} is not an SQLite database (or is encrypted): move it away, or name \
                 another file with --store sqlite:PATH"
            );
        }
        write!(
            f,
            "{path} is an SQLite database of another program: name another file with \
             --store sqlite:PATH"
        )
    }
}

impl std::error::Error for OpenError {}

impl From<ConnectError> for OpenError {
    fn from(error: ConnectError) -> Self {
        match error {
            ConnectError::Url(why) => Self::Url(why),
            ConnectError::Tls(why) => Self::Tls(why),
            ConnectError::Unreachable { place, why } => Self::Unreachable { place, why },
            ConnectError::Unfit { place, why } => Self::Unfit { place, why },
            ConnectError::Login { place, why } => Self::Login { place, why },
            ConnectError::ServerFull { place, why } => Self::ServerFull { place, why },
            ConnectError::Unusable { place, why } => Self::Server { place, why },
        }
    }
}
