//! The words of node-cache on one cache of several shards, and what is wrong to
//! ask.

use std::sync::{Arc, Mutex, Once};

use corelane::cache::CacheOptions;

use super::status::How;
use super::words::{Source, app};
use super::{on_every_shard, poll_for};
use crate::harness::{Client, Engine, InProcess};

either_engine!(
    what_one_shard_sets_the_others_get,
    several_are_got_and_deleted_at_once,
    a_value_is_taken_once,
    a_time_to_live_can_be_changed,
    keys_are_listed_and_flushed,
    a_value_of_another_type_is_a_mistake_that_is_told,
    what_has_too_long_a_key_is_loaded_each_time,
    a_cache_that_is_not_there_is_a_mistake_that_is_told,
);

const SHARDS: usize = 3;

fn start(engine: Engine) -> (InProcess, Vec<Client>, Arc<Source>) {
    let source = Arc::new(Source::default());
    let app = app(&source, [CacheOptions::new("words")]);
    let server = InProcess::start_shards(engine, SHARDS, app, |_| {});
    let clients = on_every_shard(&server, SHARDS);
    (server, clients, source)
}

fn set(client: &mut Client, key: &str, value: &str) {
    let target = format!("/c/words/set/{key}");
    client
        .request("PUT", &target, &[], value.as_bytes())
        .expect(204);
}

fn text(client: &mut Client, target: &str) -> String {
    client.get(target).expect(200).text().to_owned()
}

fn what_one_shard_sets_the_others_get(engine: Engine) {
    let (_server, mut clients, source) = start(engine);
    for round in 0..60 {
        let key = format!("k{}", round % 6);
        let value = format!("value {round}");
        set(&mut clients[round % SHARDS], &key, &value);
        for client in &mut clients {
            assert_eq!(text(client, &format!("/c/words/get/{key}")), value);
            assert_eq!(text(client, &format!("/c/words/load/{key}")), value);
        }
    }
    for client in &mut clients {
        client.get("/c/words/get/none").expect(404);
    }
    assert_eq!(source.loads(), 0);
}

fn several_are_got_and_deleted_at_once(engine: Engine) {
    let (_server, mut clients, _) = start(engine);
    for (index, key) in ["a", "b", "c", "d"].into_iter().enumerate() {
        set(&mut clients[index % SHARDS], key, key);
    }
    for client in &mut clients {
        let values = client.get("/c/words/mget/d,x,a,b").expect(200).json();
        assert_eq!(values, serde_json::json!(["d", null, "a", "b"]));
    }
    assert_eq!(text(&mut clients[1], "/c/words/del/a,x,d"), "2");
    for client in &mut clients {
        let values = client.get("/c/words/mget/a,b,c,d").expect(200).json();
        assert_eq!(values, serde_json::json!([null, "b", "c", null]));
    }
    assert_eq!(text(&mut clients[2], "/c/words/del/a,d"), "0");
}

fn a_value_is_taken_once(engine: Engine) {
    let (_server, mut clients, _) = start(engine);
    for round in 0..60 {
        let key = format!("k{}", round % 7);
        set(&mut clients[round % SHARDS], &key, "one");
        if round % 2 == 0 {
            // Copies everywhere.
            for client in &mut clients {
                text(client, &format!("/c/words/get/{key}"));
            }
        }
        for client in &mut clients {
            client.send_request("GET", &format!("/c/words/take/{key}"), &[], b"");
        }
        let mut statuses: Vec<u16> = clients.iter_mut().map(|c| c.read().status).collect();
        statuses.sort_unstable();
        assert_eq!(statuses, [200, 404, 404], "round {round}");
        for client in &mut clients {
            client.get(&format!("/c/words/get/{key}")).expect(404);
        }
    }
}

fn a_time_to_live_can_be_changed(engine: Engine) {
    let (_server, mut clients, _) = start(engine);
    let put = |client: &mut Client, ms: &str| {
        let response = client.request("PUT", "/c/words/ttl/k", &[], ms.as_bytes());
        response.expect(200).text().to_owned()
    };
    assert_eq!(put(&mut clients[0], "1000"), "false", "not cached");
    clients[0].get("/c/words/left/k").expect(404);
    set(&mut clients[0], "k", "v");
    for client in &mut clients {
        let left: u64 = text(client, "/c/words/left/k").parse().expect("a number");
        assert!((30_000..=60_000).contains(&left), "{left}");
    }
    assert_eq!(put(&mut clients[1], "900000"), "true");
    for client in &mut clients {
        let left: u64 = text(client, "/c/words/left/k").parse().expect("a number");
        assert!((600_000..=900_000).contains(&left), "{left}");
        assert_eq!(text(client, "/c/words/get/k"), "v");
    }
    assert_eq!(put(&mut clients[2], "20"), "true");
    for client in &mut clients {
        poll_for("its end", || {
            (client.get("/c/words/get/k").status == 404).then_some(())
        });
    }
    set(&mut clients[0], "k", "v");
    assert_eq!(put(&mut clients[1], "0"), "true");
    for client in &mut clients {
        client.get("/c/words/get/k").expect(404);
    }
}

