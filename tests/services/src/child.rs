//! A server process that does not outlive its test.

use std::net::TcpListener;
use std::process::{Child, Command, ExitStatus};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

/// How long a server may take to start or to end, on a loaded machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// A server, ended on drop.
#[derive(Debug)]
pub(crate) struct Server {
    child: Child,
    /// What ends it at once and lets it take away what it has left behind.
    end: Signal,
}

impl Server {
    /// Starts it. Should the thread that starts it end without dropping it, as
    /// when the test is killed, the kernel sends it `end`.
    ///
    /// As root it runs as `user`.
    pub(crate) fn start(command: &[&str], user: &str, end: Signal) -> Self {
        let mut all = as_user(user);
        let signal = match end {
            Signal::QUIT => "QUIT",
            _ => "TERM",
        };
        if all.is_empty() {
            all.push("setpriv".to_owned());
        }
        all.extend(["--pdeathsig".to_owned(), signal.to_owned(), "--".to_owned()]);
        all.extend(command.iter().map(|part| (*part).to_owned()));
        let child = Command::new(&all[0])
            .args(&all[1..])
            .stdin(std::process::Stdio::null())
            .stdout(std::process::Stdio::null())
            .stderr(std::process::Stdio::null())
            .spawn()
            .unwrap_or_else(|error| panic!("{}: {error}", all.join(" ")));
        Self { child, end }
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn signal(&self, signal: Signal) {
        let _ = kill_process(Pid::from_child(&self.child), signal);
    }

    /// Whether it has ended, and how.
    pub(crate) fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().expect("a child to wait for")
    }

    /// `kill -9`, and gone when this returns.
    pub(crate) fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Ends it as it likes to be ended, or else by force.
    pub(crate) fn stop(&mut self) {
        self.signal(Signal::CONT);
        self.signal(self.end);
        let deadline = Instant::now() + Duration::from_secs(10);
        while self.ended().is_none() {
            if Instant::now() > deadline {
                return self.kill();
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop();
    }
}

/// The beginning of a command that runs as `user` if we are root; PostgreSQL
/// refuses to run as root.
pub(crate) fn as_user(user: &str) -> Vec<String> {
    if user.is_empty() || !rustix::process::geteuid().is_root() {
        return Vec::new();
    }
    let parts = [
        "setpriv",
        &format!("--reuid={user}"),
        &format!("--regid={user}"),
        "--clear-groups",
    ];
    parts.map(str::to_owned).to_vec()
}

/// A port that was free a moment ago.
pub(crate) fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("an address").port()
}

/// Asks `ready` again and again until it says yes or the server has ended.
pub(crate) fn becomes(server: &mut Server, ready: impl Fn() -> bool) -> bool {
    let deadline = Instant::now() + PATIENCE;
    while Instant::now() < deadline {
        if ready() {
            return true;
        }
        if server.ended().is_some() {
            return false;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    false
}
