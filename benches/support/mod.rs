//! What the macro-benchmarks share: servers as children, their CPU time, wrk.
//! `args` reads the command line, `run` writes run folders, `client` asks one
//! thing at a time, `pair` has two shards in this process to ask it of.
#![allow(dead_code, unreachable_pub)]

pub mod args;
pub mod client;
pub mod pair;
pub mod run;

use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use corelane::internals::topology::{CoreMapOptions, CoreSelection, EngineKind, Machine, place};
use corelane::server::ServerOptions;
use corelane::{App, Response, Server};

/// A server process; ended when dropped.
pub struct ServerProcess {
    pub port: u16,
    child: Child,
}

impl ServerProcess {
    /// Starts `command` and waits until it says where it listens.
    pub fn start(mut command: Command, port: u16) -> Self {
        // Ended and waited for by the drop of what is returned.
        #[allow(clippy::zombie_processes)]
        let mut child = command
            .stdout(Stdio::piped())
            .spawn()
            .expect("the server starts");
        let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines();
        while let Some(Ok(line)) = lines.next() {
            if line.starts_with("listening on") {
                return Self { port, child };
            }
        }
        panic!("{command:?} ended before it listened");
    }

    /// Asks it to end, as `kill` does, and waits until it has.
    pub fn terminate(mut self) {
        let id = i32::try_from(self.child.id()).expect("a process id");
        let id = rustix::process::Pid::from_raw(id).expect("it runs");
        let _ = rustix::process::kill_process(id, rustix::process::Signal::TERM);
        let _ = self.child.wait();
    }

    /// CPU time of all its threads, nanoseconds, from schedstat.
    pub fn cpu_ns(&self) -> u64 {
        let tasks = format!("/proc/{}/task", self.child.id());
        let threads = std::fs::read_dir(tasks).expect("the server runs");
        threads
            .filter_map(|thread| {
                std::fs::read_to_string(thread.ok()?.path().join("schedstat")).ok()
            })
            .filter_map(|text| text.split(' ').next()?.parse::<u64>().ok())
            .sum()
    }

    /// Resident memory, bytes: private and shared.
    pub fn rss_bytes(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id()));
        let status = status.expect("the server runs");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
        kib.expect("VmRSS") * 1024
    }
}

impl Drop for ServerProcess {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A port nobody listens on.
pub fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("bound").port()
}

/// The raw epoll loop on one CPU, not started yet.
pub fn raw_epoll(port: u16, cpu: usize) -> Command {
    let mut command = Command::new(build_rival("raw-epoll"));
    command.env("PORT", port.to_string());
    command.env("CORES", cpu.to_string());
    command
}

/// This benchmark's executable as a corelane server with one shard; see
/// [`serve_if_asked`].
pub fn corelane(engine: EngineKind, cpu: usize) -> ServerProcess {
    corelane_with(engine, cpu, &[])
}

/// [`corelane`] with more arguments, for [`serve_app_if_asked`].
pub fn corelane_with(engine: EngineKind, cpu: usize, more: &[&str]) -> ServerProcess {
    let port = free_port();
    let mut command = corelane_command(engine, port, cpu);
    command.args(more);
    ServerProcess::start(command, port)
}

/// What [`corelane`] starts.
pub fn corelane_command(engine: EngineKind, port: u16, cpu: usize) -> Command {
    let mut command = Command::new(std::env::current_exe().expect("this executable"));
    command.args(["--serve", engine.name()]);
    command.args([port.to_string(), cpu.to_string()]);
    command
}

/// Becomes the server of [`corelane`] if the arguments say so.
pub fn serve_if_asked() {
    serve_app_if_asked(|| App::new().get("/", async |_| Ok(Response::text("Hello, World!"))));
}

/// Becomes a server of this app, with one shard, if the arguments say so.
pub fn serve_app_if_asked(app: impl FnOnce() -> App) {
    let args: Vec<String> = std::env::args().collect();
    let Some(at) = args.iter().position(|arg| arg == "--serve") else {
        return;
    };
    let engine = EngineKind::from_name(&args[at + 1]).expect("an engine");
    let machine = Machine::read().expect("the machine");
    let cpu = args[at + 3].parse().expect("a CPU");
    let map = CoreMapOptions {
        cores: CoreSelection::List(vec![cpu]),
        ..Default::default()
    };
    let mut placement = place(&machine, &map).expect("the CPU exists");
    placement.shards[0].engine = Some(engine);
    let port: u16 = args[at + 2].parse().expect("a port");
    let options = ServerOptions {
        listen: ([127, 0, 0, 1], port).into(),
        require_io_uring: true,
        ..Default::default()
    };
    let server = Server::new(app()).options(options).placement(placement);
    let handle = server.start().unwrap_or_else(|error| panic!("{error}"));
    println!("listening on {}", handle.local_addr());
    handle.wait();
    std::process::exit(0);
}

/// The top folder of the repository.
fn root() -> &'static Path {
    let mut above = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors();
    above.nth(2).expect("a crate of the workspace")
}

