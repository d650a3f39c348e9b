//! Conditional requests (RFC 9110 section 13) on the API: validators, their
//! precedence, and what a 304 or 412 carries.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::json;

use crate::harness::{Client, Engine, Serve, ServerProcess};

either_engine!(
    what_is_fresh_is_not_sent_again,
    a_changed_user_is_sent_again,
    if_none_match_understands_lists_weakness_and_stars,
    if_none_match_counts_more_than_if_modified_since,
    if_modified_since_is_by_the_second,
    if_match_protects_a_write,
    if_match_counts_more_than_if_unmodified_since,
    if_unmodified_since_protects_a_write,
    a_date_does_not_hide_the_second_change_of_a_second,
    a_date_does_not_overwrite_the_second_change_of_a_second,
    the_first_version_has_its_date_alone,
    if_match_star_wants_something_there,
    a_list_has_an_entity_tag_of_its_own,
    the_chapters_resources_are_cacheable_as_it_says,
    head_is_conditional_too,
);

const FUTURE: &str = "Fri, 01 Jan 2100 00:00:00 GMT";
const PAST: &str = "Mon, 01 Jan 2001 00:00:00 GMT";

fn with_demo(engine: Engine) -> (ServerProcess, Client) {
    let server = Serve::on(engine).demo().start();
    let client = server.connect();
    (server, client)
}

fn status(client: &mut Client, method: &str, target: &str, headers: &[(&str, &str)]) -> u16 {
    match method {
        "PATCH" => {
            client
                .send_json(method, target, headers, &json!({"age": 50}))
                .status
        }
        _ => client.request(method, target, headers, b"").status,
    }
}

fn what_is_fresh_is_not_sent_again(engine: Engine) {
    let (_server, mut client) = with_demo(engine);
    let full = client.get("/api/users/1").expect(200);
    let condition = [("If-None-Match", full.must_have("etag"))];
    let fresh = client.get_with("/api/users/1", &condition).expect(304);
    for name in ["etag", "cache-control", "last-modified"] {
        assert_eq!(fresh.header(name), full.header(name), "{name}");
    }
    for name in ["content-type", "content-length", "content-encoding"] {
        assert_eq!(fresh.header(name), None, "{name}");
    }
    client.expect_usable();
}

fn a_changed_user_is_sent_again(engine: Engine) {
    let (_server, mut client) = with_demo(engine);
    let before = client.get("/api/users/1").expect(200);
    status(&mut client, "PATCH", "/api/users/1", &[]);
    let condition = [("If-None-Match", before.must_have("etag"))];
    let after = client.get_with("/api/users/1", &condition).expect(200);
    assert_ne!(after.header("etag"), before.header("etag"));
    assert_eq!(after.json()["age"], 50);
}

fn if_none_match_understands_lists_weakness_and_stars(engine: Engine) {
    let (_server, mut client) = with_demo(engine);
    let etag = client.get("/api/users/1").must_have("etag").to_owned();
    let (weak, list) = (format!("W/{etag}"), format!("\"x,y\", {etag} , W/\"z\""));
    for (value, expected) in [
        (etag.as_str(), 304),
        (&weak, 304),
        (&list, 304),
        ("*", 304),
        ("\"other\"", 200),
        ("\"a\", \"b\"", 200),
    ] {
        let condition = [("If-None-Match", value)];
        assert_eq!(
            status(&mut client, "GET", "/api/users/1", &condition),
            expected,
            "{value}"
        );
    }
    let two_lines = [("If-None-Match", "\"x\""), ("If-None-Match", etag.as_str())];
    assert_eq!(status(&mut client, "GET", "/api/users/1", &two_lines), 304);
}

fn if_none_match_counts_more_than_if_modified_since(engine: Engine) {
    let (_server, mut client) = with_demo(engine);
    let etag = client.get("/api/users/1").must_have("etag").to_owned();
    for (tag, since, expected) in [
        (etag.as_str(), PAST, 304),
        (etag.as_str(), FUTURE, 304),
        ("\"other\"", FUTURE, 200),
    ] {
        let conditions = [("If-None-Match", tag), ("If-Modified-Since", since)];
        assert_eq!(
            status(&mut client, "GET", "/api/users/1", &conditions),
            expected
        );
    }
}

