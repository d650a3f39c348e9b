//! `/static/*`: whole files by their hash, ranges, validators, precompressed
//! variants, and paths that try to get out.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::harness::{Client, Engine, Serve, ServerProcess, hash_of, pattern};

both_engines!(
    files_of_every_size_arrive_whole,
    a_large_file_is_streamed_in_constant_memory,
    head_tells_what_get_would_send,
    media_types_are_by_extension,
    an_index_stands_for_its_folder,
    single_ranges_are_cut_right,
    ranges_outside_are_refused_with_the_length,
    ranges_that_make_no_sense_are_ignored,
    several_ranges_come_as_parts,
    too_many_ranges_are_no_attack,
    if_range_guards_a_range,
    conditions_save_a_body,
    cache_control_is_by_pattern,
    a_precompressed_variant_is_chosen_by_quality,
    no_path_gets_out,
    a_change_is_noticed_within_a_second,
    a_file_that_goes_is_gone_within_a_second,
    many_readers_share_a_hot_file,
);

struct Site {
    server: ServerProcess,
    /// Holds `root`, and beside it what must not be served.
    folder: TempDir,
}

impl Site {
    fn start(engine: Engine, files: &[(&str, &[u8])]) -> Self {
        let folder = TempDir::new().expect("a folder");
        fs::create_dir(folder.path().join("root")).expect("a folder");
        fs::write(folder.path().join("secret.txt"), SECRET).expect("a file");
        for (name, content) in files {
            write(&folder.path().join("root").join(name), content);
        }
        let server = Serve::on(engine)
            .static_folder(&folder.path().join("root"))
            .start();
        Self { server, folder }
    }

    fn connect(&self) -> Client {
        self.server.connect()
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.folder.path().join("root").join(name)
    }
}

const SECRET: &[u8] = b"not to be served";

fn write(path: &Path, content: &[u8]) {
    fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
    fs::write(path, content).expect("a file");
}

fn files_of_every_size_arrive_whole(engine: Engine) {
    let sizes = [0, 1, 4_096, 65_536, 262_144, 262_145, 1_048_576, 50 << 20];
    let site = Site::start(engine, &[]);
    let mut client = site.connect().patience(Duration::from_secs(60));
    for size in sizes {
        let content = pattern(size);
        write(&site.path(&format!("{size}.bin")), &content);
        let wanted = hash_of(&content);
        drop(content);
        // From disk, and from the cache where it is small.
        for _ in 0..2 {
            let response = client.get(&format!("/static/{size}.bin")).expect(200);
            assert_eq!(response.must_have("content-length"), size.to_string());
            assert_eq!(response.hash(), wanted, "{size} bytes");
            assert_eq!(response.must_have("accept-ranges"), "bytes");
            assert!(
                response.header("etag").is_some() && response.header("last-modified").is_some()
            );
        }
    }
}

fn a_large_file_is_streamed_in_constant_memory(engine: Engine) {
    let site = Site::start(engine, &[]);
    let size = 100 << 20;
    fs::File::create(site.path("large.bin"))
        .and_then(|file| file.set_len(size))
        .expect("a sparse file");
    site.connect().expect_usable();
    let before = site.server.resident_bytes();
    let mut clients: Vec<Client> = (0..4).map(|_| site.connect()).collect();
    for client in &mut clients {
        client.send("GET /static/large.bin HTTP/1.1\r\nHost: a\r\n\r\n");
        client.read_head();
    }
    // They read nothing more: what is in flight is in the server, or nowhere.
    std::thread::sleep(Duration::from_millis(500));
    let waiting = site.server.resident_bytes();
    let mut received = 0;
    while received < size {
        received += clients[0].read_exactly(1 << 20).len() as u64;
    }
    let after = site.server.resident_bytes();
    for (what, bytes) in [("waiting", waiting), ("after", after)] {
        let grown = bytes.saturating_sub(before);
        assert!(grown < 16 << 20, "{what}: {grown} bytes more");
    }
    clients[0].expect_usable();
}

fn head_tells_what_get_would_send(engine: Engine) {
    let site = Site::start(
        engine,
        &[("a.txt", b"hello"), ("big.bin", &pattern(300_000))],
    );
    let mut client = site.connect();
    for name in ["a.txt", "big.bin"] {
        let target = format!("/static/{name}");
        let (head, get) = (
            client.head(&target).expect(200),
            client.get(&target).expect(200),
        );
        for field in [
            "content-length",
            "content-type",
            "etag",
            "last-modified",
            "cache-control",
        ] {
            assert_eq!(head.header(field), get.header(field), "{field} of {name}");
        }
    }
    client
        .request("POST", "/static/a.txt", &[], b"")
        .expect(405);
}

