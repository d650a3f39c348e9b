//! What goes wrong with PostgreSQL while the binary runs: no write that was
//! acknowledged is lost, no request hangs, and connections stay in their
//! budget. What goes wrong at the start is in `postgres_starts`.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use corelane_server::handlers::{self, ApiOptions};
use corelane_server::store::{Database, StoreOptions};
use serde_json::json;
use services::{Database as TestDatabase, Postgres, Proxy};

use crate::harness::{Client, Engine, InProcess, Response, Serve, ServerProcess};

both_engines!(
    no_acknowledged_write_is_lost_when_the_server_is_killed,
    a_lost_answer_is_an_unknown_outcome_within_the_deadline,
    nothing_hangs_on_a_frozen_server,
    a_statement_that_waits_for_a_lock_is_given_up_and_did_nothing,
    five_connections_serve_200_requests_and_are_never_exceeded,
    a_shard_that_dies_leaves_no_connection_behind,
);

const DEADLINES: &str = "[database]\n\
    deadline_ms = 1500\nstatement_timeout_ms = 1000\ncheckout_timeout_ms = 1000\n\
    connect_timeout_ms = 1000\n";

/// The deadline above, and what a request may take beside it.
const ANSWERED_WITHIN: Duration = Duration::from_millis(1_500 + 1_000);

const UNKNOWN: &str = "urn:corelane:problem:outcome-unknown";

fn start(engine: Engine, url: &str) -> ServerProcess {
    let serve = Serve::on(engine).argument("--store").argument(url);
    serve.config(DEADLINES).start()
}

fn fill(database: &TestDatabase, count: u64) {
    database.psql(&format!(
        "INSERT INTO users (name, email, age, created_at_ms, updated_at_ms, version)
         SELECT 'n', n || '@example.org', 30, 5, 6, 1 FROM generate_series(1, {count}) AS n"
    ));
}

fn version_in(database: &TestDatabase, id: u64) -> u64 {
    let version = database.psql(&format!("SELECT version FROM users WHERE id = {id}"));
    version.parse().expect("a version")
}

fn set_age(client: &mut Client, id: u64, age: u64) -> Response {
    let target = format!("/api/users/{id}");
    client.send_json("PATCH", &target, &[], &json!({"age": age % 100}))
}

fn is_unknown(response: &Response) -> bool {
    response.status == 503 && response.json()["type"] == UNKNOWN
}

#[track_caller]
fn within<T>(limit: Duration, what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + limit;
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(Instant::now() < deadline, "{what}: not within {limit:?}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// What a writer knows of its user.
#[derive(Debug, Default)]
struct Written {
    /// The highest version it was told of.
    acknowledged: u64,
    /// Writes since then whose outcome nobody knows.
    unknown: u64,
    /// All of them.
    unknown_in_all: u64,
}

fn no_acknowledged_write_is_lost_when_the_server_is_killed(engine: Engine) {
    const WRITERS: u64 = 8;
    let mut database = Postgres::start();
    let server = start(engine, &database.url());
    fill(&database, WRITERS);
    let (is_over, acknowledged) = (AtomicBool::new(false), AtomicU64::new(0));
    let written = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for id in 1..=WRITERS {
            let (server, is_over, acknowledged) = (&server, &is_over, &acknowledged);
            let written = &written;
            scope.spawn(move || {
                let known = write_on(&mut server.connect(), id, is_over, acknowledged);
                written.lock().expect("no panic").push((id, known));
            });
        }
        for round in 1..=3 {
            within(Duration::from_secs(20), "writes", || {
                (acknowledged.load(Ordering::SeqCst) > 100 * round).then_some(())
            });
            database.kill();
            database.start_again();
        }
        is_over.store(true, Ordering::SeqCst);
    });
    let mut client = server.connect();
    let mut unknown = 0;
    for (id, known) in written.into_inner().expect("no panic") {
        let there = version_in(&database, id);
        let possible = known.acknowledged..=known.acknowledged + known.unknown;
        assert!(possible.contains(&there), "user {id}: {there}, {known:?}");
        let shown = within(Duration::from_secs(10), "an answer", || {
            Some(client.get(&format!("/api/users/{id}"))).filter(|answer| answer.status == 200)
        });
        assert_eq!(shown.json()["version"], there);
        unknown += known.unknown_in_all;
    }
    println!("{acknowledged:?} acknowledged, {unknown} unknown");
}

