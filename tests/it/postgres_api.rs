//! The API with PostgreSQL behind it: the same answers as with the embedded
//! store, and the commands that fill and check a store.

use std::process::{Command, Output};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use services::Database;

use crate::harness::{Client, Engine, Serve, ServerProcess, corelane};

both_engines!(
    an_export_is_whole_and_in_constant_memory,
    a_reader_that_leaves_an_export_ends_its_statement,
);

either_engine!(
    users_are_made_read_changed_and_deleted_under_conditions,
    lists_pages_and_filters_are_those_of_the_embedded_store,
    what_the_database_cannot_hold_is_refused_or_found_nowhere,
    places_batches_and_posts_come_from_the_database,
    two_processes_on_an_empty_database_fill_it_once,
);

fn serve(engine: Engine, database: &Database) -> Serve {
    Serve::on(engine)
        .argument("--store")
        .argument(database.url())
}

fn started(engine: Engine) -> (Database, ServerProcess, Client) {
    let database = Database::new();
    let server = serve(engine, &database).start();
    let client = server.connect();
    (database, server, client)
}

fn command(name: &str, database: &Database, arguments: &[&str]) -> Output {
    let folder = tempfile::TempDir::new().expect("a folder");
    let mut command: Command = corelane();
    command
        .arg(name)
        .args(["--store", &database.url()])
        .args(arguments);
    command.current_dir(folder.path());
    command.output().expect("the binary runs")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn users_are_made_read_changed_and_deleted_under_conditions(engine: Engine) {
    let (_database, _server, mut client) = started(engine);
    let ada = json!({"name": "Ada", "email": "Ada@example.org", "age": 36,
                     "location": {"lat": 51.5, "lon": -0.1}});
    let made = client
        .send_json("POST", "/api/users", &[], &ada)
        .expect(201);
    assert_eq!(made.must_have("location"), "/api/users/1");
    let first = made.must_have("etag").to_owned();
    assert_eq!(client.get("/api/users/1").expect(200).json(), made.json());

    let taken = json!({"name": "B", "email": "ADA@example.ORG", "age": 1});
    client
        .send_json("POST", "/api/users", &[], &taken)
        .expect(409);

    let patch = json!({"age": 37, "location": null});
    let merge = ("Content-Type", "application/merge-patch+json");
    let patch = patch.to_string();
    let mut send_patch = |etag: &str| {
        let headers = [merge, ("If-Match", etag)];
        client.request("PATCH", "/api/users/1", &headers, patch.as_bytes())
    };
    let changed = send_patch(&first).expect(200);
    assert_eq!(
        (&changed.json()["age"], &changed.json()["location"]),
        (&json!(37), &Value::Null)
    );
    send_patch(&first).expect(412);
    let second = changed.must_have("etag").to_owned();

    client
        .request("DELETE", "/api/users/1", &[("If-Match", &first)], b"")
        .expect(412);
    client
        .request("DELETE", "/api/users/1", &[("If-Match", &second)], b"")
        .expect(204);
    client.get("/api/users/1").expect(404);
    client
        .send_json("PUT", "/api/users/1", &[], &ada)
        .expect(404);
    let again = client
        .send_json("POST", "/api/users", &[], &ada)
        .expect(201);
    assert_eq!(again.json()["id"], 2, "an id is never used twice");
}

/// The same demo data behind both stores.
fn with_demo(engine: Engine) -> (Database, [ServerProcess; 2]) {
    let database = Database::new();
    let servers = [
        serve(engine, &database).demo().start(),
        Serve::on(engine).demo().start(),
    ];
    (database, servers)
}

fn lists_pages_and_filters_are_those_of_the_embedded_store(engine: Engine) {
    let (_database, servers) = with_demo(engine);
    let [mut postgres, mut sqlite] = servers.each_ref().map(ServerProcess::connect);
    let name = sqlite.get("/api/users/77").expect(200).json()["name"].clone();
    let name = name.as_str().expect("a name").replace(' ', "%20");
    for query in [
        "limit=50",
        "limit=7&page=40",
        "sort=-id&min_age=60&limit=100",
        "min_age=88",
        "sort=name&limit=100&page=3",
        "sort=name&min_age=85&limit=30",
        "fields=email,location&limit=5",
        &format!("name={name}&min_age=20"),
        &format!("name={name}&sort=name"),
    ] {
        let mut target = format!("/api/users?{query}");
        for _ in 0..3 {
            let (ours, theirs) = (postgres.get(&target), sqlite.get(&target));
            let (ours, theirs) = (ours.expect(200).json(), theirs.expect(200).json());
            assert_eq!(ours, theirs, "{target}");
            match theirs["next"].as_str() {
                Some(next) => target = next.to_owned(),
                None => break,
            }
        }
    }
}

fn what_the_database_cannot_hold_is_refused_or_found_nowhere(engine: Engine) {
    let (_database, _server, mut client) = started(engine);
    for (field, value) in [("name", "a\u{0}b"), ("email", "a\u{0}@example.org")] {
        let mut user = json!({"name": "A", "email": "a@example.org", "age": 1});
        user[field] = json!(value);
        client
            .send_json("POST", "/api/users", &[], &user)
            .expect(422);
    }
    let list = client.get("/api/users?name=a%00b").expect(200).json();
    assert_eq!(list["data"], json!([]));

    // Everything else it keeps as it came.
    for (number, name) in ["\u{fffd}\u{10ffff}", "e\u{301}", "\u{e9}", "%_\\'\"", "ß"]
        .into_iter()
        .enumerate()
    {
        let email = format!("u{number}@bücher.example");
        let user = json!({"name": name, "email": email, "age": 1});
        let made = client
            .send_json("POST", "/api/users", &[], &user)
            .expect(201);
        assert_eq!(
            (&made.json()["name"], &made.json()["email"]),
            (&json!(name), &json!(email))
        );
        let id = made.json()["id"].clone();
        assert_eq!(
            client.get(&format!("/api/users/{id}")).expect(200).json()["name"],
            name
        );
    }
    // In either case only ASCII letters are alike.
    let user = json!({"name": "A", "email": "u0@BÜCHER.example", "age": 1});
    client
        .send_json("POST", "/api/users", &[], &user)
        .expect(201);
}

fn places_batches_and_posts_come_from_the_database(engine: Engine) {
    let (_database, servers) = with_demo(engine);
    let [mut postgres, mut sqlite] = servers.each_ref().map(ServerProcess::connect);
    for target in [
        "/api/users/near?lat=48.85&lon=2.35&radius_km=500&limit=40",
        "/api/users/near?lat=-18.1&lon=180&radius_km=20000&limit=100",
        "/api/users/near?lat=0&lon=0&radius_km=1",
        "/api/users/batch?ids=4,99999,1,4",
        "/api/posts?populate=author&limit=50",
        "/api/posts?author_id=500",
        "/api/posts?author_id=77&populate=author&limit=3",
        "/api/posts/4999",
    ] {
        let (ours, theirs) = (postgres.get(target), sqlite.get(target));
        assert_eq!(
            ours.expect(200).json(),
            theirs.expect(200).json(),
            "{target}"
        );
    }
    postgres.get("/health").expect(200);
}

const MANY: u64 = 300_000;

fn fill(database: &Database, users: u64) {
    database.psql(&format!(
        "ALTER TABLE users DISABLE TRIGGER USER;
         INSERT INTO users (name, email, age, created_at_ms, updated_at_ms, version)
         SELECT repeat('n', 60), n || '@example.org', 30, 5, 6, 7
         FROM generate_series(1, {users}) AS n;
         ALTER TABLE users ENABLE TRIGGER USER"
    ));
}

fn an_export_is_whole_and_in_constant_memory(engine: Engine) {
    let (database, server, _) = started(engine);
    fill(&database, MANY);
    let mut slow = server.connect();
    // What a few requests leave behind is not counted.
    server.connect().get("/api/users?limit=100").expect(200);
    let before = server.resident_bytes();
    slow.send("GET /api/users/export HTTP/1.1\r\nHost: a\r\n\r\n");
    slow.read_head();
    let (mut most, mut lines, mut chunks) = (0, 0, 0_u64);
    while let Some(chunk) = slow.read_chunk() {
        lines += chunk.iter().filter(|byte| **byte == b'\n').count() as u64;
        // Slow at first, so that whoever does not wait for it piles up the rest.
        if chunks % 10 == 0 && chunks < 400 {
            std::thread::sleep(Duration::from_millis(20));
            most = most.max(server.resident_bytes());
        }
        chunks += 1;
    }
    assert_eq!(lines, MANY);
    let grown = most.saturating_sub(before);
    println!("{lines} lines, {grown} bytes more than before");
    assert!(grown < 16 << 20, "{grown} bytes");
}

fn a_reader_that_leaves_an_export_ends_its_statement(engine: Engine) {
    let (database, server, _) = started(engine);
    fill(&database, MANY);
    let mut client = server.connect();
    let active = || {
        database.psql(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()
             AND backend_type = 'client backend' AND pid <> pg_backend_pid() AND state <> 'idle'",
        )
    };
    client.send("GET /api/users/export HTTP/1.1\r\nHost: a\r\n\r\n");
    client.read_head();
    assert_eq!(active(), "1");
    client.reset();
    let deadline = Instant::now() + Duration::from_secs(10);
    while active() != "0" {
        assert!(Instant::now() < deadline, "the statement goes on");
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn two_processes_on_an_empty_database_fill_it_once(engine: Engine) {
    let database = Database::new();
    let servers: Vec<ServerProcess> = std::thread::scope(|scope| {
        let starts: Vec<_> = (0..2)
            .map(|_| scope.spawn(|| serve(engine, &database).demo().start()))
            .collect();
        starts
            .into_iter()
            .map(|start| start.join().expect("a start"))
            .collect()
    });
    assert_eq!(
        database.psql("SELECT count(*), max(id) FROM users"),
        "1000|1000"
    );
    assert_eq!(database.psql("SELECT count(*) FROM posts"), "5000");
    // What one writes the other reads.
    let user = json!({"name": "A", "email": "a@example.org", "age": 1});
    let made = servers[0]
        .connect()
        .send_json("POST", "/api/users", &[], &user)
        .expect(201);
    let target = format!("/api/users/{}", made.json()["id"]);
    assert_eq!(
        servers[1].connect().get(&target).expect(200).json(),
        made.json()
    );
}

#[test]
fn seed_fills_and_explain_approves() {
    let database = Database::new();
    let seeded = command("seed", &database, &["--users", "3000", "--posts", "7000"]);
    assert!(seeded.status.success(), "{}", text(&seeded.stderr));
    assert!(text(&seeded.stderr).contains("added 3000 users and 7000 posts"));
    assert_eq!(database.psql("SELECT count(*) FROM users"), "3000");
    assert_eq!(database.psql("SELECT count(*) FROM posts"), "7000");
    for output in [&seeded.stdout, &seeded.stderr] {
        assert!(!text(output).contains("secret"), "{}", text(output));
    }

    let explained = command("explain", &database, &[]);
    let (said, complained) = (text(&explained.stdout), text(&explained.stderr));
    assert!(explained.status.success(), "{said}\n{complained}");
    assert!(said.contains("queries are as they should be"), "{said}");
    assert!(said.contains("Index Scan using users_by_place"), "{said}");

    database.psql("DROP INDEX users_by_place");
    let explained = command("explain", &database, &[]);
    assert!(!explained.status.success());
    assert!(text(&explained.stdout).contains("PROBLEM: there is no index users_by_place"));
}

#[test]
fn posts_without_users_are_refused() {
    let database = Database::new();
    let seeded = command("seed", &database, &["--users", "0", "--posts", "5"]);
    assert!(!seeded.status.success());
    assert!(
        text(&seeded.stderr).contains("author"),
        "{}",
        text(&seeded.stderr)
    );
}
