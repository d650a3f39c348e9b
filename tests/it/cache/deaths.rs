//! A shard dies and takes a part of the directory with it, or a server drains:
//! who asks is answered, rightly and in time.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use corelane::server::ServerOptions;
use serde_json::Value;

use super::register::{self, Registers};
use super::status::How;
use super::{on_every_shard, poll_for};
use crate::harness::{Client, Engine, InProcess};

both_engines!(
    reads_go_on_while_a_home_is_away,
    writes_wait_for_the_successor,
    writes_are_refused_when_there_is_none_in_time,
    a_write_under_way_when_its_home_dies_is_kept_apart,
    counters_survive,
    a_drain_lets_writes_finish,
);

const SHARDS: usize = 3;
const KEYS: usize = 60;

/// A server of which `crash` takes shard 1 away for `away_ms`.
fn start(engine: Engine, away_ms: u64, delay_us: u64) -> (InProcess, Arc<Registers>) {
    start_with(engine, delay_us, |options| {
        options.restart_delay_ms = away_ms;
        options.restart_delay_max_ms = away_ms;
    })
}

fn start_with(
    engine: Engine,
    delay_us: u64,
    change: impl FnOnce(&mut ServerOptions),
) -> (InProcess, Arc<Registers>) {
    let registers = Registers::slow(delay_us);
    let app = register::app(&registers, register::options());
    let server = InProcess::start_shards(engine, SHARDS, app, change);
    (server, registers)
}

fn put(client: &mut Client, key: usize, value: usize) {
    let body = value.to_string();
    let target = format!("/registers/{key}");
    client
        .request("PUT", &target, &[], body.as_bytes())
        .expect(204);
}

fn get(client: &mut Client, key: usize) -> (How, usize) {
    let read = client.get(&format!("/registers/{key}")).expect(200);
    (How::of(&read), read.text().parse().expect("a number"))
}

/// Crashes shard 1 and returns connections to the shards that live.
fn crash(server: &InProcess) -> [Client; 2] {
    let mut clients = on_every_shard(server, SHARDS);
    let mut witness = clients.remove(1);
    server.handle().crash_shard(1);
    witness.expect_gone();
    // Its connections end first, then the others are told.
    poll_for("a read without a home", || {
        let mut hows = (0..KEYS).map(|key| get(&mut clients[0], key).0);
        hows.any(|how| how == How::Bypass).then_some(())
    });
    let mut two = clients.into_iter();
    let (first, second) = (two.next(), two.next());
    [first.expect("shard 0"), second.expect("shard 2")]
}

/// A connection to the successor of shard 1.
fn wait_for_successor(server: &InProcess) -> Client {
    poll_for("the successor", || {
        let mut client = Client::try_connect(server.address()).ok()?;
        let answer = client.try_request("GET", "/which-shard", &[], b"").ok()?;
        (answer.header("x-shard") == Some("1")).then_some(client)
    })
}

/// Writes key + 1 to every key and puts copies everywhere.
fn fill(server: &InProcess) {
    let mut clients = on_every_shard(server, SHARDS);
    for key in 0..KEYS {
        put(&mut clients[key % SHARDS], key, key + 1);
        for client in &mut clients {
            get(client, key);
        }
    }
}

fn reads_go_on_while_a_home_is_away(engine: Engine) {
    let (server, _) = start(engine, 2_500, 0);
    fill(&server);
    let mut clients = crash(&server);
    let since = Instant::now();
    let mut bypassed = 0;
    for key in 0..KEYS {
        for client in &mut clients {
            let (how, value) = get(client, key);
            assert_eq!(value, key + 1);
            bypassed += usize::from(how == How::Bypass);
        }
    }
    let took = since.elapsed();
    assert!(took < Duration::from_secs(2), "reads waited: {took:?}");
    // About a third of the keys had their home there.
    assert!((4..2 * KEYS - 4).contains(&bypassed), "{bypassed}");
    let mut back = wait_for_successor(&server);
    for key in 0..KEYS {
        assert_eq!(get(&mut back, key).1, key + 1);
    }
}

fn writes_wait_for_the_successor(engine: Engine) {
    let (server, _) = start(engine, 500, 0);
    fill(&server);
    let mut clients = crash(&server);
    for key in 0..KEYS {
        put(&mut clients[key % 2], key, 1_000 + key);
        assert_eq!(get(&mut clients[(key + 1) % 2], key).1, 1_000 + key);
    }
    let mut back = wait_for_successor(&server);
    for key in 0..KEYS {
        assert_eq!(get(&mut back, key).1, 1_000 + key);
        put(&mut back, key, 2_000 + key);
        assert_eq!(get(&mut clients[key % 2], key).1, 2_000 + key);
    }
}

