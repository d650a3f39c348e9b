//! SIGTERM drains, a second signal does not wait, and neither loses a request
//! that had begun.

use std::net::TcpStream;
use std::time::{Duration, Instant};

use corelane::{App, Response};
use rustix::process::Signal;

use crate::harness::{Client, Engine, InProcess, Serve, ServerProcess, sample_app};

both_engines!(
    an_idle_server_stops_at_once_with_exit_code_0,
    interrupt_is_as_good_as_terminate,
    idle_connections_are_closed_by_a_drain,
    a_connection_that_has_just_come_is_answered,
    a_request_in_flight_is_finished,
    a_response_under_way_is_finished,
    a_head_that_has_begun_is_answered_and_closed,
    new_connections_are_refused_during_a_drain,
    a_drain_has_a_deadline,
    a_handler_that_blocks_its_thread_is_left_behind,
    a_second_signal_exits_at_once,
    a_stopped_server_leaves_its_database_closed,
    a_server_whose_output_nobody_reads_still_drains,
    a_server_whose_stderr_is_full_starts_serves_and_drains,
    a_second_signal_exits_though_stderr_is_full,
);

fn an_idle_server_stops_at_once_with_exit_code_0(engine: Engine) {
    let mut server = ServerProcess::start(engine);
    let since = Instant::now();
    server.signal(Signal::TERM);
    let status = server.wait_for_exit(Duration::from_secs(5));
    assert_eq!(status.code(), Some(0), "{}", server.output());
    assert!(
        since.elapsed() < Duration::from_secs(2),
        "{:?}",
        since.elapsed()
    );
}

fn interrupt_is_as_good_as_terminate(engine: Engine) {
    let mut server = ServerProcess::start(engine);
    server.signal(Signal::INT);
    assert_eq!(server.wait_for_exit(Duration::from_secs(5)).code(), Some(0));
}

fn idle_connections_are_closed_by_a_drain(engine: Engine) {
    let mut server = ServerProcess::start(engine);
    let mut clients: Vec<Client> = (0..10).map(|_| server.connect()).collect();
    for client in &mut clients {
        client.expect_usable();
    }
    let fresh = &mut server.connect();
    std::thread::sleep(Duration::from_millis(50));
    server.signal(Signal::TERM);
    for client in &mut clients {
        client.expect_closed();
    }
    fresh.expect_closed();
    assert_eq!(server.wait_for_exit(Duration::from_secs(5)).code(), Some(0));
}

/// Accepted or still in the kernel's queue, with its request sent before or
/// just after the drain began: none is reset, none goes unanswered.
fn a_connection_that_has_just_come_is_answered(engine: Engine) {
    let mut server = ServerProcess::start(engine);
    let mut early: Vec<Client> = (0..20).map(|_| server.connect()).collect();
    for client in &mut early {
        client.send("GET /health/live HTTP/1.1\r\nHost: t\r\n\r\n");
    }
    let mut late: Vec<Client> = (0..5).map(|_| server.connect()).collect();
    server.signal(Signal::TERM);
    for client in &mut late {
        client.send("GET /health/live HTTP/1.1\r\nHost: t\r\n\r\n");
    }
    for client in early.iter_mut().chain(&mut late) {
        assert_eq!(client.read().status, 200);
        client.expect_ended();
    }
    assert_eq!(server.wait_for_exit(Duration::from_secs(5)).code(), Some(0));
}

fn a_request_in_flight_is_finished(engine: Engine) {
    let server = InProcess::start_with(engine, sample_app(), |options| {
        options.drain_timeout_ms = 5_000;
    });
    let mut slow = server.connect();
    slow.send("GET /slow/600 HTTP/1.1\r\nHost: a\r\n\r\n");
    let mut sending = server.connect();
    sending.send("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 6\r\n\r\nabc");
    std::thread::sleep(Duration::from_millis(100));
    server.handle().drain();
    std::thread::sleep(Duration::from_millis(100));
    sending.send("def");
    let response = sending.read().expect(200);
    assert_eq!(response.text(), "abcdef");
    assert_eq!(slow.read().expect(200).text(), "after 600 ms\n");
    slow.expect_closed();
    let report = server.finish();
    assert!(report.drained, "{report:?}");
}

/// The export reads its client's pace; the drain waits for it.
fn a_response_under_way_is_finished(engine: Engine) {
    let mut server = Serve::on(engine).demo().start();
    let whole = server.connect().get("/api/users/export").expect(200);
    let mut client = server.connect();
    client.send("GET /api/users/export HTTP/1.1\r\nHost: a\r\n\r\n");
    client.read_head();
    let mut body = client.read_chunk().expect("a first chunk");
    server.signal(Signal::TERM);
    while let Some(chunk) = client.read_chunk() {
        body.extend(chunk);
        std::thread::sleep(Duration::from_millis(5));
    }
    assert_eq!(body, whole.body);
    assert_eq!(
        server.wait_for_exit(Duration::from_secs(10)).code(),
        Some(0)
    );
}

fn a_head_that_has_begun_is_answered_and_closed(engine: Engine) {
    let server = InProcess::start_with(engine, sample_app(), |options| {
        options.drain_timeout_ms = 5_000;
    });
    let mut client = server.connect();
    client.send("GET /hello/a HTTP/1.1\r\nHo");
    std::thread::sleep(Duration::from_millis(50));
    server.handle().drain();
    std::thread::sleep(Duration::from_millis(50));
    client.send("st: a\r\n\r\n");
    assert!(client.read().expect(200).says_close());
}

