//! Addresses of PostgreSQL, as libpq writes them (PostgreSQL documentation,
//! "Connection URIs" and "SSL Support"), as far as corelane has use for them.
//!
//! The password is in here and nowhere else: neither `Display` nor `Debug`
//! shows it. Environment variables of libpq (`PGHOST` and friends) and its
//! files under `~/.postgresql` are not read.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use percent_encoding::percent_decode_str;

use crate::engine::Target;
use crate::postgres::ConnectError;
#[cfg(doc)]
use crate::postgres::PostgresOptions;

/// Where PostgreSQL is and how to log in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PostgresUrl {
    /// The server.
    pub target: Target,
    /// Who logs in; without it the user that runs corelane.
    pub user: Option<String>,
    /// What they say.
    pub password: Option<Secret>,
    /// Which database; without it the one named like the user.
    pub database: Option<String>,
    /// How TLS is used. Never over a Unix socket, as with libpq.
    pub tls: TlsMode,
    /// Whose certificates are trusted; without it the system's.
    pub root_certificate: Option<PathBuf>,
    /// Shown in `pg_stat_activity`.
    pub application_name: Option<String>,
    /// Overrides [`PostgresOptions::connect_timeout_ms`].
    pub connect_timeout_ms: Option<u64>,
}

/// `sslmode`, with libpq's meanings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum TlsMode {
    /// Never.
    Disable,
    /// If the server can, unverified; else plain. libpq's default, and no
    /// protection from who can change what is sent.
    #[default]
    Prefer,
    /// Encrypted or not at all; whoever answers is believed, unless
    /// `sslrootcert` is given, which makes it `verify-ca`.
    Require,
    /// The certificate must be signed by a trusted authority, for any host.
    VerifyCa,
    /// And it must be for this host.
    VerifyFull,
}

/// A password; it shows itself to nobody.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// The password itself, for the server.
    pub(super) fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

const PORT: u16 = 5_432;
const PARAMETERS: &str =
    "host, port, user, password, dbname, sslmode, sslrootcert, application_name, connect_timeout";

/// What stands in an address, decoded and not yet judged.
#[derive(Default)]
struct Parts {
    host: Option<String>,
    port: Option<String>,
    user: Option<String>,
    password: Option<String>,
    database: Option<String>,
    tls: TlsMode,
    root_certificate: Option<String>,
    application_name: Option<String>,
    connect_timeout_ms: Option<u64>,
}

impl PostgresUrl {
    /// Parses what follows `postgres:`.
    ///
    /// # Errors
    /// What would be valid, without repeating the address.
    fn parse(rest: &str) -> Result<Self, String> {
        let Some(rest) = rest.strip_prefix("//") else {
            return Err("write it as postgres://user:password@host:5432/database".to_owned());
        };
        let (place, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (authority, database) = place.split_once('/').unwrap_or((place, ""));
        let mut parts = Parts::default();
        // A password may hold an @ that somebody forgot to encode; a host
        // cannot.
        let host = match authority.rsplit_once('@') {
            Some((login, host)) => {
                let (user, password) = login.split_once(':').unwrap_or((login, ""));
                parts.user = decoded_some(user, "the user")?;
                parts.password = decoded_some(password, "the password")?;
                host
            }
            None => authority,
        };
        parts.place(host)?;
        parts.database = decoded_some(database, "the database")?;
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            parts.parameter(key, &decoded(value, "a parameter")?)?;
        }
        parts.finish()
    }

    /// Whether TLS is used at all: a Unix socket needs none.
    pub(super) fn effective_tls(&self) -> TlsMode {
        match (&self.target, self.tls) {
            (Target::Unix(_), _) => TlsMode::Disable,
            (Target::Tcp { .. }, TlsMode::Require) if self.root_certificate.is_some() => {
                TlsMode::VerifyCa
            }
            (Target::Tcp { .. }, mode) => mode,
        }
    }
}

impl Parts {
    /// `host`, `host:port`, `[v6]:port` or `%2Frun%2Fpostgresql`.
    fn place(&mut self, text: &str) -> Result<(), String> {
        if text.contains(',') {
            return Err(ONE_HOST.to_owned());
        }
        let (host, port) = match text.strip_prefix('[') {
            Some(rest) => {
                let end = rest.split_once(']');
                let (host, port) = end.ok_or("close the IPv6 address with ]")?;
                (host, port.strip_prefix(':').unwrap_or(port))
            }
            None => text.split_once(':').unwrap_or((text, "")),
        };
        self.host = decoded_some(host, "the host")?;
        self.port = (!port.is_empty()).then(|| port.to_owned());
        Ok(())
    }

