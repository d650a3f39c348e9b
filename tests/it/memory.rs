//! Memory of a burst is given back: half a minute after it the process is about as
//! large as before.

use std::thread;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::harness::{Client, Engine, Serve, ServerProcess};

both_engines!(
    logins_give_their_memory_back,
    large_bodies_give_their_memory_back,
    connections_that_left_give_their_memory_back,
);

/// What a burst may leave behind.
const LEFT_BYTES_MAX: u64 = 16 << 20;

/// A server that has done a little of everything, and its size then.
fn start(engine: Engine) -> (ServerProcess, u64) {
    let server = Serve::on(engine)
        .demo()
        .config("[rate_limit.rules]\n\"POST /api/session\" = \"\"\n")
        .start();
    let mut client = server.connect();
    for path in [
        "/api/users",
        "/api/users/1",
        "/health",
        "/metrics",
        "/api/posts",
    ] {
        client.get(path).expect(200);
    }
    thread::sleep(Duration::from_millis(500));
    let idle = server.resident_bytes();
    (server, idle)
}

#[track_caller]
fn must_shrink(server: &ServerProcess, idle: u64) {
    let deadline = Instant::now() + Duration::from_secs(30);
    let mib = |bytes: u64| bytes >> 20;
    let peak = server.resident_bytes();
    loop {
        // Nothing is asked meanwhile: it has to be done unasked.
        thread::sleep(Duration::from_millis(500));
        let now = server.resident_bytes();
        if now <= idle + LEFT_BYTES_MAX {
            println!(
                "{} MiB, {} after the burst, {} now",
                mib(idle),
                mib(peak),
                mib(now)
            );
            return;
        }
        assert!(
            Instant::now() < deadline,
            "{} MiB before, {} right after, {} half a minute later",
            mib(idle),
            mib(peak),
            mib(now)
        );
    }
}

fn guess(client: &mut Client) {
    let login = json!({"email": "nobody@example.org", "password": "correct horse"});
    client
        .send_json("POST", "/api/session", &[], &login)
        .expect(401);
}

fn logins_give_their_memory_back(engine: Engine) {
    let (server, idle) = start(engine);
    for _ in 0..16 {
        guess(&mut server.connect());
    }
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| guess(&mut server.connect()));
        }
    });
    must_shrink(&server, idle);
}

fn large_bodies_give_their_memory_back(engine: Engine) {
    let (server, idle) = start(engine);
    let body = vec![b' '; 1 << 20];
    let headers = [("Content-Type", "application/json")];
    thread::scope(|scope| {
        for _ in 0..48 {
            scope.spawn(|| {
                let mut client = server.connect();
                for _ in 0..2 {
                    client
                        .request("POST", "/api/users", &headers, &body)
                        .expect(400);
                }
            });
        }
    });
    must_shrink(&server, idle);
    // Of a size that a request often has, all of them there at once.
    let body = vec![b' '; 100_000];
    let head = "POST /api/users HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n";
    let mut clients: Vec<Client> = (0..400).map(|_| server.connect()).collect();
    for client in &mut clients {
        client.send(format!("{head}Content-Length: {}\r\n\r\n", body.len()));
        client.send(&body[1..]);
    }
    for client in &mut clients {
        client.send(" ");
        client.read().expect(400);
    }
    drop(clients);
    must_shrink(&server, idle);
}

fn connections_that_left_give_their_memory_back(engine: Engine) {
    let (server, idle) = start(engine);
    for _ in 0..2 {
        let mut clients: Vec<Client> = (0..2_000).map(|_| server.connect()).collect();
        for client in &mut clients {
            client.get("/api/users/1").expect(200);
        }
    }
    must_shrink(&server, idle);
}
