//! Group commit, and what happens to writes when something breaks.

use std::future::Future;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::{Fixture, Waiting, create_all, join_all, person, shard};
use crate::store::limits::{STORE_WRITE_GROUP_MAX, STORE_WRITE_QUEUE_MAX};
use crate::store::sqlite::writes::Write;
use crate::store::{NewUser, StoreError, StoreOptions, UserPatch, WriteCondition, WriterStats};

const ALWAYS: WriteCondition = WriteCondition::Always;

/// Runs `writes` while another process seems to hold the database, so that
/// they pile up before the writer, and lets go when all have been queued.
async fn piled_up<T>(fixture: &Fixture, writes: impl Future<Output = T>) -> T {
    let holder = rusqlite::Connection::open(fixture.path()).unwrap();
    holder.execute_batch("BEGIN IMMEDIATE").unwrap();
    let mut holder = Some(holder);
    let mut writes = std::pin::pin!(writes);
    std::future::poll_fn(|cx| {
        let poll = writes.as_mut().poll(cx);
        drop(holder.take());
        poll
    })
    .await
}

#[test]
fn writes_that_wait_share_a_commit() {
    let fixture = Fixture::with(StoreOptions::default());
    shard().block_on(async {
        let results = piled_up(&fixture, create_all(&fixture.store, (0..1_000).map(person))).await;
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
                    let people = (0..100).map(|n| person(thread * 1_000 + n));
                    for made in create_all(&store, people).await {
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
    let store = &fixture.store;
    let version = |user: crate::store::User| user.version;
    let group: Vec<Waiting<'_, Result<i64, StoreError>>> = vec![
        Box::pin(async { store.create_user(person(1)).await.map(version) }),
        Box::pin(async { store.create_user(person(1)).await.map(version) }),
        Box::pin(async {
            let panics = fixture.on_writer(|connection| {
                connection.execute("UPDATE users SET age = 99", [])?;
                panic!("a bug in a write")
            });
            panics.await.map(|()| 0)
        }),
        Box::pin(async {
            store
                .update_user(7, UserPatch::default(), ALWAYS)
                .await
                .map(version)
        }),
        Box::pin(async {
            let fails_late = fixture.on_writer(|connection| {
                connection.execute("UPDATE users SET age = 98", [])?;
                connection
                    .execute("INSERT INTO nowhere VALUES (1)", [])
                    .map(drop)
            });
            fails_late.await.map(|()| 0)
        }),
        Box::pin(async {
            // Leaves the age, which the failed writes had changed.
            let patch = UserPatch {
                name: Some("Person 2".to_owned()),
                ..UserPatch::default()
            };
            store.update_user(1, patch, ALWAYS).await.map(version)
        }),
    ];
    shard().block_on(async {
        let results = piled_up(&fixture, join_all(group)).await;
        assert_eq!(results[0], Ok(1));
        assert_eq!(results[1], Err(StoreError::DuplicateEmail));
        assert!(
            matches!(results[2], Err(StoreError::Failed(_))),
            "{results:?}"
        );
        assert_eq!(results[3], Err(StoreError::NotFound));
        assert!(
            matches!(results[4], Err(StoreError::Failed(_))),
            "{results:?}"
        );
        assert_eq!(results[5], Ok(2));
        let user = store.user(1).await.unwrap().unwrap();
        assert_eq!((user.age, &*user.name), (30, "Person 2"));
        store.ping().await.unwrap();
    });
    assert_eq!(fixture.database.writer_stats().writes, 2);
}

#[test]
fn a_full_disk_acknowledges_nothing_and_the_writer_goes_on() {
    let fixture = Fixture::new();
    let long = |n| NewUser {
        name: "n".repeat(3_000),
        ..person(n)
    };
    shard().block_on(async {
        let store = &fixture.store;
        let before = store.create_user(person(1)).await.unwrap();
        let limit = |connection: &rusqlite::Connection| {
            let pages: i64 = connection.query_row("PRAGMA page_count", [], |row| row.get(0))?;
            connection.pragma_update_and_check(None, "max_page_count", pages + 40, |_| Ok(()))
        };
        fixture.on_writer(limit).await.unwrap();
        // One group that fills the disk, then one write at a time.
        let mut results = create_all(store, (10..40).map(long)).await;
        for number in 40..50 {
            results.push(store.create_user(long(number)).await);
        }
        let is_full = |result: &&Result<_, _>| matches!(result, Err(StoreError::DiskFull(_)));
        let full = results.iter().filter(is_full).count();
        let made: Vec<_> = results.iter().flatten().collect();
        assert!(full > 0 && full + made.len() == 40, "{results:?}");
        for user in &made {
            assert_eq!(store.user(user.id).await.unwrap().as_ref(), Some(*user));
        }
        assert_eq!(store.user(1).await.unwrap(), Some(before));
        let known = store
            .export_users()
            .next_batch()
            .await
            .unwrap()
            .unwrap()
            .len();
        assert_eq!(known, 1 + made.len(), "what was refused is not there");

        let more = |connection: &rusqlite::Connection| {
            connection.pragma_update_and_check(None, "max_page_count", 1_000_000, |_| Ok(()))
        };
        fixture.on_writer(more).await.unwrap();
        store.create_user(long(60)).await.unwrap();
    });
}

#[test]
fn a_transaction_lost_midway_fails_its_whole_group() {
    static IS_BUSY: AtomicBool = AtomicBool::new(false);
    static MAY_GO_ON: AtomicBool = AtomicBool::new(false);
    fn wait_for(flag: &AtomicBool) {
        let start = Instant::now();
        while !flag.load(Ordering::SeqCst) && start.elapsed() < Duration::from_secs(20) {
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    let fixture = Fixture::new();
    let occupy = |_: &rusqlite::Connection| {
        IS_BUSY.store(true, Ordering::SeqCst);
        wait_for(&MAY_GO_ON);
        Ok(())
    };
    // Polled in this order: the writer is busy while the three in the middle queue up.
    let steps: Vec<Waiting<'_, Result<(), StoreError>>> = vec![
        Box::pin(fixture.on_writer(occupy)),
        Box::pin(async {
            wait_for(&IS_BUSY);
            Ok(())
        }),
        Box::pin(async { fixture.store.create_user(person(1)).await.map(drop) }),
        // As SQLite itself does on some errors.
        Box::pin(fixture.on_writer(|connection| connection.execute_batch("ROLLBACK"))),
        Box::pin(async { fixture.store.create_user(person(2)).await.map(drop) }),
        Box::pin(async {
            MAY_GO_ON.store(true, Ordering::SeqCst);
            Ok(())
        }),
    ];
    shard().block_on(async {
        let results = join_all(steps).await;
        let lost = Err(StoreError::Unavailable(
            "the transaction was given up".to_owned(),
        ));
        assert_eq!(results[2], lost, "it had run, and is gone");
        assert_eq!((&results[3], &results[4]), (&lost, &lost));
        assert_eq!(fixture.store.export_users().next_batch().await, Ok(None));
        fixture.store.create_user(person(3)).await.unwrap();
    });
}

#[test]
fn a_full_queue_is_said_at_once() {
    let fixture = Fixture::new();
    shard().block_on(async {
        let count = STORE_WRITE_QUEUE_MAX + STORE_WRITE_GROUP_MAX + 10;
        let results = piled_up(&fixture, create_all(&fixture.store, (0..count).map(person))).await;
        let busy = results
            .iter()
            .filter(|result| **result == Err(StoreError::Busy))
            .count();
        let done = results.iter().filter(|result| result.is_ok()).count();
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
        let writer = &fixture.sqlite().writer;
        let waiting: Vec<_> = (0..50)
            .map(|n| writer.submit(Write::Create(person(n))).unwrap())
            .collect();
        fixture.database.close();
        fixture.database.close();
        for write in waiting {
            write.await.unwrap().unwrap();
        }
        let late = fixture.store.create_user(person(99)).await;
        assert!(matches!(late, Err(StoreError::Unavailable(_))), "{late:?}");
        assert!(fixture.store.user(50).await.unwrap().is_some());
    });
}
