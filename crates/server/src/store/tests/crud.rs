//! Single rows: what is written is read, by every shard, and conditions hold.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::{Cases, Kind, person};
use crate::store::{Location, NewUser, Post, PostQuery, StoreError, User, UserPatch};
use crate::store::{UserPage, WriteCondition};
use corelane::internals::clock::unix_ms;

both_stores!(
    a_write_that_was_answered_is_read_by_every_shard,
    a_clock_set_back_does_not_make_a_row_look_older,
    emails_are_unique_in_either_case,
    conditions_are_checked_against_the_current_row,
    a_batch_keeps_order_and_repeats,
    posts_come_with_their_authors_and_go_with_them,
    an_export_gives_everybody_once_and_survives_writes_in_between,
    any_sequence_of_writes_does_what_a_map_does,
);

const ALWAYS: WriteCondition = WriteCondition::Always;

fn a_write_that_was_answered_is_read_by_every_shard(kind: Kind) {
    let fixture = kind.fixture();
    fixture.on_shard(async |store| {
        let other = fixture.database.connect().unwrap();
        let before = unix_ms();
        let made = store.create_user(person(1)).await.unwrap();
        assert_eq!((made.id, made.version, &*made.name), (1, 1, "Person 1"));
        assert!((before..=unix_ms()).contains(&made.created_at_ms));
        assert_eq!(made.updated_at_ms, made.created_at_ms);
        assert_eq!(other.user(1).await.unwrap(), Some(made.clone()));

        let replaced = store.replace_user(1, person(2), ALWAYS).await.unwrap();
        assert_eq!(
            (replaced.version, replaced.created_at_ms),
            (2, made.created_at_ms)
        );
        assert_eq!(other.user(1).await.unwrap(), Some(replaced.clone()));

        let patch = UserPatch {
            age: Some(31),
            location: Some(None),
            ..UserPatch::default()
        };
        let patched = store.update_user(1, patch, ALWAYS).await.unwrap();
        assert_eq!(patched.version, 3);
        let expected = User {
            age: 31,
            location: None,
            version: 3,
            ..replaced
        };
        assert_eq!(
            User {
                updated_at_ms: expected.updated_at_ms,
                ..patched.clone()
            },
            expected
        );
        assert_eq!(other.user(1).await.unwrap(), Some(patched.clone()));

        let empty = UserPatch::default();
        assert_eq!(store.update_user(1, empty, ALWAYS).await.unwrap(), patched);

        store.delete_user(1, ALWAYS).await.unwrap();
        assert_eq!(other.user(1).await.unwrap(), None);
        assert_eq!(
            store.delete_user(1, ALWAYS).await,
            Err(StoreError::NotFound)
        );
        let next = store.create_user(person(1)).await.unwrap();
        assert_eq!(next.id, 2, "an id is never used twice");
    });
}

fn a_clock_set_back_does_not_make_a_row_look_older(kind: Kind) {
    let fixture = kind.fixture();
    let later = unix_ms() + 3_600_000;
    fixture.on_shard(async |store| {
        store.create_user(person(1)).await.unwrap();
        fixture.sql(&format!("UPDATE users SET updated_at_ms = {later}"));
        let user = store.replace_user(1, person(2), ALWAYS).await.unwrap();
        assert_eq!(user.updated_at_ms, later);
    });
}

fn emails_are_unique_in_either_case(kind: Kind) {
    let fixture = kind.fixture();
    let with_email = |email: &str| NewUser {
        email: email.to_owned(),
        ..person(0)
    };
    fixture.on_shard(async |store| {
        store
            .create_user(with_email("Ada@Example.com"))
            .await
            .unwrap();
        let taken = store.create_user(with_email("ada@example.COM")).await;
        assert_eq!(taken, Err(StoreError::DuplicateEmail));
        store
            .create_user(with_email("bob@example.com"))
            .await
            .unwrap();
        let patch = UserPatch {
            email: Some("ADA@example.com".into()),
            ..UserPatch::default()
        };
        let taken = store.update_user(2, patch.clone(), ALWAYS).await;
        assert_eq!(taken, Err(StoreError::DuplicateEmail));
        // One's own email in another case is no conflict, and is kept as given.
        let kept = store.update_user(1, patch, ALWAYS).await.unwrap();
        assert_eq!(kept.email, "ADA@example.com");
    });
}

