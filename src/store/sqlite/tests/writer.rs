//! Group commit, and what happens to writes when something breaks.

use futures_util::future::join_all;

use super::{Fixture, person, shard};
use crate::limits::{STORE_WRITE_GROUP_MAX, STORE_WRITE_QUEUE_MAX};
use crate::store::{StoreError, StoreOptions, UserPatch, WriteCondition, WriterStats};

const ALWAYS: WriteCondition = WriteCondition::Always;

/// Holds the writer until the test lets go, so that writes pile up behind it.
async fn hold_writer(fixture: &Fixture) -> rusqlite::Connection {
    let connection = rusqlite::Connection::open(fixture.path()).unwrap();
    connection.execute_batch("BEGIN IMMEDIATE").unwrap();
    connection
}

#[test]
fn writes_that_wait_share_a_commit_and_each_is_durable() {
    let fixture = Fixture::with(StoreOptions::default());
    shard().block_on(async {
        let holder = hold_writer(&fixture).await;
        let writes = (0..1_000).map(|n| fixture.store.create_user(person(n)));
        let writes = join_all(writes);
        let release = async {
            crate::engine::yield_now().await;
            drop(holder);
        };
        let (results, ()) = futures_util::future::join(writes, release).await;
        let mut ids: Vec<i64> = results.into_iter().map(|user| user.unwrap().id).collect();
        ids.sort_unstable();
        assert_eq!(ids, (1..=1_000).collect::<Vec<_>>());
    });
    let WriterStats {
        commits,
        writes,
        largest_group,
    } = fixture.database.writer_stats();
    assert_eq!(writes, 1_000);
    assert!(commits < 20, "{commits} commits");
    assert!(
        (100..=STORE_WRITE_GROUP_MAX as u64).contains(&largest_group),
        "{largest_group}"
    );
}

#[test]
fn writes_of_many_shards_are_each_done_once() {
    let fixture = Fixture::new();
    std::thread::scope(|scope| {
        for thread in 0..3 {
            let database = &fixture.database;
            scope.spawn(move || {
                let store = database.connect().unwrap();
                shard().block_on(async {
                    let users = (0..100).map(|n| store.create_user(person(thread * 1_000 + n)));
                    for made in join_all(users).await {
                        let made = made.unwrap();
                        assert_eq!(store.user(made.id).await.unwrap(), Some(made));
                    }
                });
            });
        }
    });
    let stats = fixture.database.writer_stats();
    assert_eq!(stats.writes, 300);
    assert!(stats.commits < stats.writes, "{stats:?}");
}

#[test]
fn a_write_that_fails_fails_alone() {
    let fixture = Fixture::new();
    shard().block_on(async {
        let holder = hold_writer(&fixture).await;
        let panics = fixture.on_writer(|connection| {
            connection.execute("UPDATE users SET age = 99", [])?;
            panic!("a bug in a write")
        });
        let fails_late = fixture.on_writer(|connection| {
            connection.execute("UPDATE users SET age = 98", [])?;
            connection
                .execute("INSERT INTO nowhere VALUES (1)", [])
                .map(drop)
        });
        let store = &fixture.store;
        let group = async {
            futures_util::join!(
                store.create_user(person(1)),
                store.create_user(person(1)),
                panics,
                store.update_user(7, UserPatch::default(), ALWAYS),
                fails_late,
                store.create_user(person(2)),
            )
        };
        let release = async {
            crate::engine::yield_now().await;
            drop(holder);
        };
        let (group, ()) = futures_util::future::join(group, release).await;
        assert_eq!(group.0.unwrap().id, 1);
        assert_eq!(group.1, Err(StoreError::DuplicateEmail));
        assert!(
            matches!(group.2, Err(StoreError::Failed(_))),
            "{:?}",
            group.2
        );
        assert_eq!(group.3, Err(StoreError::NotFound));
        assert!(
            matches!(group.4, Err(StoreError::Failed(_))),
            "{:?}",
            group.4
        );
        let last = group.5.unwrap();
        assert_eq!(store.user(last.id).await.unwrap().unwrap().age, 30);
        assert_eq!(store.user(1).await.unwrap().unwrap().age, 30);
        assert_eq!(fixture.database.writer_stats().largest_group, 2);
        store.ping().await.unwrap();
    });
}