    fn parameter(&mut self, key: &str, value: &str) -> Result<(), String> {
        let text = || (!value.is_empty()).then(|| value.to_owned());
        match key {
            "host" => self.host = text(),
            "port" => self.port = text(),
            "user" => self.user = text(),
            "password" => self.password = text(),
            "dbname" => self.database = text(),
            "sslrootcert" => self.root_certificate = text(),
            "application_name" => self.application_name = text(),
            "sslmode" => self.tls = tls_mode(value)?,
            "connect_timeout" => {
                let seconds: u64 = value
                    .parse()
                    .map_err(|_| "connect_timeout is a whole number of seconds")?;
                // libpq: 0 is "wait for ever", which nothing here does.
                self.connect_timeout_ms = (seconds > 0).then(|| seconds.saturating_mul(1_000));
            }
            _ => return Err(format!("of the parameters it knows {PARAMETERS}")),
        }
        Ok(())
    }

    fn finish(self) -> Result<PostgresUrl, String> {
        let host = self.host.ok_or(
            "name the host, as in postgres://user@host/database, \
             or the folder of the socket: ?host=/run/postgresql",
        )?;
        if host.contains(',') {
            return Err(ONE_HOST.to_owned());
        }
        let port: u16 = match self.port {
            Some(port) => port.parse().map_err(|_| "the port is a number to 65535")?,
            None => PORT,
        };
        let texts = [
            &self.user,
            &self.password,
            &self.database,
            &self.application_name,
        ];
        if host.contains('\0') || texts.into_iter().flatten().any(|text| text.contains('\0')) {
            return Err("it must not hold a zero byte".to_owned());
        }
        let target = if host.starts_with('/') {
            Target::Unix(PathBuf::from(host).join(format!(".s.PGSQL.{port}")))
        } else {
            Target::Tcp { host, port }
        };
        Ok(PostgresUrl {
            target,
            user: self.user,
            password: self.password.map(Secret),
            database: self.database,
            tls: self.tls,
            root_certificate: self.root_certificate.map(PathBuf::from),
            application_name: self.application_name,
            connect_timeout_ms: self.connect_timeout_ms,
        })
    }
}

const ONE_HOST: &str = "one host only: put a proxy or a virtual address before several servers, \
                        so that all nodes agree on which of them takes writes";

fn tls_mode(word: &str) -> Result<TlsMode, String> {
    Ok(match word {
        "disable" => TlsMode::Disable,
        "prefer" => TlsMode::Prefer,
        "require" => TlsMode::Require,
        "verify-ca" => TlsMode::VerifyCa,
        "verify-full" => TlsMode::VerifyFull,
        _ => {
            return Err("sslmode is disable, prefer, require, verify-ca or verify-full".to_owned());
        }
    })
}

fn decoded(text: &str, what: &str) -> Result<String, String> {
    let decoded = percent_decode_str(text).decode_utf8();
    decoded
        .map(|text| text.into_owned())
        .map_err(|_| format!("{what} is not UTF-8"))
}

fn decoded_some(text: &str, what: &str) -> Result<Option<String>, String> {
    Ok((!text.is_empty()).then_some(decoded(text, what)?))
}

impl FromStr for PostgresUrl {
    type Err = ConnectError;

    /// Parses `postgres://joe:secret@db.example:5432/shop`, or the same with
    /// `postgresql://`.
    ///
    /// # Errors
    /// [`ConnectError::Url`] says what would be valid; it never repeats the
    /// address, which may hold a password.
    fn from_str(text: &str) -> Result<Self, ConnectError> {
        let rest = text.split_once(':').filter(|(scheme, _)| {
            ["postgres", "postgresql"]
                .iter()
                .any(|known| scheme.eq_ignore_ascii_case(known))
        });
        match rest {
            Some((_, rest)) => Self::parse(rest).map_err(ConnectError::Url),
            None => Err(ConnectError::Url(
                "write it as postgres://user:password@host:5432/database".to_owned(),
            )),
        }
    }
}

/// `postgres://user@host:port/database`, without the password.
impl fmt::Display for PostgresUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("postgres://")?;
        if let Some(user) = &self.user {
            let hidden = if self.password.is_some() { ":***" } else { "" };
            write!(f, "{}{hidden}@", encoded(user))?;
        }
        match &self.target {
            Target::Unix(socket) => {
                write!(f, "{}", encoded(&folder_of(socket)))?;
                if let Some(port) = port_of(socket).filter(|port| *port != PORT) {
                    write!(f, ":{port}")?;
                }
            }
            tcp => write!(f, "{tcp}")?,
        }
        if let Some(database) = &self.database {
            write!(f, "/{}", encoded(database))?;
        }
        match self.tls {
            TlsMode::Prefer => Ok(()),
            TlsMode::Disable => f.write_str("?sslmode=disable"),
            TlsMode::Require => f.write_str("?sslmode=require"),
            TlsMode::VerifyCa => f.write_str("?sslmode=verify-ca"),
            TlsMode::VerifyFull => f.write_str("?sslmode=verify-full"),
        }
    }
}

fn encoded(text: &str) -> impl fmt::Display + '_ {
    percent_encoding::utf8_percent_encode(text, percent_encoding::NON_ALPHANUMERIC)
}

