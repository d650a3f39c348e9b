//! Accepting, and the two ways to stop.

use std::net::{SocketAddr, TcpListener};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::mpsc::{Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use corelane_engine::{
    EngineKind, Listener, NotListening, Stop, TcpStream, adopt_std, bind_std, remote, sleep,
    spawn_local,
};
use rustix::fs::{OFlags, fcntl_getfl};
use rustix::io::{FdFlags, fcntl_getfd, fcntl_setfd};

use crate::crowd::{Crowd, Served, greeting};
use crate::{build, run};

every_driver!(
    every_connection_is_accepted,
    a_hand_over_loses_no_connection,
    a_hand_over_to_the_other_driver_loses_no_connection,
    a_hand_over_leaves_the_socket_as_it_is,
    a_nonblocking_socket_is_accepted_from,
    a_listener_may_stop_before_anybody_comes,
    a_close_serves_what_waits_and_frees_the_port,
    accepted_sockets_are_not_inherited,
);

const ANY: ([u8; 4], u16) = ([127, 0, 0, 1], 0);

fn bind() -> (TcpListener, SocketAddr) {
    let listener = bind_std(ANY.into(), 1_024).expect("a port");
    let address = listener.local_addr().expect("an address");
    (listener, address)
}

/// A listener at work on a thread of its own that greets with one byte.
struct Greeter {
    thread: JoinHandle<usize>,
    stop: Sender<Stop>,
}

impl Greeter {
    fn start(driver: EngineKind, listener: TcpListener, byte: u8) -> Self {
        let (stop, stopped) = channel();
        let (ready, is_ready) = channel();
        let thread = std::thread::spawn(move || {
            run(driver, async move {
                let listener = Listener::from_std(listener).expect("a listener");
                let served = std::rc::Rc::new(std::cell::Cell::new(0));
                let count = served.clone();
                listener.run(move |accepted| {
                    let (stream, _) = accepted.expect("a connection");
                    count.set(count.get() + 1);
                    spawn_local(greet(stream, byte));
                });
                ready.send(()).expect("a test");
                let (told, how) = remote();
                std::thread::spawn(move || told.send(stopped.recv().expect("a stop")));
                assert!(listener.stop(how.await.expect("a stop")).await);
                assert!(listener.is_quiet());
                served.get()
            })
        });
        is_ready.recv().expect("a start");
        Self { thread, stop }
    }

    /// How many it has accepted.
    fn stop(self, how: Stop) -> usize {
        self.stop.send(how).expect("a greeter");
        self.thread.join().expect("a greeter")
    }
}

async fn greet(stream: TcpStream, byte: u8) {
    let (_receiver, mut sender) = stream.into_halves();
    let (written, _) = sender.write_rest(vec![byte], 0, |_| ()).await;
    drop(written);
}

fn every_connection_is_accepted(driver: EngineKind) {
    let (listener, address) = bind();
    let greeter = Greeter::start(driver, listener, b'a');
    let crowd = Crowd::start(address);
    std::thread::sleep(Duration::from_millis(300));
    let served = crowd.finish();
    let accepted = greeter.stop(Stop::Close);
    assert!(served.failures.is_empty(), "{:?}", served.failures);
    assert_eq!(served.by.get(&b'a'), Some(&accepted));
}

fn a_hand_over_loses_no_connection(driver: EngineKind) {
    hand_over_often(driver, driver);
}

/// The flags of the open socket suit one of them only.
fn a_hand_over_to_the_other_driver_loses_no_connection(driver: EngineKind) {
    let other = match driver {
        EngineKind::IoUring => EngineKind::Epoll,
        EngineKind::Epoll => EngineKind::IoUring,
    };
    hand_over_often(driver, other);
}

const HAND_OVERS: u8 = 12;

/// From one to the next, under load; every connection is served by somebody,
/// and nobody accepts one that it does not serve.
fn hand_over_often(one: EngineKind, other: EngineKind) {
    let (socket, address) = bind();
    let again = || socket.try_clone().expect("a descriptor");
    let mut accepted = Vec::new();
    let mut current = Greeter::start(one, again(), 0);
    let crowd = Crowd::start(address);
    for next in 1..=HAND_OVERS {
        let driver = if next % 2 == 0 { one } else { other };
        let successor = Greeter::start(driver, again(), next);
        std::thread::sleep(Duration::from_millis(20));
        accepted.push(current.stop(Stop::HandOver));
        std::thread::sleep(Duration::from_millis(20));
        current = successor;
    }
    let Served { by, failures } = crowd.finish();
    accepted.push(current.stop(Stop::Close));
    assert!(failures.is_empty(), "{failures:?} beside {by:?}");
    let greeted = |index| by.get(&(index as u8)).copied().unwrap_or(0);
    for (index, count) in accepted.iter().enumerate() {
        assert_eq!(greeted(index), *count, "by {index} of {by:?}");
    }
    assert!(by.len() > usize::from(HAND_OVERS) / 2, "{by:?}");
}

fn a_hand_over_leaves_the_socket_as_it_is(driver: EngineKind) {
    let (socket, address) = bind();
    let greeter = Greeter::start(driver, socket.try_clone().expect("a descriptor"), b'a');
    assert_eq!(greeting(address).expect("a greeting"), b'a');
    let before = flags(&socket);
    greeter.stop(Stop::HandOver);
    assert_eq!(flags(&socket), before);
    let greeter = Greeter::start(driver, socket.try_clone().expect("a descriptor"), b'a');
    greeter.stop(Stop::Leave);
    assert_eq!(flags(&socket), before);
    // It listens on, and who comes waits.
    let waits = std::thread::spawn(move || greeting(address));
    let successor = Greeter::start(driver, socket, b'b');
    assert_eq!(waits.join().expect("a client").expect("a greeting"), b'b');
    successor.stop(Stop::Close);
}

fn flags(socket: impl AsFd) -> OFlags {
    fcntl_getfl(socket).expect("flags")
}

/// As a predecessor on epoll leaves it; and its flag may come at any time.
fn a_nonblocking_socket_is_accepted_from(driver: EngineKind) {
    let (socket, address) = bind();
    let greeter = Greeter::start(driver, socket.try_clone().expect("a descriptor"), b'a');
    assert_eq!(greeting(address).expect("a greeting"), b'a');
    socket.set_nonblocking(true).expect("a flag");
    let mut served = Served::default();
    for _ in 0..40 {
        served.note(greeting(address));
    }
    assert_eq!(served.by.get(&b'a'), Some(&40), "{served:?}");
    assert_eq!(greeter.stop(Stop::HandOver), 41);
    assert!(flags(&socket).contains(OFlags::NONBLOCK));
    let successor = Greeter::start(driver, socket, b'b');
    assert_eq!(greeting(address).expect("a greeting"), b'b');
    successor.stop(Stop::Close);
}

fn a_listener_may_stop_before_anybody_comes(driver: EngineKind) {
    for how in [Stop::HandOver, Stop::Leave, Stop::Close] {
        let (socket, _) = bind();
        let since = Instant::now();
        assert_eq!(Greeter::start(driver, socket, b'a').stop(how), 0);
        assert!(since.elapsed() < Duration::from_secs(1));
    }
    // Nor need it have run.
    run(driver, async {
        let listener = Listener::from_std(bind().0).expect("a listener");
        assert!(listener.stop(Stop::HandOver).await);
        assert!(listener.stop(Stop::Close).await);
    });
}

fn a_close_serves_what_waits_and_frees_the_port(driver: EngineKind) {
    const WAITING: usize = 100;
    let (socket, address) = bind();
    let kept = socket.try_clone().expect("a descriptor");
    let clients: Vec<_> = (0..WAITING)
        .map(|_| std::net::TcpStream::connect(address).expect("room in the queue"))
        .collect();
    assert_eq!(
        Greeter::start(driver, socket, b'a').stop(Stop::Close),
        WAITING
    );
    for mut client in clients {
        let mut byte = [0];
        std::io::Read::read_exact(&mut client, &mut byte).expect("a greeting");
        assert_eq!(byte, [b'a']);
    }
    // For everybody who holds it.
    let refused = std::net::TcpStream::connect(address).map_err(|error| error.kind());
    assert_eq!(refused.err(), Some(std::io::ErrorKind::ConnectionRefused));
    drop(kept);
    let again = corelane_engine::bind_alone_std(address, 1).expect("the port is free");
    assert_eq!(again.local_addr().expect("an address"), address);
}

fn accepted_sockets_are_not_inherited(driver: EngineKind) {
    let (socket, address) = bind();
    let mut runtime = build(driver);
    let client = std::net::TcpStream::connect(address).expect("room in the queue");
    runtime.block_on(async {
        let listener = Listener::from_std(socket).expect("a listener");
        let accepted = std::rc::Rc::new(std::cell::RefCell::new(Vec::new()));
        let keep = accepted.clone();
        listener.run(move |one| keep.borrow_mut().push(one.expect("a connection")));
        while accepted.borrow().is_empty() {
            sleep(Duration::from_millis(1)).await;
        }
        let ours = client.peer_addr().expect("an address");
        assert_eq!(inherited_sockets_at(ours), 0);
        listener.stop(Stop::Close).await;
    });
    runtime.shutdown();
}

/// Descriptors of this process with that local address that a child would
/// inherit.
fn inherited_sockets_at(address: SocketAddr) -> usize {
    let open = std::fs::read_dir("/proc/self/fd").expect("descriptors");
    let numbers = open.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    let is_inherited = |number: &i32| {
        let socket = std::fs::File::open(format!("/proc/self/fdinfo/{number}"));
        let info = socket.and_then(std::io::read_to_string).unwrap_or_default();
        let flags = info.lines().find_map(|line| line.strip_prefix("flags:"));
        let flags = flags.and_then(|text| u32::from_str_radix(text.trim(), 8).ok());
        flags.is_some_and(|flags| flags & OFlags::CLOEXEC.bits() == 0)
    };
    let local = local_inodes(address);
    let is_ours = |number: &i32| {
        let link = std::fs::read_link(format!("/proc/self/fd/{number}")).unwrap_or_default();
        local.iter().any(|inode| link.to_str() == Some(inode))
    };
    numbers.filter(|n| is_ours(n) && is_inherited(n)).count()
}

/// `socket:[inode]` of what /proc/net/tcp has at that local address.
fn local_inodes(address: SocketAddr) -> Vec<String> {
    let port = format!(":{:04X}", address.port());
    let table = std::fs::read_to_string("/proc/net/tcp").expect("a table");
    let fields = table
        .lines()
        .map(|line| line.split_whitespace().collect::<Vec<_>>());
    let ours = fields.filter(|fields| fields.get(1).is_some_and(|at| at.ends_with(&port)));
    let inodes = ours.filter_map(|fields| fields.get(9).map(|inode| format!("socket:[{inode}]")));
    inodes.collect()
}

#[test]
fn only_a_listening_tcp_socket_is_adopted() {
    let (socket, address) = bind();
    fcntl_setfd(&socket, FdFlags::empty()).expect("a flag");
    let kept = socket.try_clone().expect("a descriptor");
    let adopted = adopt_std(OwnedFd::from(socket)).expect("a listener");
    assert_eq!(adopted.local_addr().expect("an address"), address);
    let flags = fcntl_getfd(&adopted).expect("flags");
    assert!(flags.contains(FdFlags::CLOEXEC));
    let connected = std::net::TcpStream::connect(address).expect("a connection");
    drop(kept);
    let refused = adopt_std(OwnedFd::from(connected));
    assert!(matches!(refused, Err(NotListening::Silent)), "{refused:?}");
    let file = std::fs::File::open("/proc/self/exe").expect("a file");
    let refused = adopt_std(OwnedFd::from(file));
    assert!(
        matches!(refused, Err(NotListening::NoSocket)),
        "{refused:?}"
    );
    let datagrams = std::net::UdpSocket::bind(SocketAddr::from(ANY)).expect("a port");
    let refused = adopt_std(OwnedFd::from(datagrams));
    assert!(matches!(refused, Err(NotListening::NotTcp)), "{refused:?}");
    let (local, _) = std::os::unix::net::UnixStream::pair().expect("a pair");
    let refused = adopt_std(OwnedFd::from(local));
    assert!(matches!(refused, Err(NotListening::NotTcp)), "{refused:?}");
}
