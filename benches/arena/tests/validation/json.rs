//! Profiles json and json-comp.

use std::io::Read;

use corelane::internals::topology::EngineKind;
use serde_json::json;

use crate::both_engines;
use crate::server::{Arena, dataset_items};

both_engines!(
    items_have_totals_of_their_request,
    items_are_compressed_for_who_accepts_it,
    what_cannot_be_counted_is_refused,
);

fn items_have_totals_of_their_request(engine: EngineKind) {
    let arena = Arena::start(engine);
    let mut client = arena.connect();
    let dataset = dataset_items();
    for (count, m) in [(12, 3), (22, 7), (31, 2), (50, 5), (1, -1), (5, 0)] {
        let answer = client.get(&format!("/json/{count}?m={m}")).expect(200);
        assert_eq!(answer.header("content-encoding"), None);
        let mut items = dataset.as_array().unwrap()[..count].to_vec();
        for item in &mut items {
            let total = item["price"].as_i64().unwrap() * item["quantity"].as_i64().unwrap() * m;
            item["total"] = json!(total);
        }
        assert_eq!(answer.value(), json!({"items": items, "count": count}));
    }
}

fn items_are_compressed_for_who_accepts_it(engine: EngineKind) {
    let arena = Arena::start(engine);
    let mut client = arena.connect();
    for (count, m) in [(25, 3), (40, 7), (50, 2)] {
        let target = format!("/json/{count}?m={m}");
        let plain = client.get(&target).expect(200);
        let accepts = [("Accept-Encoding", "gzip, br")];
        let coded = client.request("GET", &target, &accepts, b"").expect(200);
        assert_eq!(coded.header("content-encoding"), Some("gzip"));
        assert!(coded.body.len() < plain.body.len() / 2);
        let mut body = Vec::new();
        let mut decoder = flate2::read::GzDecoder::new(&coded.body[..]);
        decoder.read_to_end(&mut body).expect("gzip");
        assert_eq!(body, plain.body);
    }
}

fn what_cannot_be_counted_is_refused(engine: EngineKind) {
    let arena = Arena::start(engine);
    let mut client = arena.connect();
    for count in ["0", "51", "-1", "x", "1.0", "18446744073709551616"] {
        client.get(&format!("/json/{count}?m=1")).expect(404);
    }
    for query in ["", "?m=", "?m=x", "?m=1.5", "?m=9223372036854775807"] {
        client.get(&format!("/json/3{query}")).expect(422);
    }
}
