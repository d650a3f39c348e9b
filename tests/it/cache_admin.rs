//! The operator's view of the caches: what is counted, and that what is deleted
//! is gone from every shard. Each request on a connection of its own, so that
//! all shards are asked.

mod library;

use std::net::SocketAddr;

use serde_json::{Value, json};

use crate::harness::{Client, Engine, Response, Serve, ServerProcess};

either_engine!(
    what_happens_is_counted,
    a_deleted_key_is_gone_from_every_shard,
    a_deleted_list_is_gone_whatever_its_tags,
    a_shard_for_itself_forgets_a_deleted_key_too,
    a_time_to_live_of_zero_keeps_nothing,
    a_tag_takes_every_list_with_it,
    a_cache_is_flushed_alone_and_all_are_on_request,
    keys_are_listed_in_order_and_up_to_a_limit,
    what_is_meant_must_be_said,
    nothing_of_it_is_public,
    the_token_is_asked_for,
    the_metrics_tell_of_caches_and_lanes,
);

/// So that no value expires within a test.
const CONFIG: &str = "[cache]\nttl_ms = 600_000\nnegative_ttl_ms = 600_000\n";
const TOKEN: &str = "correct-horse-battery-staple";
/// Enough that both of two shards get some.
const CONNECTIONS: usize = 24;

fn start(engine: Engine) -> ServerProcess {
    start_with(engine, CONFIG)
}

fn start_with(engine: Engine, config: &str) -> ServerProcess {
    let serve = Serve::on(engine).demo().admin("127.0.0.1:0");
    serve.config(config).start()
}

fn admin_of(server: &ServerProcess) -> SocketAddr {
    server.admin_address().expect("an admin listener")
}

fn ask(server: &ServerProcess, method_and_path: &str) -> Response {
    let mut client = Client::connect(admin_of(server));
    client.send(format!(
        "{method_and_path} HTTP/1.1\r\nHost: localhost\r\n\r\n"
    ));
    client.read()
}

#[track_caller]
fn json_of(server: &ServerProcess, method_and_path: &str) -> Value {
    let answer = ask(server, method_and_path).expect(200);
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    answer.json()
}

#[track_caller]
fn refused(server: &ServerProcess, method_and_path: &str, status: u16) -> String {
    let answer = ask(server, method_and_path).expect(status);
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    answer.text().to_owned()
}

/// How the answer was come by: `l1`, `home`, or `miss`.
fn get(server: &ServerProcess, path: &str) -> &'static str {
    let answer = server.connect().get(path);
    assert!(matches!(answer.status, 200 | 404), "{answer:?}");
    let status = answer.must_have("cache-status");
    match answer.must_have("x-cache") {
        "HIT" if status.contains("detail=l1") => "l1",
        "HIT" if status.contains("detail=home") => "home",
        "MISS" if status.contains("stored") => "miss",
        other => panic!("{other}: {status}"),
    }
}

/// Asks until every shard has a copy.
fn warm(server: &ServerProcess, path: &str) {
    let ways: Vec<_> = (0..CONNECTIONS).map(|_| get(server, path)).collect();
    assert!(ways[1..].iter().all(|way| *way != "miss"), "{ways:?}");
}

/// Of many who ask, from all shards, the first loads and nobody has it before.
#[track_caller]
fn expect_gone(server: &ServerProcess, path: &str) {
    assert_eq!(get(server, path), "miss", "{path} was still there");
    warm(server, path);
}

fn stats_of(server: &ServerProcess, cache: &str) -> Value {
    let stats = json_of(server, "GET /cache/stats");
    assert_eq!(stats["missing_shards"], json!([]));
    let caches = stats["caches"].as_array().expect("caches");
    let found = caches.iter().find(|stats| stats["name"] == cache);
    found.expect("the cache").clone()
}