fn if_modified_since_is_by_the_second(engine: Engine) {
    let (_server, mut client) = with_demo(engine);
    let modified = client
        .get("/api/users/1")
        .must_have("last-modified")
        .to_owned();
    let at = httpdate::parse_http_date(&modified).expect("a date");
    let second = std::time::Duration::from_secs(1);
    for (since, expected) in [
        (modified, 304),
        (httpdate::fmt_http_date(at + second), 304),
        (httpdate::fmt_http_date(at - second), 200),
        (PAST.to_owned(), 200),
        // A date that is none, and the older ways to write one.
        ("yesterday".to_owned(), 200),
        ("Sunday, 06-Nov-94 08:49:37 GMT".to_owned(), 200),
        ("Sun Nov  6 08:49:37 1994".to_owned(), 200),
    ] {
        let condition = [("If-Modified-Since", since.as_str())];
        let found = status(&mut client, "GET", "/api/users/1", &condition);
        assert_eq!(found, expected, "{since}");
    }
}

fn if_match_protects_a_write(engine: Engine) {
    let (_server, mut client) = with_demo(engine);
    let old = client.get("/api/users/1").must_have("etag").to_owned();
    let condition = [("If-Match", old.as_str())];
    assert_eq!(
        status(&mut client, "PATCH", "/api/users/1", &condition),
        200
    );
    for method in ["PATCH", "DELETE"] {
        assert_eq!(status(&mut client, method, "/api/users/1", &condition), 412);
    }
    let put = json!({"name": "a", "email": "a@example.org", "age": 1});
    client
        .send_json("PUT", "/api/users/1", &condition, &put)
        .expect_problem(412);
    assert_eq!(client.get("/api/users/1").expect(200).json()["age"], 50);
    // A weak tag never matches strongly.
    let new = client.get("/api/users/1").must_have("etag").to_owned();
    let weak = format!("W/{new}");
    assert_eq!(
        status(
            &mut client,
            "DELETE",
            "/api/users/1",
            &[("If-Match", &weak)]
        ),
        412
    );
    let list = format!("{old}, {new}");
    assert_eq!(
        status(
            &mut client,
            "DELETE",
            "/api/users/1",
            &[("If-Match", &list)]
        ),
        204
    );
}

fn if_match_counts_more_than_if_unmodified_since(engine: Engine) {
    let (_server, mut client) = with_demo(engine);
    let etag = client.get("/api/users/1").must_have("etag").to_owned();
    let conditions = [("If-Match", etag.as_str()), ("If-Unmodified-Since", PAST)];
    assert_eq!(
        status(&mut client, "PATCH", "/api/users/1", &conditions),
        200
    );
    let conditions = [("If-Match", "\"other\""), ("If-Unmodified-Since", FUTURE)];
    assert_eq!(
        status(&mut client, "PATCH", "/api/users/1", &conditions),
        412
    );
}

fn if_unmodified_since_protects_a_write(engine: Engine) {
    let (_server, mut client) = with_demo(engine);
    let stale = [("If-Unmodified-Since", PAST)];
    assert_eq!(status(&mut client, "PATCH", "/api/users/1", &stale), 412);
    let current = [("If-Unmodified-Since", FUTURE)];
    assert_eq!(status(&mut client, "PATCH", "/api/users/1", &current), 200);
    assert_eq!(status(&mut client, "GET", "/api/users/1", &stale), 412);
}

/// A user who was changed in the first half of a second, as seen then.
fn changed_early_in_a_second(client: &mut Client) -> String {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .expect("after 1970");
    let into = since - Duration::from_secs(since.as_secs());
    std::thread::sleep(Duration::from_millis(1_100) - into);
    assert_eq!(status(client, "PATCH", "/api/users/1", &[]), 200);
    let seen = client.get("/api/users/1").expect(200);
    assert_eq!(seen.json()["age"], 50);
    seen.must_have("last-modified").to_owned()
}

fn change_again(client: &mut Client) {
    std::thread::sleep(Duration::from_millis(300));
    client
        .send_json("PATCH", "/api/users/1", &[], &json!({"age": 51}))
        .expect(200);
}

fn a_date_does_not_hide_the_second_change_of_a_second(engine: Engine) {
    let (server, mut client) = with_demo(engine);
    let seen = changed_early_in_a_second(&mut client);
    change_again(&mut client);
    // Within the second, after it, from the cache and from the store.
    for wait_ms in [0, 1_200] {
        std::thread::sleep(Duration::from_millis(wait_ms));
        for mut client in (0..4).map(|_| server.connect()) {
            let since = [("If-Modified-Since", seen.as_str())];
            let now = client.get_with("/api/users/1", &since).expect(200);
            assert_eq!(now.json()["age"], 51);
        }
    }
}

