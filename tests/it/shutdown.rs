//! What an app does beside its requests when the server shuts down: background
//! tasks and `on_shutdown` within the drain timeout, `on_shard_end` last.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use corelane::cache::CacheOptions;
use corelane::{App, Background, Ctx, engine};

use crate::harness::{Client, Engine, InProcess, sample_app};

both_engines!(
    a_background_task_ends_what_it_does_within_the_drain,
    a_drain_ends_the_sleep_of_a_background_task,
    a_background_task_that_does_not_end_has_the_drain_timeout,
    a_daemon_is_not_waited_for,
    an_app_ends_in_order,
    the_caches_of_all_shards_are_there_at_shutdown,
    what_is_done_at_shutdown_has_the_drain_timeout,
    what_is_done_at_shutdown_has_time_after_a_drain_that_took_all,
    a_panic_at_shutdown_does_not_keep_the_others_from_it,
    a_stuck_shard_does_not_take_the_end_from_the_others,
);

/// What happened, in order.
#[derive(Clone, Default)]
struct Diary(Arc<Mutex<Vec<String>>>);

impl Diary {
    fn note(&self, line: impl Into<String>) {
        self.0.lock().expect("no panic here").push(line.into());
    }

    fn lines(&self) -> Vec<String> {
        self.0.lock().expect("no panic here").clone()
    }
}

const PATIENT_MS: u64 = 8_000;
const LONG: Duration = Duration::from_secs(600);

fn start(engine: Engine, drain_timeout_ms: u64, app: App) -> InProcess {
    InProcess::start_shards(engine, 2, app, |options| {
        options.drain_timeout_ms = drain_timeout_ms;
    })
}

/// Also when no connection keeps the shard: what comes after the loop is done.
fn a_background_task_ends_what_it_does_within_the_drain(engine: Engine) {
    let flushed = Arc::new(AtomicBool::new(false));
    let told = flushed.clone();
    let task = move |shard: Background| {
        let told = told.clone();
        async move {
            while !shard.is_draining() {
                engine::sleep(Duration::from_millis(20)).await;
            }
            for _ in 0..6 {
                shard.sleep(Duration::from_millis(50)).await;
            }
            told.store(true, Ordering::SeqCst);
        }
    };
    let report = start(engine, PATIENT_MS, App::new().background(task)).finish();
    assert!(flushed.load(Ordering::SeqCst), "{report:?}");
    assert!(report.drained, "{report:?}");
}

fn a_drain_ends_the_sleep_of_a_background_task(engine: Engine) {
    let diary = Diary::default();
    let noted = diary.clone();
    let task = move |shard: Background| {
        let diary = noted.clone();
        async move {
            while !shard.is_draining() {
                shard.sleep(LONG).await;
            }
            diary.note("woken");
        }
    };
    let noted = diary.clone();
    let waits = move |shard: Background| {
        let diary = noted.clone();
        async move {
            shard.draining().await;
            diary.note("woken");
        }
    };
    let app = App::new().background(task).background(waits);
    let server = start(engine, PATIENT_MS, app);
    let since = Instant::now();
    server.finish();
    assert_eq!(diary.lines(), ["woken", "woken"]);
    assert!(since.elapsed() < Duration::from_millis(PATIENT_MS / 2));
}

fn a_background_task_that_does_not_end_has_the_drain_timeout(engine: Engine) {
    let app = App::new().background(async |_| engine::sleep(LONG).await);
    let server = start(engine, 300, app);
    let since = Instant::now();
    server.finish();
    let took = since.elapsed();
    assert!(took >= Duration::from_millis(290), "{took:?}");
    assert!(took < Duration::from_secs(2), "{took:?}");
}

fn a_daemon_is_not_waited_for(engine: Engine) {
    let app = App::new().daemon(async |_| engine::sleep(LONG).await);
    let server = start(engine, PATIENT_MS, app);
    let since = Instant::now();
    server.finish();
    assert!(since.elapsed() < Duration::from_millis(PATIENT_MS / 2));
}

/// Requests are under way, and a background task has things to do, when the
/// drain begins.
fn an_app_ends_in_order(engine: Engine) {
    let diary = Diary::default();
    let noted = |line: &'static str| {
        let diary = diary.clone();
        move |shard: Background| {
            let (diary, index) = (diary.clone(), shard.shard().index);
            async move { diary.note(format!("{line} {index}")) }
        }
    };
    let [task, handler] = [diary.clone(), diary.clone()];
    let app = App::new()
        .get("/slow", move |_| {
            let diary = handler.clone();
            async move {
                engine::sleep(Duration::from_millis(400)).await;
                diary.note("answer");
                Ok(corelane::Response::no_content())
            }
        })
        .background(move |shard| {
            let diary = task.clone();
            async move {
                shard.draining().await;
                shard.sleep(Duration::from_millis(800)).await;
                diary.note("background");
            }
        })
        .on_shard_end(noted("end"))
        .on_shutdown(noted("shutdown"))
        .on_shutdown(noted("shutdown too"));
    let server = start(engine, PATIENT_MS, app);
    let mut clients: Vec<Client> = (0..8).map(|_| server.connect()).collect();
    for client in &mut clients {
        client.send("GET /slow HTTP/1.1\r\nHost: a\r\n\r\n");
    }
    std::thread::sleep(Duration::from_millis(100));
    let report = server.finish();
    for client in &mut clients {
        client.read().expect(204);
    }
    assert!(report.drained, "{report:?}");
    let mut lines = diary.lines();
    let rest = lines.split_off(clients.len());
    assert!(lines.iter().all(|line| line == "answer"), "{lines:?}");
    let expected = [
        "background",
        "shutdown 0",
        "shutdown too 0",
        "end 0",
        "end 1",
    ];
    assert_eq!(rest, expected);
}

