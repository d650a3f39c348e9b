//! What the environment says. HttpArena sets `DATABASE_URL` and
//! `DATABASE_MAX_CONN` and mounts its files where the defaults look.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

/// Everything that can be said about the application.
#[derive(Debug, Clone)]
pub struct Settings {
    /// `HOST` and `PORT`. Default all addresses, 8080.
    pub listen: SocketAddr,
    /// `DATASET_FILE`: a JSON array of items. Default `/data/dataset.json`.
    pub dataset: PathBuf,
    /// `STATIC_DIR`. Default `/data/static`, and no static files where that is
    /// not there: it is mounted for their profile alone.
    pub static_dir: Option<PathBuf>,
    /// `DATABASE_URL`; without it the profiles with a database have none.
    pub database_url: Option<String>,
    /// `DATABASE_MAX_CONN`: connections of the whole process. Default 256.
    pub database_connections_max: u32,
}

/// A variable that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SettingsError {
    name: &'static str,
    wants: &'static str,
}

const STATIC_DIR: &str = "/data/static";

impl Settings {
    /// Reads variables through `variable`; one that is empty counts as unset.
    ///
    /// # Errors
    /// [`SettingsError`] names the variable and what it may be. Values are not
    /// repeated: an address may hold a password.
    pub fn read(variable: impl Fn(&str) -> Option<String>) -> Result<Self, SettingsError> {
        let variable = |name: &str| variable(name).filter(|value| !value.is_empty());
        let parsed = |name, wants| Parsed(variable(name), SettingsError { name, wants });
        let host = parsed("HOST", "an IP address").or(IpAddr::V4(Ipv4Addr::UNSPECIFIED))?;
        let port = parsed("PORT", "a number to 65535").or(8080)?;
        let database_connections_max = parsed("DATABASE_MAX_CONN", COUNT).or(256)?;
        if database_connections_max == 0 {
            return Err(parsed("DATABASE_MAX_CONN", COUNT).1);
        }
        let static_dir = variable("STATIC_DIR").map(PathBuf::from);
        let mounted = || Some(PathBuf::from(STATIC_DIR)).filter(|path| path.is_dir());
        Ok(Self {
            listen: SocketAddr::new(host, port),
            dataset: variable("DATASET_FILE")
                .map_or_else(|| Path::new("/data/dataset.json").into(), PathBuf::from),
            static_dir: static_dir.or_else(mounted),
            database_url: variable("DATABASE_URL"),
            database_connections_max,
        })
    }
}

const COUNT: &str = "a number of connections, 1 or more";

/// A variable's text, and what to say when it does not parse.
struct Parsed(Option<String>, SettingsError);

impl Parsed {
    fn or<T: std::str::FromStr>(self, default: T) -> Result<T, SettingsError> {
        let Self(text, error) = self;
        text.map_or(Ok(default), |text| text.parse().map_err(|_| error))
    }
}

impl fmt::Display for SettingsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} cannot be used: give {}", self.name, self.wants)
    }
}

impl std::error::Error for SettingsError {}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(given: &[(&str, &str)]) -> Result<Settings, SettingsError> {
        let find = |name: &str| given.iter().find(|(given, _)| *given == name);
        Settings::read(|name| find(name).map(|(_, value)| (*value).to_owned()))
    }

    #[test]
    fn without_any_it_serves_as_httparena_mounts() {
        let settings = read(&[("HOST", "")]).unwrap();
        assert_eq!(settings.listen.to_string(), "0.0.0.0:8080");
        assert_eq!(settings.dataset, Path::new("/data/dataset.json"));
        assert_eq!(settings.database_url, None);
        assert_eq!(settings.database_connections_max, 256);
    }

    #[test]
    fn what_cannot_be_used_is_named() {
        for (name, value) in [
            ("HOST", "localhost"),
            ("PORT", "65536"),
            ("DATABASE_MAX_CONN", "0"),
            ("DATABASE_MAX_CONN", "many"),
        ] {
            let error = read(&[(name, value)]).unwrap_err().to_string();
            assert!(error.starts_with(name), "{error}");
        }
        let settings = read(&[("DATABASE_MAX_CONN", "7"), ("PORT", "1")]).unwrap();
        assert_eq!(settings.database_connections_max, 7);
        assert_eq!(settings.listen.port(), 1);
    }
}
