//! `/api/users/{id}` out of the cache: what its answers say, conditions, users
//! that are not there, and writes that change nothing.

use corelane_server::handlers::cached::ApiCacheOptions;
use serde_json::json;

use super::shipped_api::{Api, create, person, rename};
use super::status::How;
use crate::harness::{Client, Engine, Response};

either_engine!(
    two_shards_agree_on_a_thousand_users,
    four_shards_agree_on_a_thousand_users,
    what_is_cached_is_judged_like_what_is_loaded,
    that_there_is_none_is_cached_until_there_is_one,
    a_deleted_user_is_gone_on_every_shard,
    a_write_that_changes_nothing_leaves_the_cache_right,
    a_request_that_is_no_write_does_not_disturb_the_cache,
);

fn api(engine: Engine, shards: usize) -> Api {
    Api::start(engine, shards, ApiCacheOptions::default())
}

fn one(client: &mut Client, id: usize) -> Response {
    client.get(&format!("/api/users/{id}")).expect(200)
}

/// Each time over fresh connections, wherever they land: read, read again,
/// write, read.
fn agree(engine: Engine, shards: usize, rounds: usize) {
    const PEOPLE: usize = 25;
    let api = api(engine, shards);
    api.create_people(PEOPLE);
    for round in 0..rounds {
        let id = 1 + round % PEOPLE;
        if round < PEOPLE {
            assert_eq!(How::of(&one(&mut api.connect(), id)), How::Stored);
        }
        let hit = How::of(&one(&mut api.connect(), id));
        assert!(
            matches!(hit, How::L1 | How::Home),
            "{hit:?} in round {round}"
        );
        let name = format!("v{round}");
        let written = rename(&mut api.connect(), id, &name);
        let read = one(&mut api.connect(), id);
        assert_eq!(How::of(&read), How::Stored, "round {round}");
        assert_eq!(read.json(), written.json(), "round {round}");
        assert_eq!(read.json()["name"], name);
    }
}

fn two_shards_agree_on_a_thousand_users(engine: Engine) {
    agree(engine, 2, 1_000);
}

fn four_shards_agree_on_a_thousand_users(engine: Engine) {
    agree(engine, 4, 1_000);
}

fn what_is_cached_is_judged_like_what_is_loaded(engine: Engine) {
    let api = api(engine, 2);
    api.create_people(1);
    let mut clients = api.on_every_shard(2);
    let first = one(&mut clients[0], 1);
    assert_eq!(How::of(&first), How::Stored);
    let etag = first.must_have("etag").to_owned();
    let modified = first.must_have("last-modified").to_owned();
    for client in &mut clients {
        one(client, 1);
        let head = client.head("/api/users/1").expect(200);
        assert_eq!(How::of(&head), How::L1);
        assert_eq!(head.header("etag"), Some(&*etag));
        assert_eq!(
            head.header("content-length"),
            first.header("content-length")
        );
        for (name, value) in [("If-None-Match", &etag), ("If-Modified-Since", &modified)] {
            let same = client
                .get_with("/api/users/1", &[(name, value)])
                .expect(304);
            assert_eq!(How::of(&same), How::L1, "{name}");
            assert_eq!(same.header("etag"), Some(&*etag));
        }
        let other = [("If-None-Match", "\"u1-v9\"")];
        let full = client.get_with("/api/users/1", &other).expect(200);
        assert_eq!((How::of(&full), &full.body), (How::L1, &first.body));
        let wrong = [("If-Match", "\"u1-v9\"")];
        client.get_with("/api/users/1", &wrong).expect_problem(412);
        let right = [("If-Match", &*etag)];
        client.get_with("/api/users/1", &right).expect(200);
    }
}