fn the_caches_of_all_shards_are_there_at_shutdown(engine: Engine) {
    let diary = Diary::default();
    let noted = diary.clone();
    let app = App::new()
        .cache(CacheOptions::new("words"))
        .on_shutdown(move |shard: Background| {
            let diary = noted.clone();
            async move {
                for key in 0..16 {
                    let load = move || async move { Ok(format!("{key}")) };
                    let words = shard.cache("words");
                    let found = words.get_or_load(format!("{key}"), load).await;
                    found.expect("a cache that works");
                }
                diary.note("loaded");
            }
        });
    let server = start(engine, PATIENT_MS, app);
    let since = Instant::now();
    server.finish();
    assert_eq!(diary.lines(), ["loaded"]);
    assert!(since.elapsed() < Duration::from_millis(PATIENT_MS / 2));
}

fn what_is_done_at_shutdown_has_the_drain_timeout(engine: Engine) {
    let app = App::new().on_shutdown(async |_| std::future::pending().await);
    let server = start(engine, 700, app);
    let since = Instant::now();
    server.finish();
    let took = since.elapsed();
    assert!(took >= Duration::from_millis(690), "{took:?}");
    assert!(took < Duration::from_millis(2_600), "{took:?}");
}

fn what_is_done_at_shutdown_has_time_after_a_drain_that_took_all(engine: Engine) {
    let diary = Diary::default();
    let noted = diary.clone();
    let app = sample_app().on_shutdown(move |shard: Background| {
        let diary = noted.clone();
        async move {
            shard.sleep(Duration::from_millis(50)).await;
            diary.note("done");
        }
    });
    let server = start(engine, 200, app);
    let mut slow = server.connect();
    slow.send("GET /slow/60000 HTTP/1.1\r\nHost: a\r\n\r\n");
    std::thread::sleep(Duration::from_millis(50));
    let report = server.finish();
    assert_eq!(report.connections_cut, 1, "{report:?}");
    assert_eq!(diary.lines(), ["done"]);
}

fn a_panic_at_shutdown_does_not_keep_the_others_from_it(engine: Engine) {
    let diary = Diary::default();
    let noted = diary.clone();
    let app = App::new()
        .on_shutdown(async |_| panic!("as asked"))
        .on_shutdown(move |_| {
            let diary = noted.clone();
            async move { diary.note("done") }
        });
    let report = start(engine, PATIENT_MS, app).finish();
    assert_eq!(diary.lines(), ["done"]);
    assert!(report.drained, "{report:?}");
}

/// It is given up first; only then is there time for what the others do last.
fn a_stuck_shard_does_not_take_the_end_from_the_others(engine: Engine) {
    let diary = Diary::default();
    let is_stuck = Arc::new(AtomicBool::new(false));
    let [shutdown, end] = [diary.clone(), diary.clone()];
    let told = is_stuck.clone();
    let app = App::new()
        .get("/", move |ctx: Ctx| {
            let told = told.clone();
            async move {
                if ctx.shard().index == 1 {
                    told.store(true, Ordering::SeqCst);
                    std::thread::sleep(Duration::from_secs(6));
                }
                Ok(corelane::Response::no_content())
            }
        })
        .on_shutdown(move |_| {
            let diary = shutdown.clone();
            async move {
                engine::sleep(Duration::from_millis(200)).await;
                diary.note("shutdown");
            }
        })
        .on_shard_end(move |shard: Background| {
            let diary = end.clone();
            async move { diary.note(format!("end {}", shard.shard().index)) }
        });
    let server = start(engine, 200, app);
    let mut clients = Vec::new();
    while !is_stuck.load(Ordering::SeqCst) {
        let mut client = server.connect();
        client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        clients.push(client);
        assert!(clients.len() < 400, "400 connections did not reach shard 1");
        std::thread::sleep(Duration::from_millis(5));
    }
    let report = server.finish();
    assert_eq!(diary.lines(), ["shutdown", "end 0"], "{report:?}");
    assert!(!report.drained, "{report:?}");
}
