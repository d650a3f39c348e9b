//! The real binary as a test runs it: a free port, a data folder of its own,
//! output kept and shown when the test fails, ended by its process id when the
//! test ends however it ends.

use std::ffi::OsString;
use std::io::{BufRead, BufReader, PipeReader, PipeWriter, Read, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use super::{Client, Engine};

/// How long a start may take on a loaded machine.
const START_PATIENCE: Duration = Duration::from_secs(30);

/// A folder for a database, kept as long as anything refers to it.
pub(crate) type Data = Arc<TempDir>;

/// What to start.
pub(crate) struct Serve {
    engine: Engine,
    listen: String,
    /// `--admin`; `None` leaves it to the other settings.
    admin: Option<String>,
    shards: usize,
    data: Data,
    demo: bool,
    config: Option<String>,
    arguments: Vec<OsString>,
    environment: Vec<(String, String)>,
    is_stderr_unread: bool,
    full_stderr: Option<(PipeReader, PipeWriter)>,
    /// A program and its arguments, which the server's follow.
    wrapper: Vec<OsString>,
    /// Neither `--engine` nor `--core-map` are given.
    takes_defaults: bool,
}

impl Serve {
    /// `corelane serve` on `engine` with two shards and an empty database.
    pub(crate) fn on(engine: Engine) -> Self {
        Self {
            engine,
            listen: "127.0.0.1:0".to_owned(),
            // Its default port is one, and many tests run at once.
            admin: Some("off".to_owned()),
            shards: 2,
            data: Arc::new(TempDir::new().expect("a folder")),
            demo: false,
            config: None,
            arguments: Vec::new(),
            environment: Vec::new(),
            is_stderr_unread: false,
            full_stderr: None,
            wrapper: Vec::new(),
            takes_defaults: false,
        }
    }

    /// Started by this program, which is given the server's command line.
    pub(crate) fn wrapped_in(mut self, wrapper: &[&str]) -> Self {
        self.wrapper = wrapper.iter().map(Into::into).collect();
        self
    }

    /// On the engine and the cores that it chooses itself.
    pub(crate) fn by_its_defaults(mut self) -> Self {
        self.takes_defaults = true;
        self
    }

    /// Listens there instead of on a free port.
    pub(crate) fn listen(mut self, address: &str) -> Self {
        self.listen = address.to_owned();
        self
    }

    /// Has an admin listener there.
    pub(crate) fn admin(mut self, address: &str) -> Self {
        self.admin = Some(address.to_owned());
        self
    }

    /// Has the admin listener that variables and the config file ask for.
    pub(crate) fn admin_as_configured(mut self) -> Self {
        self.admin = None;
        self
    }

    /// With so many shards.
    pub(crate) fn shards(mut self, shards: usize) -> Self {
        self.shards = shards;
        self
    }

    /// Uses the database of an earlier server.
    pub(crate) fn data(mut self, data: &Data) -> Self {
        self.data = data.clone();
        self
    }

    /// Fills the database with the demo data.
    pub(crate) fn demo(mut self) -> Self {
        self.demo = true;
        self
    }

    /// The text of `--config`.
    pub(crate) fn config(mut self, toml: impl Into<String>) -> Self {
        self.config = Some(toml.into());
        self
    }

    pub(crate) fn argument(mut self, argument: impl Into<OsString>) -> Self {
        self.arguments.push(argument.into());
        self
    }

    /// Serves `/static/*` from `folder`.
    pub(crate) fn static_folder(self, folder: &Path) -> Self {
        self.argument("--static").argument(folder)
    }

    pub(crate) fn environment(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Nobody has the other end of its stderr, a pipe.
    pub(crate) fn stderr_unread(mut self) -> Self {
        self.is_stderr_unread = true;
        self
    }

    /// Its stderr is a pipe that is full already, and is never read.
    pub(crate) fn stderr_full(mut self) -> Self {
        self.full_stderr = Some(full_pipe());
        self
    }

    /// Starts it and waits until it listens.
    pub(crate) fn start(self) -> ServerProcess {
        match self.try_start() {
            Ok(server) => server,
            Err(refusal) => panic!("did not start, {:?}:\n{}", refusal.status, refusal.output),
        }
    }

    /// Starts it; what it said if it ended instead of listening.
    pub(crate) fn try_start(self) -> Result<ServerProcess, Refusal> {
        let mut command = self.command();
        if let Some((_, writer)) = &self.full_stderr {
            command.stderr(writer.try_clone().expect("a descriptor"));
        }
        let mut child = command.spawn().expect("the binary runs");
        if self.is_stderr_unread {
            drop(child.stderr.take());
        }
        let output = Output::collect(&mut child);
        let deadline = Instant::now() + START_PATIENCE;
        loop {
            if let Some(address) = output.address("listening on http://") {
                return Ok(ServerProcess {
                    child,
                    address,
                    output,
                    data: self.data,
                    _full_stderr: self.full_stderr,
                });
            }
            if let Some(status) = child.try_wait().expect("a child to wait for") {
                // Its last words may still be in the pipe.
                output.wait_for_end();
                return Err(Refusal {
                    status,
                    output: output.text(),
                });
            }
            if Instant::now() > deadline {
                let _ = child.kill();
                let _ = child.wait();
                panic!("neither listening nor ended:\n{}", output.text());
            }
            output.wait_for_news();
        }
    }

    fn command(&self) -> Command {
        let mut command = corelane_in(&self.wrapper);
        command.args(["serve", "--listen", &self.listen]);
        if let Some(admin) = &self.admin {
            command.args(["--admin", admin]);
        }
        if !self.takes_defaults {
            command.args(["--engine", self.engine.name()]);
            command.arg("--core-map").arg(self.write_core_map());
        }
        command.arg("--data").arg(self.data.path().join("data"));
        if !self.demo {
            command.arg("--no-demo");
        }
        if let Some(config) = &self.config {
            let path = self.data.path().join("server.toml");
            std::fs::write(&path, config).expect("the config file");
            command.arg("--config").arg(path);
        }
        command
            .args(&self.arguments)
            .envs(self.environment.iter().cloned());
        command.current_dir(self.data.path());
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    /// As many shards as asked for, or as there are CPUs, one on each.
    fn write_core_map(&self) -> PathBuf {
        let cpus: Vec<String> = allowed_cpus(self.shards)
            .iter()
            .map(usize::to_string)
            .collect();
        let path = self.data.path().join("core-map.toml");
        let text = format!("cores = \"{}\"\nring_entries = 256\n", cpus.join(","));
        std::fs::write(&path, text).expect("the core map");
        path
    }
}

/// A pipe that takes nothing more.
fn full_pipe() -> (PipeReader, PipeWriter) {
    let (reader, mut writer) = std::io::pipe().expect("a pipe");
    rustix::io::ioctl_fionbio(&writer, true).expect("a flag");
    for piece in [&[b'x'; 512][..], b"x"] {
        while writer.write(piece).is_ok() {}
    }
    rustix::io::ioctl_fionbio(&writer, false).expect("a flag");
    (reader, writer)
}

/// The first `count` CPUs that this process may use.
fn allowed_cpus(count: usize) -> Vec<usize> {
    let set = rustix::thread::sched_getaffinity(None).expect("an affinity mask");
    let allowed = (0..rustix::thread::CpuSet::MAX_CPU).filter(|cpu| set.is_set(*cpu));
    allowed.take(count).collect()
}

/// The binary, without the settings that the environment may hold.
pub(crate) fn corelane() -> Command {
    corelane_in(&[])
}

/// As [`corelane`], started by another program.
fn corelane_in(wrapper: &[OsString]) -> Command {
    let binary = env!("CARGO_BIN_EXE_corelane");
    let mut command = match wrapper {
        [] => Command::new(binary),
        [program, arguments @ ..] => {
            let mut command = Command::new(program);
            command.args(arguments).arg(binary);
            command
        }
    };
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        if text.starts_with("CORELANE_") || text == "REDIS_URL" || text == "DATABASE_URL" {
            command.env_remove(name);
        }
    }
    command
}

/// A server that ended instead of listening.
#[derive(Debug)]
pub(crate) struct Refusal {
    pub(crate) status: ExitStatus,
    pub(crate) output: String,
}

/// A running server.
pub(crate) struct ServerProcess {
    child: Child,
    address: SocketAddr,
    output: Output,
    data: Data,
    /// Open as long as the server, or its writes would fail instead of waiting.
    _full_stderr: Option<(PipeReader, PipeWriter)>,
}

impl ServerProcess {
    /// Two shards, an empty database.
    pub(crate) fn start(engine: Engine) -> Self {
        Serve::on(engine).start()
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(crate) fn connect(&self) -> Client {
        Client::connect(self.address)
    }

    /// Where the admin listener is, if there is one.
    pub(crate) fn admin_address(&self) -> Option<SocketAddr> {
        self.wait_for_output("try it");
        self.output.address("  admin      http://")
    }

    /// The folder that holds its database folder `data`.
    pub(crate) fn data(&self) -> &Data {
        &self.data
    }

    /// What it has written to stdout and stderr.
    pub(crate) fn output(&self) -> String {
        self.output.text()
    }

    /// Waits until its output contains `text`.
    pub(crate) fn wait_for_output(&self, text: &str) {
        let deadline = Instant::now() + START_PATIENCE;
        while !self.output.text().contains(text) {
            assert!(Instant::now() < deadline, "no {text:?} in its output");
            self.output.wait_for_news();
        }
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(self.pid(), signal).expect("it runs");
    }

    /// `kill -9`, and gone when this returns.
    pub(crate) fn kill(mut self) -> Data {
        self.child.kill().expect("it runs");
        self.child.wait().expect("it ends");
        self.data.clone()
    }

    /// Waits for it to end by itself.
    pub(crate) fn wait_for_exit(&mut self, limit: Duration) -> ExitStatus {
        let deadline = Instant::now() + limit;
        loop {
            if let Some(status) = self.child.try_wait().expect("a child to wait for") {
                self.output.wait_for_end();
                return status;
            }
            assert!(Instant::now() < deadline, "still running after {limit:?}");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// SIGTERM, and whether it ended well.
    pub(crate) fn stop(mut self) -> Data {
        self.signal(Signal::TERM);
        let status = self.wait_for_exit(Duration::from_secs(15));
        assert_eq!(status.code(), Some(0), "{status}:\n{}", self.output());
        self.data.clone()
    }

    /// Resident memory, bytes.
    pub(crate) fn resident_bytes(&self) -> u64 {
        let path = format!("/proc/{}/status", self.child.id());
        let status = std::fs::read_to_string(path).expect("it runs");
        let line = status
            .lines()
            .find(|line| line.starts_with("VmRSS:"))
            .expect("VmRSS");
        let kib = line.split_whitespace().nth(1).expect("a number");
        kib.parse::<u64>().expect("a number") * 1024
    }

    /// Processor time of all its threads, by the clock's tick.
    pub(crate) fn processor_time(&self) -> Duration {
        let path = format!("/proc/{}/stat", self.child.id());
        let stat = std::fs::read_to_string(path).expect("it runs");
        // User and system time, fields 14 and 15; the name before may hold anything.
        let (_, fields) = stat.rsplit_once(") ").expect("a name");
        let times = fields.split(' ').skip(11).take(2);
        let ticks: u64 = times.map(|time| time.parse::<u64>().expect("a time")).sum();
        Duration::from_millis(ticks * 1_000 / rustix::param::clock_ticks_per_second())
    }

    /// Name and allowed CPUs of every thread, as `/proc` shows them.
    pub(crate) fn thread_cpus(&self) -> Vec<(String, String)> {
        let tasks = format!("/proc/{}/task", self.pid().as_raw_nonzero());
        let threads = std::fs::read_dir(tasks).expect("the process runs");
        let shown = threads.map(|thread| {
            let folder = thread.expect("a thread").path();
            let read = |file| std::fs::read_to_string(folder.join(file)).expect("a live thread");
            let status = read("status");
            let cpus = status
                .lines()
                .find_map(|line| line.strip_prefix("Cpus_allowed_list:"));
            let cpus = cpus.expect("an affinity").trim().to_owned();
            (read("comm").trim().to_owned(), cpus)
        });
        shown.collect()
    }

    fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }
}

impl Drop for ServerProcess {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("---- output of the server ----\n{}", self.output.text());
        }
    }
}

/// stdout and stderr together, as they come.
#[derive(Clone)]
struct Output(Arc<(Mutex<Collected>, Condvar)>);

#[derive(Default)]
struct Collected {
    text: String,
    pipes_open: usize,
}

impl Output {
    fn collect(child: &mut Child) -> Self {
        let output = Self(Arc::default());
        let stderr = child.stderr.take();
        output.0.0.lock().expect("no panic").pipes_open = 1 + usize::from(stderr.is_some());
        output.follow(child.stdout.take().expect("piped"));
        if let Some(stderr) = stderr {
            output.follow(stderr);
        }
        output
    }

    fn follow(&self, pipe: impl Read + Send + 'static) {
        let output = self.clone();
        std::thread::spawn(move || {
            let mut reader = BufReader::new(pipe);
            let mut line = Vec::new();
            while reader
                .read_until(b'\n', &mut line)
                .is_ok_and(|count| count > 0)
            {
                output.change(|collected| collected.text += &String::from_utf8_lossy(&line));
                line.clear();
            }
            output.change(|collected| collected.pipes_open -= 1);
        });
    }

    fn change(&self, change: impl FnOnce(&mut Collected)) {
        change(&mut self.0.0.lock().expect("no panic"));
        self.0.1.notify_all();
    }

    fn text(&self) -> String {
        self.0.0.lock().expect("no panic").text.clone()
    }

    /// The address that follows `label`.
    fn address(&self, label: &str) -> Option<SocketAddr> {
        let text = self.text();
        let (_, after) = text.split_once(label)?;
        let end = after.find(|c: char| c.is_whitespace() || c == '/')?;
        after[..end].parse().ok()
    }

    fn wait_for_news(&self) {
        let guard = self.0.0.lock().expect("no panic");
        let _ = self.0.1.wait_timeout(guard, Duration::from_millis(20));
    }

    fn wait_for_end(&self) {
        let guard = self.0.0.lock().expect("no panic");
        let patience = Duration::from_secs(2);
        let _ = self
            .0
            .1
            .wait_timeout_while(guard, patience, |collected| collected.pipes_open > 0);
    }
}
