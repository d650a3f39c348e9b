//! `services FOLDER COMMAND...` runs a command, such as the test runner, with
//! one PostgreSQL and one Redis for all tests it starts. Both are in FOLDER,
//! and end with the command, with this process, or with the one that started it.

use std::ffi::OsString;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::ExitCode;

use rustix::process::{Signal, set_parent_process_death_signal};

fn main() -> ExitCode {
    let arguments: Vec<OsString> = std::env::args_os().skip(1).collect();
    let Some((folder, command)) = arguments.split_first().filter(|(_, rest)| !rest.is_empty())
    else {
        eprintln!("services FOLDER COMMAND...");
        return ExitCode::from(2);
    };
    let _ = set_parent_process_death_signal(Some(Signal::TERM));
    match services::with_both(Path::new(folder), command) {
        Ok(status) => {
            let code = status.code().or(status.signal().map(|signal| 128 + signal));
            ExitCode::from(code.and_then(|code| u8::try_from(code).ok()).unwrap_or(1))
        }
        Err(error) => {
            eprintln!("services: {command:?}: {error}");
            ExitCode::from(127)
        }
    }
}
