//! Passwords and sessions.

use super::{Kind, person};
use crate::store::limits::SESSION_EXPIRED_ROWS_PER_LOGIN;
use crate::store::{DEMO_PASSWORD, SeedPlan, StoreError};
use corelane::internals::session::{SessionHash, SessionId, SessionRecord};
use corelane::password;

both_stores!(
    a_session_is_kept_refreshed_and_ended,
    a_session_takes_the_place_of_another,
    a_login_removes_some_of_what_has_expired,
    a_deleted_user_leaves_no_session_and_no_password,
    a_password_that_is_set_ends_the_sessions_before_it,
    demo_users_have_the_demo_password,
);

fn hash(number: u8) -> SessionHash {
    SessionId::of_random([number; 32]).hash()
}

fn record(user_id: i64, expires_at_ms: i64) -> SessionRecord {
    SessionRecord {
        user_id,
        created_at_ms: 1,
        seen_at_ms: 2,
        expires_at_ms,
        ends_at_ms: i64::MAX,
    }
}

/// Not over in any test.
const LATE_MS: i64 = i64::MAX / 2;

fn a_session_is_kept_refreshed_and_ended(kind: Kind) {
    let fixture = kind.fixture();
    fixture.on_shard(async |store| {
        store.create_user(person(1)).await.unwrap();
        assert_eq!(store.session(&hash(1)).await.unwrap(), None);
        store
            .begin_session(hash(1), record(1, LATE_MS), None)
            .await
            .unwrap();
        assert_eq!(
            store.session(&hash(1)).await.unwrap(),
            Some(record(1, LATE_MS))
        );
        let used = SessionRecord {
            seen_at_ms: 7,
            expires_at_ms: LATE_MS + 1,
            ..record(1, 0)
        };
        store.refresh_session(hash(1), used).await.unwrap();
        assert_eq!(store.session(&hash(1)).await.unwrap(), Some(used));
        for _ in 0..2 {
            store.end_session(hash(1)).await.unwrap();
            assert_eq!(store.session(&hash(1)).await.unwrap(), None);
        }
        store.refresh_session(hash(1), used).await.unwrap();
        assert_eq!(
            store.session(&hash(1)).await.unwrap(),
            None,
            "it stays ended"
        );
    });
}

fn a_session_takes_the_place_of_another(kind: Kind) {
    let fixture = kind.fixture();
    fixture.on_shard(async |store| {
        store.create_user(person(1)).await.unwrap();
        store
            .begin_session(hash(1), record(1, LATE_MS), None)
            .await
            .unwrap();
        let nobodys = store
            .begin_session(hash(2), record(9, LATE_MS), Some(hash(1)))
            .await;
        assert_eq!(nobodys, Err(StoreError::NotFound));
        assert!(
            store.session(&hash(1)).await.unwrap().is_some(),
            "both or neither"
        );
        store
            .begin_session(hash(2), record(1, LATE_MS), Some(hash(1)))
            .await
            .unwrap();
        assert!(store.session(&hash(1)).await.unwrap().is_none());
        assert!(store.session(&hash(2)).await.unwrap().is_some());
    });
}

fn a_login_removes_some_of_what_has_expired(kind: Kind) {
    let fixture = kind.fixture();
    fixture.on_shard(async |store| {
        store.create_user(person(1)).await.unwrap();
        let count = SESSION_EXPIRED_ROWS_PER_LOGIN as u8 + 4;
        for number in 0..count {
            store
                .begin_session(hash(number), record(1, LATE_MS), None)
                .await
                .unwrap();
        }
        // Expired all at once, after the last login saw them.
        for number in 0..count {
            let over = record(1, i64::from(number));
            store.refresh_session(hash(number), over).await.unwrap();
        }
        let mut left = Vec::new();
        for login in [100, 101] {
            store
                .begin_session(hash(login), record(1, LATE_MS), None)
                .await
                .unwrap();
            let mut there = 0;
            for number in 0..count {
                there += usize::from(store.session(&hash(number)).await.unwrap().is_some());
            }
            left.push(there);
        }
        assert_eq!(left, [4, 0]);
        assert!(store.session(&hash(100)).await.unwrap().is_some());
    });
}

fn a_deleted_user_leaves_no_session_and_no_password(kind: Kind) {
    let fixture = kind.fixture();
    fixture.on_shard(async |store| {
        store.create_user(person(1)).await.unwrap();
        fixture
            .database
            .set_password("person1@example.com", "a hash")
            .unwrap();
        store
            .begin_session(hash(1), record(1, LATE_MS), None)
            .await
            .unwrap();
        store.delete_user(1, Default::default()).await.unwrap();
        assert_eq!(store.session(&hash(1)).await.unwrap(), None);
        store.create_user(person(1)).await.unwrap();
        let login = store.login("person1@example.com").await.unwrap().unwrap();
        assert_eq!((login.user_id, login.password_hash), (2, None));
    });
}

fn a_password_that_is_set_ends_the_sessions_before_it(kind: Kind) {
    let fixture = kind.fixture();
    fixture.on_shard(async |store| {
        store.create_user(person(1)).await.unwrap();
        let login = store.login("PERSON1@example.com").await.unwrap().unwrap();
        assert_eq!(login.password_hash, None, "nobody has one until it is set");
        for (number, text) in [(1, "one hash"), (2, "another")] {
            store
                .begin_session(hash(number), record(1, LATE_MS), None)
                .await
                .unwrap();
            fixture
                .database
                .set_password("Person1@Example.com", text)
                .unwrap();
            assert_eq!(store.session(&hash(number)).await.unwrap(), None);
            let login = store.login("person1@example.com").await.unwrap().unwrap();
            assert_eq!(login.password_hash.as_deref(), Some(text));
            assert!(!format!("{login:?}").contains(text));
        }
        assert_eq!(store.login("nobody@example.com").await.unwrap(), None);
        let nobodys = fixture
            .database
            .set_password("nobody@example.com", "a hash");
        assert_eq!(nobodys, Err(StoreError::NotFound));
    });
}

fn demo_users_have_the_demo_password(kind: Kind) {
    let fixture = kind.fixture();
    let plan = SeedPlan {
        users: 3,
        posts: 0,
        random_seed: 42,
    };
    fixture.database.seed(&plan, &mut |_, _| {}).unwrap();
    fixture.on_shard(async |store| {
        let user = store.user(3).await.unwrap().unwrap();
        let login = store.login(&user.email).await.unwrap().unwrap();
        let hash = login.password_hash.as_deref();
        assert!(password::verify(DEMO_PASSWORD.as_bytes(), hash));
    });
}
