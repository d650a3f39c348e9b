//! What the environment says, the same variables for every rival.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

/// Where the users are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// A file with one JSON object a line, read at start.
    File(PathBuf),
    /// `DATABASE_URL` as it is.
    Postgres(String),
    /// The path out of `DATABASE_URL`.
    Sqlite(PathBuf),
}

/// All of it.
#[derive(Debug, Clone)]
pub struct Settings {
    pub address: SocketAddr,
    /// One worker thread each.
    pub cores: Vec<usize>,
    pub source: Source,
    /// Connections to the database, of all workers together.
    pub connections_max: usize,
    /// Empty: none.
    pub redis_url: String,
    pub static_dir: PathBuf,
    pub cache_ttl: Duration,
    pub dataset_file: Option<PathBuf>,
}

impl Settings {
    /// Reads them.
    ///
    /// # Errors
    /// The variable that is missing or wrong.
    pub fn from_environment() -> Result<Self, String> {
        let host = variable("HOST").unwrap_or_else(|| "127.0.0.1".to_owned());
        let port = variable("PORT").ok_or("PORT is not set: the port to listen on")?;
        let address = format!("{host}:{port}");
        let address = address
            .parse()
            .map_err(|_| format!("HOST and PORT: {address} is no address"))?;
        let cores: Result<Vec<usize>, _> = variable("CORES")
            .unwrap_or_else(|| "0".to_owned())
            .split(',')
            .map(|cpu| cpu.trim().parse::<usize>())
            .collect();
        let cores = cores.map_err(|_| "CORES: CPU ids between commas, such as 0,1")?;
        Ok(Self {
            address,
            cores,
            source: source()?,
            connections_max: number("DATABASE_MAX_CONN", 16)?.max(1),
            redis_url: variable("REDIS_URL").unwrap_or_default(),
            static_dir: variable("STATIC_DIR")
                .unwrap_or_else(|| ".".to_owned())
                .into(),
            cache_ttl: Duration::from_millis(number("CACHE_TTL_MS", 10_000)? as u64),
            dataset_file: variable("DATASET_FILE").map(PathBuf::from),
        })
    }
}

fn source() -> Result<Source, String> {
    let url = variable("DATABASE_URL");
    match variable("STORE").as_deref() {
        None => match variable("USERS_FILE") {
            Some(path) => Ok(Source::File(path.into())),
            None => Err("neither STORE nor USERS_FILE is set: there are no users".to_owned()),
        },
        Some("postgres") => match url {
            Some(url) => Ok(Source::Postgres(url)),
            None => Err("STORE=postgres needs DATABASE_URL=postgres://…".to_owned()),
        },
        Some("sqlite") => match url.as_deref().and_then(|url| url.strip_prefix("sqlite:")) {
            Some(path) => Ok(Source::Sqlite(path.into())),
            None => Err("STORE=sqlite needs DATABASE_URL=sqlite:PATH".to_owned()),
        },
        Some(other) => Err(format!("STORE={other}: postgres, sqlite or empty")),
    }
}

fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

fn number(name: &str, default: usize) -> Result<usize, String> {
    match variable(name) {
        None => Ok(default),
        Some(text) => text
            .parse()
            .map_err(|_| format!("{name}={text}: not a whole number")),
    }
}
