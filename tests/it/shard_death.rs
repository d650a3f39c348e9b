//! A shard whose own loop dies: its connections are lost, the others go on
//! serving, and a successor takes its place on the same port.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use corelane::App;

use crate::harness::{Client, Engine, InProcess, sample_app};

both_engines!(
    a_dead_shard_is_restarted_and_counted,
    the_other_shards_do_not_notice,
    connections_of_a_dead_shard_end,
    a_successor_builds_its_state_anew,
    a_shard_that_dies_again_and_again_is_restarted_ever_later,
    a_death_during_a_request_is_no_hang,
    a_server_with_one_shard_comes_back,
    the_state_of_every_ended_shard_is_dropped,
);

/// A connection to shard `index` of a server whose shards all live.
fn connect_to_shard(server: &InProcess, index: usize) -> Client {
    for _ in 0..200 {
        let mut client = server.connect();
        let answer = client.get("/shard").expect(200);
        if answer.text().starts_with(&format!("{index} ")) {
            return client;
        }
    }
    panic!("none of 200 connections came to shard {index}");
}

/// Waits until the incarnation `restarts` of shard `index` answers a new
/// connection. Its dying predecessor may have taken one with it.
fn wait_for_shard(server: &InProcess, index: usize, restarts: u32) -> Duration {
    let since = Instant::now();
    let wanted = format!("{index} {restarts}");
    while since.elapsed() < Duration::from_secs(10) {
        if shard_of_new_connection(server.address()).as_ref() == Some(&wanted) {
            return since.elapsed();
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    panic!("shard {index} did not come back");
}

/// Which shard answers, if one does in time; the kernel may queue us at a dead
/// one.
fn shard_of_new_connection(address: SocketAddr) -> Option<String> {
    let mut stream = TcpStream::connect(address).ok()?;
    stream
        .set_read_timeout(Some(Duration::from_millis(500)))
        .ok()?;
    stream
        .write_all(b"GET /shard HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        .ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    Some(answer.rsplit("\r\n\r\n").next()?.to_owned())
}

fn a_dead_shard_is_restarted_and_counted(engine: Engine) {
    let server = InProcess::start(engine, sample_app());
    let mut witness = connect_to_shard(&server, 1);
    server.handle().crash_shard(1);
    witness.expect_gone();
    wait_for_shard(&server, 1, 1);
    assert_eq!(server.finish().restarts, 1);
}

fn the_other_shards_do_not_notice(engine: Engine) {
    let server = InProcess::start(engine, sample_app());
    let mut steady = connect_to_shard(&server, 0);
    let stop = AtomicBool::new(false);
    let answered = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                let response = steady.get("/hello/a").expect(200);
                assert_eq!(response.text(), "Hello, a!\n");
                answered.fetch_add(1, Ordering::Relaxed);
            }
        });
        for restarts in 1..=3 {
            server.handle().crash_shard(1);
            wait_for_shard(&server, 1, restarts);
        }
        stop.store(true, Ordering::Relaxed);
    });
    assert!(answered.load(Ordering::Relaxed) > 10);
}

fn connections_of_a_dead_shard_end(engine: Engine) {
    let server = InProcess::start(engine, sample_app());
    let mut idle: Vec<Client> = (0..5).map(|_| connect_to_shard(&server, 1)).collect();
    server.handle().crash_shard(1);
    for client in &mut idle {
        client.expect_gone();
    }
}

fn a_successor_builds_its_state_anew(engine: Engine) {
    let built: Arc<Mutex<Vec<(usize, u32)>>> = Arc::default();
    let seen = built.clone();
    let app: App = sample_app().state(move |info| {
        let built = built.clone();
        async move {
            built
                .lock()
                .expect("no panic")
                .push((info.index, info.restarts));
            Ok(info.index)
        }
    });
    let server = InProcess::start(engine, app);
    server.handle().crash_shard(1);
    wait_for_shard(&server, 1, 1);
    drop(server);
    let mut seen = seen.lock().expect("no panic").clone();
    seen.sort_unstable();
    assert_eq!(seen, [(0, 0), (1, 0), (1, 1)]);
}

fn a_shard_that_dies_again_and_again_is_restarted_ever_later(engine: Engine) {
    let server = InProcess::start_with(engine, sample_app(), |options| {
        options.restart_delay_ms = 50;
        options.restart_delay_max_ms = 400;
    });
    let mut waits = Vec::new();
    for restarts in 1..=5 {
        let mut witness = connect_to_shard(&server, 1);
        server.handle().crash_shard(1);
        witness.expect_gone();
        waits.push(wait_for_shard(&server, 1, restarts));
    }
    assert!(waits[4] > waits[0], "no back-off: {waits:?}");
    assert!(
        waits[4] < Duration::from_secs(3),
        "over the limit: {waits:?}"
    );
}

fn a_death_during_a_request_is_no_hang(engine: Engine) {
    let server = InProcess::start(engine, sample_app());
    let mut waiting = connect_to_shard(&server, 1);
    waiting.send("GET /slow/60000 HTTP/1.1\r\nHost: a\r\n\r\n");
    let mut sending = connect_to_shard(&server, 1);
    sending.send("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\nabc");
    std::thread::sleep(Duration::from_millis(50));
    let since = Instant::now();
    server.handle().crash_shard(1);
    waiting.expect_gone();
    sending.expect_ended();
    assert!(since.elapsed() < Duration::from_secs(5));
    wait_for_shard(&server, 1, 1);
}

fn a_server_with_one_shard_comes_back(engine: Engine) {
    let server = InProcess::start_shards(engine, 1, sample_app(), |options| {
        options.restart_delay_ms = 500;
    });
    let mut client = server.connect();
    client.expect_usable();
    server.handle().crash_shard(0);
    client.expect_gone();
    std::thread::sleep(Duration::from_millis(200));
    // Nobody is there now: it waits in the kernel's queue and is not reset.
    server.connect().expect_usable();
}

/// A store connection that is never dropped is a descriptor lost.
fn the_state_of_every_ended_shard_is_dropped(engine: Engine) {
    struct Counted(Arc<AtomicUsize>);
    impl Drop for Counted {
        fn drop(&mut self) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }
    let dropped: Arc<AtomicUsize> = Arc::default();
    let counter = dropped.clone();
    let app = sample_app().state(move |_| {
        let counted = Counted(counter.clone());
        async move { Ok(counted) }
    });
    let server = InProcess::start(engine, app);
    let mut client = connect_to_shard(&server, 1);
    server.handle().crash_shard(1);
    client.expect_gone();
    wait_for_shard(&server, 1, 1);
    assert_eq!(dropped.load(Ordering::SeqCst), 1, "of the dead shard");
    connect_to_shard(&server, 0).expect_usable();
    server.finish();
    assert_eq!(dropped.load(Ordering::SeqCst), 3, "of all shards");
}
