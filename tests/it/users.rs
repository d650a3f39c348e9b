//! `/api/users`: lists, single users, batches, places and writes, on the real
//! binary.

use serde_json::{Value, json};

use crate::harness::{Client, Engine, Serve, ServerProcess};

either_engine!(
    a_created_user_can_be_read_where_it_says,
    every_wrong_field_is_named,
    a_body_that_is_no_user_is_refused,
    an_email_belongs_to_one_user,
    put_replaces_the_whole_user,
    patch_changes_only_what_it_names,
    a_deleted_user_is_gone_with_their_posts,
    pages_cover_everything_once,
    cursors_cover_everything_once_while_rows_come_and_go,
    only_the_asked_columns_are_there,
    filters_and_orders_hold,
    wrong_parameters_are_named,
    a_batch_keeps_its_order,
    near_is_by_distance_and_inside_the_radius,
    ids_that_are_none_are_404,
    a_write_is_seen_by_every_shard_at_once,
    concurrent_writes_are_all_there,
    of_concurrent_conditional_writes_one_wins,
);

fn ada() -> Value {
    json!({"name": "Ada Lovelace", "email": "ada@example.org", "age": 36})
}

fn person(number: usize) -> Value {
    json!({
        "name": format!("Person {:03}", number % 7),
        "email": format!("person{number}@example.org"),
        "age": 20 + number % 50,
        "location": {"lat": (number % 800) as f64 / 10.0, "lon": 5.0},
    })
}

fn create(client: &mut Client, user: &Value) -> Value {
    client
        .send_json("POST", "/api/users", &[], user)
        .expect(201)
        .json()
}

fn with_people(engine: Engine, count: usize) -> (ServerProcess, Client) {
    let server = ServerProcess::start(engine);
    let mut client = server.connect();
    for number in 0..count {
        create(&mut client, &person(number));
    }
    (server, client)
}

fn ids(json: &Value) -> Vec<i64> {
    let rows = json["data"].as_array().expect("rows");
    rows.iter()
        .map(|row| row["id"].as_i64().expect("an id"))
        .collect()
}

/// The fields that a 422 names.
fn faults(response: &crate::harness::Response) -> Vec<String> {
    assert_eq!(response.status, 422, "{response:?}");
    let json = response.json();
    let errors = json["errors"].as_array().expect("errors");
    let names = errors.iter().map(|error| error["field"].as_str());
    names.map(|name| name.expect("a name").to_owned()).collect()
}

fn a_created_user_can_be_read_where_it_says(engine: Engine) {
    let server = ServerProcess::start(engine);
    let mut client = server.connect();
    let response = client
        .send_json("POST", "/api/users", &[], &ada())
        .expect(201);
    let created = response.json();
    assert_eq!(created["version"], 1);
    assert_eq!(created["location"], Value::Null);
    assert_eq!(created["created_at"], created["updated_at"]);
    for (field, value) in ada().as_object().expect("an object") {
        assert_eq!(&created[field], value);
    }
    let read = client.get(response.must_have("location")).expect(200);
    assert_eq!(read.json(), created);
    assert_eq!(read.header("etag"), response.header("etag"));
    assert!(read.header("last-modified").is_some());
}

