//! A write that is committed, while whoever has to forget what it wrote is not
//! to be reached: it is answered in time, and honestly.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use corelane::cache::CacheOptions;
use corelane::internals::limits::CACHE_INVALIDATE_MS;
use corelane::{App, Ctx, Error, Response, engine};
use serde_json::Value;

use super::status::How;
use super::words::{self, Source};
use super::{on_every_shard, poll_for};
use crate::harness::{Client, Engine, InProcess};

both_engines!(a_committed_write_does_not_wait_for_a_home_for_ever);

const SHARDS: usize = 2;
/// So many that some have their tag at home on the shard that lives, and what
/// they are renamed to on the one that dies.
const WRITES: usize = 64;

/// Holds the writes of [`write_all`] while they are under way.
#[derive(Default)]
struct Gate {
    begun: AtomicUsize,
    is_open: AtomicBool,
}

/// One write of each key, which depends on a tag of its own, all at once; what
/// became of each.
async fn write_all(ctx: Ctx) -> Result<Response, Error> {
    let ended = Rc::new(RefCell::new(Vec::new()));
    for number in 0..WRITES {
        let gate = Arc::clone(&ctx.state::<Arc<Gate>>());
        let cache = ctx.cache("tagged").tagged([tag(number)]);
        let ended = ended.clone();
        engine::spawn_local(async move {
            let write = move || async move {
                gate.begun.fetch_add(1, Ordering::SeqCst);
                while !gate.is_open.load(Ordering::SeqCst) {
                    engine::sleep(Duration::from_millis(5)).await;
                }
                Ok(())
            };
            let outcome = cache.write([number.to_string()], write).await;
            let problem = outcome.err().map(|error| error.problem_json());
            let problem = problem.map(|json| serde_json::from_slice::<Value>(&json));
            ended.borrow_mut().push(problem.transpose().expect("JSON"));
        });
    }
    while ended.borrow().len() < WRITES {
        engine::sleep(Duration::from_millis(5)).await;
    }
    Response::json(&ended.take())
}

/// Gives every key another name.
async fn rename_all(ctx: Ctx) -> Result<Response, Error> {
    for number in 0..WRITES {
        ctx.invalidate_tag(&tag(number)).await?;
    }
    Ok(Response::no_content())
}

fn tag(number: usize) -> String {
    format!("tag-{number}")
}

fn start(engine: Engine) -> (InProcess, Arc<Gate>) {
    let gate = Arc::new(Gate::default());
    let caches = [CacheOptions::new("tagged"), CacheOptions::new("plain")];
    let state = gate.clone();
    let app: App = words::app(&Arc::new(Source::default()), caches)
        .state(move |_| {
            let gate = state.clone();
            async move { Ok(gate) }
        })
        .get("/write-all", write_all)
        .get("/rename-all", rename_all);
    let server = InProcess::start_shards(engine, SHARDS, app, |options| {
        options.restart_delay_ms = 60_000;
        options.restart_delay_max_ms = 60_000;
    });
    (server, gate)
}

/// Crashes shard 1 for longer than the test takes.
fn crash(server: &InProcess, mut witness: Client, other: &mut Client) {
    server.handle().crash_shard(1);
    witness.expect_gone();
    // Its connections end first, then the others are told.
    poll_for("a read without a home", || {
        let mut reads = (0..20).map(|key| other.get(&format!("/c/plain/load/{key}")).expect(200));
        reads
            .any(|read| How::of(&read) == How::Bypass)
            .then_some(())
    });
}

fn a_committed_write_does_not_wait_for_a_home_for_ever(engine: Engine) {
    let (server, gate) = start(engine);
    let mut clients = on_every_shard(&server, SHARDS);
    let mut other = loop {
        let mut client = server.connect();
        if client.get("/which-shard").header("x-shard") == Some("0") {
            break client;
        }
    };
    clients[0].send_request("GET", "/write-all", &[], b"");
    poll_for("all writes under way", || {
        (gate.begun.load(Ordering::SeqCst) == WRITES).then_some(())
    });
    other.get("/rename-all").expect(204);
    crash(&server, clients.remove(1), &mut other);
    gate.is_open.store(true, Ordering::SeqCst);
    let since = Instant::now();
    let outcomes = clients[0].read().expect(200).json();
    let took = since.elapsed();
    let patience = Duration::from_millis(CACHE_INVALIDATE_MS);
    assert!(took < patience + Duration::from_secs(3), "{took:?}");
    let outcomes = outcomes.as_array().expect("a list");
    let problems: Vec<&Value> = outcomes.iter().filter(|one| !one.is_null()).collect();
    assert!((1..WRITES).contains(&problems.len()), "{outcomes:?}");
    for problem in problems {
        assert_eq!(problem["status"], 503);
        assert_eq!(problem["type"], "urn:corelane:problem:outcome-unknown");
    }
    let counters = other.get("/counters/tagged").expect(200).json();
    assert!(counters["doubts"].as_u64() > Some(0), "{counters}");
}