/// Builds a rival in its own package and gives its executable.
pub fn build_rival(name: &str) -> PathBuf {
    let target = root().join("target/rivals");
    let manifest = root()
        .join("benches/versus/rivals")
        .join(name)
        .join("Cargo.toml");
    let status = Command::new(env!("CARGO"))
        .args([
            "build",
            "--release",
            "--quiet",
            "--locked",
            "--manifest-path",
        ])
        .arg(manifest)
        .arg("--target-dir")
        .arg(&target)
        .status();
    assert!(
        status.expect("cargo runs").success(),
        "{name} does not build"
    );
    target.join("release").join(name)
}

/// What wrk counted.
pub struct Load {
    pub requests: u64,
    pub seconds: f64,
    pub errors: u64,
}

/// What wrk asks for.
#[derive(Debug, Clone, Default)]
pub struct Target {
    /// Path and query.
    pub path: String,
    /// A header line to send, if any.
    pub header: Option<String>,
    /// A script in `benches/support`, if any.
    pub script: Option<&'static str>,
}

/// Runs wrk on `cpu` against `port`.
pub fn wrk(port: u16, cpu: usize, connections: u32, seconds: u32) -> Load {
    let target = Target {
        path: "/".to_owned(),
        ..Target::default()
    };
    wrk_at(&target, port, cpu, connections, seconds)
}

/// [`wrk`], asking for `target`.
pub fn wrk_at(target: &Target, port: u16, cpu: usize, connections: u32, seconds: u32) -> Load {
    let mut command = Command::new("taskset");
    command
        .args(["-c", &cpu.to_string(), "wrk", "-t1"])
        .args([format!("-c{connections}"), format!("-d{seconds}s")]);
    if let Some(header) = &target.header {
        command.args(["-H", header]);
    }
    if let Some(script) = target.script {
        let folder = root().join("benches/support");
        command.arg("-s").arg(folder.join(script));
    }
    let output = command
        .arg(format!("http://127.0.0.1:{port}{}", target.path))
        .output()
        .expect("wrk and taskset are installed: apt-get install wrk util-linux");
    let text = String::from_utf8_lossy(&output.stdout);
    let counted = text
        .lines()
        .find_map(|line| line.trim().split_once(" requests in "));
    let (requests, rest) = counted.unwrap_or_else(|| panic!("wrk said: {text}"));
    let seconds = rest
        .split("s,")
        .next()
        .and_then(|s| s.trim().parse().ok())
        .expect("seconds");
    let errors = text
        .lines()
        .filter(|l| l.contains("Non-2xx") || l.contains("Socket errors"));
    Load {
        requests: requests.trim().parse().expect("a count"),
        seconds,
        errors: errors.count() as u64,
    }
}

/// Median, least and greatest.
pub fn spread(values: &[f64]) -> (f64, f64, f64) {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    (
        sorted[sorted.len() / 2],
        sorted[0],
        sorted[sorted.len() - 1],
    )
}

/// What a program says on standard output, or else on standard error.
pub fn said(program: &str, args: &[&str]) -> String {
    let Ok(output) = Command::new(program).args(args).output() else {
        return format!("{program}: not found");
    };
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
    let told = text(&output.stdout);
    if told.is_empty() {
        text(&output.stderr)
    } else {
        told
    }
}

/// What the kernel does about the flaws of this CPU, in a line.
fn mitigations() -> String {
    let folder = std::fs::read_dir("/sys/devices/system/cpu/vulnerabilities");
    let entries = folder.into_iter().flatten().flatten();
    let told = |entry: std::fs::DirEntry| {
        let text = std::fs::read_to_string(entry.path()).ok()?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let affected = text.trim() != "Not affected";
        affected.then(|| format!("{name}: {}", text.trim()))
    };
    let mut all: Vec<String> = entries.filter_map(told).collect();
    all.sort();
    match all.is_empty() {
        true => "none shown".to_owned(),
        false => all.join("; "),
    }
}

/// What a run folder says of the machine and the program.
pub fn describe_host() -> String {
    let cpu = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpu
        .lines()
        .find_map(|line| line.strip_prefix("model name"))
        .unwrap_or("");
    let governor = "/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor";
    let governor = std::fs::read_to_string(governor).unwrap_or_else(|_| "none shown".to_owned());
    let command: Vec<String> = std::env::args()
        .skip(1)
        .filter(|arg| arg != "--bench")
        .collect();
    format!(
        "- arguments: `{}`\n- commit: {}\n- kernel: {}\n- CPU: {} x {}\n- governor: {}\n\
         - mitigations: {}\n- {}\n- {}\n",
        command.join(" "),
        said("git", &["describe", "--always", "--dirty"]),
        said("uname", &["-sr"]),
        cpu.lines()
            .filter(|line| line.starts_with("processor"))
            .count(),
        model.trim_start_matches([' ', '\t', ':']),
        governor.trim(),
        mitigations(),
        said("rustc", &["--version"]),
        said("wrk", &["-v"])
            .lines()
            .next()
            .unwrap_or("wrk")
            .split(" Copyright")
            .next()
            .unwrap_or("wrk"),
    )
}
