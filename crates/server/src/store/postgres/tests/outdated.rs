//! Tables that are changed, and rows that are, by others while a shard has
//! statements on them.

use corelane::internals::session::{SessionHash, SessionId, SessionRecord};

use super::postgres;
use crate::store::tests::{Fixture, Kind, TestDatabase};
use crate::store::{Location, PageStart, PostQuery, Store, StoreError, User, UserField};
use crate::store::{NewUser, UserPatch, UserQuery, UserSort, WriteCondition};

fn ada() -> NewUser {
    NewUser {
        name: "Ada".to_owned(),
        email: "ada@example.org".to_owned(),
        age: 36,
        location: Some(Location { lat: 1.0, lon: 2.0 }),
    }
}

fn hash() -> SessionHash {
    SessionId::of_random([7; 32]).hash()
}

fn session(user_id: i64) -> SessionRecord {
    SessionRecord {
        user_id,
        created_at_ms: 1,
        seen_at_ms: 1,
        expires_at_ms: i64::MAX,
        ends_at_ms: i64::MAX,
    }
}

/// Every operation once, on the user 1 with the post 1.
async fn everything(store: &Store) -> Result<(), StoreError> {
    let patch = UserPatch {
        age: Some(37),
        ..UserPatch::default()
    };
    let conditional = WriteCondition::VersionIn(Vec::from_iter(1..1_000));
    store.update_user(1, patch, conditional).await?;
    store.replace_user(1, ada(), WriteCondition::Always).await?;
    assert!(store.user(1).await?.is_some());
    assert!(store.users_by_ids(&[1]).await?[0].is_some());
    let near = store.users_near(Location { lat: 1.0, lon: 2.0 }, 10.0, 3);
    assert_eq!(near.await?.len(), 1);
    for (sort, name, min_age) in [
        (UserSort::Id, None, None),
        (UserSort::IdDescending, None, Some(20)),
        (UserSort::Id, Some("Ada".to_owned()), Some(20)),
        (UserSort::NameThenAge, None, Some(20)),
        (UserSort::NameThenAge, Some("Ada".to_owned()), None),
    ] {
        let query = UserQuery {
            fields: UserField::ALL.to_vec(),
            sort,
            name,
            min_age,
            start: PageStart::Offset(0),
            limit: 5,
        };
        assert_eq!(store.users(&query).await?.rows.len(), 1, "{query:?}");
    }
    assert!(store.post(1).await?.is_some());
    for (author_id, populate_author) in [
        (None, false),
        (None, true),
        (Some(1), false),
        (Some(1), true),
    ] {
        let query = PostQuery {
            author_id,
            populate_author,
            after_id: None,
            offset: 0,
            limit: 5,
        };
        assert_eq!(store.posts(&query).await?.rows.len(), 1, "{query:?}");
    }
    assert!(store.login("ADA@example.org").await?.is_some());
    store.begin_session(hash(), session(1), None).await?;
    assert!(store.session(&hash()).await?.is_some());
    store.refresh_session(hash(), session(1)).await?;
    store.end_session(hash()).await?;
    let mut export = store.export_users();
    assert_eq!(export.next_batch().await?.map(|users| users.len()), Some(1));
    assert_eq!(export.next_batch().await?, None);
    store.ping().await
}

fn filled() -> Fixture {
    let fixture = Kind::Postgres.fixture();
    fixture.on_shard(async |store| store.create_user(ada()).await.unwrap());
    fixture
        .sql("INSERT INTO posts (author_id, title, body, created_at_ms) VALUES (1, 'a', 'b', 5)");
    fixture
}

#[test]
fn tables_may_be_changed_under_every_statement() {
    let fixture = filled();
    fixture.on_shard(async |store| {
        everything(store).await.unwrap();
        for change in [
            "ALTER TABLE posts ALTER title TYPE varchar(5000), ALTER body TYPE varchar(70000)",
            "ALTER TABLE users ALTER name TYPE varchar(400) COLLATE \"C\"",
            "ALTER TABLE credentials ALTER password_hash TYPE varchar(300)",
            "ALTER TABLE sessions ADD extra int",
            "ALTER TABLE users ADD extra int DEFAULT 5",
            "ALTER TABLE posts DROP title, ADD title text NOT NULL DEFAULT ''",
            "ALTER TABLE schema_migrations ADD extra int",
        ] {
            fixture.sql(change);
            if let Err(error) = everything(store).await {
                panic!("{change}: {error}");
            }
        }
    });
    assert_eq!(postgres(&fixture).connections().outages, 0);
}

#[test]
fn a_role_that_is_serializable_refuses_no_write() {
    let fixture = filled();
    let name = fixture.server().name().to_owned();
    fixture.sql(&format!(
        "ALTER DATABASE {name} SET default_transaction_isolation = 'serializable'"
    ));
    let fixture = Fixture::on(fixture.into_server());
    fixture.on_shard(async |store| {
        let writes = (0..40).map(async |round| {
            let patch = UserPatch {
                age: Some(round),
                ..UserPatch::default()
            };
            store.update_user(1, patch, WriteCondition::Always).await
        });
        for outcome in futures_util::future::join_all(writes).await {
            outcome.unwrap();
        }
        let user: User = store.user(1).await.unwrap().unwrap();
        assert_eq!(user.version, 41);
    });
}

fn times(database: &TestDatabase, table: &str) -> i64 {
    let sql = format!("SELECT coalesce(updated_at_ms, created_at_ms) FROM {table} WHERE id = 1");
    database.psql(&sql).parse().unwrap()
}

#[test]
fn a_change_by_hand_is_a_later_version_at_a_later_time() {
    let fixture = filled();
    let before = fixture.on_shard(async |store| store.user(1).await.unwrap().unwrap());
    let old = "UPDATE users SET updated_at_ms = 5, version = version + 1 WHERE id = 1";
    fixture.sql(&format!(
        "ALTER TABLE users DISABLE TRIGGER users_version; {old};
        ALTER TABLE users ENABLE TRIGGER users_version"
    ));
    for by_hand in [
        "UPDATE users SET age = age + 1",
        "UPDATE users SET age = age + 1, version = version + 1",
        "UPDATE users SET age = age + 1, updated_at_ms = 1",
    ] {
        fixture.sql(by_hand);
        let after = fixture.on_shard(async |store| store.user(1).await.unwrap().unwrap());
        assert!(
            after.updated_at_ms >= before.updated_at_ms,
            "{by_hand}: {after:?}"
        );
        assert!(after.version > before.version, "{by_hand}: {after:?}");
    }
    let kept = times(fixture.server(), "users");
    fixture.sql("UPDATE users SET age = age");
    assert_eq!(
        times(fixture.server(), "users"),
        kept,
        "nothing was changed"
    );
    assert_eq!(times(fixture.server(), "posts"), 5);
    fixture.sql("UPDATE posts SET title = 'c'");
    let post = fixture.on_shard(async |store| store.post(1).await.unwrap().unwrap());
    assert!(post.updated_at_ms >= before.updated_at_ms, "{post:?}");
    assert_eq!((post.created_at_ms, &*post.title), (5, "c"));
}
