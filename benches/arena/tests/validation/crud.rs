//! Profile crud.

use std::time::{Duration, Instant};

use corelane::internals::topology::EngineKind;
use serde_json::json;

use crate::both_engines;
use crate::client::Answer;
use crate::server::{Arena, database_of_items};

both_engines!(
    a_page_of_a_category,
    an_item_is_kept_for_a_while,
    an_item_is_made_and_changed,
    a_change_is_seen_on_every_shard,
    wrong_input_is_refused,
);

/// `X-Cache`, of an answer out of the cache.
fn cache(answer: &Answer) -> &str {
    answer.header("x-cache").expect("it says so")
}

fn a_page_of_a_category(engine: EngineKind) {
    let database = database_of_items();
    let arena = Arena::on_database(engine, &database);
    let mut client = arena.connect();
    let mut page = |query: &str| {
        client
            .get(&format!("/crud/items{query}"))
            .expect(200)
            .value()
    };
    let first = page("?category=electronics&page=1&limit=5");
    assert_eq!(
        (&first["total"], &first["page"], &first["limit"]),
        (&json!(5), &json!(1), &json!(5))
    );
    let ids = |page: &serde_json::Value| -> Vec<i64> {
        let items = page["items"].as_array().unwrap();
        items
            .iter()
            .map(|item| item["id"].as_i64().unwrap())
            .collect()
    };
    assert_eq!(ids(&first), [2, 4, 6, 8, 10]);
    assert_eq!(first["items"][0]["rating"], json!({"score": 2, "count": 2}));
    assert_eq!(ids(&page("?page=2&limit=3&category=tools")), [7, 9, 11]);
    assert_eq!(ids(&page("")).len(), 10);
    assert_eq!(page("?limit=1000")["limit"], json!(50));
    let beyond = page("?page=100");
    assert_eq!((ids(&beyond).len(), &beyond["total"]), (0, &json!(0)));
}

fn an_item_is_kept_for_a_while(engine: EngineKind) {
    let database = database_of_items();
    let arena = Arena::on_database(engine, &database);
    let mut client = arena.connect();
    let begun = Instant::now();
    let first = client.get("/crud/items/42").expect(200);
    assert_eq!(cache(&first), "MISS");
    let second = client.get("/crud/items/42").expect(200);
    if begun.elapsed() < Duration::from_millis(150) {
        assert_eq!(cache(&second), "HIT");
    }
    assert_eq!(
        (first.value(), &first.value()["id"]),
        (second.value(), &json!(42))
    );
    // Changed behind its back, the old item may be served for 200 ms.
    database.psql("UPDATE items SET name = 'Other' WHERE id = 42");
    std::thread::sleep(Duration::from_millis(210));
    let third = client.get("/crud/items/42").expect(200);
    assert_eq!(
        (cache(&third), &third.value()["name"]),
        ("MISS", &json!("Other"))
    );

    let missing = client.get("/crud/items/999999").expect(404);
    assert_eq!(cache(&missing), "MISS");
}

fn an_item_is_made_and_changed(engine: EngineKind) {
    let database = database_of_items();
    let arena = Arena::on_database(engine, &database);
    let mut client = arena.connect();
    // That it is not there is kept, and forgotten when it is made.
    client.get("/crud/items/200001").expect(404);
    let new = json!({"id": 200_001, "name": "Bench Test", "category": "test", "price": 25,
                     "quantity": 10});
    let made = client.json("POST", "/crud/items", &new).expect(201);
    assert_eq!(made.header("location"), Some("/crud/items/200001"));
    let item = json!({"id": 200_001, "name": "Bench Test", "category": "test", "price": 25,
                      "quantity": 10, "active": true, "tags": [],
                      "rating": {"score": 0, "count": 0}});
    assert_eq!(made.value(), item);
    assert_eq!(client.get("/crud/items/200001").expect(200).value(), item);

    let change = json!({"name": "Updated", "price": 30, "quantity": 5});
    let changed = client
        .json("PUT", "/crud/items/200001", &change)
        .expect(200);
    assert_eq!(changed.value()["name"], json!("Updated"));
    let read = client.get("/crud/items/200001").expect(200);
    assert_eq!((cache(&read), read.value()), ("MISS", changed.value()));

    // Again with the same id: it is replaced, the rest stays.
    let again = json!({"id": 42, "name": "Again", "category": "test", "price": 1, "quantity": 2});
    client.get("/crud/items/42").expect(200);
    client.json("POST", "/crud/items", &again).expect(201);
    let read = client.get("/crud/items/42").expect(200);
    assert_eq!(cache(&read), "MISS");
    assert_eq!(
        (&read.value()["name"], &read.value()["tags"]),
        (&json!("Again"), &json!(["new", "t42"]))
    );
    assert_eq!(database.psql("SELECT count(*) FROM items"), "401");
}

/// Many connections, so that both shards have some: none may answer with an
/// older item than was acknowledged.
fn a_change_is_seen_on_every_shard(engine: EngineKind) {
    let database = database_of_items();
    let arena = Arena::on_database(engine, &database);
    let mut clients: Vec<_> = (0..8).map(|_| arena.connect()).collect();
    for round in 0..40 {
        let writer = round % clients.len();
        let change = json!({"name": "Same", "price": round, "quantity": 1});
        clients[writer]
            .json("PUT", "/crud/items/7", &change)
            .expect(200);
        for client in &mut clients {
            let read = client.get("/crud/items/7").expect(200);
            assert_eq!(read.value()["price"], json!(round));
        }
    }
}

fn wrong_input_is_refused(engine: EngineKind) {
    let database = database_of_items();
    let arena = Arena::on_database(engine, &database);
    let mut client = arena.connect();
    for id in ["x", "1.5", "2147483648"] {
        client.get(&format!("/crud/items/{id}")).expect(404);
    }
    for query in [
        "page=0",
        "page=-1",
        "page=x",
        "limit=x",
        "page=9223372036854775807&limit=50",
    ] {
        client.get(&format!("/crud/items?{query}")).expect(422);
    }
    client.get("/crud/items?category=%00").expect(422);
    let change = json!({"name": "N", "price": 1, "quantity": 1});
    client
        .json("PUT", "/crud/items/999999", &change)
        .expect(404);
    for wrong in [
        json!({"name": "N", "price": 1}),
        json!({"name": "N", "price": "1", "quantity": 1}),
        json!({"name": "N", "price": 2_147_483_648_u32, "quantity": 1}),
        json!({"name": "a\u{0}b", "price": 1, "quantity": 1}),
        json!([1]),
    ] {
        client.json("PUT", "/crud/items/1", &wrong).expect(422);
    }
    client.json("POST", "/crud/items", &change).expect(422);
    client
        .request("POST", "/crud/items", &[], b"{}")
        .expect(415);
    let json = [("Content-Type", "application/json")];
    client
        .request("POST", "/crud/items", &json, b"{")
        .expect(400);
    let long = json!({"name": "n".repeat(1 << 20), "price": 1, "quantity": 1});
    arena
        .connect()
        .json("PUT", "/crud/items/1", &long)
        .expect(413);
    assert_eq!(
        database.psql("SELECT name FROM items WHERE id = 1"),
        "Thing 1"
    );
}
