//! Dates in whole seconds: a state that was changed twice within one is never
//! taken for another, and one that came back is not taken for what it replaced.

use std::fs;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::{Site, set_modified};
use crate::harness::{Client, Engine, pattern};

either_engine!(
    a_download_is_not_resumed_over_a_rewrite_of_the_same_second,
    a_date_resumes_and_saves_once_its_second_is_over,
    a_rewrite_of_the_same_second_is_sent,
    a_variant_of_the_content_before_is_not_sent,
    what_was_rolled_back_is_sent,
    a_variant_of_what_was_rolled_back_is_not_sent,
    a_date_of_the_future_is_one_date,
);

/// Waits for the next second, and so many milliseconds into it.
fn in_the_next_second(millis: u64) {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .expect("after 1970");
    let into = since - Duration::from_secs(since.as_secs());
    std::thread::sleep(Duration::from_millis(1_000 + millis) - into);
}

/// Connections enough that every shard has one.
fn everywhere(site: &Site) -> Vec<Client> {
    (0..8).map(|_| site.connect()).collect()
}

fn a_download_is_not_resumed_over_a_rewrite_of_the_same_second(engine: Engine) {
    let (small, long) = (pattern(100), pattern(1_200_000));
    for first in [small, long] {
        let site = Site::start(engine, &[]);
        let mut clients = everywhere(&site);
        let rewritten: Vec<u8> = first.iter().map(|byte| !byte).collect();
        in_the_next_second(100);
        fs::write(site.path("a.bin"), &first).expect("a file");
        // One shard has seen it before, the other has not.
        let part = clients[0]
            .get_with("/static/a.bin", &[("Range", "bytes=0-49")])
            .expect(206);
        let modified = part.must_have("last-modified");
        std::thread::sleep(Duration::from_millis(600));
        fs::write(site.path("a.bin"), &rewritten).expect("a file");
        std::thread::sleep(Duration::from_millis(1_300));
        for client in &mut clients {
            let resume = [("Range", "bytes=50-"), ("If-Range", modified)];
            let whole = client.get_with("/static/a.bin", &resume).expect(200);
            assert!(whole.body == rewritten, "a file of both");
            let unmodified = [("Range", "bytes=50-"), ("If-Unmodified-Since", modified)];
            client.get_with("/static/a.bin", &unmodified).expect(412);
        }
    }
}

fn a_date_resumes_and_saves_once_its_second_is_over(engine: Engine) {
    let site = Site::start(engine, &[("a.bin", &pattern(100))]);
    let mut clients = everywhere(&site);
    let early = clients[0].get("/static/a.bin").expect(200);
    std::thread::sleep(Duration::from_millis(2_300));
    for client in &mut clients {
        let full = client.get("/static/a.bin").expect(200);
        assert_eq!(full.header("etag"), early.header("etag"));
        let modified = full.must_have("last-modified");
        let of_disk = fs::metadata(site.path("a.bin")).and_then(|file| file.modified());
        assert_eq!(modified, httpdate::fmt_http_date(of_disk.expect("a time")));
        let resume = [("Range", "bytes=50-"), ("If-Range", modified)];
        client.get_with("/static/a.bin", &resume).expect(206);
        for (condition, status) in [("If-Modified-Since", 304), ("If-Unmodified-Since", 200)] {
            client
                .get_with("/static/a.bin", &[(condition, modified)])
                .expect(status);
        }
    }
}

fn a_rewrite_of_the_same_second_is_sent(engine: Engine) {
    let site = Site::start(engine, &[]);
    let mut clients = everywhere(&site);
    in_the_next_second(100);
    fs::write(site.path("a.txt"), "first").expect("a file");
    let first = clients[0].get("/static/a.txt").expect(200);
    let modified = first.must_have("last-modified");
    std::thread::sleep(Duration::from_millis(400));
    fs::write(site.path("a.txt"), "other").expect("a file");
    std::thread::sleep(Duration::from_millis(1_500));
    for client in &mut clients {
        let since = [("If-Modified-Since", modified)];
        let other = client.get_with("/static/a.txt", &since).expect(200);
        assert_eq!(other.text(), "other");
    }
}

