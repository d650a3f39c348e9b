//! What others change in PostgreSQL: two processes of the binary on one
//! database, and somebody with psql. The reader is asked until it shows the
//! change; its caches would keep the old value for a minute.

mod announced;
mod cuts;

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::{Value, json};
use services::{Database, Keyspace};

use crate::harness::{Client, Engine, Response, Serve, ServerProcess};

either_engine!(
    what_another_process_or_psql_writes_is_read_anew,
    what_is_deleted_or_made_by_psql_is_gone_or_there,
    a_bulk_update_of_5_000_rows_leaves_nothing_old,
    lists_show_what_others_write,
    the_window_after_a_commit_elsewhere_is_short,
    reads_that_race_with_writes_elsewhere_leave_nothing_old,
    own_writes_are_not_told_to_oneself,
    what_psql_writes_is_not_read_from_redis,
    a_stop_is_no_loss,
);

/// Nothing runs out while a test looks.
const LONG: &str = "[cache]\nttl_ms = 60000\nnegative_ttl_ms = 60000\n";

/// How long a change may take to be seen: the machine may be busy.
const SEEN_WITHIN: Duration = Duration::from_secs(2);

fn serve(engine: Engine, url: &str) -> Serve {
    Serve::on(engine).argument("--store").argument(url)
}

/// A process whose feed runs.
fn node(engine: Engine, url: &str) -> ServerProcess {
    let server = serve(engine, url).config(LONG).start();
    wait_for_feed(&mut server.connect(), true);
    server
}

fn feed_of(client: &mut Client) -> Value {
    client.get("/metrics").expect(200).json()["changeFeed"].clone()
}

#[track_caller]
fn wait_for_feed(client: &mut Client, running: bool) {
    within(Duration::from_secs(15), "the feed", || {
        (feed_of(client)["running"] == running).then_some(())
    });
}

/// Asks until there is an answer.
#[track_caller]
fn within<T>(limit: Duration, what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + limit;
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(Instant::now() < deadline, "{what}: not within {limit:?}");
        std::thread::sleep(Duration::from_millis(1));
    }
}

fn is_hit(response: &Response) -> bool {
    response.header("x-cache") == Some("HIT")
}

/// Reads it until it comes out of the cache.
#[track_caller]
fn cached(client: &mut Client, target: &str) -> Response {
    within(Duration::from_secs(10), target, || {
        Some(client.get(target)).filter(is_hit)
    })
}

/// Reads it until it is as it should be, at most [`SEEN_WITHIN`].
#[track_caller]
fn shows(client: &mut Client, target: &str, is_so: impl Fn(&Response) -> bool) -> Response {
    within(SEEN_WITHIN, target, || {
        Some(client.get(target)).filter(|response| is_so(response))
    })
}

fn name_is(name: &str) -> impl Fn(&Response) -> bool {
    let name = name.to_owned();
    move |response| response.status == 200 && response.json()["name"] == *name
}

/// Adds users as psql does; ids 1 to `count`.
fn fill(database: &Database, count: usize) {
    database.psql(&format!(
        "INSERT INTO users (name, email, age, created_at_ms, updated_at_ms, version)
         SELECT 'old', n || '@example.org', 30, 5, 6, 1 FROM generate_series(1, {count}) AS n;
         INSERT INTO posts (author_id, title, body, created_at_ms) VALUES (1, 'first', 'b', 7)"
    ));
}

fn rename(client: &mut Client, id: usize, name: &str) {
    let target = format!("/api/users/{id}");
    client
        .send_json("PATCH", &target, &[], &json!({"name": name}))
        .expect(200);
}

fn what_another_process_or_psql_writes_is_read_anew(engine: Engine) {
    let database = Database::new();
    let [writer, reader] = [(); 2].map(|()| node(engine, &database.url()));
    fill(&database, 1);
    let (mut writer, mut reader) = (writer.connect(), reader.connect());
    let before = shows(&mut reader, "/api/users/1", name_is("old"));
    let etag = before.must_have("etag").to_owned();
    for round in 0..10 {
        cached(&mut reader, "/api/users/1");
        let name = format!("round {round}");
        match round % 2 {
            0 => rename(&mut writer, 1, &name),
            // Without a thought for the version.
            _ => drop(database.psql(&format!("UPDATE users SET name = '{name}' WHERE id = 1"))),
        }
        let seen = shows(&mut reader, "/api/users/1", name_is(&name));
        assert_ne!(seen.must_have("etag"), etag, "{name}");
        assert_eq!(seen.json()["version"], 2 + round);
    }
}