fn every_wrong_field_is_named(engine: Engine) {
    let server = ServerProcess::start(engine);
    let mut client = server.connect();
    for (user, wrong) in [
        (json!({}), &["name", "email", "age"][..]),
        (
            json!({"name": "", "email": "x", "age": -1, "location": {"lat": 91, "lon": 181}}),
            &["name", "email", "age", "location.lat", "location.lon"],
        ),
        (
            json!({"name": 5, "email": null, "age": "36", "location": []}),
            &["name", "email", "age", "location"],
        ),
        (
            json!({"name": "a", "email": "a@b.cd", "age": 1.5}),
            &["age"],
        ),
        (
            json!({"name": "a".repeat(101), "email": "a@b.cd", "age": 151}),
            &["name", "age"],
        ),
        (
            json!({"name": "a", "email": "a@b.cd", "age": 1, "id": 7, "nmae": "b"}),
            &["id", "nmae"],
        ),
        (
            json!({"name": "\u{200B}\u{FEFF} \u{202E}", "email": "a@b.cd", "age": 1}),
            &["name"],
        ),
        (
            json!({"name": "\u{3164}\u{FE0F}\u{E0041}", "email": "a@b.cd", "age": 1}),
            &["name"],
        ),
        (json!([ada()]), &["body"]),
    ] {
        let response = client.send_json("POST", "/api/users", &[], &user);
        assert_eq!(faults(&response), wrong, "{user}");
    }
    let list = client.get("/api/users").expect(200).json();
    assert_eq!(ids(&list), [0; 0], "a refused user was written");
}

fn a_body_that_is_no_user_is_refused(engine: Engine) {
    let server = ServerProcess::start(engine);
    let mut client = server.connect();
    let json = [("Content-Type", "application/json")];
    for body in ["{", "", "{\"name\":}", "\u{feff}{}", "[1,2", "{}{}"] {
        client
            .request("POST", "/api/users", &json, body.as_bytes())
            .expect(400);
    }
    client
        .request("POST", "/api/users", &json, b"{\"name\": \"\xff\"}")
        .expect(400);
    let text = ada().to_string();
    for headers in [
        &[][..],
        &[("Content-Type", "text/plain")],
        &[("Content-Type", "application/x-www-form-urlencoded")],
        &[json[0], ("Content-Encoding", "gzip")],
    ] {
        client
            .request("POST", "/api/users", headers, text.as_bytes())
            .expect(415);
    }
    let charset = [("Content-Type", "application/json; charset=utf-8")];
    client
        .request("POST", "/api/users", &charset, text.as_bytes())
        .expect(201);
}

fn an_email_belongs_to_one_user(engine: Engine) {
    let server = ServerProcess::start(engine);
    let mut client = server.connect();
    let first = create(&mut client, &ada());
    let mut other = ada();
    other["email"] = json!("ADA@example.org");
    client
        .send_json("POST", "/api/users", &[], &other)
        .expect_problem(409);
    other["email"] = json!("other@example.org");
    let second = create(&mut client, &other);
    let path = format!("/api/users/{}", second["id"]);
    client.send_json("PUT", &path, &[], &ada()).expect(409);
    let patch = json!({"email": "Ada@Example.org"});
    client.send_json("PATCH", &path, &[], &patch).expect(409);
    // One's own is no conflict, and a freed one can be taken.
    let own = format!("/api/users/{}", first["id"]);
    client.send_json("PATCH", &own, &[], &patch).expect(200);
    client.request("DELETE", &own, &[], b"").expect(204);
    client.send_json("PUT", &path, &[], &ada()).expect(200);
}

fn put_replaces_the_whole_user(engine: Engine) {
    let (_server, mut client) = with_people(engine, 1);
    let before = client.get("/api/users/1").expect(200).json();
    let replaced = client
        .send_json("PUT", "/api/users/1", &[], &ada())
        .expect(200)
        .json();
    assert_eq!(replaced["location"], Value::Null);
    assert_eq!(replaced["name"], "Ada Lovelace");
    assert_eq!(replaced["version"], 2);
    assert_eq!(replaced["created_at"], before["created_at"]);
    assert_eq!(client.get("/api/users/1").expect(200).json(), replaced);
    let missing = client.send_json("PUT", "/api/users/99", &[], &person(9));
    missing.expect_problem(404);
}

