//! The shipped application with `[compression]`: lists, writes after them, and
//! the export.

use serde_json::json;

use super::{GZIP, expect_gzip};
use crate::harness::{Client, Engine, Serve, ServerProcess};

either_engine!(
    the_api_compresses_when_told_and_writes_still_match,
    a_list_is_never_old_after_a_write,
    an_export_is_compressed_row_by_row,
);

/// The shipped application with users whose lists are long enough.
fn api(engine: Engine) -> (ServerProcess, Client) {
    let server = Serve::on(engine)
        .environment("CORELANE_COMPRESSION_ENABLED", "true")
        .start();
    let mut client = server.connect();
    for number in 0..20 {
        let name = format!("Person {number:03}");
        let user = json!({"name": name, "email": format!("p{number}@example.org"), "age": 40});
        client
            .send_json("POST", "/api/users", &[], &user)
            .expect(201);
    }
    (server, client)
}

fn the_api_compresses_when_told_and_writes_still_match(engine: Engine) {
    let (_server, mut client) = api(engine);
    let list = client.get_with("/api/users", GZIP).expect(200);
    let plain = client.get("/api/users").expect(200);
    assert_eq!(expect_gzip(&list), plain.body);
    let tag = list.must_have("etag").to_owned();
    let plain_tag = plain.must_have("etag").trim_end_matches('"');
    assert_eq!(tag, format!("{plain_tag}--gzip\""));
    client
        .get_with("/api/users", &[GZIP[0], ("If-None-Match", &tag)])
        .expect(304);
    // One user is short and has the plain tag; a client that was told of a
    // compressed one by a smaller limit may write with that as well.
    let patch = json!({"age": 41});
    for (tag, status) in [
        ("\"u1-v1--gzip\"", 200),
        ("\"u1-v2\"", 200),
        ("\"u1-v2--gzip\"", 412),
        ("W/\"u1-v3--gzip\"", 412),
    ] {
        let response = client.send_json("PATCH", "/api/users/1", &[("If-Match", tag)], &patch);
        assert_eq!(response.status, status, "{tag}: {response:?}");
    }
    let metrics = client.get("/metrics").expect(200).json();
    assert!(
        metrics["compression"]["answers"].as_u64() >= Some(1),
        "{metrics}"
    );
    let accepts = [("Accept", "text/plain")];
    let text = client.get_with("/metrics", &accepts).expect(200);
    assert!(text.text().contains("corelane_compression_answers_total "));
}

fn a_list_is_never_old_after_a_write(engine: Engine) {
    let (server, mut client) = api(engine);
    let mut readers: Vec<_> = (0..4).map(|_| server.connect()).collect();
    for age in 20..60 {
        let written = client.send_json("PATCH", "/api/users/7", &[], &json!({"age": age}));
        written.expect(200);
        for reader in &mut readers {
            // Twice: the second is out of the cache, compressed before.
            for _ in 0..2 {
                let list = reader.get_with("/api/users", GZIP).expect(200);
                let json: serde_json::Value =
                    serde_json::from_slice(&expect_gzip(&list)).expect("JSON");
                assert_eq!(json["data"][6]["age"], age, "{:?}", list.header("x-cache"));
            }
        }
    }
    let metrics = client.get("/metrics").expect(200).json();
    assert!(
        metrics["compression"]["reused"].as_u64() > Some(0),
        "{metrics}"
    );
}

fn an_export_is_compressed_row_by_row(engine: Engine) {
    let (_server, mut client) = api(engine);
    let plain = client.get("/api/users/export").expect(200);
    let coded = client.get_with("/api/users/export", GZIP).expect(200);
    assert_eq!(expect_gzip(&coded), plain.body);
    assert!(coded.body.len() * 2 < plain.body.len());
    client.expect_usable();
}
