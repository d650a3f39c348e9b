//! Files that change while they are served.

use std::fs;
use std::time::{Duration, Instant};

use super::Site;
use crate::harness::{Client, Engine, hash_of, pattern};

either_engine!(
    a_change_is_noticed_within_a_second,
    a_file_that_goes_is_gone_within_a_second,
    an_answer_on_its_way_keeps_its_bytes,
    no_client_is_taken_back_in_time,
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

/// A client that does not read yet leaves answers in the kernel, in the server
/// and not even begun, while the file is written in place.
fn an_answer_on_its_way_keeps_its_bytes(engine: Engine) {
    let first = pattern(700_000);
    let mut second = first.clone();
    second.iter_mut().for_each(|byte| *byte = !*byte);
    let site = Site::start(engine, &[("a.bin", &first)]);
    // It settles: from then on it is kept for a second at a time.
    std::thread::sleep(Duration::from_millis(100));
    let mut quick = site.connect();
    let old = quick.get("/static/a.bin").expect(200);
    assert_eq!(old.hash(), hash_of(&first));

    let mut slow = site.connect();
    slow.receive_buffer(65_536);
    let mut requests = b"GET /static/a.bin HTTP/1.1\r\nHost: a\r\n\r\n".repeat(9);
    requests.extend(b"GET /static/a.bin HTTP/1.1\r\nHost: a\r\nRange: bytes=100-650000\r\n\r\n");
    slow.send(requests);
    let head = slow.read_head();
    assert_eq!(head.status, 200);
    fs::write(site.path("a.bin"), &second).expect("a file");
    let since = Instant::now();
    let new = loop {
        let response = quick.get("/static/a.bin").expect(200);
        if response.hash() != old.hash() {
            break response;
        }
        assert!(
            since.elapsed() < Duration::from_secs(4),
            "still the old file"
        );
        std::thread::sleep(Duration::from_millis(20));
    };
    assert_eq!(new.hash(), hash_of(&second));

    assert!(
        slow.read_exactly(first.len()) == first,
        "it changed on its way"
    );
    let etag = |response: &crate::harness::Response| response.must_have("etag").to_owned();
    for _ in 1..9 {
        let response = slow.read().expect(200);
        let same = [&old, &new]
            .into_iter()
            .find(|known| etag(known) == etag(&response));
        assert_eq!(response.hash(), same.expect("a known tag").hash());
    }
    let part = slow.read().expect(206);
    let of = if etag(&part) == etag(&old) {
        &first
    } else {
        &second
    };
    assert!(
        part.body == of[100..=650_000],
        "the range is of another file"
    );
    slow.expect_usable();
}

/// Every shard is asked in turn, again and again, while a file is rewritten.
fn no_client_is_taken_back_in_time(engine: Engine) {
    let site = Site::start(engine, &[("a.txt", b"0"), ("gone.txt", b"here")]);
    let mut clients: Vec<Client> = (0..8).map(|_| site.connect()).collect();
    let mut newest = 0;
    for number in 1..=3 {
        // At some time within the time that each shard trusts what it knows.
        let until = Instant::now() + Duration::from_millis(1_300);
        while Instant::now() < until {
            for client in &mut clients {
                let response = client.get("/static/a.txt").expect(200);
                let seen: u32 = response.text().parse().expect("a number");
                assert!(seen >= newest, "{seen} after {newest}");
                newest = seen;
            }
            std::thread::sleep(Duration::from_millis(7));
        }
        assert_eq!(newest, number - 1);
        fs::write(site.path("a.new"), number.to_string()).expect("a file");
        fs::rename(site.path("a.new"), site.path("a.txt")).expect("renamed");
    }
    let mut is_gone = false;
    fs::remove_file(site.path("gone.txt")).expect("removed");
    for round in 0..300 {
        let client = &mut clients[round % 8];
        let status = client.get("/static/gone.txt").status;
        assert!(!is_gone || status == 404, "it is back");
        is_gone |= status == 404;
        std::thread::sleep(Duration::from_millis(5));
    }
    assert!(is_gone);
}