#[test]
fn a_full_disk_acknowledges_nothing_and_the_writer_goes_on() {
    let fixture = Fixture::new();
    let long = |n| crate::store::NewUser {
        name: "n".repeat(3_000),
        ..person(n)
    };
    shard().block_on(async {
        let store = &fixture.store;
        let before = store.create_user(person(1)).await.unwrap();
        let limit = |connection: &rusqlite::Connection| {
            let pages: i64 = connection.query_row("PRAGMA page_count", [], |row| row.get(0))?;
            connection.pragma_update_and_check(None, "max_page_count", pages + 4, |_| Ok(()))
        };
        fixture.on_writer(limit).await.unwrap();
        let results = join_all((10..40).map(|n| store.create_user(long(n)))).await;
        let full = results
            .iter()
            .filter(|r| matches!(r, Err(StoreError::DiskFull(_))))
            .count();
        let made: Vec<_> = results.iter().flatten().collect();
        assert!(full > 0 && full + made.len() == 30, "{results:?}");
        for user in made {
            assert_eq!(store.user(user.id).await.unwrap().as_ref(), Some(user));
        }
        assert_eq!(store.user(1).await.unwrap(), Some(before));
        let known = store
            .export_users()
            .next_batch()
            .await
            .unwrap()
            .unwrap()
            .len();
        assert_eq!(known, 1 + 30 - full, "what was refused is not there");

        let more = |connection: &rusqlite::Connection| {
            connection.pragma_update_and_check(None, "max_page_count", 1_000_000, |_| Ok(()))
        };
        fixture.on_writer(more).await.unwrap();
        store.create_user(long(50)).await.unwrap();
    });
}

#[test]
fn a_transaction_lost_midway_fails_its_group_only() {
    let fixture = Fixture::new();
    shard().block_on(async {
        let holder = hold_writer(&fixture).await;
        // As SQLite itself does on some errors.
        let lost = fixture.on_writer(|connection| connection.execute_batch("ROLLBACK"));
        let group = async { futures_util::join!(fixture.store.create_user(person(1)), lost) };
        let release = async {
            crate::engine::yield_now().await;
            drop(holder);
        };
        let ((made, lost), ()) = futures_util::future::join(group, release).await;
        assert!(matches!(lost, Err(StoreError::Unavailable(_))), "{lost:?}");
        assert_eq!(made.unwrap_err(), lost.unwrap_err());
        assert_eq!(fixture.store.user(1).await.unwrap(), None);
        fixture.store.create_user(person(2)).await.unwrap();
    });
}

#[test]
fn a_full_queue_is_said_at_once() {
    let fixture = Fixture::new();
    shard().block_on(async {
        let holder = hold_writer(&fixture).await;
        let count = STORE_WRITE_QUEUE_MAX + STORE_WRITE_GROUP_MAX + 10;
        let writes = join_all((0..count).map(|n| fixture.store.create_user(person(n))));
        let release = async {
            crate::engine::yield_now().await;
            drop(holder);
        };
        let (results, ()) = futures_util::future::join(writes, release).await;
        let busy = results
            .iter()
            .filter(|r| **r == Err(StoreError::Busy))
            .count();
        let done = results.iter().filter(|r| r.is_ok()).count();
        assert!(
            busy >= 10 && done >= STORE_WRITE_QUEUE_MAX,
            "{busy} busy, {done} done"
        );
        assert_eq!(busy + done, count);
    });
}

#[test]
fn a_dead_writer_gives_errors_and_reads_go_on() {
    let fixture = Fixture::new();
    shard().block_on(async {
        fixture.store.create_user(person(1)).await.unwrap();
        fixture.sqlite().writer.die();
        let write = fixture.store.create_user(person(2)).await;
        assert!(
            matches!(write, Err(StoreError::Unavailable(_))),
            "{write:?}"
        );
        let ping = fixture.store.ping().await;
        assert!(matches!(ping, Err(StoreError::Unavailable(_))), "{ping:?}");
        assert!(fixture.store.user(1).await.unwrap().is_some());
    });
}

#[test]
fn closing_commits_what_waits() {
    let fixture = Fixture::new();
    shard().block_on(async {
        let waiting: Vec<_> = (0..50)
            .map(|n| {
                let write = crate::store::sqlite::writes::Write::Create(person(n));
                fixture.sqlite().writer.submit(write).unwrap()
            })
            .collect();
        fixture.database.close();
        fixture.database.close();
        for write in waiting {
            write.await.unwrap().unwrap();
        }
        let late = fixture.store.create_user(person(99)).await;
        assert!(matches!(late, Err(StoreError::Unavailable(_))), "{late:?}");
        assert_eq!(
            fixture.store.users_by_ids(&[50]).await.unwrap()[0]
                .as_ref()
                .unwrap()
                .id,
            50
        );
    });
}