fn media_types_are_by_extension(engine: Engine) {
    let names = [
        ("a.html", "text/html; charset=utf-8"),
        ("a.css", "text/css; charset=utf-8"),
        ("a.js", "text/javascript; charset=utf-8"),
        ("a.json", "application/json; charset=utf-8"),
        ("a.svg", "image/svg+xml"),
        ("a.png", "image/png"),
        ("a.woff2", "font/woff2"),
        ("a.wasm", "application/wasm"),
        ("a.txt", "text/plain; charset=utf-8"),
        ("a.PNG", "image/png"),
        ("a.unheard-of", "application/octet-stream"),
        ("noextension", "application/octet-stream"),
    ];
    let files: Vec<(&str, &[u8])> = names.iter().map(|(name, _)| (*name, &b"x"[..])).collect();
    let site = Site::start(engine, &files);
    let mut client = site.connect();
    for (name, wanted) in names {
        let response = client.get(&format!("/static/{name}")).expect(200);
        assert_eq!(response.must_have("content-type"), wanted, "{name}");
    }
}

fn an_index_stands_for_its_folder(engine: Engine) {
    let site = Site::start(
        engine,
        &[
            ("index.html", b"top"),
            ("sub/index.html", b"sub"),
            ("empty/x.txt", b"x"),
        ],
    );
    let mut client = site.connect();
    assert_eq!(client.get("/static/").expect(200).text(), "top");
    assert_eq!(client.get("/static/sub/").expect(200).text(), "sub");
    client.get("/static/empty/").expect(404);
    // Without the slash, relative links in it would point elsewhere.
    let moved = client.get("/static/sub");
    if moved.status != 404 {
        assert!(matches!(moved.status, 301 | 308), "{moved:?}");
        assert!(moved.must_have("location").ends_with("/static/sub/"));
    }
}

fn single_ranges_are_cut_right(engine: Engine) {
    let (small, large) = (pattern(1_000), pattern(400_000));
    let site = Site::start(engine, &[("small.bin", &small), ("large.bin", &large)]);
    let mut client = site.connect();
    for (name, content) in [("small.bin", &small), ("large.bin", &large)] {
        let last = content.len() - 1;
        for (range, first, end) in [
            ("bytes=0-0".to_owned(), 0, 0),
            ("bytes=10-19".to_owned(), 10, 19),
            ("bytes=990-".to_owned(), 990, last),
            ("bytes=-10".to_owned(), last - 9, last),
            ("bytes=0-999999999".to_owned(), 0, last),
            ("bytes=-999999999".to_owned(), 0, last),
            (format!("bytes={last}-{last}"), last, last),
            ("BYTES=1-2".to_owned(), 1, 2),
        ] {
            let headers = [("Range", range.as_str())];
            let response = client
                .get_with(&format!("/static/{name}"), &headers)
                .expect(206);
            let wanted = format!("bytes {first}-{end}/{}", content.len());
            assert_eq!(response.must_have("content-range"), wanted);
            assert_eq!(
                response.hash(),
                hash_of(&content[first..=end]),
                "{range} of {name}"
            );
        }
    }
}

fn ranges_outside_are_refused_with_the_length(engine: Engine) {
    let site = Site::start(engine, &[("a.bin", &pattern(100)), ("empty.bin", b"")]);
    let mut client = site.connect();
    for range in ["bytes=100-", "bytes=200-300", "bytes=-0"] {
        let response = client
            .get_with("/static/a.bin", &[("Range", range)])
            .expect(416);
        assert_eq!(
            response.must_have("content-range"),
            "bytes */100",
            "{range}"
        );
    }
    let response = client.get_with("/static/empty.bin", &[("Range", "bytes=0-")]);
    assert!(matches!(response.status, 200 | 416), "{response:?}");
    client.expect_usable();
}

fn ranges_that_make_no_sense_are_ignored(engine: Engine) {
    let site = Site::start(engine, &[("a.bin", &pattern(100))]);
    let mut client = site.connect();
    for range in [
        "bytes=",
        "bytes=a-b",
        "bytes=5-1",
        "lines=1-2",
        "bytes 1-2",
        "bytes=1-2x",
        "bytes=--1",
    ] {
        let response = client
            .get_with("/static/a.bin", &[("Range", range)])
            .expect(200);
        assert_eq!(response.body.len(), 100, "{range}");
    }
    // Only GET has ranges.
    client
        .request("HEAD", "/static/a.bin", &[("Range", "bytes=0-9")], b"")
        .expect(200);
}

