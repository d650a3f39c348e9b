//! A TCP proxy that can stop, reset and refuse what goes through it.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// A proxy on a port of its own. Ends with the value.
#[derive(Debug)]
pub struct Proxy {
    port: u16,
    state: Arc<State>,
}

#[derive(Debug)]
struct State {
    upstream: Mutex<SocketAddr>,
    /// Bytes are held back, in both directions.
    is_stalled: AtomicBool,
    /// What the server says is held back; what the client says goes through.
    is_deaf: AtomicBool,
    /// New connections are reset at once.
    is_refusing: AtomicBool,
    delay_ms: AtomicU64,
    connections: Mutex<Vec<TcpStream>>,
    accepted: AtomicU64,
    is_over: AtomicBool,
}

impl Proxy {
    /// A proxy to a port of this machine.
    pub fn to(port: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let own = listener.local_addr().expect("an address").port();
        let state = Arc::new(State {
            upstream: Mutex::new(SocketAddr::from(([127, 0, 0, 1], port))),
            is_stalled: AtomicBool::new(false),
            is_deaf: AtomicBool::new(false),
            is_refusing: AtomicBool::new(false),
            delay_ms: AtomicU64::new(0),
            connections: Mutex::default(),
            accepted: AtomicU64::new(0),
            is_over: AtomicBool::new(false),
        });
        let accepting = state.clone();
        std::thread::spawn(move || accepting.accept(&listener));
        Self { port: own, state }
    }

    /// The port to connect to.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// How many connections it has ever accepted.
    pub fn accepted(&self) -> u64 {
        self.state.accepted.load(Ordering::SeqCst)
    }

    /// Resets every connection there is; new ones are taken.
    pub fn reset(&self) {
        let mut connections = self.state.connections();
        for stream in connections.drain(..) {
            reset(&stream);
        }
    }

    /// Leads new connections to another port; those there are stay.
    pub fn lead_to(&self, port: u16) {
        let upstream = SocketAddr::from(([127, 0, 0, 1], port));
        *self
            .state
            .upstream
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = upstream;
    }

    /// Holds all bytes back, or lets them go.
    pub fn stall(&self, on: bool) {
        self.state.is_stalled.store(on, Ordering::SeqCst);
    }

    /// Holds back what the server answers; requests still reach it.
    pub fn hold_answers(&self, on: bool) {
        self.state.is_deaf.store(on, Ordering::SeqCst);
    }

    /// Resets connections that exist and new ones, or takes them again.
    pub fn refuse(&self, on: bool) {
        self.state.is_refusing.store(on, Ordering::SeqCst);
        if on {
            self.reset();
        }
    }

    /// Delays each piece, in each direction, by this much.
    pub fn delay(&self, delay: Duration) {
        self.state
            .delay_ms
            .store(delay.as_millis() as u64, Ordering::SeqCst);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.state.is_over.store(true, Ordering::SeqCst);
        self.reset();
        // Ends the accepting thread.
        let _ = TcpStream::connect(("127.0.0.1", self.port));
    }
}

impl State {
    fn connections(&self) -> std::sync::MutexGuard<'_, Vec<TcpStream>> {
        self.connections
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn accept(self: Arc<Self>, listener: &TcpListener) {
        for client in listener.incoming().flatten() {
            if self.is_over.load(Ordering::SeqCst) {
                return;
            }
            self.accepted.fetch_add(1, Ordering::SeqCst);
            let upstream = *self.upstream.lock().unwrap_or_else(PoisonError::into_inner);
            if self.is_refusing.load(Ordering::SeqCst) {
                reset(&client);
                continue;
            }
            let Ok(server) = TcpStream::connect(upstream) else {
                reset(&client);
                continue;
            };
            let _ = (client.set_nodelay(true), server.set_nodelay(true));
            let twin = |stream: &TcpStream| stream.try_clone().expect("a descriptor");
            self.connections().extend([twin(&client), twin(&server)]);
            let (from, to) = (twin(&client), twin(&server));
            let state = self.clone();
            std::thread::spawn(move || state.carry(from, to, false));
            let state = self.clone();
            std::thread::spawn(move || state.carry(server, client, true));
        }
    }

    fn carry(&self, mut from: TcpStream, mut to: TcpStream, is_answer: bool) {
        let mut buffer = vec![0; 64 * 1024];
        loop {
            let count = match from.read(&mut buffer) {
                Ok(0) | Err(_) => break,
                Ok(count) => count,
            };
            let delay = self.delay_ms.load(Ordering::SeqCst);
            if delay > 0 {
                std::thread::sleep(Duration::from_millis(delay));
            }
            while self.is_stalled.load(Ordering::SeqCst)
                || is_answer && self.is_deaf.load(Ordering::SeqCst)
            {
                if self.is_over.load(Ordering::SeqCst) {
                    return;
                }
                std::thread::sleep(Duration::from_millis(1));
            }
            if to.write_all(&buffer[..count]).is_err() {
                break;
            }
        }
        let _ = to.shutdown(Shutdown::Write);
    }
}

/// Closes with a reset instead of an end.
fn reset(stream: &TcpStream) {
    let socket = socket2::SockRef::from(stream);
    let _ = socket.set_linger(Some(Duration::ZERO));
    let _ = stream.shutdown(Shutdown::Both);
}