fn patch_changes_only_what_it_names(engine: Engine) {
    let (_server, mut client) = with_people(engine, 1);
    let mut expected = client.get("/api/users/1").expect(200).json();
    for (patch, field, value) in [
        (json!({"age": 99}), "age", json!(99)),
        (json!({"name": " Grace "}), "name", json!("Grace")),
        (
            json!({"location": {"lat": 1.5}}),
            "location",
            json!({"lat": 1.5, "lon": 5.0}),
        ),
        (json!({"location": null}), "location", Value::Null),
    ] {
        let headers = [("Content-Type", "application/merge-patch+json")];
        let response = client.request(
            "PATCH",
            "/api/users/1",
            &headers,
            patch.to_string().as_bytes(),
        );
        let patched = response.expect(200).json();
        expected[field] = value;
        expected["version"] = json!(expected["version"].as_i64().expect("a version") + 1);
        expected["updated_at"] = patched["updated_at"].clone();
        assert_eq!(patched, expected, "{patch}");
    }
    assert_eq!(client.get("/api/users/1").expect(200).json(), expected);
    let response = client.send_json("PATCH", "/api/users/1", &[], &json!({"age": -5}));
    assert_eq!(faults(&response), ["age"]);
}

fn a_deleted_user_is_gone_with_their_posts(engine: Engine) {
    let server = Serve::on(engine).demo().start();
    let mut client = server.connect();
    let first = client.get("/api/posts?limit=1").expect(200).json()["data"][0].clone();
    let author = format!("/api/users/{}", first["author_id"]);
    client.request("DELETE", &author, &[], b"").expect(204);
    client.get(&author).expect(404);
    client.request("DELETE", &author, &[], b"").expect(404);
    client
        .get(&format!("/api/posts/{}", first["id"]))
        .expect(404);
    let theirs = format!("/api/posts?author_id={}", first["author_id"]);
    assert_eq!(ids(&client.get(&theirs).expect(200).json()), [0; 0]);
}

fn pages_cover_everything_once(engine: Engine) {
    let (_server, mut client) = with_people(engine, 45);
    let mut seen = Vec::new();
    for page in 1..=6 {
        let json = client
            .get(&format!("/api/users?page={page}&limit=10"))
            .expect(200)
            .json();
        assert_eq!((&json["page"], &json["limit"]), (&json!(page), &json!(10)));
        seen.extend(ids(&json));
    }
    assert_eq!(seen, (1..=45).collect::<Vec<i64>>());
    let defaults = client.get("/api/users").expect(200).json();
    assert_eq!(ids(&defaults), (1..=20).collect::<Vec<i64>>());
}

fn cursors_cover_everything_once_while_rows_come_and_go(engine: Engine) {
    let (_server, mut client) = with_people(engine, 40);
    for order in ["id", "-id", "name"] {
        let mut seen = Vec::new();
        let mut next = format!("/api/users?limit=7&sort={order}&fields=id,name,age");
        loop {
            let response = client.get(&next).expect(200);
            let json = response.json();
            seen.extend(ids(&json));
            // A row before the cursor moves every offset, and no cursor.
            let extra = create(&mut client, &person(1_000 + seen.len()));
            let path = format!("/api/users/{}", extra["id"]);
            client.request("DELETE", &path, &[], b"").expect(204);
            match json["next"].as_str() {
                Some(link) => {
                    let header = response.must_have("link");
                    assert!(header.contains(link) && header.contains("rel=\"next\""));
                    next = link.to_owned();
                }
                None => break,
            }
        }
        seen.sort_unstable();
        assert_eq!(seen, (1..=40).collect::<Vec<i64>>(), "sort={order}");
        // The emails of the extra rows are free again for the next order.
    }
}

fn only_the_asked_columns_are_there(engine: Engine) {
    let (_server, mut client) = with_people(engine, 3);
    let json = client.get("/api/users?fields=email,id").expect(200).json();
    let row = json["data"][0].as_object().expect("a row");
    let names: Vec<&String> = row.keys().collect();
    assert_eq!(names, ["email", "id"]);
    let json = client.get("/api/users?fields=location").expect(200).json();
    assert_eq!(
        json["data"][2],
        json!({"location": {"lat": 0.2, "lon": 5.0}})
    );
}