fn what_is_deleted_or_made_by_psql_is_gone_or_there(engine: Engine) {
    let database = Database::new();
    let reader = node(engine, &database.url());
    let mut reader = reader.connect();
    let is = |status: u16| move |response: &Response| response.status == status;
    cached_missing(&mut reader);
    fill(&database, 1);
    shows(&mut reader, "/api/users/1", is(200));
    cached(&mut reader, "/api/users/1");
    database.psql("DELETE FROM users WHERE id = 1");
    shows(&mut reader, "/api/users/1", is(404));
    database.psql("TRUNCATE users RESTART IDENTITY CASCADE");
    cached_missing(&mut reader);
    fill(&database, 1);
    shows(&mut reader, "/api/users/1", is(200));
    cached(&mut reader, "/api/users/1");
    database.psql("TRUNCATE users CASCADE");
    shows(&mut reader, "/api/users/1", is(404));
}

/// That there is no user 1, out of the cache.
fn cached_missing(reader: &mut Client) {
    within(Duration::from_secs(10), "a 404", || {
        let missing = reader.get("/api/users/1");
        (missing.status == 404 && is_hit(&missing)).then_some(())
    });
}

fn a_bulk_update_of_5_000_rows_leaves_nothing_old(engine: Engine) {
    let database = Database::new();
    let reader = node(engine, &database.url());
    fill(&database, 5_000);
    let mut reader = reader.connect();
    let targets: Vec<String> = (1..=50)
        .map(|n| format!("/api/users/{}", n * 100))
        .collect();
    for target in &targets {
        shows(&mut reader, target, name_is("old"));
        cached(&mut reader, target);
    }
    database.psql("UPDATE users SET name = 'new', version = version + 1");
    for target in &targets {
        shows(&mut reader, target, name_is("new"));
    }
    // As many as are told one by one.
    database.psql("UPDATE users SET name = 'newer' WHERE id % 6 = 0");
    for target in &targets {
        let id: u32 = target
            .rsplit('/')
            .next()
            .expect("an id")
            .parse()
            .expect("a number");
        let name = if id.is_multiple_of(6) { "newer" } else { "new" };
        shows(&mut reader, target, name_is(name));
    }
}

fn lists_show_what_others_write(engine: Engine) {
    let database = Database::new();
    let reader = node(engine, &database.url());
    fill(&database, 3);
    let mut reader = reader.connect();
    // Or what is told of these would come when the lists are cached.
    within(SEEN_WITHIN, "what was filled in", || {
        (feed_of(&mut reader)["changes"] == 2).then_some(())
    });
    let users = "/api/users?limit=10";
    let with_authors = "/api/posts?populate=author";
    let has = |text: &str| {
        let text = text.to_owned();
        move |response: &Response| response.text().contains(&text)
    };
    for target in [users, with_authors, "/api/posts/1"] {
        shows(&mut reader, target, has("\"id\":1"));
        cached(&mut reader, target);
    }
    database.psql("UPDATE users SET name = 'renamed' WHERE id = 1");
    shows(&mut reader, users, has("renamed"));
    shows(&mut reader, with_authors, has("renamed"));
    for target in [users, with_authors] {
        cached(&mut reader, target);
    }
    // Only what depends on users was forgotten.
    assert!(is_hit(&reader.get("/api/posts/1")));
    database.psql("UPDATE posts SET title = 'retitled' WHERE id = 1");
    shows(&mut reader, with_authors, has("retitled"));
    shows(&mut reader, "/api/posts/1", has("retitled"));
    assert!(is_hit(&reader.get(users)));
    cached(&mut reader, "/api/posts/1");
    // The posts go with their author.
    database.psql("DELETE FROM users WHERE id = 1");
    shows(&mut reader, "/api/posts/1", |r| r.status == 404);
    shows(&mut reader, with_authors, |r| {
        !r.text().contains("retitled")
    });
    shows(&mut reader, users, |r| !r.text().contains("renamed"));
}

fn the_window_after_a_commit_elsewhere_is_short(engine: Engine) {
    let database = Database::new();
    let [writer, reader] = [(); 2].map(|()| node(engine, &database.url()));
    fill(&database, 1);
    let (mut writer, mut reader) = (writer.connect(), reader.connect());
    let mut windows: Vec<Duration> = (0..200)
        .map(|round| {
            cached(&mut reader, "/api/users/1");
            let name = format!("round {round}");
            rename(&mut writer, 1, &name);
            let committed = Instant::now();
            shows(&mut reader, "/api/users/1", name_is(&name));
            committed.elapsed()
        })
        .collect();
    windows.sort();
    println!(
        "from the answer of the writer to the first fresh read: median {:?}, p99 {:?}, max {:?}",
        windows[100], windows[198], windows[199]
    );
    assert!(windows[199] < SEEN_WITHIN);
}

