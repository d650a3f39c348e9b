//! Every combination of order, filters and start gives what sorting and
//! filtering a vector gives.

use std::cmp::Reverse;

use proptest::prelude::*;

use super::{Fixture, Kind};
use crate::store::limits::STORE_LIST_WALK_ROWS_MAX;
use crate::store::{Cursor, PageStart, PartialUser, Store, StoreError, User, UserField};
use crate::store::{UserPage, UserQuery, UserSort};

both_stores!(
    offsets_and_cursors_give_the_rows_of_a_sorted_vector,
    cursors_walk_through_everybody_once,
    a_cursor_whose_row_is_gone_or_never_was_still_has_a_place,
    only_the_asked_columns_are_given,
    the_cursor_of_another_order_is_refused,
);

/// Names, ages and more rows than a filtered list looks at before it merges.
const ROWS: usize = STORE_LIST_WALK_ROWS_MAX * 3;

/// Name and age of row `id`: common and rare names, common and rare ages.
fn row(id: usize) -> (String, i64) {
    let name = match id % 7 {
        0..=3 => "Common".to_owned(),
        4 => format!("Rare {}", id % 100),
        _ => format!("Name {}", id % 13),
    };
    let age = match id % 50 {
        49 => 80 + (id as i64 % 71),
        _ => (id as i64 * 7919) % 60,
    };
    (name, age)
}

fn fixture(kind: Kind) -> Fixture {
    let fixture = kind.fixture();
    let users = (1..=ROWS).map(|id| {
        let (name, age) = row(id);
        User {
            id: id as i64,
            name,
            email: format!("{id}@x"),
            age,
            location: None,
            created_at_ms: 5,
            updated_at_ms: 6,
            version: 7,
        }
    });
    fixture.insert(users);
    fixture
}

fn ask(sort: UserSort) -> UserQuery {
    UserQuery {
        fields: vec![UserField::Id],
        sort,
        name: None,
        min_age: None,
        start: PageStart::Offset(0),
        limit: 100,
    }
}

/// The first hundred by id.
pub(super) async fn everybody(store: &Store) -> UserPage {
    store.users(&ask(UserSort::Id)).await.unwrap()
}

/// All ids a query should give, in order, whatever its page.
fn expected_ids(query: &UserQuery) -> Vec<i64> {
    let mut rows: Vec<(i64, String, i64)> = (1..=ROWS)
        .map(|id| (id as i64, row(id).0, row(id).1))
        .filter(|(_, name, age)| {
            query.name.as_ref().is_none_or(|asked| asked == name)
                && query.min_age.is_none_or(|min| *age >= min)
        })
        .collect();
    match query.sort {
        UserSort::Id => {}
        UserSort::IdDescending => rows.reverse(),
        UserSort::NameThenAge => {
            rows.sort_by_key(|(id, name, age)| (name.clone(), Reverse(*age), *id));
        }
    }
    rows.into_iter().map(|(id, ..)| id).collect()
}

fn ids(page: &UserPage) -> Vec<i64> {
    page.rows.iter().map(|row| row.id.unwrap()).collect()
}

fn any_query() -> impl Strategy<Value = UserQuery> {
    let sort = prop_oneof![
        Just(UserSort::Id),
        Just(UserSort::IdDescending),
        Just(UserSort::NameThenAge)
    ];
    let name = prop_oneof![
        Just(None),
        Just(Some("Common".to_owned())),
        (0..100).prop_map(|n| Some(format!("Rare {n}"))),
        Just(Some("Nobody".to_owned())),
    ];
    let min_age = prop_oneof![
        Just(None),
        (-5_i64..60).prop_map(Some),
        (80_i64..=151).prop_map(Some),
        Just(Some(i64::MAX)),
    ];
    (sort, name, min_age, 1_u32..=100).prop_map(|(sort, name, min_age, limit)| UserQuery {
        name,
        min_age,
        limit,
        ..ask(sort)
    })
}

fn offsets_and_cursors_give_the_rows_of_a_sorted_vector(kind: Kind) {
    let fixture = fixture(kind);
    let config = ProptestConfig {
        cases: 300,
        ..ProptestConfig::default()
    };
    proptest!(config, |(query in any_query(), offset in 0_usize..1_000)| {
        let expected = expected_ids(&query);
        fixture.on_shard(async |store| {
            let limit = query.limit as usize;
            let page = UserQuery { start: PageStart::Offset(offset as u64), ..query.clone() };
            let page = store.users(&page).await.unwrap();
            let rest = &expected[offset.min(expected.len())..];
            prop_assert_eq!(ids(&page), &rest[..limit.min(rest.len())]);
            prop_assert_eq!(page.next.is_some(), rest.len() > limit);

            // From there on by cursors, for some pages.
            let (mut next, mut at) = (page.next, (offset + limit).min(expected.len()));
            for _ in 0..8 {
                let Some(cursor) = next else { break };
                let page = UserQuery { start: PageStart::After(cursor), ..query.clone() };
                let page = store.users(&page).await.unwrap();
                let until = (at + limit).min(expected.len());
                prop_assert_eq!(ids(&page), &expected[at..until]);
                prop_assert_eq!(page.next.is_some(), until < expected.len());
                (next, at) = (page.next, until);
            }
            Ok(())
        })?;
    });
}

