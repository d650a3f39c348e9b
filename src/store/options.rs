//! What an operator may say about the store, and where it is.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use super::OpenError;
use crate::postgres::client::url::PostgresUrl;

/// Everything an operator may change about the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoreOptions {
    /// Where the data is. Default `sqlite:./data/corelane.db`.
    pub url: StoreUrl,
    /// How long a write waits for another process that holds the database,
    /// milliseconds. Default 5,000. Reads wait at most
    /// [`crate::limits::STORE_READ_BUSY_TIMEOUT_MS_MAX`] of it.
    pub busy_timeout_ms: u64,
    /// Page cache of each connection, KiB: one connection per shard and one
    /// for the writer. Default 8,192. It serves pages that are not mapped,
    /// such as those still in the log.
    pub cache_kib: u64,
    /// How much of the file each connection may map into memory, MiB. Default
    /// 1,024. Mapped pages are shared by all shards and cost no copy. 0 turns
    /// mapping off, which a disk that reports read errors may call for: such
    /// an error in a mapped page ends the process.
    pub mmap_mib: u64,
    /// How many shards will connect. Default 1; the server says it.
    pub shards: u32,
    /// Whether a write is on stable storage before it is answered
    /// (`synchronous=FULL`). Default true. Without it a power cut, not a
    /// crash of corelane, can lose the last acknowledged writes. With
    /// PostgreSQL false is `synchronous_commit=off`, where a crash of the
    /// server can lose them too.
    pub durable: bool,
    /// Connections to PostgreSQL; the embedded database has no use for them.
    pub database: DatabaseOptions,
}

/// Connections to PostgreSQL: how many, how long each lives, and how long a
/// request waits. `connections_max` is for the process, the others are for
/// each shard, which has a pool of its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DatabaseOptions {
    /// Connections of the whole process, the one that listens for changes and
    /// those that tell of own ones included. Default 0: what the server allows
    /// (`max_connections` less what is reserved for superusers) less
    /// [`crate::limits::DATABASE_RESERVE_CONNECTIONS`].
    pub connections_max: u32,
    /// Connections a shard keeps open while it has nothing to do. Default 1.
    pub pool_min: u32,
    /// Connections a shard may have. Default 0: its share of
    /// `connections_max`, at least
    /// [`crate::limits::DATABASE_POOL_MAX_LEAST`] and at most
    /// [`crate::limits::DATABASE_POOL_MAX`].
    pub pool_max: u32,
    /// Statements sent over one connection before the first is answered.
    /// Default 16. Of these one is a write. When all connections of the shard
    /// have that many or a write, another is opened, or callers wait.
    pub in_flight_per_connection_max: u32,
    /// A connection over `pool_min` that had nothing to do for this long is
    /// closed, milliseconds. Default 60,000.
    pub idle_timeout_ms: u64,
    /// How long making a connection may take, login included, milliseconds.
    /// Default 3,000.
    pub connect_timeout_ms: u64,
    /// How long a request waits for a connection, milliseconds. Default 2,000.
    pub checkout_timeout_ms: u64,
    /// A connection is replaced when it is about this old (a tenth less at
    /// most, so that not all are at once), milliseconds. Default 1,800,000.
    pub max_lifetime_ms: u64,
    /// A connection that had nothing to do for this long is asked whether it
    /// still answers, milliseconds. Default 10,000.
    pub health_check_ms: u64,
    /// When a request to the database is given up, waiting for a connection
    /// included, milliseconds. Default 5,000.
    pub deadline_ms: u64,
    /// When the server gives up a statement (`statement_timeout`),
    /// milliseconds. Default 4,000; below `deadline_ms`, so that the server
    /// ends it and says so.
    pub statement_timeout_ms: u64,
    /// When the server ends a transaction in which nothing happens,
    /// milliseconds. Default 10,000.
    pub idle_in_transaction_timeout_ms: u64,
}

impl Default for DatabaseOptions {
    fn default() -> Self {
        Self {
            connections_max: 0,
            pool_min: 1,
            pool_max: 0,
            in_flight_per_connection_max: 16,
            idle_timeout_ms: 60_000,
            connect_timeout_ms: 3_000,
            checkout_timeout_ms: 2_000,
            max_lifetime_ms: 1_800_000,
            health_check_ms: 10_000,
            deadline_ms: 5_000,
            statement_timeout_ms: 4_000,
            idle_in_transaction_timeout_ms: 10_000,
        }
    }
}