fn conditions_are_checked_against_the_current_row(kind: Kind) {
    let fixture = kind.fixture();
    fixture.on_shard(async |store| {
        let made = store.create_user(person(1)).await.unwrap();
        let second = made.updated_at_ms.div_euclid(1_000);
        for (condition, holds) in [
            (WriteCondition::VersionIn(vec![2, 3]), false),
            (WriteCondition::VersionIn(vec![]), false),
            (WriteCondition::NotModifiedSince(second - 1), false),
            (WriteCondition::NotModifiedSince(second), true),
            (WriteCondition::VersionIn(vec![9, 2]), true),
        ] {
            let before = store.user(1).await.unwrap();
            let result = store.update_user(
                1,
                UserPatch {
                    age: Some(40),
                    ..UserPatch::default()
                },
                condition.clone(),
            );
            match result.await {
                Ok(_) => assert!(holds, "{condition:?}"),
                Err(error) => {
                    assert!(!holds, "{condition:?}");
                    assert_eq!(error, StoreError::ConditionFailed);
                    assert_eq!(store.user(1).await.unwrap(), before);
                }
            }
            // Rows of one second are not told apart by that condition.
            if matches!(condition, WriteCondition::NotModifiedSince(_)) && holds {
                assert_eq!(store.user(1).await.unwrap().unwrap().version, 2);
            }
        }
        let stale = WriteCondition::VersionIn(vec![1]);
        assert_eq!(
            store.delete_user(1, stale).await,
            Err(StoreError::ConditionFailed)
        );
    });
}

fn a_batch_keeps_order_and_repeats(kind: Kind) {
    let fixture = kind.fixture();
    fixture.on_shard(async |store| {
        for number in 1..=3 {
            store.create_user(person(number)).await.unwrap();
        }
        let found = store
            .users_by_ids(&[3, 99, 1, 3, -5, i64::MAX])
            .await
            .unwrap();
        let ids: Vec<_> = found
            .iter()
            .map(|user| user.as_ref().map(|user| user.id))
            .collect();
        assert_eq!(ids, [Some(3), None, Some(1), Some(3), None, None]);
        assert_eq!(store.users_by_ids(&[]).await.unwrap(), []);
    });
}

fn posts_come_with_their_authors_and_go_with_them(kind: Kind) {
    let fixture = kind.fixture();
    fixture.on_shard(async |store| {
        for number in 1..=2 {
            store.create_user(person(number)).await.unwrap();
        }
        fixture.sql(
            "INSERT INTO posts (author_id, title, body, created_at_ms)
             VALUES (1, 'a', 'x', 7), (2, 'b', 'y', 8), (1, 'c', 'z', 9)",
        );
        let ask = PostQuery {
            author_id: None,
            populate_author: true,
            after_id: None,
            offset: 0,
            limit: 2,
        };
        let page = store.posts(&ask).await.unwrap();
        assert_eq!(page.next_after_id, Some(2));
        let names = author_names(&page.rows);
        assert_eq!(names, [Some("Person 1".into()), Some("Person 2".into())]);
        let rest = store
            .posts(&PostQuery {
                after_id: Some(2),
                ..ask.clone()
            })
            .await
            .unwrap();
        assert_eq!((rest.rows.len(), rest.next_after_id), (1, None));

        let of_one = PostQuery {
            author_id: Some(1),
            populate_author: false,
            ..ask.clone()
        };
        let page = store.posts(&of_one).await.unwrap();
        assert_eq!(post_ids(&page.rows), [1, 3]);
        assert_eq!(
            (author_names(&page.rows), page.next_after_id),
            (vec![None, None], None)
        );
        let second = PostQuery {
            offset: 1,
            populate_author: true,
            ..of_one
        };
        let page = store.posts(&second).await.unwrap();
        assert_eq!(post_ids(&page.rows), [3]);
        assert_eq!(
            store.post(3).await.unwrap().map(|post| post.title),
            Some("c".to_owned())
        );

        store.delete_user(1, ALWAYS).await.unwrap();
        assert_eq!(post_ids(&store.posts(&ask).await.unwrap().rows), [2]);
        assert_eq!(store.post(1).await.unwrap(), None);
    });
}

