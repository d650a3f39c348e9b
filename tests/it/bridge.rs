//! The tokio bridge: results, panics, cancellation, its bound and its end.

use std::future::pending;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use corelane::internals::bridge::BridgeFault;
use corelane::internals::limits::BRIDGE_TASKS_MAX;
use corelane::{App, Bridge, Ctx, Error, Response, engine};
use futures_util::future::join_all;
use tokio::sync::Barrier;

use crate::harness::{Client, Engine, InProcess};

both_engines!(
    a_result_comes_back_to_its_shard,
    tasks_of_all_shards_share_one_thread_and_wait_at_once,
    a_panic_is_500_and_the_bridge_lives_on,
    a_dropped_future_takes_its_task_along,
    a_drain_that_runs_out_cuts_a_request_that_waits_for_a_task,
    one_task_over_the_bound_is_503_at_once,
    a_drain_ends_tasks_that_would_never_end,
    a_bridge_outlives_its_server_as_an_error,
    a_shard_that_dies_leaves_the_bridge_to_the_others,
);

/// Counted up when it is dropped.
struct Tells(Arc<AtomicUsize>);

impl Drop for Tells {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

async fn counted(ctx: Ctx) -> Result<Response, Error> {
    let bridge = ctx.metrics().await.bridge;
    Ok(Response::text(format!(
        "{} {} {} {} {}",
        bridge.in_flight, bridge.started, bridge.panics, bridge.cancelled, bridge.refused
    )))
}

fn app() -> App {
    App::new()
        .get("/counted", counted)
        .get("/in-flight", async |ctx: Ctx| {
            let bridge = ctx.metrics().await.bridge;
            Ok(Response::text(bridge.in_flight.to_string()))
        })
        .get("/panic", panics)
        .get("/thread", thread)
}

async fn panics(ctx: Ctx) -> Result<Response, Error> {
    let text = ctx.tokio::<String, _>(async {
        tokio::time::sleep(Duration::from_millis(1)).await;
        panic!("as asked, on the bridge");
    });
    Ok(Response::text(text.await?))
}

/// Names of the threads before, on and after the bridge.
async fn thread(ctx: Ctx) -> Result<Response, Error> {
    let name = || std::thread::current().name().unwrap_or("").to_owned();
    let before = name();
    let there = ctx
        .tokio(async move {
            tokio::time::sleep(Duration::from_millis(2)).await;
            tokio::task::yield_now().await;
            name()
        })
        .await?;
    assert_eq!(before, name(), "back on the same shard");
    Ok(Response::text(format!("{} on {there}", ctx.shard().index)))
}

fn becomes(client: &mut Client, path: &str, wanted: &str) {
    let deadline = Instant::now() + Duration::from_secs(10);
    loop {
        let answer = client.get(path).expect(200).text().to_owned();
        if answer == wanted {
            return;
        }
        assert!(
            Instant::now() < deadline,
            "{path} is {answer}, not {wanted}"
        );
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn a_result_comes_back_to_its_shard(engine: Engine) {
    let server = InProcess::start(engine, app());
    let mut seen = [false; 2];
    while seen != [true; 2] {
        let answer = server.connect().get("/thread").expect(200);
        let (shard, there) = answer.text().split_once(" on ").expect("two names");
        assert_eq!(there, "tokio-bridge");
        seen[shard.parse::<usize>().expect("an index")] = true;
    }
}

fn tasks_of_all_shards_share_one_thread_and_wait_at_once(engine: Engine) {
    const REQUESTS: usize = 20;
    let barrier = Arc::new(Barrier::new(REQUESTS));
    let app = app().get("/meet", move |ctx: Ctx| {
        let barrier = barrier.clone();
        async move {
            // Only when all are there at once does any of them go on.
            ctx.tokio(async move { barrier.wait().await.is_leader() })
                .await?;
            Ok(Response::text("met"))
        }
    });
    let server = InProcess::start(engine, app);
    let mut clients: Vec<_> = (0..REQUESTS).map(|_| server.connect()).collect();
    for client in &mut clients {
        client.send("GET /meet HTTP/1.1\r\nHost: a\r\n\r\n");
    }
    for client in &mut clients {
        client.read().expect(200);
    }
}

fn a_panic_is_500_and_the_bridge_lives_on(engine: Engine) {
    let server = InProcess::start(engine, app());
    let mut client = server.connect();
    let detail = client.get("/panic").expect_problem(500);
    assert!(!detail.contains("as asked"), "told the client: {detail}");
    client.get("/thread").expect(200);
    becomes(&mut client, "/counted", "0 2 1 0 0");
    assert_eq!(server.finish().restarts, 0);
}

fn a_dropped_future_takes_its_task_along(engine: Engine) {
    let dropped = Arc::new(AtomicUsize::new(0));
    let tells = dropped.clone();
    let app = app().get("/drop", move |ctx: Ctx| {
        let tells = Tells(tells.clone());
        async move {
            let forever = ctx.tokio(async move {
                pending::<()>().await;
                drop(tells);
            });
            let outcome = engine::timeout(Duration::from_millis(20), forever).await;
            Ok(Response::text(if outcome.is_err() {
                "dropped"
            } else {
                "done"
            }))
        }
    });
    let server = InProcess::start_shards(engine, 1, app, |_| {});
    let mut client = server.connect();
    assert_eq!(client.get("/drop").expect(200).text(), "dropped");
    becomes(&mut client, "/counted", "0 1 0 1 0");
    assert_eq!(dropped.load(Ordering::SeqCst), 1);
}

fn a_drain_that_runs_out_cuts_a_request_that_waits_for_a_task(engine: Engine) {
    let app = app().get("/wait", async |ctx: Ctx| {
        ctx.tokio(pending::<()>()).await?;
        Ok(Response::text("never"))
    });
    let server = InProcess::start_with(engine, app, |options| {
        options.drain_timeout_ms = 200;
    });
    let mut waiting = server.connect();
    waiting.send("GET /wait HTTP/1.1\r\nHost: a\r\n\r\n");
    becomes(&mut server.connect(), "/counted", "1 1 0 0 0");
    let report = server.finish();
    assert_eq!(report.connections_cut, 1);
    waiting.expect_gone();
}

fn one_task_over_the_bound_is_503_at_once(engine: Engine) {
    let app = app().get("/flood", async |ctx: Ctx| {
        let (open, opened) = tokio::sync::watch::channel(false);
        let all = join_all((0..BRIDGE_TASKS_MAX).map(|_| {
            let mut opened = opened.clone();
            ctx.tokio(async move { drop(opened.wait_for(|open| *open).await) })
        }));
        let over = async {
            // The others have been started when this one is.
            let refused = ctx.tokio(async {}).await;
            open.send_replace(true);
            refused
        };
        let (all, over) = futures_util::join!(all, over);
        assert!(all.iter().all(Result::is_ok));
        over?;
        Ok(Response::text("not refused"))
    });
    let server = InProcess::start_shards(engine, 1, app, |_| {});
    let mut client = server.connect();
    let refused = client.get("/flood");
    assert_eq!(refused.must_have("retry-after"), "1");
    refused.expect_problem(503);
    let started = BRIDGE_TASKS_MAX;
    becomes(&mut client, "/counted", &format!("0 {started} 0 0 1"));
    client.get("/thread").expect(200);
}

fn a_drain_ends_tasks_that_would_never_end(engine: Engine) {
    let dropped = Arc::new(AtomicUsize::new(0));
    let tells = dropped.clone();
    let app = app().get("/detach", move |ctx: Ctx| {
        let tells = Tells(tells.clone());
        async move {
            // A task of the task's own, which nobody waits for.
            ctx.tokio(async move {
                tokio::spawn(async move {
                    pending::<()>().await;
                    drop(tells);
                });
            })
            .await?;
            Ok(Response::text("detached"))
        }
    });
    let server = InProcess::start(engine, app);
    server.connect().get("/detach").expect(200);
    assert_eq!(dropped.load(Ordering::SeqCst), 0);
    let begun = Instant::now();
    assert!(server.finish().drained);
    assert!(begun.elapsed() < Duration::from_secs(5));
    assert_eq!(dropped.load(Ordering::SeqCst), 1);
}

fn a_bridge_outlives_its_server_as_an_error(engine: Engine) {
    let (hand_over, handed) = std::sync::mpsc::channel::<Bridge>();
    let first = App::new().get("/bridge", move |ctx: Ctx| {
        let hand_over = hand_over.clone();
        async move {
            drop(hand_over.send(ctx.bridge()));
            Ok(Response::text("handed over"))
        }
    });
    let server = InProcess::start(engine, first);
    server.connect().get("/bridge").expect(200);
    server.finish();
    let ended = handed.recv().expect("a bridge");
    let second = App::new().get("/ask", move |_: Ctx| {
        let ended = ended.clone();
        async move {
            let outcome = ended.run(async {}).await;
            Ok(Response::text(format!(
                "{}",
                outcome == Err(BridgeFault::Closed)
            )))
        }
    });
    let server = InProcess::start(engine, second);
    assert_eq!(server.connect().get("/ask").expect(200).text(), "true");
}

fn a_shard_that_dies_leaves_the_bridge_to_the_others(engine: Engine) {
    let app = app().get("/wait", async |ctx: Ctx| {
        ctx.tokio(pending::<()>()).await?;
        Ok(Response::text("never"))
    });
    let server = InProcess::start_shards(engine, 1, app, |_| {});
    let mut waiting = server.connect();
    waiting.send("GET /wait HTTP/1.1\r\nHost: a\r\n\r\n");
    becomes(&mut server.connect(), "/counted", "1 1 0 0 0");
    server.handle().crash_shard(0);
    waiting.expect_gone();
    // One that comes while the shard dies may be lost with it.
    let ask = || server.connect().try_request("GET", "/thread", &[], b"");
    let deadline = Instant::now() + Duration::from_secs(10);
    let answer = loop {
        match ask() {
            Ok(answer) => break answer.expect(200),
            Err(error) => assert!(Instant::now() < deadline, "{error}"),
        }
    };
    assert_eq!(answer.text(), "0 on tokio-bridge");
    // Whoever waited is gone with the shard, and so is the task.
    becomes(&mut server.connect(), "/in-flight", "0");
}
