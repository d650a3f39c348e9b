//! Where a server is reached, and how psql asks it.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::USER;
use super::cluster::{binary, run};

/// The folder of its Unix socket, and its port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Place {
    folder: PathBuf,
    port: u16,
}

impl Place {
    pub(super) fn new(folder: PathBuf, port: u16) -> Self {
        Self { folder, port }
    }

    /// The place in what [`unix_url`](Self::unix_url) gave.
    pub(crate) fn of_unix_url(url: &str) -> Option<Self> {
        let (_, place) = url.split_once('@')?;
        let (place, _) = place.split_once('/')?;
        let (folder, port) = place.rsplit_once(':')?;
        let folder = folder.replace("%2F", "/").into();
        let port = port.parse().ok()?;
        Some(Self { folder, port })
    }

    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    pub(super) fn port(&self) -> u16 {
        self.port
    }

    pub(crate) fn unix_url(&self, database: &str) -> String {
        let folder = self.folder.display().to_string().replace('/', "%2F");
        format!("postgres://{USER}@{folder}:{}/{database}", self.port)
    }

    /// Runs SQL with psql, as somebody outside; its output without headers,
    /// fields by `|`.
    ///
    /// # Panics
    /// When psql says no.
    pub(super) fn psql(&self, database: &str, sql: &str) -> String {
        match self.try_psql(database, &[sql]) {
            Ok(output) => output,
            Err(refusal) => panic!("{sql}: {refusal}"),
        }
    }

    /// Each in a transaction of its own; or what psql complained of.
    pub(super) fn try_psql(&self, database: &str, statements: &[&str]) -> Result<String, String> {
        let mut command = Command::new(binary("psql"));
        command
            .args(["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-U", USER])
            .args(["-d", database, "-p", &self.port.to_string()])
            .arg("-h")
            .arg(&self.folder);
        for sql in statements {
            command.args(["-c", sql]);
        }
        let output = command.output().expect("psql runs");
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
        match output.status.success() {
            true => Ok(text(&output.stdout)),
            false => Err(text(&output.stderr)),
        }
    }

    /// pg_dump of one database, restored into another by psql.
    pub(super) fn dump(&self, from: &str, to: &str) {
        let at = format!("-U {USER} -h {} -p {}", self.folder.display(), self.port);
        let (dump, psql) = (binary("pg_dump"), binary("psql"));
        run(Command::new("sh").arg("-c").arg(format!(
            "set -e; file=$(mktemp); trap 'rm -f $file' EXIT; {} {at} {from} >$file; \
             {} {at} -X -q -v ON_ERROR_STOP=1 -d {to} -f $file",
            dump.display(),
            psql.display(),
        )));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_survives_the_way_through_the_environment() {
        let place = Place::new("/tmp/a folder".into(), 5433);
        let url = place.unix_url("postgres");
        assert_eq!(url, "postgres://postgres@%2Ftmp%2Fa folder:5433/postgres");
        assert_eq!(Place::of_unix_url(&url), Some(place));
        for broken in ["", "postgres://postgres@%2Ftmp/x", "postgres://a@b:x/c"] {
            assert_eq!(Place::of_unix_url(broken), None, "{broken}");
        }
    }
}