fn keys_are_listed_and_flushed(engine: Engine) {
    let (_server, mut clients, _) = start(engine);
    let mut expected: Vec<String> = (0..30).map(|number| format!("k{number:02}")).collect();
    for (index, key) in expected.iter().enumerate() {
        set(&mut clients[index % SHARDS], key, "v");
    }
    text(&mut clients[1], "/c/words/del/k07");
    expected.remove(7);
    for client in &mut clients {
        assert_eq!(text(client, "/c/words/keys/all"), expected.join(","));
    }
    clients[2].get("/c/words/flush/all").expect(204);
    for client in &mut clients {
        assert_eq!(text(client, "/c/words/keys/all"), "");
        client.get("/c/words/get/k03").expect(404);
    }
    set(&mut clients[0], "k", "after");
    assert_eq!(text(&mut clients[1], "/c/words/get/k"), "after");
}

fn a_value_of_another_type_is_a_mistake_that_is_told(engine: Engine) {
    let (_server, mut clients, _) = start(engine);
    text(&mut clients[0], "/c/words/load/k");
    for client in &mut clients {
        let wrong = client.get("/c/words/number/k").expect(500);
        let log = wrong.must_have("x-log");
        assert!(log.contains("String") && log.contains("u64"), "{log}");
        assert!(log.contains("a key or a cache of its own"), "{log}");
        assert!(!wrong.text().contains("String"), "{wrong:?}");
        // And nothing is broken by it.
        assert_eq!(text(client, "/c/words/load/k"), "nothing yet");
    }
}

fn what_has_too_long_a_key_is_loaded_each_time(engine: Engine) {
    let (_server, mut clients, source) = start(engine);
    let longest = "x".repeat(corelane::internals::limits::CACHE_KEY_BYTES_MAX);
    let longer = format!("{longest}x");
    source.put(&longer, "v1");
    clients[0]
        .get(&format!("/c/words/load/{longest}"))
        .expect(200);
    for client in &mut clients {
        let kept = client.get(&format!("/c/words/load/{longest}")).expect(200);
        assert!(How::of(&kept).is_hit());
        let not = client.get(&format!("/c/words/load/{longer}")).expect(200);
        assert_eq!((How::of(&not), not.text()), (How::Bypass, "v1"));
    }
    assert_eq!(source.loads(), 1 + SHARDS);
    let target = format!("/c/words/write/{longer}");
    clients[1].request("PUT", &target, &[], b"v2").expect(204);
    set(&mut clients[1], &longer, "v3");
    clients[0]
        .get(&format!("/c/words/get/{longer}"))
        .expect(404);
    assert_eq!(
        text(&mut clients[2], &format!("/c/words/load/{longer}")),
        "v2"
    );
}

fn a_cache_that_is_not_there_is_a_mistake_that_is_told(engine: Engine) {
    let (_server, mut clients, _) = start(engine);
    let panics = panics_with("no cache named \"wrods\"");
    let wrong = clients[0].get("/c/wrods/get/k").expect(500);
    assert!(wrong.says_close());
    let told = panics.lock().expect("no panic").clone();
    assert!(
        told.iter().any(|text| text.contains("App::cache")),
        "{told:?}"
    );
}

/// What panics in this process with `part` in their text say, from now on.
fn panics_with(part: &'static str) -> Arc<Mutex<Vec<String>>> {
    static ONCE: Once = Once::new();
    static TEXTS: Mutex<Option<Arc<Mutex<Vec<String>>>>> = Mutex::new(None);
    ONCE.call_once(|| {
        let texts: Arc<Mutex<Vec<String>>> = Arc::default();
        *TEXTS.lock().expect("no panic") = Some(texts.clone());
        let usual = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            let text = panic.payload().downcast_ref::<String>();
            if let Some(text) = text.filter(|text| text.contains(part)) {
                texts.lock().expect("no panic").push(text.clone());
            }
            usual(panic);
        }));
    });
    let texts = TEXTS.lock().expect("no panic");
    texts.clone().expect("set once")
}