fn several_ranges_come_as_parts(engine: Engine) {
    let (small, large) = (pattern(1_000), pattern(400_000));
    let site = Site::start(engine, &[("small.bin", &small), ("large.bin", &large)]);
    let mut client = site.connect();
    for (name, content) in [("small.bin", &small), ("large.bin", &large)] {
        let headers = [("Range", "bytes=0-9, 500-599 ,-5")];
        let response = client
            .get_with(&format!("/static/{name}"), &headers)
            .expect(206);
        let length = content.len();
        let content_type = response.must_have("content-type").to_owned();
        let (_, boundary) = content_type.split_once("boundary=").expect("a boundary");
        let parts = parse_parts(&response.body, boundary.trim_matches('"'));
        let wanted = [(0, 9), (500, 599), (length - 5, length - 1)];
        assert_eq!(parts.len(), wanted.len(), "{name}");
        for ((fields, body), (first, last)) in parts.iter().zip(wanted) {
            let range = format!("content-range: bytes {first}-{last}/{length}");
            assert!(fields.to_lowercase().contains(&range), "{fields}");
            assert!(
                fields
                    .to_lowercase()
                    .contains("content-type: application/octet-stream")
            );
            assert_eq!(hash_of(body), hash_of(&content[first..=last]));
        }
    }
}

/// Header lines and body of each part of a multipart body (RFC 2046).
fn parse_parts(body: &[u8], boundary: &str) -> Vec<(String, Vec<u8>)> {
    let delimiter = format!("\r\n--{boundary}");
    let whole = [b"\r\n", body].concat();
    let mut parts = Vec::new();
    let mut rest = after(&whole, delimiter.as_bytes()).expect("a first delimiter");
    while !rest.starts_with(b"--") {
        rest = rest
            .strip_prefix(b"\r\n")
            .expect("CRLF after the delimiter");
        let content = after(rest, b"\r\n\r\n").expect("the end of the part's head");
        let head = &rest[..rest.len() - content.len()];
        let next = after(content, delimiter.as_bytes()).expect("a next delimiter");
        let length = content.len() - next.len() - delimiter.len();
        let fields = String::from_utf8(head.to_vec()).expect("ASCII");
        parts.push((fields, content[..length].to_vec()));
        rest = next;
    }
    assert!(
        matches!(rest, b"--" | b"--\r\n"),
        "after the last delimiter"
    );
    parts
}

fn after<'a>(bytes: &'a [u8], needle: &[u8]) -> Option<&'a [u8]> {
    let at = bytes
        .windows(needle.len())
        .position(|window| window == needle)?;
    Some(&bytes[at + needle.len()..])
}

fn too_many_ranges_are_no_attack(engine: Engine) {
    let site = Site::start(engine, &[("a.bin", &pattern(200_000))]);
    let mut client = site.connect();
    let overlapping = format!("bytes=0-{}", ",0-".repeat(2_000));
    let response = client.get_with("/static/a.bin", &[("Range", &overlapping)]);
    assert!(
        matches!(response.status, 200 | 206 | 416),
        "{}",
        response.status
    );
    assert!(
        response.body.len() <= 400_000,
        "{} bytes",
        response.body.len()
    );
    client.expect_usable();
}

fn if_range_guards_a_range(engine: Engine) {
    let site = Site::start(engine, &[("a.bin", &pattern(1_000))]);
    let mut client = site.connect();
    let full = client.get("/static/a.bin").expect(200);
    let etag = full.must_have("etag");
    let weak = format!("W/{etag}");
    for (value, status) in [
        (etag, 206),
        ("\"other\"", 200),
        (weak.as_str(), 200),
        ("Mon, 01 Jan 2001 00:00:00 GMT", 200),
    ] {
        let headers = [("Range", "bytes=0-9"), ("If-Range", value)];
        let response = client.get_with("/static/a.bin", &headers).expect(status);
        assert_eq!(
            response.body.len(),
            if status == 206 { 10 } else { 1_000 },
            "{value}"
        );
    }
}

fn conditions_save_a_body(engine: Engine) {
    let site = Site::start(
        engine,
        &[("a.txt", b"hello"), ("big.bin", &pattern(300_000))],
    );
    let mut client = site.connect();
    for name in ["a.txt", "big.bin"] {
        let target = format!("/static/{name}");
        let full = client.get(&target).expect(200);
        let etag = full.must_have("etag");
        let modified = full.must_have("last-modified");
        for (headers, status) in [
            (&[("If-None-Match", etag)][..], 304),
            (&[("If-Modified-Since", modified)], 304),
            (
                &[("If-None-Match", "\"x\""), ("If-Modified-Since", modified)],
                200,
            ),
            (&[("If-Match", "\"x\"")], 412),
            (&[("If-Match", etag)], 200),
            // A condition comes before the range.
            (&[("If-None-Match", etag), ("Range", "bytes=0-1")], 304),
        ] {
            client.get_with(&target, headers).expect(status);
        }
    }
}

