//! A handler that blocks its shard's thread takes nothing of the admin listener
//! with it: what the other shards know is told, and who does not answer is named.

use std::net::SocketAddr;
use std::thread;
use std::time::{Duration, Instant};

use corelane::cache::CacheOptions;
use corelane::server::AdminOptions;
use corelane::{App, Ctx, Response as Answer};
use corelane_server::handlers;
use corelane_server::handlers::health::HealthOptions;
use serde_json::json;

use super::ask;
use crate::harness::{Client, Engine, InProcess};

both_engines!(
    metrics_health_and_caches_answer_while_a_shard_is_blocked,
    all_shards_blocked_is_an_error,
);

const LOCAL: &[&str] = &["Host: localhost"];

/// Long enough for a handful of answers that each wait for a sign of life.
const BLOCKED: Duration = Duration::from_secs(14);

fn start(engine: Engine, shards: usize) -> (InProcess, SocketAddr) {
    let app = App::new()
        .cache(CacheOptions::new("names"))
        .get("/shard", async |ctx: Ctx| {
            Ok(Answer::text(ctx.shard().index.to_string()))
        })
        .put("/names/{name}", async |ctx: Ctx| {
            let name: String = ctx.param("name")?;
            ctx.cache("names").set(name, 1_u64).await?;
            Ok(Answer::no_content())
        })
        .get("/block/{ms}", async |ctx: Ctx| {
            thread::sleep(Duration::from_millis(ctx.param("ms")?));
            Ok(Answer::no_content())
        })
        .get("/health", async |_| Ok(Answer::no_content()))
        .admin(handlers::admin::app(&HealthOptions::default()));
    let server = InProcess::start_shards(engine, shards, app, |options| {
        options.admin = Some(AdminOptions::new(([127, 0, 0, 1], 0)));
    });
    let admin = server.handle().admin_addr().expect("an admin listener");
    (server, admin)
}

/// A connection to that shard.
fn connect_to(server: &InProcess, shard: usize) -> Client {
    let deadline = Instant::now() + Duration::from_secs(10);
    loop {
        let mut client = server.connect();
        if client.get("/shard").expect(200).text() == shard.to_string() {
            return client;
        }
        assert!(Instant::now() < deadline, "no connection came to {shard}");
    }
}

fn metrics_health_and_caches_answer_while_a_shard_is_blocked(engine: Engine) {
    let (server, admin) = start(engine, 2);
    let healthy = ask(admin, "GET /health", LOCAL).expect(200).json();
    assert_eq!(
        (&healthy["status"], healthy.get("stuckShards")),
        (&json!("OK"), None)
    );
    let mut other = connect_to(&server, 1);
    for number in 0..32 {
        other.send(format!(
            "PUT /names/{number} HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n"
        ));
        other.read().expect(204);
    }
    let mut blocking = connect_to(&server, 0);
    let block = BLOCKED.as_millis();
    blocking.send(format!("GET /block/{block} HTTP/1.1\r\nHost: a\r\n\r\n"));
    let begun = Instant::now();
    thread::sleep(Duration::from_millis(200));

    let metrics = ask(admin, "GET /metrics", LOCAL).expect(200).json();
    assert_eq!(metrics["missingShards"], json!([0]));
    assert_eq!(metrics["shards"].as_array().map(Vec::len), Some(1));
    assert!(metrics["shards"][0]["requests"].as_u64() >= Some(33));
    let health = ask(admin, "GET /health", LOCAL).expect(200).json();
    assert_eq!(
        (&health["status"], &health["stuckShards"]),
        (&json!("WARN"), &json!([0]))
    );
    let warning = health["warning"].as_str().expect("a warning");
    assert!(warning.contains("shard 0 does not answer"), "{warning}");
    ask(admin, "GET /health/live", LOCAL).expect(200);
    let stats = ask(admin, "GET /cache/stats", LOCAL).expect(200).json();
    assert_eq!(stats["missing_shards"], json!([0]));
    let listed = ask(admin, "GET /cache/names", LOCAL).expect(200).json();
    assert_eq!(listed["missing_shards"], json!([0]));
    let keys = listed["keys"].as_array().expect("keys");
    assert!(!keys.is_empty() && keys.len() < 32, "{listed}");
    // At home on the shard that turns, and nobody else has a copy.
    let path = keys[0]["path"].as_str().expect("a path");
    let deleted = ask(admin, &format!("DELETE {path}"), LOCAL)
        .expect(200)
        .json();
    assert_eq!(deleted["deleted"], 1);
    // What the other one has cannot be forgotten: who is to blame is said.
    let refused = ask(admin, "DELETE /cache/names", LOCAL).expect_problem(503);
    assert!(refused.contains("shard 0 does not answer"), "{refused}");
    assert!(
        begun.elapsed() < BLOCKED,
        "it was over before the last answer"
    );

    thread::sleep(BLOCKED.saturating_sub(begun.elapsed()));
    blocking.read().expect(204);
    let health = ask(admin, "GET /health", LOCAL).expect(200).json();
    assert_eq!(health.get("stuckShards"), None, "{health}");
    ask(admin, "DELETE /cache/names", LOCAL).expect(200);
}

fn all_shards_blocked_is_an_error(engine: Engine) {
    let (server, admin) = start(engine, 1);
    let mut blocking = server.connect();
    blocking.send("GET /block/2000 HTTP/1.1\r\nHost: a\r\n\r\n");
    thread::sleep(Duration::from_millis(200));
    let health = ask(admin, "GET /health", LOCAL).expect(503).json();
    assert_eq!(
        (&health["status"], &health["stuckShards"]),
        (&json!("ERROR"), &json!([0]))
    );
    blocking.read().expect(204);
    ask(admin, "GET /health", LOCAL).expect(200);
}
