//! A private Redis server that keeps nothing on disk, and keys of a test's own
//! on the one of the whole run.

use std::borrow::Borrow;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::ops::Deref;
use std::process::Command;
use std::time::Duration;

use rustix::process::Signal;
use tempfile::TempDir;

use crate::child::{Server, becomes, free_port};
use crate::run::REDIS;

/// A running server, which also stands for its database 0.
#[derive(Debug)]
pub struct Redis {
    server: Server,
    folder: TempDir,
    keyspace: Keyspace,
}

impl Redis {
    /// Starts one.
    ///
    /// # Panics
    /// When there is no Redis on this machine; `apt-get install redis-server`
    /// brings it.
    pub fn start() -> Self {
        let folder = TempDir::new().expect("a folder");
        for _ in 0..5 {
            let port = free_port();
            let mut server = launch(&folder, port);
            if becomes(&mut server, || answers(port)) {
                return Self {
                    server,
                    folder,
                    keyspace: Keyspace::new(port, 0),
                };
            }
        }
        panic!("Redis does not start");
    }

    /// `kill -9`.
    pub fn kill(&mut self) {
        self.server.kill();
    }

    /// Starts it again on the same port, empty.
    pub fn start_again(&mut self) {
        self.server = launch(&self.folder, self.port());
        let port = self.port();
        assert!(
            becomes(&mut self.server, || answers(port)),
            "Redis starts again"
        );
    }

    /// SIGSTOP: connections stay, nothing is answered.
    pub fn freeze(&self) {
        self.server.signal(Signal::STOP);
    }

    /// SIGCONT after [`freeze`](Self::freeze).
    pub fn thaw(&self) {
        self.server.signal(Signal::CONT);
    }
}

impl Deref for Redis {
    type Target = Keyspace;

    fn deref(&self) -> &Keyspace {
        &self.keyspace
    }
}

impl Borrow<Keyspace> for Redis {
    fn borrow(&self) -> &Keyspace {
        &self.keyspace
    }
}

/// One database of a server: `KEYS`, `DBSIZE` and `FLUSHDB` see nothing else.
/// Clients, scripts, counters and settings are the server's: a test that looks
/// at those starts its own.
#[derive(Debug)]
pub struct Keyspace {
    port: u16,
    number: u32,
    /// Its server, if that is nobody else's.
    _server: Option<Box<Redis>>,
}

/// How many a server has. Taken in turn, so that one is free again long before
/// it is taken again.
const DATABASES: u32 = 1024;

impl Keyspace {
    /// An empty one on the server of the run, or on one of its own if there is
    /// no run.
    ///
    /// # Panics
    /// When the server says no.
    pub fn take() -> Self {
        let Ok(url) = std::env::var(REDIS) else {
            let server = Redis::start();
            return Self {
                port: server.port(),
                number: 0,
                _server: Some(Box::new(server)),
            };
        };
        let port = url.strip_prefix("redis://127.0.0.1:");
        let port = port.and_then(|rest| rest.strip_suffix("/0")?.parse().ok());
        let port = port.unwrap_or_else(|| panic!("{REDIS} is no address of ours: {url}"));
        let taken = Self::new(port, 0).cli(&["INCR", "taken"]);
        let taken: u32 = taken.parse().expect("a number");
        let new = Self::new(port, 1 + taken % (DATABASES - 1));
        assert_eq!(new.cli(&["FLUSHDB"]), "OK");
        new
    }

    fn new(port: u16, number: u32) -> Self {
        let _server = None;
        Self {
            port,
            number,
            _server,
        }
    }

    /// The TCP port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The address over TCP.
    pub fn url(&self) -> String {
        self.url_through(self.port)
    }

    /// The address through a proxy on that port.
    pub fn url_through(&self, port: u16) -> String {
        format!("redis://127.0.0.1:{port}/{}", self.number)
    }

    /// Runs a command with redis-cli, as somebody outside.
    ///
    /// # Panics
    /// When redis-cli does.
    pub fn cli(&self, arguments: &[&str]) -> String {
        let output = Command::new("redis-cli")
            .args(["-p", &self.port.to_string(), "-n", &self.number.to_string()])
            .args(arguments)
            .output()
            .expect("redis-cli runs");
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }
}

fn launch(folder: &TempDir, port: u16) -> Server {
    let (port, folder) = (port.to_string(), folder.path().display().to_string());
    let databases = DATABASES.to_string();
    let command = [
        "redis-server",
        "--databases",
        &databases,
        "--port",
        &port,
        "--bind",
        "127.0.0.1",
        "--save",
        "",
        "--appendonly",
        "no",
        "--dir",
        &folder,
    ];
    Server::start(&command, "", Signal::TERM)
}

fn answers(port: u16) -> bool {
    let ask = || -> std::io::Result<bool> {
        let mut stream = TcpStream::connect(("127.0.0.1", port))?;
        stream.set_read_timeout(Some(Duration::from_secs(1)))?;
        stream.write_all(b"PING\r\n")?;
        let mut answer = [0; 7];
        stream.read_exact(&mut answer)?;
        Ok(&answer == b"+PONG\r\n")
    };
    ask().unwrap_or(false)
}