fn post_ids(posts: &[Post]) -> Vec<i64> {
    posts.iter().map(|post| post.id).collect()
}

fn author_names(posts: &[Post]) -> Vec<Option<String>> {
    posts
        .iter()
        .map(|post| post.author.clone().map(|author| author.name))
        .collect()
}

fn an_export_gives_everybody_once_and_survives_writes_in_between(kind: Kind) {
    let fixture = kind.fixture();
    let plan = crate::store::SeedPlan {
        users: 1_000,
        posts: 0,
        random_seed: 1,
    };
    fixture.database.seed(&plan, &mut |_, _| {}).unwrap();
    fixture.on_shard(async |store| {
        let mut export = store.export_users();
        let mut ids = Vec::new();
        let first = export.next_batch().await.unwrap().unwrap();
        ids.extend(first.iter().map(|user| user.id));
        assert!(ids.len() < 500, "one batch of {}", ids.len());
        store.delete_user(1, ALWAYS).await.unwrap();
        store.delete_user(900, ALWAYS).await.unwrap();
        store.create_user(person(1)).await.unwrap();
        while let Some(batch) = export.next_batch().await.unwrap() {
            ids.extend(batch.iter().map(|user| user.id));
        }
        assert_eq!(export.next_batch().await.unwrap(), None);
        // SQLite reads each batch as it stands, PostgreSQL all as it stood.
        let expected: Vec<i64> = match kind {
            Kind::Sqlite => (1..=1_001).filter(|id| *id != 900).collect(),
            Kind::Postgres => (1..=1_000).collect(),
        };
        assert_eq!(ids, expected);
        assert!(store.users_by_ids(&ids).await.unwrap()[0].is_none());
        assert_eq!(
            store.export_users().next_batch().await.unwrap().unwrap()[0].id,
            2
        );
    });
    kind.fixture().on_shard(async |store| {
        assert_eq!(store.export_users().next_batch().await.unwrap(), None);
    });
}

/// What a client may do to users, on few ids and emails so that they collide.
#[derive(Debug, Clone)]
enum Step {
    Create(NewUser),
    Replace(i64, NewUser, WriteCondition),
    Update(i64, UserPatch, WriteCondition),
    Delete(i64, WriteCondition),
}

fn any_user() -> impl Strategy<Value = NewUser> {
    let location = prop::option::of((-90.0..=90.0, -180.0..=180.0));
    ("[a-c]{1,2}", "[a-dA-D]", 0_i64..=150, location).prop_map(|(name, email, age, location)| {
        let location = location.map(|(lat, lon)| Location { lat, lon });
        NewUser {
            name,
            email: format!("{email}@x"),
            age,
            location,
        }
    })
}

fn any_patch() -> impl Strategy<Value = UserPatch> {
    (any_user(), any::<[bool; 4]>()).prop_map(|(user, set)| UserPatch {
        name: set[0].then_some(user.name),
        email: set[1].then_some(user.email),
        age: set[2].then_some(user.age),
        location: set[3].then_some(user.location),
    })
}

fn any_condition() -> impl Strategy<Value = WriteCondition> {
    prop_oneof![
        3 => Just(WriteCondition::Always),
        1 => prop::collection::vec(1_i64..4, 0..2).prop_map(WriteCondition::VersionIn),
        1 => prop_oneof![Just(0), Just(i64::MAX)].prop_map(WriteCondition::NotModifiedSince),
    ]
}

fn any_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => any_user().prop_map(Step::Create),
        2 => (1_i64..8, any_user(), any_condition()).prop_map(|(i, u, c)| Step::Replace(i, u, c)),
        2 => (1_i64..8, any_patch(), any_condition()).prop_map(|(i, p, c)| Step::Update(i, p, c)),
        1 => (1_i64..8, any_condition()).prop_map(|(i, c)| Step::Delete(i, c)),
    ]
}

/// The same in ten lines: a map, no times.
#[derive(Default)]
struct Model {
    users: BTreeMap<i64, (NewUser, i64)>,
    last_id: i64,
}

