//! Clients on threads of their own that connect one after the other, and count
//! who served them.

use std::collections::BTreeMap;
use std::io::{ErrorKind, Read};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

/// They connect until it ends.
pub(crate) struct Crowd {
    is_over: Arc<AtomicBool>,
    clients: Vec<JoinHandle<Served>>,
}

/// What came of it.
#[derive(Debug, Default)]
pub(crate) struct Served {
    /// Connections by the byte that greeted them.
    pub(crate) by: BTreeMap<u8, usize>,
    /// Refused, reset, or closed without a byte.
    pub(crate) failures: Vec<String>,
}

const CLIENTS: usize = 4;
/// A connection that nobody accepts waits as long as this.
const PATIENCE: Duration = Duration::from_secs(10);

impl Crowd {
    pub(crate) fn start(address: SocketAddr) -> Self {
        let is_over = Arc::new(AtomicBool::new(false));
        let client = |_| {
            let is_over = is_over.clone();
            std::thread::spawn(move || {
                let mut served = Served::default();
                while !is_over.load(Ordering::Relaxed) {
                    served.note(greeting(address));
                }
                served
            })
        };
        let clients = (0..CLIENTS).map(client).collect();
        Self { is_over, clients }
    }

    pub(crate) fn finish(self) -> Served {
        self.is_over.store(true, Ordering::Relaxed);
        let mut all = Served::default();
        for client in self.clients {
            let served = client.join().expect("a client");
            for (by, count) in served.by {
                *all.by.entry(by).or_default() += count;
            }
            all.failures.extend(served.failures);
        }
        all
    }
}

impl Served {
    pub(crate) fn note(&mut self, greeting: std::io::Result<u8>) {
        match greeting {
            Ok(by) => *self.by.entry(by).or_default() += 1,
            Err(error) => self.failures.push(error.to_string()),
        }
    }
}

/// Connects and waits for the first byte.
pub(crate) fn greeting(address: SocketAddr) -> std::io::Result<u8> {
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let mut byte = [0];
    match stream.read(&mut byte)? {
        0 => Err(ErrorKind::UnexpectedEof.into()),
        _ => Ok(byte[0]),
    }
}