/// Writes one user until it is over; what it was told.
fn write_on(
    client: &mut Client,
    id: u64,
    is_over: &AtomicBool,
    acknowledged: &AtomicU64,
) -> Written {
    let mut known = Written {
        acknowledged: 1,
        ..Written::default()
    };
    for age in 0.. {
        let begun = Instant::now();
        let answer = set_age(client, id, age);
        assert!(begun.elapsed() < ANSWERED_WITHIN, "{:?}", begun.elapsed());
        if answer.status == 200 {
            let version = answer.json()["version"].as_u64().expect("a version");
            let possible = known.acknowledged + 1..=known.acknowledged + 1 + known.unknown;
            assert!(possible.contains(&version), "{version}, {known:?}");
            known = Written {
                acknowledged: version,
                unknown: 0,
                ..known
            };
            acknowledged.fetch_add(1, Ordering::SeqCst);
        } else if is_unknown(&answer) {
            known.unknown += 1;
            known.unknown_in_all += 1;
            // What was cached before may be old now.
            let shown = client.get(&format!("/api/users/{id}"));
            if shown.status == 200 {
                let version = shown.json()["version"].as_u64().expect("a version");
                let possible = known.acknowledged..=known.acknowledged + known.unknown;
                assert!(possible.contains(&version), "{version}, {known:?}");
                assert!(shown.header("x-cache") != Some("HIT"), "{shown:?}");
            } else {
                shown.expect(503);
            }
        } else {
            answer.expect(503);
        }
        if is_over.load(Ordering::SeqCst) {
            break;
        }
    }
    known
}

fn a_lost_answer_is_an_unknown_outcome_within_the_deadline(engine: Engine) {
    let database = TestDatabase::new();
    let proxy = Proxy::to(database.port());
    let server = start(engine, &database.url_through(proxy.port()));
    fill(&database, 2);
    let mut client = server.connect();
    within(Duration::from_secs(10), "a hit", || {
        let answer = client.get("/api/users/1");
        (answer.header("x-cache") == Some("HIT")).then_some(())
    });
    // The connection knows the statement: one message does all of it.
    set_age(&mut client, 2, 50).expect(200);
    proxy.hold_answers(true);
    let begun = Instant::now();
    let answer = set_age(&mut client, 1, 50);
    assert!(is_unknown(&answer), "{answer:?}");
    assert!(begun.elapsed() < ANSWERED_WITHIN, "{:?}", begun.elapsed());
    assert_eq!(version_in(&database, 1), 2, "it was committed");
    // Neither out of the cache nor, while nobody can be asked, at all.
    client.get("/api/users/1").expect(503);
    server.wait_for_output("a request failed (blame: upstream): 503");
    proxy.hold_answers(false);
    let shown = within(Duration::from_secs(10), "an answer", || {
        Some(client.get("/api/users/1")).filter(|answer| answer.status == 200)
    });
    assert_eq!(
        (&shown.json()["version"], &shown.json()["age"]),
        (&json!(2), &json!(50))
    );
    set_age(&mut client, 1, 51).expect(200);
}

fn nothing_hangs_on_a_frozen_server(engine: Engine) {
    let database = Postgres::start();
    let server = start(engine, &database.url());
    fill(&database, 50);
    server.connect().get("/api/users/1").expect(200);
    database.freeze();
    std::thread::scope(|scope| {
        for number in 2..=50 {
            let mut client = server.connect();
            scope.spawn(move || {
                let begun = Instant::now();
                let answer = match number % 5 {
                    0 => set_age(&mut client, number, 5),
                    1 => client.get("/api/users?limit=5&min_age=20"),
                    2 => client.get(&format!("/api/users/near?lat={number}&lon=5&radius_km=9")),
                    3 => client.get("/api/posts?populate=author"),
                    _ => client.get(&format!("/api/users/{number}")),
                };
                let took = begun.elapsed();
                assert_eq!(answer.status, 503, "{}", answer.text());
                assert!(took < ANSWERED_WITHIN, "{number}: {took:?}");
            });
        }
    });
    let health = server.connect().get("/health").expect(503).json();
    assert_eq!(health["status"], "ERROR");
    database.thaw();
    let mut client = server.connect();
    within(Duration::from_secs(10), "it is back", || {
        (client.get("/health").status == 200).then_some(())
    });
    for id in 1..=50 {
        client.get(&format!("/api/users/{id}")).expect(200);
    }
}