fn new_connections_are_refused_during_a_drain(engine: Engine) {
    let server = InProcess::start_with(engine, sample_app(), |options| {
        options.drain_timeout_ms = 5_000;
    });
    let address = server.address();
    let mut slow = server.connect();
    slow.send("GET /slow/800 HTTP/1.1\r\nHost: a\r\n\r\n");
    std::thread::sleep(Duration::from_millis(50));
    server.handle().drain();
    std::thread::sleep(Duration::from_millis(200));
    assert!(TcpStream::connect_timeout(&address, Duration::from_secs(1)).is_err());
    slow.read().expect(200);
}

fn a_drain_has_a_deadline(engine: Engine) {
    let server = InProcess::start_with(engine, sample_app(), |options| {
        options.drain_timeout_ms = 300;
    });
    let mut slow = server.connect();
    slow.send("GET /slow/60000 HTTP/1.1\r\nHost: a\r\n\r\n");
    std::thread::sleep(Duration::from_millis(50));
    let since = Instant::now();
    let report = server.finish();
    let took = since.elapsed();
    assert!(took >= Duration::from_millis(290), "{took:?}");
    assert!(took < Duration::from_secs(4), "{took:?}");
    assert!(!report.drained && report.connections_cut == 1, "{report:?}");
    slow.expect_gone();
}

fn a_handler_that_blocks_its_thread_is_left_behind(engine: Engine) {
    let app = App::new().get("/block", async |_| {
        std::thread::sleep(Duration::from_secs(8));
        Ok(Response::text("unblocked\n"))
    });
    let server = InProcess::start_with(engine, app, |options| options.drain_timeout_ms = 200);
    server
        .connect()
        .send("GET /block HTTP/1.1\r\nHost: a\r\n\r\n");
    std::thread::sleep(Duration::from_millis(100));
    let since = Instant::now();
    let report = server.finish();
    assert!(since.elapsed() < Duration::from_secs(5), "{report:?}");
    assert!(!report.drained, "{report:?}");
}

fn a_second_signal_exits_at_once(engine: Engine) {
    let mut server = ServerProcess::start(engine);
    // A body that does not come holds the drain up.
    let mut client = server.connect();
    client.send(
        "POST /api/users HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n\
         Content-Length: 9\r\n\r\n{",
    );
    std::thread::sleep(Duration::from_millis(100));
    server.signal(Signal::TERM);
    server.wait_for_output("draining");
    std::thread::sleep(Duration::from_millis(300));
    let since = Instant::now();
    server.signal(Signal::TERM);
    let status = server.wait_for_exit(Duration::from_secs(5));
    assert!(since.elapsed() < Duration::from_secs(1));
    assert_ne!(status.code(), Some(0), "a cut drain is no success");
}

fn a_stopped_server_leaves_its_database_closed(engine: Engine) {
    let server = Serve::on(engine).demo().start();
    server.connect().get("/api/users/1").expect(200);
    let data = server.stop();
    let left: Vec<String> = std::fs::read_dir(data.path().join("data"))
        .expect("the data folder")
        .map(|entry| {
            entry
                .expect("an entry")
                .file_name()
                .to_string_lossy()
                .into_owned()
        })
        .filter(|name| name.ends_with("-wal") || name.ends_with("-shm"))
        .collect();
    assert!(left.is_empty(), "{left:?}: the log was not folded in");
}

/// As under `corelane serve 2>&1 | head`, or when what collects its log died.
fn a_server_whose_output_nobody_reads_still_drains(engine: Engine) {
    let mut server = Serve::on(engine).stderr_unread().start();
    server.signal(Signal::TERM);
    assert_eq!(server.wait_for_exit(Duration::from_secs(5)).code(), Some(0));
}

/// Nothing that acts waits for whoever should read: a reader that hangs does not
/// keep a server from its start, its work and its end.
fn a_server_whose_stderr_is_full_starts_serves_and_drains(engine: Engine) {
    let mut server = Serve::on(engine).demo().stderr_full().start();
    server.connect().get("/api/users/1").expect(200);
    let mut idle = server.connect();
    idle.get("/health/live").expect(200);
    let since = Instant::now();
    server.signal(Signal::TERM);
    idle.expect_closed();
    assert!(TcpStream::connect_timeout(&server.address(), Duration::from_secs(1)).is_err());
    assert_eq!(server.wait_for_exit(Duration::from_secs(8)).code(), Some(0));
    assert!(
        since.elapsed() < Duration::from_secs(8),
        "{:?}",
        since.elapsed()
    );
}

fn a_second_signal_exits_though_stderr_is_full(engine: Engine) {
    let mut server = Serve::on(engine).stderr_full().start();
    let mut client = server.connect();
    client.send("POST /api/users HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n{");
    std::thread::sleep(Duration::from_millis(100));
    server.signal(Signal::TERM);
    std::thread::sleep(Duration::from_millis(500));
    let since = Instant::now();
    server.signal(Signal::TERM);
    let status = server.wait_for_exit(Duration::from_secs(5));
    assert!(since.elapsed() < Duration::from_secs(2));
    assert_ne!(status.code(), Some(0), "a cut drain is no success");
}