fn that_there_is_none_is_cached_until_there_is_one(engine: Engine) {
    let cache = ApiCacheOptions {
        negative_ttl_ms: 60_000,
        ..ApiCacheOptions::default()
    };
    let api = Api::start(engine, 3, cache);
    let mut clients = api.on_every_shard(3);
    let mut next = create(&mut clients[0], 0)["id"].as_u64().expect("an id") as usize;
    for round in 1..=30 {
        // Ids are given in order.
        next += 1;
        let target = format!("/api/users/{next}");
        let first = clients[round % 3].get(&target).expect(404);
        assert_eq!(How::of(&first), How::Stored);
        for client in &mut clients {
            assert!(How::of(&client.get(&target).expect(404)).is_hit());
        }
        let created = create(&mut clients[(round / 3) % 3], round);
        assert_eq!(created["id"], next);
        for client in &mut clients {
            assert_eq!(client.get(&target).expect(200).json(), created);
        }
    }
}

fn a_deleted_user_is_gone_on_every_shard(engine: Engine) {
    let api = api(engine, 3);
    api.create_people(12);
    let mut clients = api.on_every_shard(3);
    for id in 1..=12 {
        let target = format!("/api/users/{id}");
        for client in &mut clients {
            one(client, id);
        }
        clients[id % 3]
            .request("DELETE", &target, &[], b"")
            .expect(204);
        for client in &mut clients {
            client.get(&target).expect_problem(404);
        }
    }
}

/// A condition that fails, an email that is taken, a patch that does not fit.
fn a_write_that_changes_nothing_leaves_the_cache_right(engine: Engine) {
    let api = api(engine, 2);
    api.create_people(2);
    let mut clients = api.on_every_shard(2);
    let before = one(&mut clients[0], 1).json();
    let stale = [("If-Match", "\"u1-v7\"")];
    let never = [("If-None-Match", "*")];
    let unplaced = json!({"location": null});
    let target = "/api/users/1";
    clients[0]
        .send_json("PATCH", target, &[], &unplaced)
        .expect(200);
    let unplaced = one(&mut clients[1], 1).json();
    for (headers, patch, status) in [
        (&stale[..], json!({"name": "no"}), 412),
        (&never, json!({"name": "no"}), 412),
        (&[], json!({"email": "person2@example.org"}), 409),
        // Of a place that is not there, half.
        (&[], json!({"location": {"lat": 1.0}}), 422),
    ] {
        let refused = clients[1].send_json("PATCH", target, headers, &patch);
        assert_eq!(refused.status, status, "{patch}: {refused:?}");
        // Kept again at once: it is certain that nothing was written.
        let read = one(&mut clients[0], 1);
        assert_eq!(read.json(), unplaced, "{patch}");
        assert_eq!(How::of(&read), How::Stored, "{patch}");
        assert!(How::of(&one(&mut clients[1], 1)).is_hit(), "{patch}");
    }
    assert_ne!(before, unplaced);
    for (method, body) in [("PUT", person(7)), ("PATCH", json!({"age": 1}))] {
        let missing = clients[0].send_json(method, "/api/users/99", &[], &body);
        missing.expect_problem(404);
    }
    let missing = clients[1].get("/api/users/99").expect(404);
    assert_eq!(How::of(&missing), How::Stored);
}

fn a_request_that_is_no_write_does_not_disturb_the_cache(engine: Engine) {
    let api = api(engine, 2);
    api.create_people(1);
    let mut clients = api.on_every_shard(2);
    let before = one(&mut clients[0], 1);
    one(&mut clients[1], 1);
    for (content_type, body, status) in [
        ("application/json", "{\"age\":-1}", 422),
        ("application/json", "{", 400),
        ("text/plain", "{}", 415),
    ] {
        for method in ["PUT", "PATCH", "POST"] {
            let target = match method {
                "POST" => "/api/users",
                _ => "/api/users/1",
            };
            let headers = [("Content-Type", content_type)];
            let refused = clients[1].request(method, target, &headers, body.as_bytes());
            assert_eq!(refused.status, status, "{method} {body}");
            for client in &mut clients {
                let read = one(client, 1);
                assert_eq!((How::of(&read), &read.body), (How::L1, &before.body));
            }
        }
    }
}