fn what_happens_is_counted(engine: Engine) {
    let server = start(engine);
    let before = stats_of(&server, "users");
    assert_eq!(
        [&before["coherence"], &before["ttl_ms"], &before["hits"]],
        [&json!("strict"), &json!(600_000), &json!(0)]
    );
    assert_eq!(get(&server, "/api/users/7"), "miss");
    let ways: Vec<_> = (0..CONNECTIONS)
        .map(|_| get(&server, "/api/users/7"))
        .collect();
    let count = |way| ways.iter().filter(|w| **w == way).count();
    assert!(count("miss") == 0 && count("home") <= 1, "{ways:?}");
    let after = stats_of(&server, "users");
    assert_eq!(after["counters"]["misses"], 1);
    assert_eq!(after["counters"]["hits_l1"], count("l1"));
    assert_eq!(after["counters"]["hits_home"], count("home"));
    assert_eq!(after["hits"], CONNECTIONS);
    assert_eq!(after["misses"], 1);
    let ratio = after["hit_ratio"].as_f64().expect("a ratio");
    assert!(
        (ratio - CONNECTIONS as f64 / (CONNECTIONS + 1) as f64).abs() < 1e-9,
        "{ratio}"
    );
    assert_eq!(after["keys"], 1);
    assert!(after["copies"].as_u64() >= Some(1), "{after}");
    assert!(after["bytes"].as_u64() > Some(100), "{after}");
    let body = b"{\"age\":41}";
    let mut client = server.connect();
    client.send(format!(
        "PATCH /api/users/7 HTTP/1.1\r\nHost: a\r\nContent-Type: application/merge-patch+json\r\n\
         Content-Length: {}\r\n\r\n",
        body.len()
    ));
    client.send(body);
    client.read().expect(200);
    let written = stats_of(&server, "users");
    assert_eq!(written["counters"]["writes"], 1);
    assert_eq!(written["keys"], 0);
    assert_eq!(written["counters"]["invalidations"], after["copies"]);
    let total = &json_of(&server, "GET /cache/stats")["total"];
    assert_eq!(
        [&total["hits"], &total["misses"], &total["keys"]],
        [&json!(CONNECTIONS), &json!(1), &json!(0)]
    );
}

fn a_deleted_key_is_gone_from_every_shard(engine: Engine) {
    let server = start(engine);
    for id in 1..5 {
        let (path, key) = (format!("/api/users/{id}"), format!("/cache/users/{id}"));
        assert_eq!(
            json_of(&server, &format!("DELETE {key}")),
            json!({"deleted": 0})
        );
        warm(&server, &path);
        assert_eq!(
            json_of(&server, &format!("DELETE {key}")),
            json!({"deleted": 1})
        );
        expect_gone(&server, &path);
    }
    // That there is none is kept under a key too.
    warm(&server, "/api/users/999999");
    assert_eq!(
        json_of(&server, "DELETE /cache/users/999999"),
        json!({"deleted": 1})
    );
    expect_gone(&server, "/api/users/999999");
}

fn a_deleted_list_is_gone_whatever_its_tags(engine: Engine) {
    let server = start(engine);
    let paths = [
        "/api/users?limit=5",
        "/api/users/batch?ids=3,1",
        "/api/users/near?lat=52.5&lon=13.4&radius_km=50",
        "/api/posts",
        "/api/posts?populate=author&limit=5",
        "/api/posts/1",
        "/api/posts/1?populate=author",
    ];
    for path in paths {
        warm(&server, path);
    }
    for path in paths {
        // As it is, and as a client encodes it.
        let encoded = path.replace('/', "%2F").replace('?', "%3f");
        for key in [path, &encoded] {
            let deleted = json_of(&server, &format!("DELETE /cache/lists/{key}"));
            assert_eq!(deleted, json!({"deleted": 1}), "{key}");
            expect_gone(&server, path);
        }
    }
    // Without its query it is another key.
    assert_eq!(
        json_of(&server, "DELETE /cache/lists//api/users"),
        json!({"deleted": 0})
    );
    assert_ne!(get(&server, "/api/users?limit=5"), "miss");
}

fn a_shard_for_itself_forgets_a_deleted_key_too(engine: Engine) {
    let server = start_with(engine, &format!("{CONFIG}coherence = \"off\"\n"));
    let misses = |path: &str| {
        let ways = (0..CONNECTIONS).map(|_| get(&server, path));
        ways.filter(|way| *way == "miss").count()
    };
    for (path, key) in [
        ("/api/users/1", "/cache/users/1"),
        ("/api/users?limit=5", "/cache/lists//api/users?limit=5"),
    ] {
        let shards = misses(path);
        assert!((1..=2).contains(&shards), "{shards} for 2 shards");
        assert_eq!(misses(path), 0);
        assert_eq!(
            json_of(&server, &format!("DELETE {key}")),
            json!({"deleted": 1})
        );
        assert_eq!(misses(path), shards, "{path}");
    }
    // The same key, written otherwise.
    let deleted = json_of(&server, "DELETE /cache/lists//api/users?limit=05&");
    assert_eq!(deleted, json!({"deleted": 1}));
}