fn a_variant_of_the_content_before_is_not_sent(engine: Engine) {
    let site = Site::start(engine, &[]);
    let mut client = site.connect();
    in_the_next_second(100);
    // As `gzip -k` leaves it.
    fs::write(site.path("a.css"), "before").expect("a file");
    fs::write(site.path("a.css.gz"), "gzip of before").expect("a file");
    let written = fs::metadata(site.path("a.css")).and_then(|file| file.modified());
    set_modified(&site.path("a.css.gz"), written.expect("a time"));
    let gzip = [("Accept-Encoding", "gzip")];
    let variant = client.get_with("/static/a.css", &gzip).expect(200);
    assert_eq!(variant.text(), "gzip of before");
    std::thread::sleep(Duration::from_millis(200));
    fs::write(site.path("a.css"), "after").expect("a file");
    std::thread::sleep(Duration::from_millis(1_100));
    let plain = client.get_with("/static/a.css", &gzip).expect(200);
    assert_eq!(
        (plain.text(), plain.header("content-encoding")),
        ("after", None)
    );
}

fn what_was_rolled_back_is_sent(engine: Engine) {
    let site = Site::start(
        engine,
        &[("a.bin", &pattern(100)), ("old.bin", b"rolled back")],
    );
    let mut client = site.connect();
    let at = |seconds: u64| UNIX_EPOCH + Duration::from_secs(1_700_000_000 + seconds);
    set_modified(&site.path("a.bin"), at(1_000));
    set_modified(&site.path("old.bin"), at(0));
    let new = client.get("/static/a.bin").expect(200);
    let modified = new.must_have("last-modified");
    fs::rename(site.path("old.bin"), site.path("a.bin")).expect("renamed");
    std::thread::sleep(Duration::from_millis(1_100));
    let since = [("If-Modified-Since", modified)];
    let old = client.get_with("/static/a.bin", &since).expect(200);
    assert_eq!(old.text(), "rolled back");
    // By its date it was written before that (RFC 9110 section 13.1.4).
    let write = [("If-Unmodified-Since", modified)];
    client.get_with("/static/a.bin", &write).expect(200);
    let resume = [("Range", "bytes=5-"), ("If-Range", modified)];
    client.get_with("/static/a.bin", &resume).expect(200);
    let same = [("If-Modified-Since", old.must_have("last-modified"))];
    client.get_with("/static/a.bin", &same).expect(304);
}

fn a_variant_of_what_was_rolled_back_is_not_sent(engine: Engine) {
    let site = Site::start(engine, &[("a.css", b"new"), ("old.css", b"old")]);
    fs::write(site.path("a.css.gz"), "gzip of new").expect("a file");
    fs::write(site.path("a.css.br"), "").expect("a file");
    let long_ago = UNIX_EPOCH + Duration::from_secs(1_700_000_000);
    set_modified(&site.path("old.css"), long_ago);
    let mut client = site.connect();
    // What is empty is no brotli of anything.
    let accepted = [("Accept-Encoding", "gzip, br")];
    let new = client.get_with("/static/a.css", &accepted).expect(200);
    assert_eq!(new.text(), "gzip of new");
    // Within one tick of the file system's clock nothing tells them apart.
    std::thread::sleep(Duration::from_millis(20));
    fs::rename(site.path("old.css"), site.path("a.css")).expect("renamed");
    std::thread::sleep(Duration::from_millis(1_100));
    let old = client.get_with("/static/a.css", &accepted).expect(200);
    assert_eq!((old.text(), old.header("content-encoding")), ("old", None));
}

fn a_date_of_the_future_is_one_date(engine: Engine) {
    let site = Site::start(engine, &[("a.txt", b"hello")]);
    let ahead = SystemTime::now() + Duration::from_secs(86_400);
    set_modified(&site.path("a.txt"), ahead);
    let mut dates = Vec::new();
    std::thread::sleep(Duration::from_millis(1_200));
    for client in &mut everywhere(&site) {
        let response = client.get("/static/a.txt").expect(200);
        dates.push(response.must_have("last-modified").to_owned());
        std::thread::sleep(Duration::from_millis(300));
    }
    dates.dedup();
    assert_eq!(dates.len(), 1, "{dates:?}");
}
