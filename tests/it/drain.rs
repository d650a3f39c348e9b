//! What a drain tells the clients whose connections it ends: every answer says
//! so from its first moment, who is about to ask is still answered, and nobody
//! is reset.

use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::harness::{As, Client, Engine, InProcess, Serve, sample_app};

both_engines!(
    a_request_whose_body_was_under_way_is_told_of_the_end,
    a_request_whose_handler_was_at_work_is_told_of_the_end,
    every_kind_of_answer_tells_of_the_end,
    a_request_on_its_way_to_an_idle_connection_is_answered,
    idle_connections_end_after_their_grace_and_not_all_at_once,
    a_request_that_comes_too_late_is_not_reset,
    a_drain_is_whole_though_its_time_is_shorter_than_the_grace,
    the_grace_is_a_key,
);

const GRACE: Duration = Duration::from_secs(1);

fn start(engine: Engine) -> InProcess {
    InProcess::start_with(engine, sample_app(), |options| {
        options.drain_timeout_ms = 8_000;
        options.keep_alive_grace_ms = GRACE.as_millis() as u64;
    })
}

fn pause(ms: u64) {
    std::thread::sleep(Duration::from_millis(ms));
}

fn a_request_whose_body_was_under_way_is_told_of_the_end(engine: Engine) {
    let server = start(engine);
    let mut clients: Vec<Client> = (0..8).map(|_| server.connect()).collect();
    for (index, client) in clients.iter_mut().enumerate() {
        if index % 2 == 0 {
            client.expect_usable();
        }
        client.send("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nhello");
    }
    pause(100);
    server.handle().drain();
    pause(300);
    for client in &mut clients {
        client.send("world");
        let response = client.read().expect(200);
        assert_eq!(response.text(), "helloworld");
        assert!(response.says_close());
        client.expect_closed();
    }
    assert!(server.finish().drained);
}

fn a_request_whose_handler_was_at_work_is_told_of_the_end(engine: Engine) {
    let server = start(engine);
    let mut client = server.connect();
    client.send("GET /slow/400 HTTP/1.1\r\nHost: a\r\n\r\n");
    pause(100);
    server.handle().drain();
    assert!(client.read().expect(200).says_close());
    client.expect_closed();
}

/// On connections that were idle when it began.
fn every_kind_of_answer_tells_of_the_end(engine: Engine) {
    let server = start(engine);
    let requests = [
        ("GET", "/hello/a", 200),
        ("HEAD", "/hello/a", 200),
        ("GET", "/stream/3", 200),
        ("GET", "/slow/20", 200),
        ("GET", "/nowhere", 404),
        ("POST", "/hello/a", 405),
    ];
    let mut clients: Vec<Client> = requests.iter().map(|_| server.connect()).collect();
    clients.iter_mut().for_each(Client::expect_usable);
    server.handle().drain();
    pause(100);
    for ((method, path, status), client) in requests.iter().zip(&mut clients) {
        client.send(format!("{method} {path} HTTP/1.1\r\nHost: a\r\n\r\n"));
        let answer_to = if *method == "HEAD" { As::Head } else { As::Get };
        let response = client.read_as(answer_to).expect(*status);
        assert!(response.says_close(), "{method} {path}");
        client.expect_closed();
    }
    assert!(server.finish().drained);
}

fn a_request_on_its_way_to_an_idle_connection_is_answered(engine: Engine) {
    let server = start(engine);
    let mut clients: Vec<Client> = (0..20).map(|_| server.connect()).collect();
    clients.iter_mut().for_each(Client::expect_usable);
    let mut fresh = server.connect();
    pause(50);
    server.handle().drain();
    pause(700);
    for client in clients.iter_mut().chain([&mut fresh]) {
        client.send("GET /hello/a HTTP/1.1\r\nHost: a\r\n\r\n");
        assert!(client.read().expect(200).says_close());
        client.expect_closed();
    }
    assert!(server.finish().drained);
}

fn idle_connections_end_after_their_grace_and_not_all_at_once(engine: Engine) {
    let server = start(engine);
    let mut clients: Vec<Client> = (0..20).map(|_| server.connect()).collect();
    clients.iter_mut().for_each(Client::expect_usable);
    let since = Instant::now();
    server.handle().drain();
    let ends: Vec<_> = std::thread::scope(|scope| {
        let waits = clients.iter_mut().map(|client| {
            scope.spawn(move || {
                client.expect_closed();
                since.elapsed()
            })
        });
        let waits: Vec<_> = waits.collect();
        waits
            .into_iter()
            .map(|wait| wait.join().expect("an end"))
            .collect()
    });
    let (first, last) = (
        ends.iter().min().expect("20"),
        ends.iter().max().expect("20"),
    );
    assert!(*first >= GRACE, "{ends:?}");
    assert!(*last >= *first + GRACE / 10, "{ends:?}");
    assert!(server.finish().drained);
}

/// It gets the end that was sent before it came.
fn a_request_that_comes_too_late_is_not_reset(engine: Engine) {
    let server = start(engine);
    let mut client = server.connect();
    client.expect_usable();
    server.handle().drain();
    client.expect_closed();
    client.send("GET /hello/a HTTP/1.1\r\nHost: a\r\n\r\n");
    client.expect_no_reset();
    assert!(server.finish().drained);
}

fn a_drain_is_whole_though_its_time_is_shorter_than_the_grace(engine: Engine) {
    let server = InProcess::start_with(engine, sample_app(), |options| {
        options.drain_timeout_ms = 400;
        options.keep_alive_grace_ms = 60_000;
    });
    let mut client = server.connect();
    client.expect_usable();
    let report = server.finish();
    assert!(report.drained && report.connections_cut == 0, "{report:?}");
    client.expect_closed();
}

fn the_grace_is_a_key(engine: Engine) {
    for (ms, least, most) in [(0, 0, 1_500), (2_000, 2_000, 8_000)] {
        let config = format!("[server]\nkeep_alive_grace_ms = {ms}\n");
        let mut server = Serve::on(engine).config(config).start();
        let mut client = server.connect();
        client.get("/health/live").expect(200);
        let since = Instant::now();
        server.signal(Signal::TERM);
        client.expect_closed();
        let took = since.elapsed();
        assert!(took >= Duration::from_millis(least), "{took:?} of {ms} ms");
        assert!(took < Duration::from_millis(most), "{took:?} of {ms} ms");
        assert_eq!(server.wait_for_exit(Duration::from_secs(5)).code(), Some(0));
    }
}
