//! Listening sockets that were handed in: all are accepted from, and a drain
//! leaves them to whoever comes next.

use std::net::{SocketAddr, TcpListener};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use corelane::internals::engine::{bind_alone_std, bind_std};
use corelane::{App, Response};
use rustix::fs::{OFlags, fcntl_getfl};

use crate::harness::{Client, Engine, InProcess};

both_engines!(
    a_drain_loses_no_connection_to_the_successor,
    a_drain_leaves_the_sockets_as_they_are,
    a_bound_socket_is_closed_by_a_drain,
    one_shard_accepts_from_many_sockets,
    many_shards_accept_from_one_socket,
    sockets_outlive_a_shard,
    an_admin_listener_is_handed_in_too,
    what_is_no_listener_is_refused,
);

/// Listening sockets of one address, as a supervisor keeps them.
struct Kept(Vec<TcpListener>);

impl Kept {
    fn bind(count: usize) -> Self {
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let first = bind_std(any, 1_024).expect("a port");
        let address = first.local_addr().expect("an address");
        let others = (1..count).map(|_| bind_std(address, 1_024).expect("the same port"));
        Self([first].into_iter().chain(others).collect())
    }

    fn address(&self) -> SocketAddr {
        self.0[0].local_addr().expect("an address")
    }

    fn hand_down(&self) -> Vec<OwnedFd> {
        let again = |one: &TcpListener| one.try_clone().expect("a descriptor").into();
        self.0.iter().map(again).collect()
    }

    fn flags(&self) -> Vec<OFlags> {
        let flags = |one| fcntl_getfl(one).expect("flags");
        self.0.iter().map(flags).collect()
    }

    /// A server that says who it is.
    fn serve(&self, engine: Engine, shards: usize, name: &'static str) -> InProcess {
        let app = App::new().get("/", move |_| async move { Ok(Response::text(name)) });
        let sockets = self.hand_down();
        let build = |server: corelane::Server| server.adopt(sockets);
        let started = InProcess::start_built(engine, shards, app, |_| {}, build);
        let server = started.unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(server.address(), self.address());
        server
    }
}