fn cache_control_is_by_pattern(engine: Engine) {
    let site = Site::start(
        engine,
        &[
            ("app.3f9a1c2b7d.js", b"x"),
            ("page.html", b"x"),
            ("photo.png", b"x"),
        ],
    );
    let mut client = site.connect();
    for (name, wanted) in [
        ("app.3f9a1c2b7d.js", "public, max-age=31536000, immutable"),
        ("page.html", "no-cache"),
        ("photo.png", "public, max-age=3600"),
    ] {
        let response = client.get(&format!("/static/{name}")).expect(200);
        assert_eq!(response.must_have("cache-control"), wanted, "{name}");
    }
}

fn a_precompressed_variant_is_chosen_by_quality(engine: Engine) {
    let site = Site::start(
        engine,
        &[
            ("a.js", b"plain"),
            ("a.js.gz", b"gzip"),
            ("a.js.br", b"brotli"),
            ("b.js", b"alone"),
        ],
    );
    let mut client = site.connect();
    for (accepted, coding, body) in [
        ("gzip, br", Some("br"), "brotli"),
        ("gzip", Some("gzip"), "gzip"),
        ("gzip;q=1, br;q=0.1", Some("gzip"), "gzip"),
        ("br;q=0, gzip", Some("gzip"), "gzip"),
        ("identity", None, "plain"),
        ("deflate", None, "plain"),
        ("*", Some("br"), "brotli"),
        ("*;q=0, identity", None, "plain"),
        ("", None, "plain"),
    ] {
        let response = client
            .get_with("/static/a.js", &[("Accept-Encoding", accepted)])
            .expect(200);
        assert_eq!(response.header("content-encoding"), coding, "{accepted:?}");
        assert_eq!(response.text(), body, "{accepted:?}");
        assert!(
            response
                .must_have("vary")
                .to_lowercase()
                .contains("accept-encoding")
        );
        assert_eq!(
            response.must_have("content-type"),
            "text/javascript; charset=utf-8"
        );
    }
    let plain = client.get("/static/a.js").expect(200);
    let brotli = client
        .get_with("/static/a.js", &[("Accept-Encoding", "br")])
        .expect(200);
    assert_ne!(
        plain.header("etag"),
        brotli.header("etag"),
        "one tag for two contents"
    );
    let alone = client
        .get_with("/static/b.js", &[("Accept-Encoding", "br")])
        .expect(200);
    assert_eq!(
        (alone.header("content-encoding"), alone.text()),
        (None, "alone")
    );
}

fn no_path_gets_out(engine: Engine) {
    let site = Site::start(
        engine,
        &[
            ("in/a.txt", b"inside"),
            (".env", b"hidden"),
            ("in/.git/c", b"x"),
        ],
    );
    let outside = site.folder.path().join("secret.txt");
    symlink(&outside, site.path("link.txt")).expect("a link");
    symlink(site.folder.path(), site.path("up")).expect("a link");
    symlink("in/a.txt", site.path("inner.txt")).expect("a link");
    let mut client = site.connect();
    for path in [
        "../secret.txt",
        "in/../../secret.txt",
        "%2e%2e/secret.txt",
        "..%2fsecret.txt",
        "%2e%2e%2fsecret.txt",
        "in/%2e%2e/%2e%2e/secret.txt",
        "..%5csecret.txt",
        "..\\secret.txt",
        "%252e%252e/secret.txt",
        "//etc/passwd",
        "/etc/passwd",
        "%2fetc%2fpasswd",
        "link.txt",
        "up/secret.txt",
        "in/a.txt%00.png",
        "in/a.txt%00",
        "%00",
        "in/./a.txt",
        "in//a.txt",
        "in/a.txt/",
        "in/a.txt/..",
        ".env",
        "%2eenv",
        "in/.git/c",
        "%c0%ae%c0%ae/secret.txt",
        "%ff",
        "%zz",
        "in",
    ] {
        let response = client.get(&format!("/static/{path}"));
        let refused = matches!(response.status, 400 | 403 | 404 | 301 | 308);
        assert!(refused, "{path}: {response:?}");
        assert_ne!(response.body, SECRET, "{path}");
        assert!(!response.text().contains("root:"), "{path}");
    }
    assert_eq!(client.get("/static/in/a.txt").expect(200).text(), "inside");
    // A link that stays inside may be followed, or not; it shows nothing else.
    let inner = client.get("/static/inner.txt");
    assert!(inner.status == 404 || inner.text() == "inside", "{inner:?}");
}

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

fn many_readers_share_a_hot_file(engine: Engine) {
    let content = pattern(100_000);
    let site = Site::start(engine, &[("hot.bin", &content)]);
    let wanted = hash_of(&content);
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                let mut client = site.connect();
                for _ in 0..50 {
                    assert_eq!(client.get("/static/hot.bin").expect(200).hash(), wanted);
                }
            });
        }
    });
}
