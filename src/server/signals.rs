//! Signals, on the housekeeping thread: SIGTERM and SIGINT drain, a second one
//! ends the process at once, SIGHUP and SIGUSR1 reopen the logs.

use std::sync::Arc;
use std::thread;
use std::time::Duration;

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGUSR1};
use signal_hook::iterator::Signals;

use super::{ExitReport, ServerHandle};
use crate::limits::LAST_WORDS_MS;

/// Signals that are being caught. From [`install`](Self::install) on they no
/// longer end the process; [`run`](Self::run) acts on them.
pub struct ShutdownSignals {
    signals: Signals,
}

impl ShutdownSignals {
    /// Starts catching. A program does this before it says that it is ready,
    /// so that a signal sent at once still drains.
    ///
    /// # Errors
    /// When the system gives no descriptor for the signal pipe.
    pub fn install() -> std::io::Result<Self> {
        let signals = Signals::new([SIGTERM, SIGINT, SIGHUP, SIGUSR1])?;
        Ok(Self { signals })
    }

    /// Waits for the server to end, turning signals into what an operator
    /// expects of them. A second SIGTERM or SIGINT exits the process with
    /// status 1 without waiting for anything.
    pub fn run(self, server: ServerHandle) -> ExitReport {
        watch(self.signals, server)
    }
}

/// [`ShutdownSignals`] in one step, for programs that do not tell anybody when
/// they are ready.
pub fn run_until_signal(server: ServerHandle) -> ExitReport {
    match ShutdownSignals::install() {
        Ok(signals) => signals.run(server),
        Err(error) => {
            server.log(format!(
                "signals cannot be watched ({error}); only kill -9 will stop this"
            ));
            server.wait()
        }
    }
}

fn watch(mut signals: Signals, server: ServerHandle) -> ExitReport {
    let handle = signals.handle();
    let server = Arc::new(server);
    let watched = server.clone();
    let watcher = thread::spawn(move || {
        let mut draining = false;
        for signal in signals.forever() {
            match signal {
                SIGHUP | SIGUSR1 => watched.reopen_logs(),
                _ if draining => {
                    watched.log("second signal, exiting at once".to_owned());
                    watched.flush_log(Duration::from_millis(LAST_WORDS_MS));
                    std::process::exit(1);
                }
                _ => {
                    draining = true;
                    watched.drain();
                    watched.log("draining; a second signal exits at once".to_owned());
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