/// Who answers one request on a connection of its own.
fn ask(address: SocketAddr) -> std::io::Result<String> {
    let mut client = Client::try_connect(address)?;
    client.send_if_taken("GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    let answer = client.try_read()?;
    Ok(answer.text().to_owned())
}

fn a_drain_loses_no_connection_to_the_successor(engine: Engine) {
    let kept = Kept::bind(2);
    let mut current = kept.serve(engine, 2, "first");
    let address = kept.address();
    let is_over = Arc::new(AtomicBool::new(false));
    let clients: Vec<_> = (0..3)
        .map(|_| {
            let is_over = is_over.clone();
            std::thread::spawn(move || {
                let mut answers = Vec::new();
                while !is_over.load(Ordering::Relaxed) {
                    answers.push(ask(address));
                }
                answers
            })
        })
        .collect();
    for name in ["second", "third", "fourth", "fifth"] {
        let successor = kept.serve(engine, 2, name);
        std::thread::sleep(Duration::from_millis(50));
        let report = std::mem::replace(&mut current, successor).finish();
        assert!(report.drained, "{report:?}");
        std::thread::sleep(Duration::from_millis(50));
    }
    is_over.store(true, Ordering::Relaxed);
    let answers = clients
        .into_iter()
        .flat_map(|client| client.join().expect("a client"));
    let answers: Vec<_> = answers.map(|answer| answer.expect("an answer")).collect();
    for name in ["first", "second", "third", "fourth", "fifth"] {
        assert!(answers.iter().any(|answer| answer == name), "{name}");
    }
    current.finish();
    drop(kept);
    bind_alone_std(address, 1).expect("the port is free");
}

fn a_drain_leaves_the_sockets_as_they_are(engine: Engine) {
    let kept = Kept::bind(2);
    let first = kept.serve(engine, 2, "first");
    assert_eq!(ask(kept.address()).expect("an answer"), "first");
    let before = kept.flags();
    first.finish();
    assert_eq!(kept.flags(), before);
    // Who comes now waits.
    let address = kept.address();
    let waits: Vec<_> = (0..8)
        .map(|_| std::thread::spawn(move || ask(address)))
        .collect();
    std::thread::sleep(Duration::from_millis(50));
    let _second = kept.serve(engine, 1, "second");
    for one in waits {
        let answer = one.join().expect("a client").expect("an answer");
        assert_eq!(answer, "second");
    }
}

fn a_bound_socket_is_closed_by_a_drain(engine: Engine) {
    let server = InProcess::start(engine, App::new());
    let address = server.address();
    server.finish();
    let refused = ask(address).map_err(|error| error.kind());
    assert_eq!(refused, Err(std::io::ErrorKind::ConnectionRefused));
    bind_alone_std(address, 1).expect("the port is free");
}

/// The kernel spreads connections over the sockets whoever accepts from them.
fn one_shard_accepts_from_many_sockets(engine: Engine) {
    let kept = Kept::bind(5);
    let _server = kept.serve(engine, 1, "one");
    for _ in 0..50 {
        assert_eq!(ask(kept.address()).expect("an answer"), "one");
    }
}

fn many_shards_accept_from_one_socket(engine: Engine) {
    let kept = Kept::bind(1);
    let _server = kept.serve(engine, 3, "all");
    for _ in 0..50 {
        assert_eq!(ask(kept.address()).expect("an answer"), "all");
    }
}

fn sockets_outlive_a_shard(engine: Engine) {
    let kept = Kept::bind(2);
    let server = kept.serve(engine, 1, "still");
    let before = kept.flags();
    server.handle().crash_shard(0);
    for _ in 0..20 {
        // A connection that the dying shard had accepted is lost with it.
        let _ = ask(kept.address());
    }
    assert_eq!(ask(kept.address()).expect("an answer"), "still");
    assert_eq!(kept.flags(), before);
    assert_eq!(server.finish().restarts, 1);
}

fn an_admin_listener_is_handed_in_too(engine: Engine) {
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    let socket = bind_alone_std(any, 16).expect("a port");
    let address = socket.local_addr().expect("an address");
    for name in ["first", "second"] {
        let admin = App::new().get("/", move |_| async move { Ok(Response::text(name)) });
        let again = socket.try_clone().expect("a descriptor").into();
        let build = |server: corelane::Server| server.adopt_admin(again);
        let app = App::new().admin(admin);
        let started = InProcess::start_built(engine, 2, app, |_| {}, build);
        let server = started.unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(server.handle().admin_addr(), Some(address));
        assert_eq!(ask(address).expect("an answer"), name);
        server.finish();
    }
}

fn what_is_no_listener_is_refused(engine: Engine) {
    let kept = Kept::bind(1);
    let connected = std::net::TcpStream::connect(kept.address()).expect("a connection");
    let mut sockets = kept.hand_down();
    sockets.push(connected.into());
    let build = |server: corelane::Server| server.adopt(sockets);
    let refusal = InProcess::start_built(engine, 1, App::new(), |_| {}, build);
    let message = refusal.err().expect("a refusal").to_string();
    assert!(
        message.contains("socket 1 of those handed in: it does not listen"),
        "{message}"
    );
    // It is told by the socket who can reach the admin listener.
    let everywhere = SocketAddr::from(([0, 0, 0, 0], 0));
    let socket = bind_alone_std(everywhere, 16).expect("a port").into();
    let build = |server: corelane::Server| server.adopt_admin(socket);
    let refusal = InProcess::start_built(engine, 1, App::new(), |_| {}, build);
    let message = refusal.err().expect("a refusal").to_string();
    assert!(message.contains("has no token"), "{message}");
}