fn reads_that_race_with_writes_elsewhere_leave_nothing_old(engine: Engine) {
    let database = Database::new();
    let [writer, reader] = [(); 2].map(|()| node(engine, &database.url()));
    fill(&database, 1);
    let mut writer = writer.connect();
    let mut readers: Vec<Client> = (0..6).map(|_| reader.connect()).collect();
    let list = "/api/users?limit=1";
    for round in 0..20 {
        let is_over = AtomicBool::new(false);
        let last = format!("round {round}, last");
        std::thread::scope(|scope| {
            for client in &mut readers {
                let is_over = &is_over;
                scope.spawn(move || {
                    while !is_over.load(Ordering::Relaxed) {
                        client.get("/api/users/1").expect(200);
                        client.get(list).expect(200);
                    }
                });
            }
            for write in 0..3 {
                rename(&mut writer, 1, &format!("round {round}, write {write}"));
            }
            rename(&mut writer, 1, &last);
            is_over.store(true, Ordering::Relaxed);
        });
        for client in &mut readers {
            shows(client, "/api/users/1", name_is(&last));
            shows(client, list, |response| response.text().contains(&last));
        }
    }
}

fn own_writes_are_not_told_to_oneself(engine: Engine) {
    let database = Database::new();
    let [writer, reader] = [(); 2].map(|()| node(engine, &database.url()));
    fill(&database, 1);
    let (mut writer, mut reader) = (writer.connect(), reader.connect());
    let told = |client: &mut Client| feed_of(client)["changes"].as_u64().expect("a number");
    // Both have heard of psql: the users and the posts.
    for client in [&mut writer, &mut reader] {
        within(SEEN_WITHIN, "psql's", || (told(client) == 2).then_some(()));
    }
    for round in 1..=20 {
        rename(&mut writer, 1, &format!("round {round}"));
        // The reader has heard of it, so the database has told the writer too.
        within(SEEN_WITHIN, "the change", || {
            (told(&mut reader) == 2 + round).then_some(())
        });
        cached(&mut writer, "/api/users/1");
    }
    database.psql("UPDATE users SET name = 'last'");
    shows(&mut writer, "/api/users/1", name_is("last"));
    assert_eq!(told(&mut writer), 3, "of psql alone");
}

fn what_psql_writes_is_not_read_from_redis(engine: Engine) {
    let (database, redis) = (Database::new(), Keyspace::take());
    // Nothing is kept but in Redis.
    let nodes = [(); 2].map(|()| {
        let serve = serve(engine, &database.url()).environment("CORELANE_REDIS", &redis.url());
        let config = "[cache]\nttl_ms = 0\nredis_tombstone_ms = 100\n";
        serve.config(config).start()
    });
    let mut clients = nodes.each_ref().map(ServerProcess::connect);
    for client in &mut clients {
        wait_for_feed(client, true);
    }
    fill(&database, 2);
    let from_redis = |response: &Response| {
        let status = response.header("cache-status").unwrap_or_default();
        status.contains("corelane-redis; hit")
    };
    for round in 0..10 {
        let name = format!("round {round}");
        database.psql(&format!("UPDATE users SET name = '{name}' WHERE id = 1"));
        for client in &mut clients {
            shows(client, "/api/users/1", name_is(&name));
            let kept = shows(client, "/api/users/1", from_redis);
            assert_eq!(kept.json()["name"], *name);
        }
    }
    database.psql("DELETE FROM users WHERE id = 1");
    for client in &mut clients {
        shows(client, "/api/users/1", |response| response.status == 404);
    }
    let key = redis.cli(&["KEYS", "*users:1"]);
    let row = redis.cli(&["GET", &key]);
    assert!(!row.contains("round"), "{key} is a tombstone: {row}");
    // A change of everything puts all rows out of reach.
    for client in &mut clients {
        shows(client, "/api/users/2", from_redis);
    }
    database.psql("TRUNCATE users CASCADE");
    for client in &mut clients {
        shows(client, "/api/users/2", |response| response.status == 404);
    }
}

fn a_stop_is_no_loss(engine: Engine) {
    let database = Database::new();
    let mut server = node(engine, &database.url());
    server.signal(Signal::TERM);
    let status = server.wait_for_exit(Duration::from_secs(15));
    assert_eq!(status.code(), Some(0));
    let said = server.output();
    for word in ["not told", "reached"] {
        assert!(!said.contains(word), "{said}");
    }
    let left = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()
                AND application_name LIKE 'corelane%'";
    within(SEEN_WITHIN, "no connection", || {
        (database.psql(left) == "0").then_some(())
    });
}
