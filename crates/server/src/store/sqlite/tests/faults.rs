//! Files that are missing, foreign, locked, damaged, or left by a crash.

use std::fs;
use std::io::{Seek, SeekFrom, Write};
use std::path::Path;

use super::{Fixture, person, shard};
use crate::store::{Database, OpenError, SeedPlan, StoreError, StoreOptions};

fn open_error(path: impl AsRef<Path>) -> OpenError {
    let options = StoreOptions {
        busy_timeout_ms: 50,
        ..StoreOptions::sqlite(path)
    };
    Database::open(&options).expect_err("it should not open")
}

#[test]
fn folders_and_file_are_made() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a/b/c.db");
    Database::open(&StoreOptions::sqlite(&path)).unwrap();
    assert!(path.exists());
    // Closed cleanly, the log is gone and the file is whole by itself.
    assert!(!folder.path().join("a/b/c.db-wal").exists());
}

#[test]
fn a_path_like_an_sqlite_address_is_only_a_path() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("file:c.db");
    Database::open(&StoreOptions::sqlite(&path)).unwrap();
    assert!(path.exists());
}

#[test]
fn a_place_that_cannot_be_written_is_named_with_the_cure() {
    // Nobody, not even root, may make a file in /sys.
    let error = open_error("/sys/c.db");
    assert!(matches!(error, OpenError::Permission { .. }), "{error:?}");
    assert!(error.to_string().contains("chown"), "{error}");

    let folder = tempfile::tempdir().unwrap();
    let error = open_error(folder.path());
    assert!(matches!(error, OpenError::Path { .. }), "{error:?}");
    fs::write(folder.path().join("file"), "").unwrap();
    let error = open_error(folder.path().join("file/c.db"));
    assert!(matches!(error, OpenError::Path { .. }), "{error:?}");
}

#[test]
fn a_file_that_may_only_be_read_is_refused() {
    if rustix::process::geteuid().is_root() {
        // Root may write everything; /sys above stands for this case.
        return;
    }
    let fixture = Fixture::new();
    fixture.database.close();
    let mut permissions = fs::metadata(fixture.path()).unwrap().permissions();
    permissions.set_readonly(true);
    fs::set_permissions(fixture.path(), permissions).unwrap();
    assert!(matches!(
        open_error(fixture.path()),
        OpenError::Permission { .. }
    ));
}

#[test]
fn other_files_are_refused_and_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let text = folder.path().join("notes.txt");
    fs::write(&text, "Dear diary, ".repeat(1_000)).unwrap();
    assert!(matches!(open_error(&text), OpenError::NotADatabase { .. }));
    assert_eq!(
        fs::read_to_string(&text).unwrap(),
        "Dear diary, ".repeat(1_000)
    );

    let other = folder.path().join("other.db");
    let connection = rusqlite::Connection::open(&other).unwrap();
    connection
        .execute_batch("CREATE TABLE bookmarks (url)")
        .unwrap();
    drop(connection);
    let error = open_error(&other);
    assert!(matches!(error, OpenError::Foreign { .. }), "{error:?}");
}

#[test]
fn a_newer_database_is_refused_with_both_versions() {
    let fixture = Fixture::new();
    let connection = rusqlite::Connection::open(fixture.path()).unwrap();
    let sql = "INSERT INTO schema_migrations VALUES (99, 'later', 'x', 0)";
    connection.execute(sql, []).unwrap();
    let message = open_error(fixture.path()).to_string();
    assert!(
        message.contains("schema 99") && message.contains("newer"),
        "{message}"
    );
}

#[test]
fn a_lock_held_by_another_process_is_said() {
    let fixture = Fixture::new();
    let path = fixture.path();
    let Fixture {
        database,
        store,
        folder: _folder,
        ..
    } = fixture;
    drop((store, database));
    let holder = rusqlite::Connection::open(&path).unwrap();
    holder
        .execute_batch("PRAGMA locking_mode = EXCLUSIVE; BEGIN EXCLUSIVE")
        .unwrap();
    let error = open_error(&path);
    assert!(matches!(error, OpenError::Locked { .. }), "{error:?}");
    assert!(error.to_string().contains("fuser"), "{error}");
}

