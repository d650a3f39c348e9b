//! Files that change while they are served.

use std::fs;
use std::time::{Duration, Instant};

use super::Site;
use crate::harness::{Client, Engine};

both_engines!(
    a_change_is_noticed_within_a_second,
    a_file_that_goes_is_gone_within_a_second,
);

/// Asks until the answer is `wanted`; how long that took.
fn wait_until(client: &mut Client, target: &str, wanted: (u16, &str)) -> Duration {
    let since = Instant::now();
    loop {
        let response = client.get(target);
        if response.status == wanted.0 && (wanted.0 != 200 || response.text() == wanted.1) {
            return since.elapsed();
        }
        assert!(
            since.elapsed() < Duration::from_secs(4),
            "still {response:?}"
        );
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// A second, and what a loaded machine adds to it.
const NOTICED_WITHIN: Duration = Duration::from_millis(2_000);

fn a_change_is_noticed_within_a_second(engine: Engine) {
    let site = Site::start(engine, &[("a.txt", b"first"), ("b.txt", b"first")]);
    let mut client = site.connect();
    for _ in 0..50 {
        assert_eq!(client.get("/static/a.txt").expect(200).text(), "first");
        client.get("/static/new.txt").expect(404);
    }
    client.get("/static/b.txt").expect(200);
    // In place, by renaming over it, and a new one; same length, same second.
    fs::write(site.path("a.txt"), b"other").expect("a file");
    fs::write(site.path("b.new"), b"third").expect("a file");
    fs::rename(site.path("b.new"), site.path("b.txt")).expect("renamed");
    fs::write(site.path("new.txt"), b"new").expect("a file");
    assert!(wait_until(&mut client, "/static/a.txt", (200, "other")) < NOTICED_WITHIN);
    assert!(wait_until(&mut client, "/static/b.txt", (200, "third")) < NOTICED_WITHIN);
    assert!(wait_until(&mut client, "/static/new.txt", (200, "new")) < NOTICED_WITHIN);
}

fn a_file_that_goes_is_gone_within_a_second(engine: Engine) {
    let site = Site::start(engine, &[("a.txt", b"first")]);
    let mut client = site.connect();
    let etag = client.get("/static/a.txt").must_have("etag").to_owned();
    fs::remove_file(site.path("a.txt")).expect("removed");
    assert!(wait_until(&mut client, "/static/a.txt", (404, "")) < NOTICED_WITHIN);
    client
        .get_with("/static/a.txt", &[("If-None-Match", &etag)])
        .expect(404);
}
