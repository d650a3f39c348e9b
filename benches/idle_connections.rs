//! Memory of an idle keep-alive connection: resident bytes of the server over
//! 10,000 of them, each after one request; both engines.
//!
//! `cargo bench --bench idle_connections -- [COUNT]`. Needs twice COUNT open
//! files (`ulimit -n`); uses as many as the limit allows and says so.

mod support;

use std::io::{Read, Write};
use std::net::TcpStream;

use corelane::internals::topology::EngineKind;

fn main() {
    support::serve_if_asked();
    let wanted = std::env::args()
        .filter_map(|arg| arg.parse().ok())
        .next()
        .unwrap_or(10_000);
    let count = allowed_connections(wanted);
    for engine in [EngineKind::IoUring, EngineKind::Epoll] {
        let server = support::corelane(engine, 0);
        // The first connections pay for what all share.
        drop(open(server.port, 100));
        let before = server.rss_bytes();
        let connections = open(server.port, count);
        std::thread::sleep(std::time::Duration::from_millis(1500));
        let bytes = server.rss_bytes().saturating_sub(before) / connections.len() as u64;
        println!(
            "{:9} {} idle connections: {bytes} bytes each",
            engine.name(),
            connections.len()
        );
    }
}

/// Connections that have each had one answer and now wait.
fn open(port: u16, count: usize) -> Vec<TcpStream> {
    let mut connections = Vec::with_capacity(count);
    let mut buffer = [0; 1024];
    for _ in 0..count {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).expect("a connection");
        stream
            .write_all(b"GET / HTTP/1.1\r\nHost: bench\r\n\r\n")
            .expect("a request");
        let n = stream.read(&mut buffer).expect("an answer");
        assert!(buffer[..n].starts_with(b"HTTP/1.1 200 OK"), "a good answer");
        connections.push(stream);
    }
    connections
}

/// Raises the soft limit of open files as far as it goes.
fn allowed_connections(wanted: usize) -> usize {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    let _ = setrlimit(
        Resource::Nofile,
        Rlimit {
            current: limit.maximum,
            maximum: limit.maximum,
        },
    );
    let most = getrlimit(Resource::Nofile)
        .current
        .unwrap_or(u64::MAX)
        .saturating_sub(64) as usize;
    if most < wanted {
        println!("the limit of open files allows {most} of {wanted} connections");
    }
    wanted.min(most)
}