fn a_statement_that_waits_for_a_lock_is_given_up_and_did_nothing(engine: Engine) {
    let database = TestDatabase::new();
    let server = start(engine, &database.url());
    fill(&database, 3);
    std::thread::scope(|scope| {
        let lock = "BEGIN; LOCK TABLE users IN ACCESS EXCLUSIVE MODE; SELECT pg_sleep(4); COMMIT";
        scope.spawn(|| database.psql(lock));
        within(Duration::from_secs(10), "the lock", || {
            let locks = database.psql(
                "SELECT count(*) FROM pg_locks WHERE mode = 'AccessExclusiveLock' AND granted
                 AND relation = 'users'::regclass::oid AND database =
                 (SELECT oid FROM pg_database WHERE datname = current_database())",
            );
            (locks == "1").then_some(())
        });
        let mut client = server.connect();
        for _ in 0..2 {
            let begun = Instant::now();
            client
                .get("/api/users/1")
                .expect(503)
                .must_have("retry-after");
            assert!(begun.elapsed() < ANSWERED_WITHIN, "{:?}", begun.elapsed());
        }
        let begun = Instant::now();
        let refused = set_age(&mut client, 1, 50).expect(503);
        assert!(begun.elapsed() < ANSWERED_WITHIN, "{:?}", begun.elapsed());
        assert!(
            !is_unknown(&refused),
            "the server has said that nothing was done"
        );
    });
    assert_eq!(version_in(&database, 1), 1);
    let mut client = server.connect();
    client.get("/api/users/1").expect(200);
    assert_eq!(set_age(&mut client, 1, 50).expect(200).json()["version"], 2);
}

/// Connections of corelane processes.
fn connections(database: &TestDatabase) -> u64 {
    count_like(database, "corelane%")
}

fn count_like(database: &TestDatabase, name: &str) -> u64 {
    let from = "FROM pg_stat_activity WHERE datname = current_database() AND application_name";
    let count = database.psql(&format!("SELECT count(*) {from} LIKE '{name}'"));
    count.parse().expect("a count")
}

fn five_connections_serve_200_requests_and_are_never_exceeded(engine: Engine) {
    let database = TestDatabase::new();
    let server = Serve::on(engine)
        .argument("--store")
        .argument(database.url())
        .config("[database]\nconnections_max = 5\nidle_timeout_ms = 1000\n[cache]\nttl_ms = 0\n")
        .start();
    fill(&database, 200);
    let is_over = AtomicBool::new(false);
    let most = std::thread::scope(|scope| {
        let watching = scope.spawn(|| {
            let mut most = 0;
            while !is_over.load(Ordering::SeqCst) {
                most = most.max(connections(&database));
            }
            most
        });
        for _ in 0..3 {
            let mut clients: Vec<Client> = (0..200).map(|_| server.connect()).collect();
            for (id, client) in (1..).zip(&mut clients) {
                let target = match id % 4 {
                    0 => format!("/api/users?limit=10&min_age={}", id % 20),
                    _ => format!("/api/users/{id}"),
                };
                client.send_request("GET", &target, &[], b"");
            }
            for client in &mut clients {
                client.read().expect(200);
            }
        }
        is_over.store(true, Ordering::SeqCst);
        watching.join().expect("no panic")
    });
    println!("at most {most} connections");
    assert!((2..=5).contains(&most), "{most}");
}

fn a_shard_that_dies_leaves_no_connection_behind(engine: Engine) {
    let database = TestDatabase::new();
    let mut store = StoreOptions {
        url: database.url().parse().expect("an address"),
        shards: 2,
        ..StoreOptions::default()
    };
    store.database.connections_max = 6;
    let opened = Database::open(&store).expect("a database");
    let app = handlers::app(ApiOptions::default(), opened).expect("good options");
    let server = InProcess::start(engine, app);
    fill(&database, 9);
    let mut witness = 0;
    for round in 1..=4 {
        // Shard 0 is the one that listens.
        let index = round % 2;
        server.handle().crash_shard(index);
        within(
            Duration::from_secs(10),
            "the successor and the feed",
            || {
                let mut client = Client::try_connect(server.address()).ok()?;
                let answer = client.try_request("GET", "/metrics", &[("Connection", "close")], b"");
                let metrics = answer.ok().filter(|answer| answer.status == 200)?.json();
                let shards = metrics["shards"].as_array()?;
                let reborn = shards.iter().filter_map(|shard| shard["restarts"].as_u64());
                witness = reborn.sum::<u64>();
                let well = witness == round as u64 && metrics["changeFeed"]["running"] == true;
                well.then_some(())
            },
        );
        for id in 1..=9 {
            server
                .connect()
                .get(&format!("/api/users/{id}"))
                .expect(200);
        }
        // The server may need a moment to see that the dead one's are closed.
        within(Duration::from_secs(2), "the budget", || {
            let listening = count_like(&database, "corelane changes");
            (connections(&database) <= 6 && listening == 1).then_some(())
        });
        database.psql(&format!("UPDATE users SET name = 'round {round}'"));
        within(Duration::from_secs(2), "the change", || {
            let answer = server.connect().get("/api/users/1").expect(200);
            (answer.json()["name"] == format!("round {round}")).then_some(())
        });
    }
    drop(server);
    within(Duration::from_secs(5), "all are closed", || {
        (connections(&database) == 0).then_some(())
    });
}
