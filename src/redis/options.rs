//! Where Redis is, and how long it may take.

use std::fmt;

use ::redis::{ConnectionAddr, ConnectionInfo, IntoConnectionInfo, RedisConnectionInfo};

use crate::engine::Target;

/// Options of an app's Redis.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RedisOptions {
    /// Where it is. Empty: nowhere, and the app has no Redis.
    pub url: RedisUrl,
    /// How long a command may take from being asked for to its answer,
    /// milliseconds. It is looked at in eighths: a command fails after seven to
    /// eight of them.
    pub deadline_ms: u64,
    /// How long a connection may take until it is usable, `AUTH` and `SELECT`
    /// included, milliseconds.
    pub connect_timeout_ms: u64,
    /// So many deadlines missed in a row open the circuit: the connection is
    /// given up, and commands fail at once until there is a new one.
    pub circuit_failures: u32,
    /// First delay before a lost connection is made again, milliseconds;
    /// doubles up to `reconnect_delay_max_ms`.
    pub reconnect_delay_ms: u64,
    /// See `reconnect_delay_ms`.
    pub reconnect_delay_max_ms: u64,
    /// Exclusive connections, process-wide.
    pub exclusive_connections_max: u32,
    /// How long work waits for an exclusive connection, milliseconds.
    pub exclusive_wait_ms: u64,
    /// How long work may have an exclusive connection, milliseconds; then it is
    /// dropped, and the connection with it. Longer than a blocking command
    /// blocks.
    pub exclusive_timeout_ms: u64,
}

impl RedisOptions {
    /// Defaults, at this address.
    pub fn new(url: impl Into<RedisUrl>) -> Self {
        Self {
            url: url.into(),
            ..Self::default()
        }
    }
}

impl Default for RedisOptions {
    fn default() -> Self {
        Self {
            url: RedisUrl::default(),
            deadline_ms: 250,
            connect_timeout_ms: 1_000,
            circuit_failures: 5,
            reconnect_delay_ms: 50,
            reconnect_delay_max_ms: 2_000,
            exclusive_connections_max: 8,
            exclusive_wait_ms: 1_000,
            exclusive_timeout_ms: 10_000,
        }
    }
}

/// Where Redis is: `redis://[user:password@]host[:port][/db]` or
/// `redis+unix:///path[?db=N&user=U&pass=P]`. Shown without user and password.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct RedisUrl(String);

impl RedisUrl {
    /// Whether it names no server at all.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Checks that it can be used.
    ///
    /// # Errors
    /// Says what would be right; never shows what was given, which may be a
    /// password.
    pub fn check(&self) -> Result<(), RedisUrlError> {
        self.address().map(drop)
    }

    pub(super) fn address(&self) -> Result<Address, RedisUrlError> {
        if self.0.starts_with("rediss:") || self.0.starts_with("valkeys:") {
            return Err(RedisUrlError(
                "TLS to Redis is not there yet; give redis:// over a private network, \
                 or a local TLS proxy such as stunnel",
            ));
        }
        let info = self.0.as_str().into_connection_info();
        let info = info.map_err(|_| RedisUrlError::UNUSABLE)?;
        let target = match info.addr().clone() {
            ConnectionAddr::Tcp(host, port) => Target::Tcp { host, port },
            ConnectionAddr::Unix(path) => Target::Unix(path),
            _ => return Err(RedisUrlError::UNUSABLE),
        };
        let named = info.redis_settings().clone();
        let named = named.set_lib_name("corelane", env!("CARGO_PKG_VERSION"));
        Ok(Address {
            target,
            login: named.clone(),
            info: info.set_redis_settings(named),
        })
    }
}

const WHAT_IS_RIGHT: &str =
    "give redis://[user:password@]host[:port][/db] or redis+unix:///path[?db=N]";

/// A URL taken apart.
#[derive(Clone)]
pub(super) struct Address {
    pub(super) target: Target,
    /// User, password, database, protocol.
    pub(super) login: RedisConnectionInfo,
    /// All of it, as the library wants it for exclusive connections.
    pub(super) info: ConnectionInfo,
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let db = self.login.db();
        match &self.target {
            Target::Tcp { .. } => write!(f, "redis://{}/{db}", self.target),
            Target::Unix(path) => write!(f, "redis+unix://{}?db={db}", path.display()),
        }
    }
}

impl fmt::Display for RedisUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.address() {
            Ok(address) => address.fmt(f),
            Err(_) if self.is_empty() => Ok(()),
            Err(_) => f.write_str("(not an address)"),
        }
    }
}

impl fmt::Debug for RedisUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{self}\"")
    }
}

impl From<String> for RedisUrl {
    fn from(url: String) -> Self {
        Self(url)
    }
}

impl From<&str> for RedisUrl {
    fn from(url: &str) -> Self {
        Self(url.to_owned())
    }
}

/// A [`RedisUrl`] that cannot be used; says what would be right.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RedisUrlError(&'static str);

impl RedisUrlError {
    pub(super) const UNUSABLE: Self = Self(WHAT_IS_RIGHT);
}

impl fmt::Display for RedisUrlError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl std::error::Error for RedisUrlError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_shown_without_user_and_password() {
        for (url, shown) in [
            ("redis://h", "redis://h:6379/0"),
            ("redis://u:s3cret@h:7/3", "redis://h:7/3"),
            ("redis://:s3cret@[::1]:7", "redis://[::1]:7/0"),
            (
                "redis+unix:///run/r.sock?db=2&user=u&pass=s3cret",
                "redis+unix:///run/r.sock?db=2",
            ),
            ("redis://:s3cret@h:port", "(not an address)"),
            ("", ""),
        ] {
            let url = RedisUrl::from(url);
            assert_eq!(url.to_string(), shown);
            let debug = format!("{:?}", RedisOptions::new(url));
            assert!(!debug.contains("s3cret"), "{debug}");
        }
    }

    #[test]
    fn what_cannot_be_used_is_refused_with_what_could() {
        let refused = |url: &str| RedisUrl::from(url).check().unwrap_err().to_string();
        assert!(refused("http://:s3cret@h").contains("redis://"));
        assert!(!refused("http://:s3cret@h").contains("s3cret"));
        assert!(refused("rediss://h").contains("TLS"));
        assert!(refused("redis://h/no-number").contains("/db"));
    }
}
