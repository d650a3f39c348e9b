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
    /// The servers, in the order they are tried; one at least.
    pub targets: Vec<Target>,
    /// Which of them will do.
    pub session_attrs: SessionAttrs,
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
    /// Whether the login is bound to the TLS connection it is made over.
    pub channel_binding: ChannelBinding,
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

/// `target_session_attrs`, with libpq's meanings: the first server that fits is
/// taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SessionAttrs {
    /// Whoever answers. libpq's default.
    #[default]
    Any,
    /// Its sessions write.
    ReadWrite,
    /// Its sessions do not write.
    ReadOnly,
    /// It is no replica.
    Primary,
    /// It is a replica.
    Standby,
    /// A replica, if one of them is; else whoever answers.
    PreferStandby,
}

/// `channel_binding`, with libpq's meanings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ChannelBinding {
    /// Never.
    Disable,
    /// Where both sides can. libpq's default.
    #[default]
    Prefer,
    /// Or no login at all.
    Require,
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
const PARAMETERS: &str = "host, port, user, password, dbname, sslmode, sslrootcert, \
    channel_binding, target_session_attrs, application_name, connect_timeout";

/// What stands in an address, decoded and not yet judged.
#[derive(Default)]
struct Parts {
    hosts: Vec<String>,
    /// One for all hosts, or one for each; empty where none was said.
    ports: Vec<String>,
    session_attrs: SessionAttrs,
    channel_binding: ChannelBinding,
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
        let hosts = match authority.rsplit_once('@') {
            Some((login, host)) => {
                let (user, password) = login.split_once(':').unwrap_or((login, ""));
                parts.user = decoded_some(user, "the user")?;
                parts.password = decoded_some(password, "the password")?;
                host
            }
            None => authority,
        };
        for host in hosts.split(',').filter(|_| !hosts.is_empty()) {
            parts.place(host)?;
        }
        parts.database = decoded_some(database, "the database")?;
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            parts.parameter(key, &decoded(value, "a parameter")?)?;
        }
        parts.finish()
    }

    /// Whether TLS is used at all: Unix sockets alone need none.
    pub(super) fn effective_tls(&self) -> TlsMode {
        let is_local = |target: &Target| matches!(target, Target::Unix(_));
        match self.tls {
            _ if self.targets.iter().all(is_local) => TlsMode::Disable,
            TlsMode::Require if self.root_certificate.is_some() => TlsMode::VerifyCa,
            mode => mode,
        }
    }

    /// All its servers, as they are told of; no secret in it.
    pub fn place(&self) -> String {
        let places: Vec<String> = self.targets.iter().map(Target::to_string).collect();
        places.join(",")
    }
}

impl Parts {
    /// `host`, `host:port`, `[v6]:port` or `%2Frun%2Fpostgresql`.
    fn place(&mut self, text: &str) -> Result<(), String> {
        let (host, port) = match text.strip_prefix('[') {
            Some(rest) => {
                let end = rest.split_once(']');
                let (host, port) = end.ok_or("close the IPv6 address with ]")?;
                (host, port.strip_prefix(':').unwrap_or(port))
            }
            None => text.split_once(':').unwrap_or((text, "")),
        };
        self.hosts.push(decoded(host, "the host")?);
        self.ports.push(port.to_owned());
        Ok(())
    }

