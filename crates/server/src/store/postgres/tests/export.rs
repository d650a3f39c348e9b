//! Exports: a stream in constant memory, which ends with its reader.

use std::time::{Duration, Instant};

use super::fill;
use crate::store::limits::STORE_EXPORT_BATCH_ROWS;
use crate::store::tests::{Fixture, Kind};
use corelane::engine;

const USERS: u64 = 100_000;
const COLUMNS: &str = "repeat('n', 100), n || '@x', 30, NULL, NULL";

/// Statements under way beside the one that asks.
fn active(fixture: &Fixture) -> String {
    fixture.server().psql(
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()
         AND pid <> pg_backend_pid() AND state <> 'idle'",
    )
}

async fn until_none_is_active(fixture: &Fixture) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while active(fixture) != "0" {
        assert!(Instant::now() < deadline, "still under way");
        engine::sleep(Duration::from_millis(10)).await;
    }
}

#[test]
fn a_reader_that_goes_away_ends_the_statement() {
    let fixture = Kind::Postgres.fixture();
    fill(fixture.server(), USERS, COLUMNS);
    fixture.on_shard(async |store| {
        let mut export = store.export_users();
        let batch = export.next_batch().await.unwrap().unwrap();
        assert_eq!(batch.len(), STORE_EXPORT_BATCH_ROWS);
        assert_eq!(active(&fixture), "1", "the server waits for the reader");
        drop(export);
        until_none_is_active(&fixture).await;
        // The store goes on.
        assert!(store.user(1).await.unwrap().is_some());
    });
}

#[test]
fn a_broken_stream_goes_on_after_the_last_user_given() {
    let fixture = Kind::Postgres.fixture();
    fill(fixture.server(), USERS, COLUMNS);
    fixture.on_shard(async |store| {
        let mut export = store.export_users();
        let (mut next_id, mut errors) = (1, 0);
        loop {
            match export.next_batch().await {
                Ok(None) => break,
                Err(_) => errors += 1,
                Ok(Some(batch)) => {
                    for user in batch {
                        assert_eq!(user.id, next_id);
                        next_id += 1;
                    }
                }
            }
            if next_id == 1 + 4 * STORE_EXPORT_BATCH_ROWS as i64 && errors == 0 {
                fixture.server().psql(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
                     WHERE datname = current_database() AND state <> 'idle'
                     AND pid <> pg_backend_pid()",
                );
            }
        }
        assert_eq!((next_id, errors), (USERS as i64 + 1, 1));
        until_none_is_active(&fixture).await;
    });
}
