//! `kill -9` in a loop while clients write: every write that was answered is
//! there afterwards, and nothing is there twice or in half.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Mutex;
use std::time::Duration;

use serde_json::{Value, json};

use crate::harness::{Data, Engine, Serve, ServerProcess};

either_engine!(
    answered_writes_survive_kill_9,
    answered_updates_and_deletes_survive_kill_9,
    a_killed_server_starts_again_without_repair,
);

const KILLS: usize = 5;
const WRITERS: usize = 6;

/// One request on a connection of its own; `None` if the server died in it.
fn exchange(address: SocketAddr, method: &str, path: &str, body: &str) -> Option<(u16, Value)> {
    let mut stream = TcpStream::connect(address).ok()?;
    stream
        .set_read_timeout(Some(Duration::from_secs(10)))
        .ok()?;
    let length = body.len();
    let request = format!(
        "{method} {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\
         Content-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"
    );
    stream.write_all(request.as_bytes()).ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    let (head, body) = answer.split_once("\r\n\r\n")?;
    let status = head.get(9..12)?.parse().ok()?;
    let declared = head.lines().find_map(|line| {
        line.to_ascii_lowercase()
            .strip_prefix("content-length: ")?
            .parse()
            .ok()
    });
    let whole = declared.unwrap_or(0) == body.len();
    whole.then(|| (status, serde_json::from_str(body).unwrap_or(Value::Null)))
}

/// Runs `write` on several threads until the server is killed under them.
fn write_until_killed(
    server: ServerProcess,
    after: Duration,
    write: impl Fn(SocketAddr, usize, usize) -> bool + Sync,
) -> Data {
    let address = server.address();
    let mut data = None;
    std::thread::scope(|scope| {
        for writer in 0..WRITERS {
            let write = &write;
            scope.spawn(move || {
                let mut number = 0;
                while write(address, writer, number) {
                    number += 1;
                }
            });
        }
        std::thread::sleep(after);
        data = Some(server.kill());
    });
    data.expect("the killed server's data")
}

fn answered_writes_survive_kill_9(engine: Engine) {
    let answered: Mutex<BTreeMap<i64, String>> = Mutex::default();
    let mut server = ServerProcess::start(engine);
    for round in 0..KILLS {
        let pause = Duration::from_millis(150 + 70 * round as u64);
        let data = write_until_killed(server, pause, |address, writer, number| {
            let email = format!("r{round}w{writer}n{number}@example.org");
            let user = json!({"name": "a", "email": email, "age": 1}).to_string();
            match exchange(address, "POST", "/api/users", &user) {
                Some((201, json)) => {
                    let id = json["id"].as_i64().expect("an id");
                    answered.lock().expect("no panic").insert(id, email);
                    true
                }
                Some((503, _)) => true,
                Some((status, json)) => panic!("{status} {json}"),
                None => false,
            }
        });
        server = Serve::on(engine).data(&data).start();
        let mut client = server.connect();
        for (id, email) in answered.lock().expect("no panic").iter() {
            let user = client.get(&format!("/api/users/{id}")).expect(200).json();
            assert_eq!(user["email"], *email, "round {round}");
        }
    }
    let count = answered.lock().expect("no panic").len();
    assert!(
        count >= KILLS * 10,
        "only {count} writes were answered; nothing was tested"
    );
}

/// Each writer has a user of its own, whose age only grows, and makes and
/// deletes others.
fn answered_updates_and_deletes_survive_kill_9(engine: Engine) {
    let server = ServerProcess::start(engine);
    let mut client = server.connect();
    for writer in 0..WRITERS {
        let user = json!({"name": "a", "email": format!("w{writer}@example.org"), "age": 0});
        client
            .send_json("POST", "/api/users", &[], &user)
            .expect(201);
    }
    let ages: Mutex<[usize; WRITERS]> = Mutex::default();
    let deleted: Mutex<Vec<i64>> = Mutex::default();
    let data = write_until_killed(
        server,
        Duration::from_millis(500),
        |address, writer, number| {
            let age = (number + 1) % 150;
            let path = format!("/api/users/{}", writer + 1);
            let patch = json!({"age": age}).to_string();
            let Some((200, _)) = exchange(address, "PATCH", &path, &patch) else {
                return false;
            };
            ages.lock().expect("no panic")[writer] = number + 1;
            let email = format!("w{writer}n{number}@example.org");
            let user = json!({"name": "a", "email": email, "age": 1}).to_string();
            let Some((201, made)) = exchange(address, "POST", "/api/users", &user) else {
                return false;
            };
            let path = format!("/api/users/{}", made["id"]);
            let Some((204, _)) = exchange(address, "DELETE", &path, "") else {
                return false;
            };
            deleted
                .lock()
                .expect("no panic")
                .push(made["id"].as_i64().expect("an id"));
            true
        },
    );
    let server = Serve::on(engine).data(&data).start();
    let mut client = server.connect();
    for (writer, answered) in ages.lock().expect("no panic").iter().enumerate() {
        let user = client
            .get(&format!("/api/users/{}", writer + 1))
            .expect(200)
            .json();
        // One more may have been written without its answer arriving.
        let age = user["age"].as_u64().expect("an age") as usize;
        assert!(
            age == answered % 150 || age == (answered + 1) % 150,
            "{user}, {answered}"
        );
    }
    let deleted = deleted.lock().expect("no panic");
    assert!(!deleted.is_empty());
    for id in deleted.iter() {
        client.get(&format!("/api/users/{id}")).expect(404);
    }
}

fn a_killed_server_starts_again_without_repair(engine: Engine) {
    let server = Serve::on(engine).demo().start();
    let before = server.connect().get("/api/users/export").expect(200).hash();
    let data = server.kill();
    let server = Serve::on(engine).data(&data).start();
    let after = server.connect().get("/api/users/export").expect(200).hash();
    assert_eq!(before, after);
}
