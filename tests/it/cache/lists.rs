//! Whatever shows several rows: cached by its query, and anew after any write
//! of any user.

use corelane_server::handlers::cached::ApiCacheOptions;
use serde_json::json;

use super::poll_for;
use super::shipped_api::{Api, create, rename};
use super::status::How;
use crate::harness::{Client, Engine, Response};

either_engine!(
    lists_are_cached_until_any_user_is_written,
    every_kind_of_write_renews_lists,
    posts_show_their_authors_anew,
    queries_have_answers_of_their_own,
    one_question_is_one_entry_however_it_is_written,
    lists_that_a_write_has_outdated_leave_the_cache,
    lists_whose_time_is_over_leave_the_cache,
);

const LISTS: &[&str] = &[
    "/api/users?limit=3&sort=name",
    "/api/users/batch?ids=1,99,2",
    "/api/users/near?lat=1&lon=5&radius_km=40",
];

fn api(engine: Engine) -> Api {
    let api = Api::start(engine, 3, ApiCacheOptions::default());
    api.create_people(4);
    api
}

/// A list right after a write: never out of the cache. While the write's lease
/// is on its way back it is not kept either.
#[track_caller]
fn renewed(client: &mut Client, target: &str) -> Response {
    let first = client.get(target).expect(200);
    let how = How::of(&first);
    assert!(
        matches!(how, How::Stored | How::Bypass),
        "{target}: {how:?}"
    );
    poll_for("a list that is kept", || {
        let read = client.get(target).expect(200);
        assert_eq!(read.body, first.body, "{target}");
        How::of(&read).is_hit().then_some(())
    });
    first
}

fn must_be_hits(clients: &mut [Client], target: &str, like: &Response) {
    for client in clients {
        let again = client.get(target).expect(200);
        assert!(How::of(&again).is_hit(), "{target}: {again:?}");
        assert_eq!(again.body, like.body, "{target}");
        assert_eq!(again.header("etag"), like.header("etag"), "{target}");
    }
}

/// Entries of the cache of lists, on all shards.
fn kept(client: &mut Client) -> u64 {
    let metrics = client.get("/metrics").expect(200).json();
    let caches = metrics["caches"].as_array().expect("caches");
    let lists = caches.iter().find(|cache| cache["name"] == "lists");
    lists.expect("lists")["keys"].as_u64().expect("a count")
}

fn lists_that_a_write_has_outdated_leave_the_cache(engine: Engine) {
    let cache = ApiCacheOptions {
        ttl_ms: 3_600_000,
        ..ApiCacheOptions::default()
    };
    let api = Api::start(engine, 2, cache);
    api.create_people(2);
    // Of one shard only, which is home to half of them.
    let mut client = api.connect();
    for round in 0..20 {
        for limit in 1..=20 {
            client.get(&format!("/api/users?limit={limit}")).expect(200);
        }
        rename(&mut client, 1, &format!("w{round}"));
    }
    for limit in 1..=20 {
        renewed(&mut client, &format!("/api/users?limit={limit}"));
    }
    poll_for("only the living are there", || {
        (kept(&mut client) <= 20).then_some(())
    });
    for limit in 1..=20 {
        let read = client.get(&format!("/api/users?limit={limit}")).expect(200);
        assert!(How::of(&read).is_hit(), "{limit}: {read:?}");
    }
}

fn lists_whose_time_is_over_leave_the_cache(engine: Engine) {
    let cache = ApiCacheOptions {
        ttl_ms: 300,
        ..ApiCacheOptions::default()
    };
    let api = Api::start(engine, 2, cache);
    api.create_people(2);
    let mut client = api.connect();
    for limit in 1..=50 {
        client.get(&format!("/api/users?limit={limit}")).expect(200);
    }
    let begun = std::time::Instant::now();
    while kept(&mut client) > 0 {
        assert!(begun.elapsed().as_secs() < 20, "they stay");
        std::thread::sleep(std::time::Duration::from_millis(200));
    }
}

