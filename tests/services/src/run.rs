//! One PostgreSQL and one Redis for a whole run of the suite, whose tests are
//! processes of their own and could share none otherwise.

use std::ffi::OsString;
use std::path::Path;
use std::process::{Command, ExitStatus};

use crate::postgres::CONNECTIONS_MAX;
use crate::{Postgres, PostgresOptions, Redis};

/// Where tests find the PostgreSQL of the run: the address of its Unix socket,
/// beside which it also listens on TCP.
pub(crate) const POSTGRES: &str = "CORELANE_TEST_POSTGRES";
/// Where tests find the Redis of the run.
pub(crate) const REDIS: &str = "CORELANE_TEST_REDIS";

/// Starts both in `folder`, runs `command` with their addresses in its
/// environment, and ends both.
///
/// `folder` is the caller's to remove: who is killed cannot. Whoever waits for
/// this may be another user's process, PostgreSQL is: it must be let into it.
///
/// # Errors
/// When the command cannot be started.
///
/// # Panics
/// When PostgreSQL or Redis does not start.
pub fn with_both(folder: &Path, command: &[OsString]) -> std::io::Result<ExitStatus> {
    std::fs::create_dir_all(folder)?;
    tempfile::env::override_temp_dir(folder).expect("nobody has asked for a folder before");
    let postgres = Postgres::start_with(PostgresOptions {
        connections_max: CONNECTIONS_MAX,
        ..PostgresOptions::default()
    });
    let redis = Redis::start();
    // The command ends with this process, as the servers do.
    let mut whole = Command::new("setpriv");
    whole.args(["--pdeathsig", "TERM", "--"]).args(command);
    whole.env(POSTGRES, postgres.place().unix_url("postgres"));
    whole.env(REDIS, redis.url());
    whole.status()
}