impl Default for StoreOptions {
    fn default() -> Self {
        Self {
            url: StoreUrl::Sqlite {
                path: PathBuf::from("./data/corelane.db"),
            },
            busy_timeout_ms: 5_000,
            cache_kib: 8_192,
            mmap_mib: 1_024,
            shards: 1,
            durable: true,
            database: DatabaseOptions::default(),
        }
    }
}

impl StoreOptions {
    /// The defaults with the database at `path`.
    pub fn sqlite(path: impl AsRef<Path>) -> Self {
        Self {
            url: StoreUrl::Sqlite {
                path: path.as_ref().to_owned(),
            },
            ..Self::default()
        }
    }
}

/// Which database, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StoreUrl {
    /// `sqlite:PATH`: a file in this process.
    Sqlite {
        /// The database file; `-wal` and `-shm` stand beside it.
        path: PathBuf,
    },
    /// `postgres://USER:PASSWORD@HOST/DATABASE`: a PostgreSQL server.
    Postgres(PostgresUrl),
}

impl FromStr for StoreUrl {
    type Err = OpenError;

    /// Parses `sqlite:./data/corelane.db`, `sqlite:/var/lib/corelane.db` or
    /// the same with `sqlite://`; `postgres://joe@db.example/corelane` or the
    /// same with `postgresql://`.
    ///
    /// # Errors
    /// [`OpenError::Url`] says what would be valid; it never repeats the
    /// address, which may hold a password.
    fn from_str(text: &str) -> Result<Self, OpenError> {
        let refuse = |why: &str| Err(OpenError::Url(why.to_owned()));
        let Some((scheme, rest)) = text.split_once(':') else {
            return refuse("write the scheme too, as in sqlite:./data/corelane.db");
        };
        match scheme.to_ascii_lowercase().as_str() {
            "sqlite" => {}
            "postgres" | "postgresql" => {
                let url = PostgresUrl::parse(rest).map_err(OpenError::Url)?;
                return Ok(Self::Postgres(url));
            }
            _ => {
                return refuse(
                    "the scheme must be sqlite or postgres, as in sqlite:./data/corelane.db \
                     or postgres://user@host/database",
                );
            }
        }
        let path = rest.strip_prefix("//").unwrap_or(rest);
        if path.is_empty() || path.starts_with(":memory:") || path.contains("mode=memory") {
            return refuse(
                "a database in memory cannot be shared by the shards' connections; \
                 name a file, as in sqlite:./data/corelane.db (on /dev/shm it stays in memory)",
            );
        }
        if path.contains(['?', '\0']) {
            return refuse("the path takes no ?parameters; they are keys of the [store] section");
        }
        Ok(Self::Sqlite {
            path: PathBuf::from(path),
        })
    }
}

impl fmt::Display for StoreUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sqlite { path } => write!(f, "sqlite:{}", path.display()),
            Self::Postgres(url) => url.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn file_addresses_are_parsed_and_shown_alike() {
        for (text, path) in [
            ("sqlite:./data/corelane.db", "./data/corelane.db"),
            ("sqlite:/var/lib/c.db", "/var/lib/c.db"),
            ("sqlite:///var/lib/c.db", "/var/lib/c.db"),
            ("SQLite:c.db", "c.db"),
        ] {
            let url: StoreUrl = text.parse().unwrap();
            assert_eq!(url, StoreUrl::Sqlite { path: path.into() });
            assert_eq!(url.to_string().parse::<StoreUrl>().unwrap(), url);
        }
        assert_eq!(
            StoreOptions::default().url.to_string(),
            "sqlite:./data/corelane.db"
        );
    }

    #[test]
    fn other_addresses_are_refused_with_the_cure_and_without_the_password() {
        for (text, word) in [
            ("sqlite::memory:", "memory"),
            ("sqlite:", "memory"),
            ("sqlite:file:x?mode=memory", "memory"),
            ("sqlite:x.db?cache=shared", "parameters"),
            ("postgres://joe:hunter2@db:x/corelane", "port"),
            ("mysql://joe:hunter2@db/corelane", "scheme"),
            ("./data/corelane.db", "scheme"),
        ] {
            let message = text.parse::<StoreUrl>().unwrap_err().to_string();
            assert!(message.contains(word), "{text}: {message}");
            assert!(
                message.contains("sqlite:") || ["parameters", "port"].contains(&word),
                "{text}: {message}"
            );
            assert!(!message.contains("hunter2"), "{message}");
        }
    }
}
