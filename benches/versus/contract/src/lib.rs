//! What the Rust rivals share: the environment that the runner starts them in,
//! listeners and pinning, and the users and items that they answer with. Only
//! what runs before the first request, so that no rival's hot path is here.

use std::net::{SocketAddr, TcpListener};
use std::os::fd::AsFd;
use std::path::PathBuf;

use rustix::net::{AddressFamily, SocketType, sockopt};

mod items;
mod users;

pub use items::{Item, ItemsBody};
pub use users::{User, Users};

/// Connections that the kernel holds for a listener until they are accepted.
const BACKLOG: i32 = 4096;

/// What the environment says.
pub struct Start {
    pub address: SocketAddr,
    /// CPU ids, one worker each; never empty.
    pub cores: Vec<usize>,
    pub static_dir: Option<PathBuf>,
    users_file: Option<PathBuf>,
    dataset_file: Option<PathBuf>,
}

impl Start {
    /// Reads the environment and raises the limit of open files to what is allowed.
    ///
    /// # Panics
    /// When `PORT` or `CORES` is missing, or a variable is not what it should be.
    pub fn from_environment() -> Self {
        let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile);
        let raised = rustix::process::Rlimit {
            current: limit.maximum,
            maximum: limit.maximum,
        };
        // Left as it is when refused: few connections work all the same.
        let _ = rustix::process::setrlimit(rustix::process::Resource::Nofile, raised);
        let host = variable("HOST").unwrap_or_else(|| "127.0.0.1".to_owned());
        let port = variable("PORT").expect("PORT says where to listen, such as PORT=8080");
        let cores = variable("CORES").expect("CORES lists CPU ids, such as CORES=0,1");
        let cores = cores.split(',').map(|cpu| {
            let cpu = cpu.trim().parse();
            cpu.expect("CORES lists CPU ids, such as CORES=0,1")
        });
        Self {
            address: SocketAddr::new(
                host.parse().expect("HOST is an IP address"),
                port.parse().expect("PORT is a port number"),
            ),
            cores: cores.collect(),
            static_dir: variable("STATIC_DIR").map(PathBuf::from),
            users_file: variable("USERS_FILE").map(PathBuf::from),
            dataset_file: variable("DATASET_FILE").map(PathBuf::from),
        }
    }

    /// The users of `USERS_FILE`; none when it is not set.
    ///
    /// # Panics
    /// When the file cannot be read or a line is not a user with its line's id.
    pub fn users(&self) -> Users {
        self.users_file
            .as_deref()
            .map_or_else(Users::default, Users::read)
    }

    /// The items of `DATASET_FILE`; none when it is not set.
    ///
    /// # Panics
    /// When the file cannot be read or is not an array of items.
    pub fn items(&self) -> Vec<Item> {
        self.dataset_file
            .as_deref()
            .map_or_else(Vec::new, items::read)
    }

    /// A nonblocking listener with SO_REUSEPORT: each worker has its own. What
    /// is accepted from it inherits TCP_NODELAY.
    ///
    /// # Panics
    /// When the address is taken by somebody else.
    pub fn listen(&self) -> TcpListener {
        let family = match self.address {
            SocketAddr::V4(_) => AddressFamily::INET,
            SocketAddr::V6(_) => AddressFamily::INET6,
        };
        let socket = rustix::net::socket(family, SocketType::STREAM, None).expect("a socket");
        sockopt::set_socket_reuseaddr(&socket, true).expect("SO_REUSEADDR");
        sockopt::set_socket_reuseport(&socket, true).expect("SO_REUSEPORT");
        sockopt::set_tcp_nodelay(&socket, true).expect("TCP_NODELAY");
        rustix::net::bind(socket.as_fd(), &self.address).expect("the address is free");
        rustix::net::listen(&socket, BACKLOG).expect("listens");
        let listener = TcpListener::from(socket);
        listener.set_nonblocking(true).expect("nonblocking");
        listener
    }

    /// Runs `worker` on a thread for each core, pinned to it, each with a
    /// listener of its own; says so when all listen. Never returns.
    ///
    /// # Panics
    /// When a worker ends: the process then ends, and the runner sees it.
    pub fn run<W: FnOnce(TcpListener) + Send>(&self, mut worker: impl FnMut() -> W) {
        std::thread::scope(|scope| {
            for &cpu in &self.cores {
                let (listener, worker) = (self.listen(), worker());
                scope.spawn(move || {
                    pin(cpu);
                    worker(listener);
                    eprintln!("the worker of CPU {cpu} ended");
                    std::process::exit(1);
                });
            }
            self.say_listening();
        });
    }

    /// The line that benchmarks wait for.
    pub fn say_listening(&self) {
        println!("listening on http://{}", self.address);
    }
}

/// Pins the calling thread.
///
/// # Panics
/// When there is no such CPU or it is not allowed.
pub fn pin(cpu: usize) {
    confine(&[cpu]);
}

/// Keeps the calling thread, and those it starts from now on, to these CPUs.
///
/// # Panics
/// When one of them does not exist or is not allowed.
pub fn confine(cores: &[usize]) {
    let mut cpus = rustix::thread::CpuSet::new();
    cores.iter().for_each(|&cpu| cpus.set(cpu));
    let confined = rustix::thread::sched_setaffinity(None, &cpus);
    confined.unwrap_or_else(|error| panic!("CORES {cores:?} cannot be used: {error}"));
}

/// A variable that is set and not empty.
fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}
