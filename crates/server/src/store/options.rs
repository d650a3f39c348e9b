//! What an operator may say about the store, and where it is.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use super::OpenError;
use corelane::postgres::{PostgresOptions, PostgresUrl};

/// Everything an operator may change about the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoreOptions {
    /// Where the data is. Default `sqlite:./data/corelane.db`.
    pub url: StoreUrl,
    /// How long a write waits for another process that holds the database,
    /// milliseconds. Default 5,000. Reads wait at most
    /// [`crate::store::limits::STORE_READ_BUSY_TIMEOUT_MS_MAX`] of it.
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
    /// How long a start waits for a store that may come by itself, such as a
    /// server that is not up yet, milliseconds; 0 does not. Default 30,000.
    pub wait_ms: u64,
    /// Connections to PostgreSQL; the embedded database has no use for them.
    /// In its `connections_max` the one that listens for changes and those that
    /// tell of own ones are included; 0 is what the server allows
    /// (`max_connections` less what is reserved for superusers) less
    /// [`corelane::internals::limits::POSTGRES_RESERVE_CONNECTIONS`].
    pub database: PostgresOptions,
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
            wait_ms: 30_000,
            database: PostgresOptions::default(),
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
                return Ok(Self::Postgres(text.parse()?));
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