fn folder_of(socket: &std::path::Path) -> String {
    let folder = socket.parent().unwrap_or(socket);
    folder.to_string_lossy().into_owned()
}

fn port_of(socket: &std::path::Path) -> Option<u16> {
    let name = socket.file_name()?.to_str()?;
    name.strip_prefix(".s.PGSQL.")?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> PostgresUrl {
        PostgresUrl::parse(text).unwrap_or_else(|why| panic!("{text}: {why}"))
    }

    fn tcp(host: &str, port: u16) -> Target {
        let host = host.to_owned();
        Target::Tcp { host, port }
    }

    #[test]
    fn hosts_are_names_addresses_or_folders() {
        for (text, target) in [
            ("//db/x", tcp("db", 5_432)),
            ("//joe@db.example:5433/x", tcp("db.example", 5_433)),
            ("//joe:p%40ss@[::1]:5433/x", tcp("::1", 5_433)),
            ("//joe:p@ss@10.0.0.1", tcp("10.0.0.1", 5_432)),
            ("///x?host=db&port=1", tcp("db", 1)),
            (
                "//joe@%2Frun%2Fpostgresql/x",
                Target::Unix("/run/postgresql/.s.PGSQL.5432".into()),
            ),
            (
                "///x?host=/run/postgresql&port=5433",
                Target::Unix("/run/postgresql/.s.PGSQL.5433".into()),
            ),
        ] {
            assert_eq!(parse(text).target, target, "{text}");
        }
    }

    #[test]
    fn who_logs_in_and_where_is_decoded() {
        let url = parse("//j%6Fe:p%40s%3As@db/my%20base?application_name=a%20b&connect_timeout=3");
        assert_eq!(url.user.as_deref(), Some("joe"));
        assert_eq!(url.password.as_ref().unwrap().reveal(), "p@s:s");
        assert_eq!(url.database.as_deref(), Some("my base"));
        assert_eq!(url.application_name.as_deref(), Some("a b"));
        assert_eq!(url.connect_timeout_ms, Some(3_000));
        let bare = parse("//db");
        assert_eq!(
            (bare.user, bare.password, bare.database),
            (None, None, None)
        );
    }

    #[test]
    fn tls_means_what_libpq_says() {
        for (query, mode) in [
            ("", TlsMode::Prefer),
            ("?sslmode=disable", TlsMode::Disable),
            ("?sslmode=require", TlsMode::Require),
            ("?sslmode=require&sslrootcert=/ca.pem", TlsMode::VerifyCa),
            ("?sslmode=verify-ca", TlsMode::VerifyCa),
            ("?sslmode=verify-full", TlsMode::VerifyFull),
        ] {
            assert_eq!(parse(&format!("//db/x{query}")).effective_tls(), mode);
        }
        let socket = parse("///x?host=/run&sslmode=verify-full");
        assert_eq!(socket.effective_tls(), TlsMode::Disable);
    }

    #[test]
    fn the_password_is_never_shown() {
        for text in ["//joe:hunter2@db/x", "//db/x?user=joe&password=hunter2"] {
            let url = parse(text);
            assert_eq!(url.password.as_ref().unwrap().reveal(), "hunter2");
            let shown = format!("{url} {url:?} {url:#?}");
            assert!(!shown.contains("hunter2"), "{shown}");
            assert!(
                shown.starts_with("postgres://joe:***@db:5432/x "),
                "{shown}"
            );
        }
    }

    #[test]
    fn what_is_shown_leads_to_the_same_place() {
        for text in [
            "//a%20b@[::1]:5/x%2Fy?sslmode=require",
            "//%2Frun%2Fp:99/x",
            "//db",
        ] {
            let url = parse(text);
            let shown = url.to_string();
            let again = parse(shown.strip_prefix("postgres:").unwrap());
            assert_eq!(url, again, "{shown}");
        }
    }

    #[test]
    fn mistakes_are_told_without_the_address() {
        for (text, word) in [
            ("joe:hunter2@db", "postgres://"),
            ("//joe:hunter2@/x", "host"),
            ("//joe:hunter2@a,b/x", "one host"),
            ("//joe:hunter2@db/x?host=a,b", "one host"),
            ("//joe:hunter2@db:port/x", "port"),
            ("//joe:hunter2@db:65536/x", "port"),
            ("//joe:hunter2@[::1/x", "]"),
            ("//joe:hunter2@db/x?sslmode=allow", "verify-full"),
            ("//joe:hunter2@db/x?ssl=on", "sslmode"),
            ("//joe:hunter2@db/x?connect_timeout=soon", "seconds"),
            ("//joe:hunter2%00@db/x", "zero"),
            ("//joe:hunter2%ff@db/x", "UTF-8"),
        ] {
            let why = PostgresUrl::parse(text).unwrap_err();
            assert!(why.contains(word), "{text}: {why}");
            assert!(!why.contains("hunter2"), "{why}");
        }
    }
}