fn a_time_to_live_of_zero_keeps_nothing(engine: Engine) {
    let server = start_with(engine, "[cache]\nttl_ms = 0\n");
    let mut client = server.connect();
    for path in [
        "/api/users/1",
        "/api/users/999999",
        "/api/users?limit=5",
        "/api/posts/1",
    ] {
        for _ in 0..3 {
            assert_eq!(client.get(path).must_have("x-cache"), "MISS", "{path}");
        }
    }
    for cache in ["users", "lists"] {
        assert_eq!(stats_of(&server, cache)["hits"], 0);
        assert_eq!(json_of(&server, &format!("GET /cache/{cache}"))["total"], 0);
    }
}

fn a_tag_takes_every_list_with_it(engine: Engine) {
    let server = start(engine);
    let of_users = ["/api/users?limit=5", "/api/posts?populate=author"];
    let other = ["/api/posts/1", "/api/users/1"];
    let listed = |path| json_of(&server, path)["total"].clone();
    for path in of_users.iter().chain(&other) {
        warm(&server, path);
    }
    assert_eq!(listed("GET /cache/lists"), 3);
    assert_eq!(
        json_of(&server, "DELETE /cache?tag=users"),
        json!({"invalidated": ["users"]})
    );
    assert_eq!(listed("GET /cache/lists"), 1);
    for path in of_users {
        expect_gone(&server, path);
    }
    for path in other {
        assert_ne!(get(&server, path), "miss", "{path} does not depend on it");
    }
    assert_eq!(
        json_of(&server, "DELETE /cache?tag=users&tag=posts&tag=users"),
        json!({"invalidated": ["posts", "users"]})
    );
    expect_gone(&server, "/api/posts/1");
    assert_ne!(get(&server, "/api/users/1"), "miss", "it has no tag");
    let refusal = refused(&server, "DELETE /cache?tag=users&tag=cats", 404);
    assert!(
        refusal.contains("no such tag: cats; there are: posts, users"),
        "{refusal}"
    );
    // None of them was touched.
    assert_ne!(get(&server, "/api/posts/1"), "miss");
}

fn a_cache_is_flushed_alone_and_all_are_on_request(engine: Engine) {
    let server = start(engine);
    let (user, list) = ("/api/users/1", "/api/posts/1");
    warm(&server, user);
    warm(&server, list);
    assert_eq!(
        json_of(&server, "DELETE /cache/users"),
        json!({"flushed": ["users"]})
    );
    expect_gone(&server, user);
    assert_ne!(get(&server, list), "miss");
    assert_eq!(
        json_of(&server, "DELETE /cache?all=true"),
        json!({"flushed": ["users", "lists"]})
    );
    assert_eq!(json_of(&server, "GET /cache/users")["total"], 0);
    expect_gone(&server, user);
    expect_gone(&server, list);
}

fn keys_are_listed_in_order_and_up_to_a_limit(engine: Engine) {
    let server = start(engine);
    for id in [3, 20, 1] {
        get(&server, &format!("/api/users/{id}"));
    }
    get(&server, "/api/users?limit=5");
    let all = json_of(&server, "GET /cache/users");
    let key = |id: &str| json!({"key": id, "path": format!("/cache/users/{id}")});
    assert_eq!(
        all,
        json!({"name": "users", "total": 3, "keys": [key("1"), key("20"), key("3")]})
    );
    let two = json_of(&server, "GET /cache/users?limit=2");
    assert_eq!(two["total"], 3);
    assert_eq!(two["keys"], json!([key("1"), key("20")]));
    let lists = json_of(&server, "GET /cache/lists");
    let listed = json!([{"key": "/api/users?limit=5",
                         "path": "/cache/lists/%2Fapi%2Fusers%3Flimit=5"}]);
    assert_eq!(lists["keys"], listed);
    for query in ["limit=x", "limit=-1", "limit=10001", "size=1"] {
        refused(&server, &format!("GET /cache/users?{query}"), 422);
    }
    // The key is what the client sent; nothing of it is markup.
    get(&server, "/api/users?name=%22%3Cb%3E%0A");
    let lists = json_of(&server, "GET /cache/lists?limit=1");
    assert_eq!(lists["total"], 2);
    let path = "/cache/lists/%2Fapi%2Fusers%3Fname=%2522%253Cb%253E%250A";
    let keys = json_of(&server, "GET /cache/lists");
    assert_eq!(keys["keys"][1]["path"], path);
    assert_eq!(
        json_of(&server, &format!("DELETE {path}")),
        json!({"deleted": 1})
    );
}

