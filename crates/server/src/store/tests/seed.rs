//! Demo data.

use std::collections::HashSet;
use std::time::Instant;

use super::{Fixture, Kind, person};
use crate::store::{PostQuery, SeedPlan, StoreError, User};

both_stores!(
    a_first_start_is_filled_at_once_and_alike_everywhere,
    seeding_again_adds_as_many_others,
    deleting_everybody_does_not_make_a_first_start,
);

fn all_users(fixture: &Fixture) -> Vec<User> {
    fixture.on_shard(async |store| {
        let mut export = store.export_users();
        let mut users = Vec::new();
        while let Some(batch) = export.next_batch().await.unwrap() {
            users.extend(batch);
        }
        users
    })
}

fn a_first_start_is_filled_at_once_and_alike_everywhere(kind: Kind) {
    let (one, two) = (kind.fixture(), kind.fixture());
    assert!(one.database.is_empty().unwrap());
    let start = Instant::now();
    let mut told = Vec::new();
    let report = one.database.seed(&SeedPlan::default(), &mut |done, total| {
        told.push((done, total))
    });
    let report = report.unwrap();
    assert!(start.elapsed().as_millis() < 5_000, "{:?}", start.elapsed());
    assert_eq!((report.users, report.posts), (1_000, 5_000));
    assert_eq!(
        (told[0], told[told.len() - 1]),
        ((0, 6_000), (6_000, 6_000))
    );
    assert!(!one.database.is_empty().unwrap());

    two.database
        .seed(&SeedPlan::default(), &mut |_, _| {})
        .unwrap();
    let users = all_users(&one);
    assert_eq!(users.len(), 1_000);
    assert_eq!(users, all_users(&two));
    let placed: Vec<_> = users.iter().filter_map(|user| user.location).collect();
    assert!(placed.len() > 800);
    one.on_shard(async |store| {
        let near = store.users_near(placed[0], 50.0, 5).await.unwrap();
        assert_eq!((near.len(), near[0].1), (5, 0.0));
        let ask = PostQuery {
            author_id: None,
            populate_author: true,
            after_id: Some(4_990),
            offset: 0,
            limit: 20,
        };
        let posts = store.posts(&ask).await.unwrap().rows;
        assert_eq!(posts.len(), 10);
        assert!(posts.iter().all(|post| post.author.is_some()));
        let authors: HashSet<_> = posts.iter().map(|post| post.author_id).collect();
        assert!(authors.len() > 5, "{authors:?}");
    });
}

fn seeding_again_adds_as_many_others(kind: Kind) {
    let fixture = kind.fixture();
    let plan = SeedPlan {
        users: 300,
        posts: 10,
        random_seed: 7,
    };
    // Somebody has the email that the first demo user would have got.
    let other = kind.fixture();
    other.database.seed(&plan, &mut |_, _| {}).unwrap();
    let mut wanted = all_users(&other).remove(1);
    wanted.email.make_ascii_uppercase();
    let user = crate::store::NewUser {
        email: wanted.email,
        ..person(1)
    };
    fixture.on_shard(async |store| store.create_user(user).await.unwrap());
    for round in 1..=3 {
        fixture.database.seed(&plan, &mut |_, _| {}).unwrap();
        let users = all_users(&fixture);
        assert_eq!(users.len(), 1 + 300 * round);
        let mut emails: Vec<_> = users.iter().map(|user| user.email.to_lowercase()).collect();
        emails.sort();
        emails.dedup();
        assert_eq!(emails.len(), users.len());
    }
}

fn deleting_everybody_does_not_make_a_first_start(kind: Kind) {
    let fixture = kind.fixture();
    fixture.on_shard(async |store| {
        store.create_user(person(1)).await.unwrap();
        store.delete_user(1, Default::default()).await.unwrap();
    });
    assert!(!fixture.database.is_empty().unwrap());
    let only_posts = SeedPlan {
        users: 0,
        posts: 1,
        random_seed: 0,
    };
    let error = fixture
        .database
        .seed(&only_posts, &mut |_, _| {})
        .unwrap_err();
    assert!(
        matches!(&error, StoreError::Failed(why) if why.contains("author")),
        "{error}"
    );
}