fn writes_are_refused_when_there_is_none_in_time(engine: Engine) {
    let (server, registers) = start(engine, 9_000, 0);
    fill(&server);
    let mut writers = on_every_shard(&server, SHARDS);
    // A new connection may wait for the successor of shard 1.
    writers.remove(1);
    let mut clients = crash(&server);
    let homeless: Vec<usize> = (0..KEYS)
        .filter(|key| get(&mut clients[0], *key).0 == How::Bypass)
        .collect();
    assert!(homeless.len() > 1, "{homeless:?}");
    let mut others = (0..KEYS).filter(|key| !homeless.contains(key));
    let other = others.next().expect("a key whose home lives");
    let since = Instant::now();
    for (writer, key) in writers.iter_mut().zip(&homeless) {
        let body = (5_000 + key).to_string();
        writer.send_request("PUT", &format!("/registers/{key}"), &[], body.as_bytes());
    }
    // Other keys do not wait with them.
    put(&mut clients[1], other, 7_000);
    assert_eq!(get(&mut clients[0], other).1, 7_000);
    assert!(since.elapsed() < Duration::from_secs(3));
    for (mut writer, key) in writers.into_iter().zip(homeless) {
        writer.read().expect_problem(503);
        assert!(!registers.was_written(5_000 + key as u64));
        assert_eq!(get(&mut clients[0], key).1, key + 1);
    }
    let took = since.elapsed();
    assert!(took < Duration::from_secs(8), "an answer after {took:?}");
}

/// It goes on, on the shard that lives; the successor must know of it.
fn a_write_under_way_when_its_home_dies_is_kept_apart(engine: Engine) {
    let (server, registers) = start(engine, 10, 0);
    fill(&server);
    let mut clients = on_every_shard(&server, SHARDS);
    let mut witness = clients.remove(1);
    registers.delay_us_max.store(1_500_000, Ordering::Relaxed);
    let mut writers: Vec<Client> = (0..12).map(|_| server.connect()).collect();
    for (key, writer) in writers.iter_mut().enumerate() {
        let body = (3_000 + key).to_string();
        writer.send_request("PUT", &format!("/registers/{key}"), &[], body.as_bytes());
    }
    std::thread::sleep(Duration::from_millis(100));
    registers.delay_us_max.store(0, Ordering::Relaxed);
    server.handle().crash_shard(1);
    witness.expect_gone();
    clients.push(wait_for_successor(&server));
    let answered = std::thread::scope(|scope| {
        // Those that were on the shard that died are lost, perhaps written.
        let answer = |writer: &mut Client| writer.try_read().is_ok_and(|a| a.status == 204);
        let writers = writers.iter_mut();
        let answers: Vec<_> = writers.map(|w| scope.spawn(move || answer(w))).collect();
        must_not_go_back(&mut clients);
        let answers = answers
            .into_iter()
            .map(|answer| answer.join().expect("no panic"));
        answers.collect::<Vec<bool>>()
    });
    for key in (0..12).filter(|key| answered[*key]) {
        for client in &mut clients {
            assert_eq!(get(client, key).1, 3_000 + key);
        }
    }
    assert!(answered.contains(&true), "all were on the shard that died");
}

/// Nobody reads an old value once somebody has read the new one.
fn must_not_go_back(clients: &mut [Client]) {
    let mut seen = [0; 12];
    for _ in 0..20 {
        for (key, last) in seen.iter_mut().enumerate() {
            for client in &mut *clients {
                let (_, value) = get(client, key);
                assert!(value >= *last, "key {key}: {value} after {last}");
                *last = value;
            }
        }
    }
}

fn counters_survive(engine: Engine) {
    let (server, _) = start(engine, 10, 0);
    fill(&server);
    let counters = |client: &mut Client| client.get("/counters").expect(200).json();
    let mut steady = on_every_shard(&server, SHARDS).swap_remove(0);
    let before = counters(&mut steady);
    drop(crash(&server));
    let mut back = wait_for_successor(&server);
    let after = counters(&mut steady);
    assert_eq!(counters(&mut back)["writes"], after["writes"]);
    for name in ["hits_home", "misses", "writes", "invalidations"] {
        let number = |counters: &Value| counters[name].as_u64().expect("a number");
        assert!(
            number(&after) >= number(&before),
            "{name}: {before} then {after}"
        );
    }
    assert_eq!(after["writes"].as_u64(), Some(KEYS as u64), "one for each");
}

/// Of one key, so that each write waits for the one before; a shard that has
/// nothing left to do is still home to keys of the others.
fn a_drain_lets_writes_finish(engine: Engine) {
    let (server, registers) = start_with(engine, 150_000, |options| {
        options.drain_timeout_ms = 9_000;
    });
    let mut writers: Vec<Client> = (0..24).map(|_| server.connect()).collect();
    for (number, writer) in writers.iter_mut().enumerate() {
        let body = (1 + number).to_string();
        let target = format!("/registers/{}", number % 4);
        writer.send_request("PUT", &target, &[], body.as_bytes());
    }
    std::thread::sleep(Duration::from_millis(100));
    server.handle().drain();
    for (number, writer) in writers.iter_mut().enumerate() {
        writer.read().expect(204);
        assert!(registers.was_written(1 + number as u64));
    }
    let report = server.finish();
    assert_eq!((report.connections_cut, report.restarts), (0, 0));
}
