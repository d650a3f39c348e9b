//! Own writes that the shard tells of itself: the triggers that would are away
//! here, so what is told was told by it.

use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

use futures_util::future::join_all;

use super::changes::{listen, told_by};
use super::postgres;
use crate::store::tests::{Fixture, Kind, person};
use crate::store::{Store, StoreError, UserPatch, WriteCondition};
use corelane::engine;

const ALWAYS: WriteCondition = WriteCondition::Always;

/// Writes until the shard tells of writes itself.
async fn until_told_by_shard(fixture: &Fixture, store: &Store) {
    let present = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()
        AND application_name LIKE '% announces _%'";
    let deadline = Instant::now() + Duration::from_secs(20);
    while fixture.server().psql(present) != "1" {
        assert!(Instant::now() < deadline, "nobody is present");
        let touched = store.update_user(1, aged(30), ALWAYS).await;
        touched.expect("the user is there");
        engine::sleep(Duration::from_millis(20)).await;
    }
    heard(store).await;
}

/// psql has kept the shard from saying that it is there.
async fn heard(store: &Store) {
    store.ping().await.unwrap();
    engine::sleep(Duration::from_millis(200)).await;
}

fn aged(age: i64) -> UserPatch {
    UserPatch {
        age: Some(age),
        ..UserPatch::default()
    }
}

fn without_triggers(fixture: &Fixture) {
    fixture.sql("ALTER TABLE users DISABLE TRIGGER users_inserted");
    fixture.sql("ALTER TABLE users DISABLE TRIGGER users_updated");
}

fn version_of(fixture: &Fixture) -> i64 {
    let version = fixture
        .server()
        .psql("SELECT version FROM users WHERE id = 1");
    version.parse().unwrap()
}

#[test]
fn a_shard_tells_of_its_writes_in_their_order_and_of_nothing_else() {
    let fixture = Kind::Postgres.fixture();
    let told = fixture.on_shard(async |store| {
        store.create_user(person(1)).await.unwrap();
        until_told_by_shard(&fixture, store).await;
        without_triggers(&fixture);
        let told = listen(&fixture);
        let first = version_of(&fixture);
        heard(store).await;
        store.create_user(person(2)).await.unwrap();
        let taken = store.create_user(person(2)).await;
        assert_eq!(taken, Err(StoreError::DuplicateEmail));
        store.replace_user(2, person(3), ALWAYS).await.unwrap();
        let nobody = store.replace_user(99, person(4), ALWAYS).await;
        assert_eq!(nobody, Err(StoreError::NotFound));
        let stale = WriteCondition::VersionIn(vec![9_999]);
        let refused = store.update_user(2, aged(31), stale).await;
        assert_eq!(refused, Err(StoreError::ConditionFailed));
        store.update_user(2, aged(32), ALWAYS).await.unwrap();
        let current = WriteCondition::VersionIn(vec![first]);
        store.replace_user(1, person(1), current).await.unwrap();
        (told_by(&fixture, &told), first)
    });
    let (told, first) = told;
    let own = postgres(&fixture).origin.clone();
    let wanted = ["2:1", "2:2", "2:3", &format!("1:{}", first + 1)];
    assert_eq!(told, wanted.map(|row| format!("{own} users {row}")));
}

#[test]
fn others_are_told_by_the_trigger_in_their_transaction() {
    let fixture = Kind::Postgres.fixture();
    fixture.on_shard(async |store| {
        store.create_user(person(1)).await.unwrap();
        until_told_by_shard(&fixture, store).await;
        let told = listen(&fixture);
        let version = version_of(&fixture);
        fixture.sql("UPDATE users SET age = 7");
        assert_eq!(
            told_by(&fixture, &told),
            [format!("- users 1:{}", version + 1)]
        );
        // A delete of ours may take posts along: triggers tell of all.
        store.delete_user(1, ALWAYS).await.unwrap();
        let own = &postgres(&fixture).origin;
        assert_eq!(told_by(&fixture, &told), [format!("{own} users 1:x")]);
    });
}

#[test]
fn writers_that_meet_are_told_of_together() {
    const WRITERS: i64 = 64;
    const ROUNDS: i64 = 10;
    let fixture = Kind::Postgres.fixture();
    let payloads = fixture.on_shard(async |store| {
        for number in 1..=WRITERS as usize {
            store.create_user(person(number)).await.unwrap();
        }
        until_told_by_shard(&fixture, store).await;
        without_triggers(&fixture);
        let told = listen(&fixture);
        heard(store).await;
        let writers = (1..=WRITERS).map(async |id| {
            for round in 0..ROUNDS {
                let written = store.update_user(id, aged(round), ALWAYS).await;
                written.expect("the user is there");
            }
        });
        join_all(writers).await;
        told_by(&fixture, &told)
    });
    let head = format!("{} users ", postgres(&fixture).origin);
    let mut ids: Vec<i64> = Vec::new();
    for payload in &payloads {
        let rows = payload.strip_prefix(&head).expect("own users").split(',');
        ids.extend(rows.map(|row| row.split_once(':').unwrap().0.parse::<i64>().unwrap()));
    }
    ids.sort_unstable();
    let wanted = (1..=WRITERS).flat_map(|id| std::iter::repeat_n(id, ROUNDS as usize));
    assert_eq!(ids, wanted.collect::<Vec<_>>());
    let writes = (WRITERS * ROUNDS) as usize;
    assert!(payloads.len() < writes, "{} for {writes}", payloads.len());
    println!("{} notifications for {writes} writes", payloads.len());
}

#[test]
fn a_write_of_unknown_outcome_is_told_of() {
    let fixture = Kind::Postgres.fixture();
    let (hold, holding) = channel();
    let told = std::thread::scope(|scope| {
        // The backend of the write ends while it waits for the row.
        let fixture = &fixture;
        scope.spawn(move || {
            holding.recv().unwrap();
            fixture.sql(
                "BEGIN; SELECT FROM users WHERE id = 1 FOR UPDATE; SELECT pg_sleep(1);
                 SELECT pg_terminate_backend(pid) FROM pg_stat_activity
                 WHERE datname = current_database() AND query LIKE 'UPDATE users%'; COMMIT",
            );
        });
        fixture.on_shard(async |store| {
            store.create_user(person(1)).await.unwrap();
            until_told_by_shard(fixture, store).await;
            let told = listen(fixture);
            heard(store).await;
            hold.send(()).unwrap();
            engine::sleep(Duration::from_millis(500)).await;
            let lost = store.replace_user(1, person(2), ALWAYS).await;
            assert!(
                matches!(lost, Err(StoreError::OutcomeUnknown(_))),
                "{lost:?}"
            );
            engine::sleep(Duration::from_millis(2_500)).await;
            told_by(fixture, &told)
        })
    });
    let word = format!("{} users 1:x", postgres(&fixture).origin);
    assert!(told.len() >= 2, "it may be committed later: {told:?}");
    assert!(told.iter().all(|payload| *payload == word), "{told:?}");
}