#[test]
fn a_write_waits_for_another_process_and_gives_up_in_time() {
    let fixture = Fixture::with(StoreOptions {
        busy_timeout_ms: 50,
        ..StoreOptions::default()
    });
    let other = rusqlite::Connection::open(fixture.path()).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    shard().block_on(async {
        let result = fixture.store.create_user(person(1)).await;
        assert!(
            matches!(result, Err(StoreError::Unavailable(_))),
            "{result:?}"
        );
        assert_eq!(
            fixture.store.user(1).await.unwrap(),
            None,
            "reads do not wait"
        );
        other.execute_batch("COMMIT").unwrap();
        fixture.store.create_user(person(1)).await.unwrap();
    });
}

#[test]
fn two_servers_on_one_file_see_each_others_writes() {
    let fixture = Fixture::new();
    let second = Database::open(&fixture.options).unwrap();
    let store = second.connect().unwrap();
    shard().block_on(async {
        let one = fixture.store.create_user(person(1)).await.unwrap();
        assert_eq!(store.user(1).await.unwrap(), Some(one));
        let two = store.create_user(person(2)).await.unwrap();
        assert_eq!(fixture.store.user(2).await.unwrap(), Some(two));
    });
}

#[test]
fn what_was_acknowledged_is_in_the_files_at_that_moment() {
    let fixture = Fixture::with(StoreOptions::default());
    let mut shard = shard();
    for number in 1..=20 {
        shard
            .block_on(fixture.store.create_user(person(number)))
            .unwrap();
        // As a crash would leave them: nothing is closed, nothing checkpointed.
        let copy = tempfile::tempdir().unwrap();
        for suffix in ["", "-wal"] {
            let name = format!("c.db{suffix}");
            let from = fixture.path().with_file_name(&name);
            fs::copy(from, copy.path().join(name)).unwrap();
        }
        let database = Database::open(&StoreOptions::sqlite(copy.path().join("c.db"))).unwrap();
        let store = database.connect().unwrap();
        let user = shard.block_on(store.user(number as i64)).unwrap();
        assert_eq!(user.map(|user| user.email), Some(person(number).email));
    }
}

#[test]
fn a_damaged_page_is_an_error_and_no_more() {
    let fixture = Fixture::new();
    let plan = SeedPlan {
        users: 2_000,
        posts: 0,
        random_seed: 3,
    };
    fixture.database.seed(&plan, &mut |_, _| {}).unwrap();
    let (path, options, _folder) = fixture.close();
    let mut file = fs::OpenOptions::new().write(true).open(&path).unwrap();
    let length = file.metadata().unwrap().len();
    // The schema on the first pages stays; the rest becomes noise.
    let from = 4_096 * 20;
    file.seek(SeekFrom::Start(from)).unwrap();
    file.write_all(&vec![0xA5; (length - from) as usize])
        .unwrap();
    drop(file);

    let database = Database::open(&options).unwrap();
    let store = database.connect().unwrap();
    shard().block_on(async {
        let mut export = store.export_users();
        let failed = loop {
            match export.next_batch().await {
                Ok(Some(_)) => {}
                Ok(None) => break None,
                Err(error) => break Some(error),
            }
        };
        let message = failed.expect("damage should be noticed").to_string();
        assert!(
            message.contains("damaged") && message.contains("backup"),
            "{message}"
        );
        let write = store.create_user(person(1)).await;
        assert!(matches!(write, Err(StoreError::Failed(_))), "{write:?}");
        store.ping().await.unwrap();
    });
}

#[test]
fn a_file_cut_short_does_not_open_or_does_not_read() {
    let fixture = Fixture::new();
    fixture
        .database
        .seed(&SeedPlan::default(), &mut |_, _| {})
        .unwrap();
    let (path, options, _folder) = fixture.close();
    fs::OpenOptions::new()
        .write(true)
        .open(&path)
        .unwrap()
        .set_len(4_096 * 3 + 100)
        .unwrap();
    let result = Database::open(&options).and_then(|database| {
        let store = database
            .connect()
            .map_err(|error| OpenError::Url(error.to_string()))?;
        let read = shard().block_on(store.export_users().next_batch());
        read.map(drop)
            .map_err(|error| OpenError::Url(error.to_string()))
    });
    let message = result.unwrap_err().to_string();
    assert!(message.contains("damaged"), "{message}");
}
