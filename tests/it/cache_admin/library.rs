//! The same endpoints over a library's app, with caches and keys of its own.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use corelane::cache::CacheOptions;
use corelane::server::AdminOptions;
use corelane::{App, Ctx, Error, Response as Answer};
use corelane_server::handlers;
use serde_json::{Value, json};

use crate::harness::{Client, Engine, InProcess, Response};

either_engine!(
    keys_of_any_bytes_are_listed_and_deleted,
    tags_of_its_own_are_known_once_in_use,
    each_read_is_counted_once,
    counts_outlive_a_shard,
);

fn start(engine: Engine, app: App) -> (InProcess, SocketAddr) {
    let app = app.admin(handlers::admin::app(
        &handlers::health::HealthOptions::default(),
    ));
    let server = InProcess::start_with(engine, app, |options| {
        options.admin = Some(AdminOptions::new(([127, 0, 0, 1], 0)));
    });
    let admin = server.handle().admin_addr().expect("an admin listener");
    (server, admin)
}

fn ask(admin: SocketAddr, method_and_path: &str) -> Response {
    let mut client = Client::connect(admin);
    client.send(format!(
        "{method_and_path} HTTP/1.1\r\nHost: localhost\r\n\r\n"
    ));
    client.read()
}

fn json_of(admin: SocketAddr, method_and_path: &str) -> Value {
    ask(admin, method_and_path).expect(200).json()
}

fn keys_of_any_bytes_are_listed_and_deleted(engine: Engine) {
    let app = App::new()
        .cache(CacheOptions::new("raw"))
        .get("/fill", async |ctx: Ctx| {
            for key in [&b"\xff/\x00 %"[..], b"plain", "\u{e4}\u{1f600}".as_bytes()] {
                ctx.cache("raw").set(key, 1_u64).await?;
            }
            Ok(Answer::no_content())
        });
    let (server, admin) = start(engine, app);
    server.connect().get("/fill").expect(204);
    let listed = json_of(admin, "GET /cache/raw");
    let expected = json!([
        {"key": "plain", "path": "/cache/raw/plain"},
        {"key": "\u{e4}\u{1f600}", "path": "/cache/raw/%C3%A4%F0%9F%98%80"},
        {"key": "\u{fffd}/\u{0} %", "path": "/cache/raw/%FF%2F%00%20%25"},
    ]);
    assert_eq!(listed["keys"], expected);
    for key in listed["keys"].as_array().expect("keys") {
        let path = key["path"].as_str().expect("a path");
        for deleted in [1, 0] {
            let answer = json_of(admin, &format!("DELETE {path}"));
            assert_eq!(answer, json!({"deleted": deleted}), "{path}");
        }
    }
    assert_eq!(json_of(admin, "GET /cache/raw")["total"], 0);
    ask(admin, "DELETE /cache/raw/%zz").expect_problem(400);
    ask(admin, "DELETE /cache?tag=users").expect_problem(404);
}

fn tags_of_its_own_are_known_once_in_use(engine: Engine) {
    let app = App::new()
        .cache(CacheOptions::new("pages").tags(["all"]))
        .get("/{tag}", async |ctx: Ctx| {
            let tag: String = ctx.param("tag")?;
            let pages = ctx.cache("pages").tagged([tag]);
            let page = pages.get_or_load("page", || async { Ok("text".to_owned()) });
            Ok(Answer::text(format!("{:?}\n", page.await?.lookup())))
        });
    let (server, admin) = start(engine, app);
    let refusal = ask(admin, "DELETE /cache?tag=cats").expect_problem(404);
    assert_eq!(refusal, "no such tag: cats; there are: all");
    for tag in ["cats", "all"] {
        assert_eq!(server.connect().get("/cats").expect(200).text(), "Loaded\n");
        assert_ne!(server.connect().get("/cats").expect(200).text(), "Loaded\n");
        json_of(admin, &format!("DELETE /cache?tag={tag}"));
    }
    assert_eq!(server.connect().get("/cats").expect(200).text(), "Loaded\n");
}

/// Also one that is answered with an expired value.
fn each_read_is_counted_once(engine: Engine) {
    let old = || {
        CacheOptions::new("old")
            .ttl_ms(1)
            .stale_if_error_ms(600_000)
    };
    let app = App::new()
        .cache(old())
        .cache(
            CacheOptions::new("soon")
                .ttl_ms(1)
                .stale_while_revalidate_ms(600_000),
        )
        .get("/{cache}/{fails}", async |ctx: Ctx| {
            let (cache, fails): (String, bool) = (ctx.param("cache")?, ctx.param("fails")?);
            let load = move || async move {
                match fails {
                    true => Err(Error::unavailable("no", 1)),
                    false => Ok(7_u64),
                }
            };
            let found = ctx.cache(&cache).get_or_load("key", load).await?;
            Ok(Answer::text(format!("{:?}\n", found.lookup())))
        });
    let (server, admin) = start(engine, app);
    let mut client = server.connect();
    client.get("/old/true").expect(503);
    for cache in ["old", "soon"] {
        client.get(&format!("/{cache}/false")).expect(200);
        std::thread::sleep(Duration::from_millis(20));
    }
    let stands_in = client.get("/old/true").expect(200);
    assert_eq!(stands_in.text(), "StaleOnError\n");
    let stale = client.get("/soon/false").expect(200);
    assert_eq!(stale.text(), "Stale\n");
    std::thread::sleep(Duration::from_millis(20));
    let stats = json_of(admin, "GET /cache/stats");
    let counts = |cache: usize, names: [&str; 2]| {
        let stats = &stats["caches"][cache];
        names.map(|name| stats[name].as_u64().expect("a count"))
    };
    assert_eq!(counts(0, ["hits", "misses"]), [1, 2], "{stats}");
    assert_eq!(counts(1, ["hits", "misses"]), [1, 1], "{stats}");
}

fn counts_outlive_a_shard(engine: Engine) {
    let app = App::new()
        .cache(CacheOptions::new("c"))
        .get("/metrics", handlers::metrics::metrics)
        .get("/{key}", async |ctx: Ctx| {
            let key: String = ctx.param("key")?;
            let cache = ctx.cache("c");
            let found = cache.get_or_load(key, || async { Ok(7_u64) }).await?;
            Ok(Answer::text(format!("{:?}\n", found.lookup())))
        });
    let (server, admin) = start(engine, app);
    for key in 0..50 {
        server.connect().get(&format!("/{key}")).expect(200);
    }
    // Of the shard's lives: nothing while it is away.
    let sent_in = |restarts: u64| {
        let json = json_of(admin, "GET /metrics");
        let shard = json["shards"].as_array()?.get(1)?.clone();
        let sent = shard["mesh"]["repliesSent"].as_u64()?;
        (shard["restarts"] == restarts).then_some(sent)
    };
    let before = sent_in(0).expect("a count");
    let misses = json_of(admin, "GET /cache/stats")["total"]["misses"].clone();
    assert_eq!(misses, 50);
    server.handle().crash_shard(1);
    let deadline = Instant::now() + Duration::from_secs(10);
    let after = loop {
        if let Some(after) = sent_in(1) {
            break after;
        }
        assert!(Instant::now() < deadline, "no successor");
        std::thread::sleep(Duration::from_millis(5));
    };
    assert!(after >= before, "{after} after {before}");
    assert_eq!(json_of(admin, "GET /cache/stats")["total"]["misses"], 50);
}