impl Model {
    fn do_step(&mut self, step: &Step) -> Result<Option<(NewUser, i64)>, StoreError> {
        match step {
            Step::Create(user) => {
                self.check_email(0, &user.email)?;
                self.last_id += 1;
                Ok(Some(self.put(self.last_id, user.clone(), 1)))
            }
            Step::Replace(id, user, condition) => {
                let (_, version) = self.current(*id, condition)?;
                self.check_email(*id, &user.email)?;
                Ok(Some(self.put(*id, user.clone(), version + 1)))
            }
            Step::Update(id, patch, condition) => {
                let (mut user, version) = self.current(*id, condition)?;
                if *patch == UserPatch::default() {
                    return Ok(Some((user, version)));
                }
                user.name = patch.name.clone().unwrap_or(user.name);
                user.email = patch.email.clone().unwrap_or(user.email);
                user.age = patch.age.unwrap_or(user.age);
                user.location = patch.location.unwrap_or(user.location);
                self.check_email(*id, &user.email)?;
                Ok(Some(self.put(*id, user, version + 1)))
            }
            Step::Delete(id, condition) => {
                self.current(*id, condition)?;
                self.users.remove(id);
                Ok(None)
            }
        }
    }

    fn put(&mut self, id: i64, user: NewUser, version: i64) -> (NewUser, i64) {
        self.users.insert(id, (user.clone(), version));
        (user, version)
    }

    fn current(&self, id: i64, condition: &WriteCondition) -> Result<(NewUser, i64), StoreError> {
        let (user, version) = self.users.get(&id).cloned().ok_or(StoreError::NotFound)?;
        let holds = match condition {
            WriteCondition::Always => true,
            WriteCondition::VersionIn(versions) => versions.contains(&version),
            WriteCondition::NotModifiedSince(second) => *second > 0,
        };
        if holds {
            Ok((user, version))
        } else {
            Err(StoreError::ConditionFailed)
        }
    }

    fn check_email(&self, own_id: i64, email: &str) -> Result<(), StoreError> {
        let is_taken = |(id, (user, _)): (&i64, &(NewUser, i64))| {
            *id != own_id && user.email.eq_ignore_ascii_case(email)
        };
        if self.users.iter().any(is_taken) {
            Err(StoreError::DuplicateEmail)
        } else {
            Ok(())
        }
    }
}

fn without_times(user: User) -> (NewUser, i64) {
    let User {
        name,
        email,
        age,
        location,
        version,
        ..
    } = user;
    (
        NewUser {
            name,
            email,
            age,
            location,
        },
        version,
    )
}

fn any_sequence_of_writes_does_what_a_map_does(kind: Kind) {
    let config = ProptestConfig::with_cases(60);
    let cases = Cases::of(kind);
    proptest!(config, |(steps in prop::collection::vec(any_step(), 1..25))| {
        let mut model = Model::default();
        cases.run([], async |store| {
            for step in steps {
                let expected = model.do_step(&step);
                let got = match step {
                    Step::Create(user) => store.create_user(user).await.map(Some),
                    Step::Replace(id, user, on) => store.replace_user(id, user, on).await.map(Some),
                    Step::Update(id, patch, on) => store.update_user(id, patch, on).await.map(Some),
                    Step::Delete(id, on) => store.delete_user(id, on).await.map(|()| None),
                };
                prop_assert_eq!(got.map(|user| user.map(without_times)), expected);
            }
            let ids: Vec<i64> = (1..=model.last_id).collect();
            let rows = store.users_by_ids(&ids).await.unwrap();
            for (id, row) in ids.iter().zip(rows) {
                prop_assert_eq!(row.map(without_times), model.users.get(id).cloned());
            }
            let UserPage { rows, .. } = super::lists::everybody(store).await;
            prop_assert_eq!(rows.len(), model.users.len());
            let everywhere = Location { lat: 0.0, lon: 0.0 };
            let near = store.users_near(everywhere, 21_000.0, 100).await.unwrap();
            let placed = model.users.values().filter(|(user, _)| user.location.is_some()).count();
            prop_assert_eq!(near.len(), placed, "the R*Tree follows the rows");
            Ok(())
        })?;
    });
}
