//! Linearizability: after a write was acknowledged nobody sees what was before,
//! and nobody who saw the new sees the old again; whatever dies, hangs up or
//! panics.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use corelane::internals::cache::{CacheOptions, Coherence};
use corelane_server::handlers::cached::ApiCacheOptions;

use super::checker::{Violation, check};
use super::history::{Crowd, Seen, Target, Write, record};
use super::register::{self, RegisterTarget, Registers};
use super::shipped_api::Api;
use crate::harness::{Engine, InProcess, Response};

both_engines!(
    registers_are_linearizable,
    registers_are_linearizable_with_expiring_copies_and_little_room,
    registers_are_linearizable_while_shards_die,
    registers_are_linearizable_whatever_writers_do,
    users_are_linearizable,
    users_are_linearizable_while_shards_die,
    the_checker_notices_a_cache_without_coherence,
);

const SHARDS: usize = 3;

const HOT: RegisterTarget = RegisterTarget {
    keys: 4,
    panics_permille: 0,
};

const CROWD: Crowd = Crowd {
    clients: 9,
    time: Duration::from_secs(4),
    writes_percent: 25,
    rude_percent: 0,
};

fn start(engine: Engine, registers: &Arc<Registers>, options: CacheOptions) -> InProcess {
    let app = register::app(registers, options);
    InProcess::start_shards(engine, SHARDS, app, |_| {})
}

/// The server keeps its word when it says that nothing was written.
fn must_be_unwritten(registers: &Registers, seen: &Seen) {
    let written = seen.refused.iter().find(|v| registers.was_written(**v));
    assert_eq!(written, None, "refused, and written");
}

fn registers_are_linearizable(engine: Engine) {
    let registers = Registers::slow(2_000);
    let server = start(engine, &registers, register::options());
    let seen = record(server.address(), &HOT, CROWD);
    seen.must_be_linearizable("registers");
    seen.must_be_answered();
    assert_eq!(seen.unknown, 0);
    assert!(seen.hits > seen.reads / 10, "the cache was of little use");
}

/// Nine keys, of which each shard has room for two or so; copies live for a
/// few milliseconds.
fn registers_are_linearizable_with_expiring_copies_and_little_room(engine: Engine) {
    let registers = Registers::slow(500);
    let options = register::options()
        .ttl_ms(5)
        .keys_max(6)
        .stale_if_error_ms(5);
    let server = start(engine, &registers, options);
    let target = RegisterTarget { keys: 9, ..HOT };
    let crowd = Crowd {
        time: Duration::from_secs(2),
        ..CROWD
    };
    let seen = record(server.address(), &target, crowd);
    seen.must_be_linearizable("little room");
    seen.must_be_answered();
}

fn registers_are_linearizable_while_shards_die(engine: Engine) {
    let registers = Registers::slow(1_000);
    let server = start(engine, &registers, register::options());
    let target = RegisterTarget { keys: 12, ..HOT };
    let seen = while_shards_die(&server, Duration::from_millis(900), || {
        record(server.address(), &target, CROWD)
    });
    seen.must_be_linearizable("registers while shards die");
    must_be_unwritten(&registers, &seen);
    assert!(seen.reads > 100 && seen.writes > 20);
    assert!(seen.slowest < Duration::from_secs(8), "{:?}", seen.slowest);
}

/// Crashes one shard after the other while `run` runs.
fn while_shards_die(server: &InProcess, every: Duration, run: impl FnOnce() -> Seen) -> Seen {
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for turn in 0.. {
                std::thread::sleep(every);
                if done.load(Ordering::Relaxed) {
                    return;
                }
                // Shard 0 lives, so that some keys are cached all the time.
                server.handle().crash_shard(1 + turn % (SHARDS - 1));
            }
        });
        let seen = run();
        done.store(true, Ordering::Relaxed);
        seen
    })
}

/// Clients that hang up once they have sent a write, and writes that panic when
/// they have written.
fn registers_are_linearizable_whatever_writers_do(engine: Engine) {
    let registers = Registers::slow(2_000);
    let server = start(engine, &registers, register::options());
    let target = RegisterTarget {
        keys: 24,
        panics_permille: 10,
    };
    let crowd = Crowd {
        time: Duration::from_secs(3),
        rude_percent: 20,
        ..CROWD
    };
    let seen = record(server.address(), &target, crowd);
    seen.must_be_linearizable("whatever writers do");
    assert!(seen.unknown > 0 && seen.reads > 100 && seen.writes > 20);
    assert_eq!((seen.failed, seen.refused.len()), (0, 0));
}

/// `PATCH` of a user's name; read alone, in a batch and in a list.
pub(super) struct UserTarget;

const USERS: usize = 4;

impl Target for UserTarget {
    fn keys(&self) -> usize {
        USERS
    }

    fn read(&self, key: usize, choice: u64) -> String {
        match choice % 6 {
            0 => "/api/users?limit=10&fields=id,name".to_owned(),
            1 => "/api/users/batch?ids=4,3,2,1".to_owned(),
            _ => format!("/api/users/{}", key + 1),
        }
    }

    fn values(&self, _: usize, response: &Response) -> Vec<(usize, u64)> {
        let json = response.json();
        let one = std::slice::from_ref(&json);
        let rows = json["data"].as_array().map_or(one, Vec::as_slice);
        let shown = rows.iter().map(|row| {
            let id = row["id"].as_u64().expect("an id");
            let name = row["name"].as_str().expect("a name");
            (id as usize - 1, name[1..].parse().expect("a number"))
        });
        shown.collect()
    }

    fn write(&self, key: usize, value: u64, _: u64) -> Write {
        Write {
            method: "PATCH",
            target: format!("/api/users/{}", key + 1),
            body: format!("{{\"name\":\"v{value}\"}}"),
        }
    }
}

fn users_are_linearizable(engine: Engine) {
    let api = Api::start(engine, SHARDS, ApiCacheOptions::default());
    api.create_people(USERS);
    let seen = record(api.server.address(), &UserTarget, CROWD);
    seen.must_be_linearizable("users");
    seen.must_be_answered();
    assert_eq!(seen.unknown, 0);
    assert!(seen.hits > 0);
}

fn users_are_linearizable_while_shards_die(engine: Engine) {
    let api = Api::start(engine, SHARDS, ApiCacheOptions::default());
    api.create_people(USERS);
    let seen = while_shards_die(&api.server, Duration::from_millis(1_300), || {
        record(api.server.address(), &UserTarget, CROWD)
    });
    seen.must_be_linearizable("users while shards die");
    assert!(seen.reads > 100 && seen.writes > 20);
    assert!(seen.slowest < Duration::from_secs(8), "{:?}", seen.slowest);
}

/// Else all of the above would prove nothing.
fn the_checker_notices_a_cache_without_coherence(engine: Engine) {
    let registers = Registers::slow(2_000);
    let options = register::options().coherence(Coherence::Off);
    let server = start(engine, &registers, options);
    let crowd = Crowd {
        time: Duration::from_secs(1),
        ..CROWD
    };
    let seen = record(server.address(), &HOT, crowd);
    let found = check(&seen.ops);
    assert!(matches!(found, Err(Violation::Both(..))), "{found:?}");
}
