//! What is under the open files is taken away: no write is acknowledged then.

use std::fs;
use std::path::{Path, PathBuf};

use super::{Fixture, person, shard};
use crate::store::{StoreError, UserPatch, WriteCondition};

/// Refuses writes and pings after `take_away`, and takes them again after
/// `put_back`.
fn is_noticed(take_away: impl Fn(&Path), put_back: Option<&dyn Fn(&Path)>) {
    let fixture = Fixture::new();
    let path = fixture.path();
    shard().block_on(async {
        let store = &fixture.store;
        let made = store.create_user(person(1)).await.unwrap();
        store.ping().await.unwrap();
        take_away(&path);
        let patch = UserPatch {
            age: Some(77),
            ..UserPatch::default()
        };
        let writes = [
            store.create_user(person(2)).await.map(drop),
            store
                .update_user(made.id, patch, WriteCondition::Always)
                .await
                .map(drop),
            store.delete_user(made.id, WriteCondition::Always).await,
            store.ping().await,
        ];
        for refused in writes {
            let Err(StoreError::Unavailable(why)) = &refused else {
                panic!("{refused:?}")
            };
            assert!(
                why.contains("c.db") && why.contains("put the file back"),
                "{why}"
            );
        }
        // What was read before is read still, and no shard begins on another file.
        assert_eq!(store.user(made.id).await.unwrap(), Some(made));
        assert!(fixture.database.connect().is_err());
        if let Some(put_back) = put_back {
            put_back(&path);
            store.create_user(person(2)).await.unwrap();
            store.ping().await.unwrap();
        }
    });
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    PathBuf::from(format!("{}{suffix}", path.display()))
}

#[test]
fn a_database_that_was_removed_takes_no_writes() {
    is_noticed(|path| fs::remove_file(path).unwrap(), None);
}

#[test]
fn a_database_that_was_moved_takes_writes_again_when_it_is_back() {
    is_noticed(
        |path| fs::rename(path, beside(path, ".away")).unwrap(),
        Some(&|path| fs::rename(beside(path, ".away"), path).unwrap()),
    );
}

#[test]
fn a_copy_in_the_place_of_the_database_is_another_file() {
    is_noticed(
        |path| {
            fs::copy(path, beside(path, ".copy")).unwrap();
            fs::rename(beside(path, ".copy"), path).unwrap();
        },
        None,
    );
}

#[test]
fn a_log_or_its_index_that_was_removed_is_missed() {
    for suffix in ["-wal", "-shm"] {
        is_noticed(|path| fs::remove_file(beside(path, suffix)).unwrap(), None);
    }
}

#[test]
fn a_folder_that_was_replaced_is_noticed() {
    is_noticed(
        |path| {
            let folder = path.parent().unwrap();
            fs::rename(folder, beside(folder, ".away")).unwrap();
            fs::create_dir(folder).unwrap();
        },
        Some(&|path| {
            let folder = path.parent().unwrap();
            fs::remove_dir(folder).unwrap();
            fs::rename(beside(folder, ".away"), folder).unwrap();
        }),
    );
}

#[test]
fn a_commit_whose_files_went_meanwhile_is_not_acknowledged() {
    let fixture = Fixture::new();
    shard().block_on(async {
        let gone = fixture.on_writer(|connection| {
            let path = connection.path().unwrap();
            fs::remove_file(path).unwrap();
            connection.execute("DELETE FROM users", []).map(drop)
        });
        let outcome = gone.await;
        assert!(
            matches!(outcome, Err(StoreError::OutcomeUnknown(_))),
            "{outcome:?}"
        );
    });
}
