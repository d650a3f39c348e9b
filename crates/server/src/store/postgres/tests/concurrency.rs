//! Writers that meet: conditions hold against the row as it is, first starts
//! are filled once.

use std::sync::Barrier;
use std::sync::mpsc::channel;

use super::super::StoreError;
use super::connected;
use crate::store::tests::Kind;
use crate::store::{Database, NewUser, SeedPlan, UserPatch, WriteCondition};

fn person(number: usize) -> NewUser {
    NewUser {
        name: format!("Person {number}"),
        email: format!("person{number}@example.com"),
        age: 0,
        location: None,
    }
}

#[test]
fn of_writers_with_one_version_one_wins_each_time() {
    const WRITERS: usize = 4;
    const ROUNDS: i64 = 30;
    let fixture = Kind::Postgres.fixture();
    fixture.on_shard(async |store| store.create_user(person(1)).await.unwrap());
    let barrier = Barrier::new(WRITERS);
    let won: i64 = std::thread::scope(|scope| {
        let writers: Vec<_> = (0..WRITERS)
            .map(|_| {
                scope.spawn(|| {
                    fixture.on_shard(async |store| {
                        let mut won = 0;
                        for round in 1..=ROUNDS {
                            barrier.wait();
                            let patch = UserPatch {
                                age: Some(round),
                                ..UserPatch::default()
                            };
                            let condition = WriteCondition::VersionIn(vec![round]);
                            match store.update_user(1, patch, condition).await {
                                Ok(user) => {
                                    assert_eq!((user.version, user.age), (round + 1, round));
                                    won += 1;
                                }
                                Err(error) => assert_eq!(error, StoreError::ConditionFailed),
                            }
                        }
                        won
                    })
                })
            })
            .collect();
        writers
            .into_iter()
            .map(|writer| writer.join().unwrap())
            .sum()
    });
    assert_eq!(won, ROUNDS);
}

#[test]
fn a_write_that_waited_for_another_starts_from_what_that_left() {
    let fixture = Kind::Postgres.fixture();
    fixture.on_shard(async |store| store.create_user(person(1)).await.unwrap());
    let url = fixture.server().url();
    let (hold, held) = channel();
    let (commit, committing) = channel::<()>();
    std::thread::scope(|scope| {
        let holder = scope.spawn(move || {
            connected(&url, async move |holder| {
                let update = "BEGIN; UPDATE users SET name = 'Held', version = 2 WHERE id = 1";
                holder.client().batch_execute(update).await.unwrap();
                hold.send(()).unwrap();
                // Nothing else runs on this reactor.
                let _ = committing.recv();
                holder.client().batch_execute("COMMIT").await.unwrap();
            });
        });
        held.recv().unwrap();
        let waiter = scope.spawn(|| {
            fixture.on_shard(async |store| {
                let patch = UserPatch {
                    age: Some(7),
                    ..UserPatch::default()
                };
                let condition = WriteCondition::VersionIn(vec![2]);
                store.update_user(1, patch, condition).await.unwrap()
            })
        });
        let waits = "SELECT count(*) FROM pg_stat_activity
                WHERE wait_event_type = 'Lock' AND datname = current_database()";
        while fixture.server().psql(waits) != "1" {
            assert!(!waiter.is_finished(), "it did not wait");
        }
        let _ = commit.send(());
        holder.join().unwrap();
        let user = waiter.join().unwrap();
        assert_eq!((&*user.name, user.age, user.version), ("Held", 7, 3));
    });
}

#[test]
fn nodes_that_start_at_once_fill_an_empty_database_once() {
    let fixture = Kind::Postgres.fixture();
    let barrier = Barrier::new(4);
    let filled: usize = std::thread::scope(|scope| {
        let nodes: Vec<_> = (0..4)
            .map(|_| {
                scope.spawn(|| {
                    let database = Database::open(&fixture.options).unwrap();
                    barrier.wait();
                    let plan = SeedPlan::default();
                    let report = database.seed_if_empty(&plan, &mut |_, _| {}).unwrap();
                    usize::from(report.is_some())
                })
            })
            .collect();
        nodes.into_iter().map(|node| node.join().unwrap()).sum()
    });
    assert_eq!(filled, 1);
    let rows = "SELECT count(*), min(id), max(id) FROM users";
    assert_eq!(fixture.server().psql(rows), "1000|1|1000");
    assert_eq!(fixture.server().psql("SELECT count(*) FROM posts"), "5000");
}

#[test]
fn a_fill_that_was_cut_short_is_still_a_first_start() {
    let fixture = Kind::Postgres.fixture();
    // The disk, so to speak, is full at the third post.
    fixture
        .server()
        .psql("ALTER TABLE posts ADD CONSTRAINT few CHECK (id < 3)");
    let plan = SeedPlan::default();
    fixture.database.seed(&plan, &mut |_, _| {}).unwrap_err();
    assert!(fixture.database.is_empty().unwrap());
    fixture
        .server()
        .psql("ALTER TABLE posts DROP CONSTRAINT few");
    let report = fixture
        .database
        .seed_if_empty(&plan, &mut |_, _| {})
        .unwrap();
    assert!(report.is_some());
    assert_eq!(
        fixture.server().psql("SELECT min(id), max(id) FROM users"),
        "1|1000"
    );
}