    fn parameter(&mut self, key: &str, value: &str) -> Result<(), String> {
        let text = || (!value.is_empty()).then(|| value.to_owned());
        let list = || value.split(',').map(str::to_owned).collect();
        match key {
            "host" => self.hosts = list(),
            "port" => self.ports = list(),
            "user" => self.user = text(),
            "password" => self.password = text(),
            "dbname" => self.database = text(),
            "sslrootcert" => self.root_certificate = text(),
            "application_name" => self.application_name = text(),
            "sslmode" => self.tls = tls_mode(value)?,
            "channel_binding" => self.channel_binding = channel_binding(value)?,
            "target_session_attrs" => self.session_attrs = session_attrs(value)?,
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
        let texts = [
            &self.user,
            &self.password,
            &self.database,
            &self.application_name,
        ];
        let targets = targets(&self.hosts, &self.ports)?;
        let has_zero = |host: &String| host.contains('\0');
        if self.hosts.iter().any(has_zero)
            || texts.into_iter().flatten().any(|text| text.contains('\0'))
        {
            return Err("it must not hold a zero byte".to_owned());
        }
        let url = PostgresUrl {
            targets,
            session_attrs: self.session_attrs,
            channel_binding: self.channel_binding,
            user: self.user,
            password: self.password.map(Secret),
            database: self.database,
            tls: self.tls,
            root_certificate: self.root_certificate.map(PathBuf::from),
            application_name: self.application_name,
            connect_timeout_ms: self.connect_timeout_ms,
        };
        let is_plain = url.effective_tls() == TlsMode::Disable;
        if is_plain && url.channel_binding == ChannelBinding::Require {
            return Err(
                "channel_binding=require needs TLS: give sslmode=require and a host over TCP"
                    .to_owned(),
            );
        }
        Ok(url)
    }
}

/// The servers of these hosts.
fn targets(hosts: &[String], ports: &[String]) -> Result<Vec<Target>, String> {
    if hosts.is_empty() || hosts.iter().any(String::is_empty) {
        return Err("name the host, as in postgres://user@host/database, \
             or the folder of the socket: ?host=/run/postgresql"
            .to_owned());
    }
    if ports.len() > 1 && ports.len() != hosts.len() {
        return Err("give one port, or one for each host".to_owned());
    }
    let port_of = |index: usize| match ports.get(index).or(ports.first()) {
        Some(port) if !port.is_empty() => port.parse(),
        _ => Ok(PORT),
    };
    let hosts = hosts
        .iter()
        .enumerate()
        .map(|(index, host)| -> Result<_, String> {
            let port = port_of(index).map_err(|_| "the port is a number to 65535")?;
            Ok(match host.strip_prefix('/') {
                Some(_) => Target::Unix(PathBuf::from(host).join(format!(".s.PGSQL.{port}"))),
                None => Target::Tcp {
                    host: host.clone(),
                    port,
                },
            })
        });
    hosts.collect()
}

fn session_attrs(word: &str) -> Result<SessionAttrs, String> {
    let known = SESSION_ATTRS.iter().find(|(_, name)| *name == word);
    known.map(|(attrs, _)| *attrs).ok_or_else(|| {
        "target_session_attrs is any, read-write, read-only, primary, standby or prefer-standby"
            .to_owned()
    })
}

const SESSION_ATTRS: [(SessionAttrs, &str); 6] = [
    (SessionAttrs::Any, "any"),
    (SessionAttrs::ReadWrite, "read-write"),
    (SessionAttrs::ReadOnly, "read-only"),
    (SessionAttrs::Primary, "primary"),
    (SessionAttrs::Standby, "standby"),
    (SessionAttrs::PreferStandby, "prefer-standby"),
];

impl fmt::Display for SessionAttrs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let known = SESSION_ATTRS.iter().find(|(attrs, _)| attrs == self);
        f.write_str(known.map_or("any", |(_, name)| name))
    }
}

fn channel_binding(word: &str) -> Result<ChannelBinding, String> {
    Ok(match word {
        "disable" => ChannelBinding::Disable,
        "prefer" => ChannelBinding::Prefer,
        "require" => ChannelBinding::Require,
        _ => return Err("channel_binding is disable, prefer or require".to_owned()),
    })
}

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
        for (index, target) in self.targets.iter().enumerate() {
            f.write_str(if index == 0 { "" } else { "," })?;
            match target {
                Target::Unix(socket) => {
                    write!(f, "{}", encoded(&folder_of(socket)))?;
                    if let Some(port) = port_of(socket).filter(|port| *port != PORT) {
                        write!(f, ":{port}")?;
                    }
                }
                tcp => write!(f, "{tcp}")?,
            }
        }
        if let Some(database) = &self.database {
            write!(f, "/{}", encoded(database))?;
        }
        let mut separator = '?';
        let mut parameter = |name: &str, value: &str| {
            write!(
                f,
                "{}{name}={value}",
                std::mem::replace(&mut separator, '&')
            )
        };
        match self.tls {
            TlsMode::Prefer => {}
            TlsMode::Disable => parameter("sslmode", "disable")?,
            TlsMode::Require => parameter("sslmode", "require")?,
            TlsMode::VerifyCa => parameter("sslmode", "verify-ca")?,
            TlsMode::VerifyFull => parameter("sslmode", "verify-full")?,
        }
        match self.channel_binding {
            ChannelBinding::Prefer => {}
            ChannelBinding::Disable => parameter("channel_binding", "disable")?,
            ChannelBinding::Require => parameter("channel_binding", "require")?,
        }
        match self.session_attrs {
            SessionAttrs::Any => Ok(()),
            attrs => parameter("target_session_attrs", &attrs.to_string()),
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
mod tests;
