//! A server process: started on its CPUs, seen to own its port, and ended with
//! all it started.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::procfs;

/// How long a server may take to listen.
const START_PATIENCE: Duration = Duration::from_secs(30);
/// How long it may take to end after SIGTERM.
const STOP_PATIENCE: Duration = Duration::from_secs(5);
const INTERVAL: Duration = Duration::from_millis(10);

/// A running server; ended by force when dropped.
#[derive(Debug)]
pub struct Process {
    child: Child,
    port: u16,
    log: PathBuf,
    is_over: bool,
}

impl Process {
    /// Starts `command` on the CPUs of this list, and waits until it, and
    /// nobody else, listens on `port`.
    ///
    /// # Errors
    /// When somebody listens there already, when it ends or does not listen,
    /// or when another process than its own listens.
    pub fn start(
        command: &[String],
        environment: &[(&str, String)],
        cpus: &str,
        port: u16,
        run: &Path,
    ) -> Result<Self, String> {
        if !procfs::listeners(port).is_empty() {
            return Err(format!("somebody listens on port {port} already"));
        }
        let log = run.join("server.log");
        let output = File::create(&log).map_err(|e| format!("{}: {e}", log.display()))?;
        let errors = output
            .try_clone()
            .map_err(|e| format!("{}: {e}", log.display()))?;
        // The kernel ends it if this thread ends without having done so.
        let child = Command::new("setpriv")
            .args(["--pdeathsig", "KILL", "--", "taskset", "-c", cpus])
            .args(command)
            .envs(environment.iter().map(|(name, value)| (name, value)))
            .current_dir(run)
            .stdin(Stdio::null())
            .stdout(output)
            .stderr(errors)
            .spawn()
            .map_err(|error| {
                format!("setpriv and taskset (apt-get install util-linux): {error}")
            })?;
        let mut process = Self {
            child,
            port,
            log,
            is_over: false,
        };
        process.wait_until_it_listens()?;
        process.check_owner()?;
        Ok(process)
    }

    /// The first process of its tree.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Whether it still runs.
    pub fn is_running(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// The last lines it said.
    pub fn last_words(&self) -> String {
        let text = std::fs::read(&self.log).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let lines: Vec<&str> = text.lines().rev().take(5).collect();
        lines.into_iter().rev().collect::<Vec<_>>().join(" / ")
    }

    fn wait_until_it_listens(&mut self) -> Result<(), String> {
        let deadline = Instant::now() + START_PATIENCE;
        while procfs::listeners(self.port).is_empty() {
            if !self.is_running() {
                return Err(format!(
                    "it ended before it listened: {}",
                    self.last_words()
                ));
            }
            if Instant::now() > deadline {
                let said = self.last_words();
                return Err(format!("it does not listen on port {}: {said}", self.port));
            }
            std::thread::sleep(INTERVAL);
        }
        Ok(())
    }

    /// Every socket that listens on the port is one of its tree.
    ///
    /// # Errors
    /// When one is not.
    pub fn check_owner(&self) -> Result<(), String> {
        let mut strange = procfs::listeners(self.port);
        if strange.is_empty() {
            return Err(format!("nobody listens on port {} any more", self.port));
        }
        for pid in procfs::tree(self.child.id()) {
            for inode in procfs::sockets(pid) {
                strange.remove(&inode);
            }
        }
        match strange.is_empty() {
            true => Ok(()),
            false => Err(format!("another process listens on port {} too", self.port)),
        }
    }

    /// SIGTERM, SIGKILL if that does not help, and nothing is left.
    ///
    /// # Errors
    /// When something is left, or it had to be killed.
    pub fn stop(mut self) -> Result<(), String> {
        let tree = procfs::tree(self.child.id());
        signal(self.child.id(), Signal::TERM);
        let by_itself = self.wait_for_end(&tree);
        if !by_itself {
            self.kill(&tree);
        }
        self.is_over = true;
        let left: Vec<&u32> = tree.iter().filter(|pid| procfs::is_alive(**pid)).collect();
        if !left.is_empty() || !procfs::listeners(self.port).is_empty() {
            return Err(format!("it cannot be ended: processes {left:?} are left"));
        }
        match by_itself {
            true => Ok(()),
            false => Err(format!(
                "it had to be killed {STOP_PATIENCE:?} after SIGTERM"
            )),
        }
    }

    fn wait_for_end(&mut self, tree: &[u32]) -> bool {
        let deadline = Instant::now() + STOP_PATIENCE;
        while Instant::now() < deadline {
            let is_over = !self.is_running();
            if is_over && !tree.iter().any(|pid| procfs::is_alive(*pid)) {
                return true;
            }
            std::thread::sleep(INTERVAL);
        }
        false
    }

    fn kill(&mut self, tree: &[u32]) {
        let now = if self.is_running() {
            procfs::tree(self.child.id())
        } else {
            Vec::new()
        };
        for pid in tree
            .iter()
            .chain(now.iter().filter(|pid| !tree.contains(pid)))
        {
            if procfs::is_alive(*pid) {
                signal(*pid, Signal::KILL);
            }
        }
        let _ = self.child.wait();
        std::thread::sleep(INTERVAL);
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if !self.is_over {
            let tree = procfs::tree(self.child.id());
            self.kill(&tree);
        }
    }
}

fn signal(pid: u32, signal: Signal) {
    if let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) {
        let _ = kill_process(pid, signal);
    }
}

/// A port nobody listens on.
///
/// # Errors
/// When there is none.
pub fn free_port() -> Result<u16, String> {
    let listener = std::net::TcpListener::bind("127.0.0.1:0");
    let address = listener.and_then(|listener| listener.local_addr());
    address
        .map(|a| a.port())
        .map_err(|error| format!("a free port: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn start(script: &str, port: u16) -> Result<Process, String> {
        let folder = tempfile::tempdir().unwrap();
        let command = ["sh", "-c", script].map(str::to_owned);
        Process::start(&command, &[], "0", port, folder.path())
    }

    #[test]
    fn a_port_that_is_taken_is_refused() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let error = start("sleep 30", port).unwrap_err();
        assert!(error.contains("already"), "{error}");
    }

    #[test]
    fn one_that_ends_says_why() {
        let error = start("echo no such file; exit 1", free_port().unwrap()).unwrap_err();
        assert!(error.contains("ended before it listened"), "{error}");
    }
}
