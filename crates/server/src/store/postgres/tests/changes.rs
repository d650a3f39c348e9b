//! What listeners on `corelane_changes` are told.

use std::future::poll_fn;
use std::rc::Rc;
use std::sync::mpsc::{Receiver, channel};

use tokio_postgres::{AsyncMessage, Config, NoTls};

use super::{connected, postgres};
use crate::store::tests::{Fixture, Kind};
use crate::store::{NewUser, WriteCondition};
use corelane::internals::engine::{self, BlockingPool, EngineKind, EngineOptions, Runtime, Target};

/// Payloads in the order they come. Ends with the database it listens to.
pub(super) fn listen(fixture: &Fixture) -> Receiver<String> {
    let config: Config = fixture.server().url().parse().unwrap();
    let (tell, told) = channel();
    std::thread::spawn(move || {
        let options = EngineOptions {
            kind: EngineKind::Epoll,
            ..EngineOptions::default()
        };
        let mut runtime = Runtime::build(&options, BlockingPool::start(1).unwrap()).unwrap();
        runtime.block_on(async {
            let target = Target::Tcp {
                host: "127.0.0.1".to_owned(),
                port: config.get_ports()[0],
            };
            let stream = engine::ClientStream::connect(&target).await.unwrap();
            let (client, mut driver) = config.connect_raw(stream, NoTls).await.unwrap();
            let client = Rc::new(client);
            let (listener, ready) = (client.clone(), tell.clone());
            engine::spawn_local(async move {
                let listening = listener.batch_execute("LISTEN corelane_changes").await;
                listening.unwrap();
                ready.send("listening".to_owned()).unwrap();
            });
            while let Some(Ok(message)) = poll_fn(|cx| driver.poll_message(cx)).await {
                if let AsyncMessage::Notification(notification) = message {
                    assert_eq!(notification.channel(), "corelane_changes");
                    if tell.send(notification.payload().to_owned()).is_err() {
                        break;
                    }
                }
            }
        });
        runtime.abandon();
    });
    assert_eq!(told.recv().unwrap(), "listening");
    told
}

fn person(number: i64) -> NewUser {
    NewUser {
        name: format!("Person {number}"),
        email: format!("{number}@example.com"),
        age: 30,
        location: None,
    }
}

/// The payloads up to one that says `end`.
pub(super) fn told_by(fixture: &Fixture, told: &Receiver<String>) -> Vec<String> {
    fixture
        .server()
        .psql("SELECT pg_notify('corelane_changes', 'end')");
    told.iter().take_while(|payload| payload != "end").collect()
}

#[test]
fn every_write_of_the_store_names_the_row_and_its_version() {
    let fixture = Kind::Postgres.fixture();
    let told = listen(&fixture);
    fixture.on_shard(async |store| {
        let always = WriteCondition::Always;
        store.create_user(person(1)).await.unwrap();
        store
            .replace_user(1, person(2), always.clone())
            .await
            .unwrap();
        let stale = WriteCondition::VersionIn(vec![1]);
        store.replace_user(1, person(3), stale).await.unwrap_err();
        store.delete_user(1, always.clone()).await.unwrap();
        store.delete_user(1, always).await.unwrap_err();
    });
    let own = postgres(&fixture).origin.clone();
    let wanted = ["users 1:1", "users 1:2", "users 1:x"].map(|rows| format!("{own} {rows}"));
    assert_eq!(told_by(&fixture, &told), wanted);
}

#[test]
fn a_deleted_user_takes_posts_along_and_posts_have_no_version() {
    let fixture = Kind::Postgres.fixture();
    fixture.on_shard(async |store| store.create_user(person(1)).await.unwrap());
    let told = listen(&fixture);
    let server = fixture.server();
    server.psql(
        "INSERT INTO posts (author_id, title, body, created_at_ms)
         VALUES (1, 'a', 'x', 7), (1, 'b', 'y', 8)",
    );
    server.psql("UPDATE posts SET title = 'c' WHERE id = 2");
    server.psql("DELETE FROM users WHERE id = 1");
    let mut payloads = told_by(&fixture, &told);
    payloads[2..].sort();
    let expected = [
        "- posts 1:0,2:0",
        "- posts 2:0",
        "- posts 1:x,2:x",
        "- users 1:x",
    ];
    assert_eq!(payloads, expected);
}

#[test]
fn the_origin_is_told_and_cannot_break_the_format() {
    let fixture = Kind::Postgres.fixture();
    let told = listen(&fixture);
    fixture.on_shard(async |store| store.create_user(person(1)).await.unwrap());
    let touch = "UPDATE users SET version = version";
    let long = "x".repeat(9_000);
    for (origin, shown) in [
        ("node-7", "node-7"),
        ("", "-"),
        ("a b", "a_b"),
        (&*long, &long[..64]),
    ] {
        let sql = format!("SET corelane.origin = '{origin}'; {touch}");
        fixture.server().psql(&sql);
        assert_eq!(
            told_by(&fixture, &told).last(),
            Some(&format!("{shown} users 1:1"))
        );
    }
}

#[test]
fn many_rows_go_into_several_payloads_and_very_many_are_all() {
    let fixture = Kind::Postgres.fixture();
    let told = listen(&fixture);
    let insert = |first: i64, count: i64| {
        fixture.server().psql(&format!(
            "INSERT INTO users (id, name, email, age, created_at_ms, updated_at_ms, version)
             OVERRIDING SYSTEM VALUE
             SELECT n, 'n', n || '@x', 5, 5, 6, 7
             FROM generate_series({first}, {first} + {count} - 1) AS n"
        ));
        told_by(&fixture, &told)
    };
    let first = 1_000_000_000_000_000_000;
    let payloads = insert(first, 1_000);
    assert!(payloads.len() > 2, "{}", payloads.len());
    let mut ids = Vec::new();
    for payload in &payloads {
        assert!(payload.len() <= 7_900, "{} bytes", payload.len());
        let rows = payload.strip_prefix("- users ").unwrap();
        let rows = rows.split(',').map(|row| row.strip_suffix(":7").unwrap());
        ids.extend(rows.map(|id| id.parse::<i64>().unwrap()));
    }
    ids.sort_unstable();
    assert_eq!(ids, (first..first + 1_000).collect::<Vec<_>>());
    assert_eq!(insert(1, 1_001), ["- users *"]);
    fixture.server().psql("TRUNCATE posts");
    fixture.server().psql("DELETE FROM users WHERE id < 0");
    assert_eq!(told_by(&fixture, &told), ["- posts *"]);
}

#[test]
fn a_transaction_that_is_rolled_back_tells_nothing() {
    let fixture = Kind::Postgres.fixture();
    let told = listen(&fixture);
    connected(&fixture.server().url(), async |connection| {
        let insert = "INSERT INTO users (name, email, age, created_at_ms, updated_at_ms, version)
            VALUES ('n', 'n@x', 5, 5, 6, 7)";
        let sql = format!("BEGIN; {insert}; ROLLBACK");
        connection.client().batch_execute(&sql).await.unwrap();
    });
    assert_eq!(told_by(&fixture, &told), Vec::<String>::new());
}