fn what_is_meant_must_be_said(engine: Engine) {
    let server = start(engine);
    warm(&server, "/api/users/1");
    for query in ["", "?", "?tagg=users", "?all=false", "?all=true&tag=users"] {
        let refusal = refused(&server, &format!("DELETE /cache{query}"), 422);
        for way in ["?tag=NAME", "/cache/{name}", "?all=true"] {
            assert!(refusal.contains(way), "{refusal}");
        }
    }
    let refusal = refused(&server, "DELETE /cache/users?tag=users", 422);
    assert!(refusal.contains("DELETE /cache?tag=NAME"), "{refusal}");
    for request in [
        "GET /cache/uers",
        "DELETE /cache/uers",
        "DELETE /cache/uers/1",
    ] {
        let refusal = refused(&server, request, 404);
        assert!(
            refusal.contains("no such cache: uers; there are: users, lists"),
            "{refusal}"
        );
    }
    ask(&server, "DELETE /cache/users/").expect(404);
    ask(&server, "GET /cache").expect(405);
    ask(&server, "POST /cache/users").expect(405);
    assert_eq!(
        ask(&server, "PUT /cache/stats").expect(405).header("allow"),
        Some("GET, HEAD, OPTIONS")
    );
    assert_ne!(
        get(&server, "/api/users/1"),
        "miss",
        "nothing was forgotten"
    );
}

fn nothing_of_it_is_public(engine: Engine) {
    let server = start(engine);
    warm(&server, "/api/users/1");
    for request in [
        "GET /cache/stats",
        "GET /cache/users",
        "DELETE /cache/users/1",
        "DELETE /cache?all=true",
    ] {
        let mut client = server.connect();
        client.send(format!(
            "{request} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n"
        ));
        client.read().expect_problem(404);
    }
    assert_ne!(get(&server, "/api/users/1"), "miss");
}

fn the_token_is_asked_for(engine: Engine) {
    let serve = Serve::on(engine).admin("127.0.0.1:0");
    let server = serve.environment("CORELANE_ADMIN_TOKEN", TOKEN).start();
    for request in ["GET /cache/stats", "DELETE /cache?all=true"] {
        ask(&server, request).expect_problem(401);
        let mut client = Client::connect(admin_of(&server));
        client.send(format!(
            "{request} HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {TOKEN}\r\n\r\n"
        ));
        client.read().expect(200);
    }
}

fn the_metrics_tell_of_caches_and_lanes(engine: Engine) {
    let server = start(engine);
    for id in 1..20 {
        warm(&server, &format!("/api/users/{id}"));
    }
    let json = server.connect().get("/metrics").expect(200).json();
    let users = &json["caches"][0];
    assert_eq!(users["name"], "users");
    assert_eq!(users["counters"]["misses"], 19);
    assert_eq!(users["hits"], 19 * (CONNECTIONS - 1));
    assert_eq!(json["caches"][1]["name"], "lists");
    let shards = json["shards"].as_array().expect("shards");
    let sum = |name: &str| -> u64 {
        let counts = shards.iter().map(|shard| shard["mesh"][name].as_u64());
        counts.map(|count| count.expect("a count")).sum()
    };
    assert!(sum("requestsSent") > 0, "{shards:?}");
    assert!(sum("requestsReceived") <= sum("requestsSent"));
    let text = server.connect().get("/metrics?format=prometheus");
    let text = text.expect(200).text().to_owned();
    for line in [
        "corelane_cache_requests_total{cache=\"users\",result=\"miss\"} 19\n",
        "corelane_cache_keys{cache=\"users\"} 19\n",
        "corelane_cache_keys{cache=\"lists\"} 0\n",
        "corelane_mesh_messages_total{shard=\"1\",class=\"reply\",direction=\"received\"} ",
    ] {
        assert!(text.contains(line), "{line} in {text}");
    }
}