fn filters_and_orders_hold(engine: Engine) {
    let (_server, mut client) = with_people(engine, 60);
    let rows = |client: &mut Client, query: &str| {
        let json = client
            .get(&format!("/api/users?limit=100&{query}"))
            .expect(200)
            .json();
        json["data"].as_array().expect("rows").clone()
    };
    let named = rows(&mut client, "name=Person%20003");
    assert_eq!(named.len(), 9);
    assert!(named.iter().all(|row| row["name"] == "Person 003"));
    let old = rows(&mut client, "min_age=60");
    assert!(old.iter().all(|row| row["age"].as_i64() >= Some(60)));
    let expected = (0..60).filter(|number| 20 + number % 50 >= 60).count();
    assert_eq!(old.len(), expected);
    assert!(rows(&mut client, "name=Nobody").is_empty());
    let sorted = rows(&mut client, "sort=name");
    assert_eq!(sorted.len(), 60);
    let key = |row: &Value| {
        let name = row["name"].as_str().expect("a name").to_owned();
        (
            name,
            -row["age"].as_i64().expect("an age"),
            row["id"].as_i64(),
        )
    };
    assert!(sorted.is_sorted_by_key(key), "by name, then oldest first");
    let last = rows(&mut client, "sort=-id");
    assert!(last.is_sorted_by_key(|row| -row["id"].as_i64().expect("an id")));
}

fn wrong_parameters_are_named(engine: Engine) {
    let (_server, mut client) = with_people(engine, 1);
    for (query, wrong) in [
        ("limit=0", &["limit"][..]),
        ("limit=101", &["limit"]),
        ("page=0", &["page"]),
        ("page=x", &["page"]),
        ("sort=age", &["sort"]),
        ("fields=nmae", &["fields"]),
        ("min_age=-1", &["min_age"]),
        ("after=zzz", &["after"]),
        ("unknown=1", &["unknown"]),
        ("limit=1&limit=2", &["limit"]),
        ("name=%ff", &["name"]),
        ("limit=0&page=0&sort=x", &["limit", "page", "sort"]),
    ] {
        let mut named = faults(&client.get(&format!("/api/users?{query}")));
        named.sort_unstable();
        assert_eq!(named, wrong, "{query}");
    }
}

fn a_batch_keeps_its_order(engine: Engine) {
    let (_server, mut client) = with_people(engine, 5);
    let json = client
        .get("/api/users/batch?ids=4,99,1,4")
        .expect(200)
        .json();
    let rows = json["data"].as_array().expect("rows");
    let seen: Vec<Option<i64>> = rows.iter().map(|row| row["id"].as_i64()).collect();
    assert_eq!(seen, [Some(4), None, Some(1), Some(4)]);
    assert_eq!(rows[1], Value::Null);
    assert_eq!(rows[0], client.get("/api/users/4").expect(200).json());
    let hundred = vec!["1"; 100].join(",");
    client
        .get(&format!("/api/users/batch?ids={hundred}"))
        .expect(200);
    for query in ["", "ids=", "ids=1,x", "ids=0", &format!("ids={hundred},1")] {
        let response = client.get(&format!("/api/users/batch?{query}"));
        assert_eq!(faults(&response), ["ids"], "{query}");
    }
}