fn a_date_does_not_overwrite_the_second_change_of_a_second(engine: Engine) {
    let (server, mut client) = with_demo(engine);
    let seen = changed_early_in_a_second(&mut client);
    change_again(&mut client);
    let unmodified = [("If-Unmodified-Since", seen.as_str())];
    for wait_ms in [0, 1_200] {
        std::thread::sleep(Duration::from_millis(wait_ms));
        for mut client in (0..4).map(|_| server.connect()) {
            for method in ["PATCH", "DELETE"] {
                assert_eq!(
                    status(&mut client, method, "/api/users/1", &unmodified),
                    412
                );
            }
        }
    }
    // Whoever reads it when its second is over may write by date.
    std::thread::sleep(Duration::from_millis(10_000));
    let now = client.get("/api/users/1").expect(200);
    assert_eq!(now.json()["age"], 51);
    let unmodified = [("If-Unmodified-Since", now.must_have("last-modified"))];
    assert_eq!(
        status(&mut client, "PATCH", "/api/users/1", &unmodified),
        200
    );
}

fn the_first_version_has_its_date_alone(engine: Engine) {
    let (_server, mut client) = with_demo(engine);
    let body = json!({"name": "Ada", "email": "ada@first.example", "age": 36});
    let made = client
        .send_json("POST", "/api/users", &[], &body)
        .expect(201);
    let target = made.must_have("location").to_owned();
    let made_at = made.must_have("last-modified").to_owned();
    let since = [("If-Modified-Since", made_at.as_str())];
    client.get_with(&target, &since).expect(304);
    std::thread::sleep(Duration::from_millis(1_200));
    let unmodified = [("If-Unmodified-Since", made_at.as_str())];
    assert_eq!(status(&mut client, "PATCH", &target, &unmodified), 200);
    assert_eq!(status(&mut client, "PATCH", &target, &unmodified), 412);
}

fn if_match_star_wants_something_there(engine: Engine) {
    let (_server, mut client) = with_demo(engine);
    let star = [("If-Match", "*")];
    assert_eq!(status(&mut client, "PATCH", "/api/users/1", &star), 200);
    let missing = status(&mut client, "PATCH", "/api/users/999999", &star);
    assert!(matches!(missing, 404 | 412), "{missing}");
}

fn a_list_has_an_entity_tag_of_its_own(engine: Engine) {
    let (_server, mut client) = with_demo(engine);
    for target in [
        "/api/users?limit=3",
        "/api/users/batch?ids=1,2",
        "/api/users/near?lat=50&lon=10&radius_km=500",
        "/api/posts?limit=3&populate=author",
        "/api/posts/1",
    ] {
        let full = client.get(target).expect(200);
        let condition = [("If-None-Match", full.must_have("etag"))];
        client.get_with(target, &condition).expect(304);
    }
    let list = client.get("/api/users?limit=3").expect(200);
    status(&mut client, "PATCH", "/api/users/1", &[]);
    let condition = [("If-None-Match", list.must_have("etag"))];
    client
        .get_with("/api/users?limit=3", &condition)
        .expect(200);
    // Another page has another tag.
    let other = client.get("/api/users?limit=3&page=2").expect(200);
    assert_ne!(other.header("etag"), list.header("etag"));
}

fn the_chapters_resources_are_cacheable_as_it_says(engine: Engine) {
    let (_server, mut client) = with_demo(engine);
    let resource = client.get("/resource").expect(200);
    assert!(resource.must_have("cache-control").contains("max-age="));
    let condition = [("If-None-Match", resource.must_have("etag"))];
    client.get_with("/resource", &condition).expect(304);
    let forever = client.get("/static-resource").expect(200);
    assert!(
        forever
            .must_have("cache-control")
            .contains("max-age=31536000")
    );
}

fn head_is_conditional_too(engine: Engine) {
    let (_server, mut client) = with_demo(engine);
    let head = client.head("/api/users/1").expect(200);
    let get = client.get("/api/users/1").expect(200);
    assert_eq!(head.header("etag"), get.header("etag"));
    assert_eq!(head.header("content-length"), get.header("content-length"));
    let condition = [("If-None-Match", get.must_have("etag"))];
    client
        .request("HEAD", "/api/users/1", &condition, b"")
        .expect(304);
}
