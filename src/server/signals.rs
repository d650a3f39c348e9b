//! Signals, on the housekeeping thread: SIGTERM and SIGINT drain, a second one
//! ends the process at once, SIGHUP and SIGUSR1 reopen the logs.

use std::sync::Arc;
use std::thread;
use std::time::Duration;

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGUSR1};
use signal_hook::iterator::Signals;

use super::{ExitReport, ServerHandle};

/// Signals that are kept for a server from now on. Caught before anybody is
/// told that it serves, none of them ends the process by default.
#[derive(Debug)]
pub struct CaughtSignals(Option<Signals>);

impl CaughtSignals {
    /// Catches SIGTERM, SIGINT, SIGHUP and SIGUSR1. Where that is not possible
    /// it says so on stderr, and only `kill -9` ends the process.
    pub fn catch() -> Self {
        match Signals::new([SIGTERM, SIGINT, SIGHUP, SIGUSR1]) {
            Ok(signals) => Self(Some(signals)),
            Err(error) => {
                eprintln!(
                    "corelane: signals cannot be watched ({error}); only kill -9 will stop this"
                );
                Self(None)
            }
        }
    }

    /// Waits for the server to end, turning signals into what an operator
    /// expects of them, those caught earlier included. A second SIGTERM or
    /// SIGINT exits the process with status 1 without waiting for anything.
    pub fn run(self, server: ServerHandle) -> ExitReport {
        match self.0 {
            Some(signals) => run(signals, server),
            None => server.wait(),
        }
    }
}

/// Catches signals and waits for the server to end: [`CaughtSignals`] in one
/// step.
pub fn run_until_signal(server: ServerHandle) -> ExitReport {
    CaughtSignals::catch().run(server)
}

fn run(mut signals: Signals, server: ServerHandle) -> ExitReport {
    let handle = signals.handle();
    let server = Arc::new(server);
    let watched = server.clone();
    let watcher = thread::spawn(move || {
        let mut draining = false;
        for signal in signals.forever() {
            match signal {
                SIGHUP | SIGUSR1 => watched.reopen_logs(),
                _ if draining => {
                    eprintln!("corelane: second signal, exiting at once");
                    std::process::exit(1);
                }
                _ => {
                    draining = true;
                    eprintln!("corelane: draining; a second signal exits at once");
                    watched.drain();
                }
            }
        }
    });
    while !server.is_finished() {
        thread::sleep(Duration::from_millis(20));
    }
    handle.close();
    let _ = watcher.join();
    match Arc::try_unwrap(server) {
        Ok(server) => server.wait(),
        Err(_) => ExitReport {
            drained: false,
            connections_cut: 0,
            restarts: 0,
        },
    }
}
