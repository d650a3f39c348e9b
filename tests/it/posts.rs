//! `/api/posts`, with authors from one join.

use serde_json::Value;

use crate::harness::{Client, Engine, Serve, ServerProcess};

either_engine!(
    a_post_is_read_alone_as_in_the_list,
    populate_gives_each_post_its_author,
    without_populate_there_is_no_author,
    posts_of_an_author_are_theirs,
    pages_and_cursors_cover_everything_once,
    wrong_parameters_are_named,
    a_post_that_is_not_there_is_404,
);

fn with_demo(engine: Engine) -> (ServerProcess, Client) {
    let server = Serve::on(engine).demo().start();
    let client = server.connect();
    (server, client)
}

fn rows(client: &mut Client, target: &str) -> Vec<Value> {
    let json = client.get(target).expect(200).json();
    json["data"].as_array().expect("rows").clone()
}

fn a_post_is_read_alone_as_in_the_list(engine: Engine) {
    let (_server, mut client) = with_demo(engine);
    for row in rows(&mut client, "/api/posts?limit=5&page=3") {
        let alone = client.get(&format!("/api/posts/{}", row["id"])).expect(200);
        assert_eq!(alone.json(), row);
    }
}

fn populate_gives_each_post_its_author(engine: Engine) {
    let (_server, mut client) = with_demo(engine);
    for row in rows(&mut client, "/api/posts?populate=author&limit=100") {
        let author = &row["author"];
        assert_eq!(author["id"], row["author_id"]);
        let user = client
            .get(&format!("/api/users/{}", author["id"]))
            .expect(200)
            .json();
        assert_eq!(
            (&author["name"], &author["email"]),
            (&user["name"], &user["email"])
        );
    }
}

fn without_populate_there_is_no_author(engine: Engine) {
    let (_server, mut client) = with_demo(engine);
    for row in rows(&mut client, "/api/posts?limit=10") {
        assert_eq!(row.get("author"), None);
    }
}

fn posts_of_an_author_are_theirs(engine: Engine) {
    let (_server, mut client) = with_demo(engine);
    let author = rows(&mut client, "/api/posts?limit=1&page=2000")[0]["author_id"].clone();
    let target = format!("/api/posts?author_id={author}&limit=100");
    let theirs = rows(&mut client, &target);
    assert!(!theirs.is_empty());
    assert!(theirs.iter().all(|row| row["author_id"] == author));
    assert!(rows(&mut client, "/api/posts?author_id=999999").is_empty());
}

fn pages_and_cursors_cover_everything_once(engine: Engine) {
    let (_server, mut client) = with_demo(engine);
    let mut paged = Vec::new();
    for page in 1..=50 {
        paged.extend(rows(
            &mut client,
            &format!("/api/posts?limit=100&page={page}"),
        ));
    }
    let ids: Vec<i64> = paged
        .iter()
        .map(|row| row["id"].as_i64().expect("an id"))
        .collect();
    assert_eq!(ids.len(), 5_000);
    assert!(ids.is_sorted_by(|a, b| a < b));
    let mut followed = Vec::new();
    let mut next = Some("/api/posts?limit=100".to_owned());
    while let Some(target) = next {
        let json = client.get(&target).expect(200).json();
        followed.extend(json["data"].as_array().expect("rows").clone());
        next = json["next"].as_str().map(str::to_owned);
    }
    assert_eq!(followed, paged);
}

fn wrong_parameters_are_named(engine: Engine) {
    let (_server, mut client) = with_demo(engine);
    for query in [
        "populate=autor",
        "author_id=0",
        "limit=101",
        "sort=id",
        "after=zz",
        "page=0",
    ] {
        let response = client.get(&format!("/api/posts?{query}")).expect(422);
        let name = query.split('=').next().expect("a name");
        assert_eq!(response.json()["errors"][0]["field"], name);
    }
}

fn a_post_that_is_not_there_is_404(engine: Engine) {
    let (_server, mut client) = with_demo(engine);
    for id in ["5001", "0", "x", "-1", "1/"] {
        client.get(&format!("/api/posts/{id}")).expect(404);
    }
}