fn one_question_is_one_entry_however_it_is_written(engine: Engine) {
    let api = api(engine);
    let mut clients = api.on_every_shard(3);
    let long_ids: Vec<String> = (1..=100)
        .map(|n| (n + 1_000_000_000_000_u64).to_string())
        .collect();
    let long = format!("/api/users/batch?ids={}", long_ids.join(","));
    let padded = format!("/api/users?limit=6{}", "&".repeat(2_000));
    for (first, others) in [
        (
            "/api/users?limit=5",
            &[
                "/api/users?limit=5&",
                "/api/users?&limit=5",
                "/api/users?%6cimit=5",
                "/api/users?limit=05",
                "/api/users?limit=%35&page=1",
            ][..],
        ),
        (
            "/api/users",
            &[
                "/api/users?",
                "/api/users?limit=20",
                "/api/users?sort=id&page=",
            ],
        ),
        (&padded, &["/api/users?limit=6"]),
        (&long, &[&*long.replace(',', "%2C"), &format!("{long}&&")]),
        (
            "/api/posts?limit=3&author_id=7",
            &["/api/posts?author_id=07&limit=3"],
        ),
        (
            "/api/users/near?lat=1&lon=5&radius_km=40",
            &["/api/users/near?radius_km=40.0&lat=1.0&lon=5&limit=20"],
        ),
    ] {
        let like = renewed(&mut clients[0], first);
        for other in others {
            must_be_hits(&mut clients, other, &like);
        }
    }
    // What is asked twice is refused, the same everywhere.
    for target in [
        "/api/users?limit=5&limit=5",
        "/api/users/batch?ids=1&ids=1",
        "/api/users/near?lat=1&lat=1&lon=5&radius_km=40",
        "/api/posts?author_id=1&%61uthor_id=1",
        "/api/posts/1?populate=author&populate=author",
        "/api/users/export?x=1&x=1",
    ] {
        clients[0].get(target).expect_problem(422);
    }
}

fn lists_are_cached_until_any_user_is_written(engine: Engine) {
    let api = api(engine);
    let mut clients = api.on_every_shard(3);
    for round in 0..40 {
        for list in LISTS {
            let first = renewed(&mut clients[round % 3], list);
            must_be_hits(&mut clients, list, &first);
        }
        let name = format!("w{round}");
        rename(&mut clients[(round / 3) % 3], 1, &name);
        for list in LISTS {
            let read = renewed(&mut clients[(round + 1) % 3], list);
            let rows = read.json()["data"].to_string();
            let is_there = rows.contains(&format!("\"{name}\""));
            // By name the list has three of four, and `v` comes before `w`.
            assert_eq!(
                is_there,
                !list.contains("sort"),
                "round {round} {list}: {rows}"
            );
        }
        rename(&mut clients[round % 3], 2, "v0");
    }
}

fn every_kind_of_write_renews_lists(engine: Engine) {
    let api = api(engine);
    let mut clients = api.on_every_shard(3);
    let list = "/api/users?limit=100&fields=id,name,age";
    let ids = |response: &Response| {
        let json = response.json();
        json["data"].as_array().expect("rows").len()
    };
    let must_show = |clients: &mut [Client], people: usize| {
        let first = renewed(&mut clients[0], list);
        assert_eq!(ids(&first), people);
        must_be_hits(clients, list, &first);
    };
    must_show(&mut clients, 4);
    let created = create(&mut clients[1], 50);
    must_show(&mut clients, 5);
    let target = format!("/api/users/{}", created["id"]);
    let patch = json!({"age": 3});
    clients[2]
        .send_json("PATCH", &target, &[], &patch)
        .expect(200);
    must_show(&mut clients, 5);
    let put = super::shipped_api::person(50);
    clients[0].send_json("PUT", &target, &[], &put).expect(200);
    must_show(&mut clients, 5);
    clients[1].request("DELETE", &target, &[], b"").expect(204);
    must_show(&mut clients, 4);
    // What is refused before it is a write renews nothing.
    let wrong = json!({"age": -3});
    clients[2]
        .send_json("PATCH", "/api/users/1", &[], &wrong)
        .expect(422);
    assert!(How::of(&clients[0].get(list).expect(200)).is_hit());
}

/// There are none, as the API makes no posts; their lists are cached all the
/// same and go by the same tag.
fn posts_show_their_authors_anew(engine: Engine) {
    let api = api(engine);
    let mut clients = api.on_every_shard(3);
    let (with, without) = ("/api/posts?populate=author", "/api/posts?limit=5");
    for round in 0..10 {
        let first = renewed(&mut clients[round % 3], with);
        must_be_hits(&mut clients, with, &first);
        let plain = clients[round % 3].get(without).expect(200);
        must_be_hits(&mut clients, without, &plain);
        rename(&mut clients[(round + 1) % 3], 1, &format!("w{round}"));
    }
    // A user's posts go with them.
    let plain = renewed(&mut clients[0], without);
    must_be_hits(&mut clients, without, &plain);
    clients[1]
        .request("DELETE", "/api/users/4", &[], b"")
        .expect(204);
    renewed(&mut clients[2], without);
}

fn queries_have_answers_of_their_own(engine: Engine) {
    let api = api(engine);
    let mut clients = api.on_every_shard(3);
    for limit in 1..=4 {
        let list = format!("/api/users?limit={limit}");
        let first = clients[limit % 3].get(&list).expect(200);
        assert_eq!(How::of(&first), How::Stored);
        let rows = first.json()["data"].as_array().expect("rows").len();
        assert_eq!(rows, limit);
        must_be_hits(&mut clients, &list, &first);
        let same = [("If-None-Match", first.must_have("etag"))];
        let not_modified = clients[0].get_with(&list, &same).expect(304);
        assert_eq!(How::of(&not_modified), How::L1);
    }
    clients[0].get("/api/users?limit=0").expect(422);
}