fn near_is_by_distance_and_inside_the_radius(engine: Engine) {
    // Person n lives n/10 degrees north of the equator: 11.1 km apart.
    let (_server, mut client) = with_people(engine, 30);
    let json = client
        .get("/api/users/near?lat=1&lon=5&radius_km=40")
        .expect(200)
        .json();
    let rows = json["data"].as_array().expect("rows");
    assert_eq!(rows[0]["location"]["lat"], 1.0);
    assert_eq!(rows.len(), 7, "3 on either side: {json}");
    let distances: Vec<f64> = rows
        .iter()
        .map(|row| row["distance_km"].as_f64().expect("a distance"))
        .collect();
    assert!(distances.is_sorted() && distances[0] < 0.001 && distances[6] < 40.0);
    assert!((distances[1] - 11.1).abs() < 0.1, "{distances:?}");
    // Across the date line, and at a pole where all longitudes meet.
    for (lat, lon) in [(10.0, 179.95), (89.9, 0.0)] {
        let mut user = person(500 + lon as usize);
        user["location"] = json!({"lat": lat, "lon": lon});
        create(&mut client, &user);
    }
    let json = client.get("/api/users/near?lat=10&lon=-179.95&radius_km=20");
    assert_eq!(ids(&json.expect(200).json()).len(), 1);
    let json = client.get("/api/users/near?lat=89.9&lon=180&radius_km=30");
    assert_eq!(ids(&json.expect(200).json()).len(), 1);
    let response = client.get("/api/users/near?lat=91&lon=x");
    assert_eq!(faults(&response), ["lat", "lon", "radius_km"]);
}

fn ids_that_are_none_are_404(engine: Engine) {
    let (_server, mut client) = with_people(engine, 1);
    for id in [
        "2",
        "0",
        "-1",
        "01",
        "1.0",
        "x",
        "9223372036854775808",
        "1%00",
        "%31%20",
    ] {
        client.get(&format!("/api/users/{id}")).expect_problem(404);
    }
    client.get("/api/users/").expect(404);
    client.get("/api/users/1").expect(200);
}

fn a_write_is_seen_by_every_shard_at_once(engine: Engine) {
    let (server, mut writer) = with_people(engine, 1);
    // Enough connections that each shard has some.
    let mut readers: Vec<Client> = (0..8).map(|_| server.connect()).collect();
    for age in 0..100 {
        let patch = json!({"age": age});
        writer
            .send_json("PATCH", "/api/users/1", &[], &patch)
            .expect(200);
        let reader = &mut readers[age % 8];
        let read = reader.get("/api/users/1").expect(200).json();
        assert_eq!(read["age"], age, "an old value after the answer");
    }
}

fn concurrent_writes_are_all_there(engine: Engine) {
    let server = ServerProcess::start(engine);
    std::thread::scope(|scope| {
        for thread in 0..8 {
            let server = &server;
            scope.spawn(move || {
                let mut client = server.connect();
                for number in 0..50 {
                    create(&mut client, &person(thread * 1_000 + number));
                }
            });
        }
    });
    let export = server.connect().get("/api/users/export").expect(200);
    let mut emails: Vec<String> = export
        .text()
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).expect("JSON")["email"].to_string())
        .collect();
    emails.sort_unstable();
    emails.dedup();
    assert_eq!(emails.len(), 400);
}

/// Each thread reads, adds one and writes only if nobody wrote in between.
fn of_concurrent_conditional_writes_one_wins(engine: Engine) {
    let (server, mut client) = with_people(engine, 1);
    let zero = json!({"age": 0});
    client
        .send_json("PATCH", "/api/users/1", &[], &zero)
        .expect(200);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            let server = &server;
            scope.spawn(move || add_ten(&mut server.connect()));
        }
    });
    let read = client.get("/api/users/1").expect(200).json();
    assert_eq!(read["age"], 40, "an update was lost");
}

fn add_ten(client: &mut Client) {
    let mut done = 0;
    while done < 10 {
        let read = client.get("/api/users/1").expect(200);
        let age = read.json()["age"].as_i64().expect("an age");
        let condition = [("If-Match", read.must_have("etag"))];
        let more = json!({"age": age + 1});
        let written = client.send_json("PATCH", "/api/users/1", &condition, &more);
        match written.status {
            200 => done += 1,
            412 => {}
            _ => panic!("{written:?}"),
        }
    }
}
