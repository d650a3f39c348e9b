//! Profile async-db, and how the application stands to its database.

use std::time::{Duration, Instant};

use corelane::internals::topology::EngineKind;
use serde_json::{Value, json};
use services::Postgres;

use crate::both_engines;
use crate::client::Client;
use crate::server::{Arena, database_of_items, fill};

both_engines!(
    a_range_of_prices,
    numbers_that_are_none_are_refused,
    without_a_database_there_are_no_items,
    connections_stay_within_the_budget,
    more_shards_than_connections_do_not_start,
);

fn prices(answer: &Value) -> Vec<i64> {
    let items = answer["items"].as_array().expect("items");
    assert_eq!(answer["count"], json!(items.len()));
    let price = |item: &Value| item["price"].as_i64().expect("a price");
    items.iter().map(price).collect()
}

fn a_range_of_prices(engine: EngineKind) {
    let database = database_of_items();
    let arena = Arena::on_database(engine, &database);
    let mut client = arena.connect();
    for (min, max, limit) in [(5, 80, 7), (20, 150, 18), (100, 400, 33), (10, 90, 50)] {
        let answer = client.get(&format!("/async-db?min={min}&max={max}&limit={limit}"));
        let prices = prices(&answer.expect(200).value());
        assert_eq!(prices.len(), limit);
        assert!(prices.iter().all(|price| (min..=max).contains(price)));
    }
    let one = client.get("/async-db?min=42&max=42").expect(200).value();
    let item = json!({"id": 42, "name": "Thing 42", "category": "electronics", "price": 42,
                      "quantity": 420, "active": false, "tags": ["new", "t42"],
                      "rating": {"score": 42, "count": 42}});
    assert_eq!(one, json!({"items": [item], "count": 1}));
    let mut count = |query: &str| {
        let answer = client.get(&format!("/async-db{query}")).expect(200);
        prices(&answer.value()).len()
    };
    assert_eq!(count(""), 41);
    assert_eq!(count("?min=9999&max=9999&limit=50"), 0);
    assert_eq!(count("?max=400&limit=1000"), 50);
    assert_eq!(count("?limit=0"), 1);
}

fn numbers_that_are_none_are_refused(engine: EngineKind) {
    let database = database_of_items();
    let arena = Arena::on_database(engine, &database);
    let mut client = arena.connect();
    for query in ["min=x", "max=1.5", "limit=", "min=2147483648", "limit=1e3"] {
        client.get(&format!("/async-db?{query}")).expect(422);
    }
}

fn is_empty(client: &mut Client) -> bool {
    let answer = client.get("/async-db?min=1&max=400").expect(200);
    answer.value() == json!({"items": [], "count": 0})
}

fn without_a_database_there_are_no_items(engine: EngineKind) {
    let none = Arena::start(engine);
    assert!(is_empty(&mut none.connect()));
    none.connect().get("/crud/items/1").expect(503);

    let mut database = Postgres::start();
    fill(&database);
    let arena = Arena::on_database(engine, &database);
    let mut client = arena.connect();
    assert!(!is_empty(&mut client));
    database.kill();
    assert!(is_empty(&mut client));
    client.get("/crud/items/1").expect(503);
    database.start_again();
    let begun = Instant::now();
    while is_empty(&mut client) {
        assert!(
            begun.elapsed() < Duration::from_secs(20),
            "it is not found again"
        );
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn connections_stay_within_the_budget(engine: EngineKind) {
    let database = database_of_items();
    let arena = Arena::start_with(engine, &|settings| {
        settings.database_url = Some(database.url());
        settings.database_connections_max = 3;
    });
    std::thread::scope(|scope| {
        for _ in 0..24 {
            scope.spawn(|| {
                let mut client = arena.connect();
                for _ in 0..10 {
                    assert!(!is_empty(&mut client));
                }
            });
        }
        for _ in 0..5 {
            assert!(database.connections() <= 3);
        }
    });
    assert!(database.connections() >= 1);
}

fn more_shards_than_connections_do_not_start(engine: EngineKind) {
    let database = database_of_items();
    let started = Arena::try_start(engine, &|settings| {
        settings.database_url = Some(database.url());
        settings.database_connections_max = 1;
    });
    let Err(error) = started.map(drop) else {
        panic!("one connection for two shards");
    };
    let error = error.to_string();
    assert!(error.contains("raise connections_max"), "{error}");
}
