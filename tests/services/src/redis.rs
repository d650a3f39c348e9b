//! A private Redis server that keeps nothing on disk.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::Command;
use std::time::Duration;

use rustix::process::Signal;
use tempfile::TempDir;

use crate::child::{Server, becomes, free_port};

/// A running server.
#[derive(Debug)]
pub struct Redis {
    server: Server,
    folder: TempDir,
    port: u16,
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
                    port,
                };
            }
        }
        panic!("Redis does not start");
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
        format!("redis://127.0.0.1:{port}/0")
    }

    /// Runs a command with redis-cli, as somebody outside.
    ///
    /// # Panics
    /// When redis-cli does.
    pub fn cli(&self, arguments: &[&str]) -> String {
        let output = Command::new("redis-cli")
            .args(["-p", &self.port.to_string()])
            .args(arguments)
            .output()
            .expect("redis-cli runs");
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }

    /// `kill -9`.
    pub fn kill(&mut self) {
        self.server.kill();
    }

    /// Starts it again on the same port, empty.
    pub fn start_again(&mut self) {
        self.server = launch(&self.folder, self.port);
        let port = self.port;
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

fn launch(folder: &TempDir, port: u16) -> Server {
    let (port, folder) = (port.to_string(), folder.path().display().to_string());
    let command = [
        "redis-server",
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