fn cursors_walk_through_everybody_once(kind: Kind) {
    let fixture = fixture(kind);
    fixture.on_shard(async |store| {
        for (sort, min_age) in [
            (UserSort::Id, None),
            (UserSort::IdDescending, Some(80)),
            (UserSort::NameThenAge, None),
            (UserSort::NameThenAge, Some(80)),
            (UserSort::NameThenAge, Some(10)),
        ] {
            let mut query = UserQuery {
                min_age,
                limit: 37,
                ..ask(sort)
            };
            let expected = expected_ids(&query);
            let mut seen = Vec::new();
            loop {
                let page = store.users(&query).await.unwrap();
                seen.extend(ids(&page));
                let Some(cursor) = page.next else { break };
                query.start = PageStart::After(cursor);
            }
            assert_eq!(seen, expected, "{sort:?} {min_age:?}");
        }
    });
}

fn a_cursor_whose_row_is_gone_or_never_was_still_has_a_place(kind: Kind) {
    let fixture = fixture(kind);
    fixture.on_shard(async |store| {
        let name = |text: &str| Some(text.to_owned());
        for (asked, cursor_name, age, id) in [
            (None, "Common", 30, 0),
            (None, "Zzz", 0, 0),
            (None, "", 150, i64::MIN),
            (name("Common"), "Common", 33, 10_000),
            (name("Common"), "Aaa", 33, 1),
            (name("Common"), "Zzz", 33, 1),
        ] {
            for min_age in [None, Some(20), Some(100)] {
                let cursor = Cursor {
                    id,
                    name_age: Some((cursor_name.to_owned(), age)),
                };
                let query = UserQuery {
                    name: asked.clone(),
                    min_age,
                    start: PageStart::After(cursor),
                    ..ask(UserSort::NameThenAge)
                };
                let after = (cursor_name.to_owned(), Reverse(age), id);
                let expected: Vec<i64> = expected_ids(&query)
                    .into_iter()
                    .filter(|&id| {
                        let (name, age) = row(id as usize);
                        (name, Reverse(age), id) > after
                    })
                    .take(100)
                    .collect();
                let page = store.users(&query).await.unwrap();
                assert_eq!(ids(&page), expected, "{query:?}");
            }
        }
    });
}

fn only_the_asked_columns_are_given(kind: Kind) {
    let fixture = fixture(kind);
    fixture.on_shard(async |store| {
        for sort in [UserSort::Id, UserSort::NameThenAge] {
            for min_age in [None, Some(40)] {
                let fields = vec![UserField::Version, UserField::Location, UserField::Email];
                let query = UserQuery {
                    fields,
                    min_age,
                    limit: 1,
                    ..ask(sort)
                };
                let page = store.users(&query).await.unwrap();
                let id = expected_ids(&query)[0];
                let expected = PartialUser {
                    email: Some(format!("{id}@x")),
                    location: Some(None),
                    version: Some(7),
                    ..PartialUser::default()
                };
                assert_eq!(page.rows, [expected]);
                let cursor = page.next.unwrap();
                assert_eq!(cursor.id, id);
                assert_eq!(cursor.name_age.is_some(), sort == UserSort::NameThenAge);
            }
        }
        let all = UserQuery {
            fields: UserField::ALL.to_vec(),
            limit: 1,
            ..ask(UserSort::Id)
        };
        let page = store.users(&all).await.unwrap();
        let (name, age) = row(1);
        let expected = PartialUser {
            id: Some(1),
            name: Some(name),
            email: Some("1@x".into()),
            age: Some(age),
            location: Some(None),
            created_at_ms: Some(5),
            updated_at_ms: Some(6),
            version: Some(7),
        };
        assert_eq!(page.rows, [expected]);
    });
}

fn the_cursor_of_another_order_is_refused(kind: Kind) {
    let fixture = fixture(kind);
    let start = PageStart::After(Cursor {
        id: 5,
        name_age: None,
    });
    let query = UserQuery {
        start,
        ..ask(UserSort::NameThenAge)
    };
    let result = fixture.on_shard(async |store| store.users(&query).await);
    assert!(matches!(result, Err(StoreError::Failed(_))), "{result:?}");
}
