//! `/static/*`: whole files by their hash, validators, precompressed variants,
//! and paths that try to get out.

mod assets;
mod dates;
mod freshness;
mod growing;
mod negotiation;
mod ranges;

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tempfile::TempDir;

use crate::harness::{Client, Engine, Serve, ServerProcess, hash_of, pattern};

both_engines!(
    files_of_every_size_arrive_whole,
    a_large_file_is_streamed_in_constant_memory,
    head_tells_what_get_would_send,
    media_types_are_by_extension,
    an_index_stands_for_its_folder,
    conditions_save_a_body,
    cache_control_is_by_pattern,
    a_precompressed_variant_is_chosen_by_quality,
    no_path_gets_out,
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

fn set_modified(path: &Path, time: SystemTime) {
    let file = fs::File::options().write(true).open(path).expect("a file");
    file.set_modified(time).expect("a time");
}

fn files_of_every_size_arrive_whole(engine: Engine) {
    let sizes = [
        0,
        1,
        4_096,
        32_768,
        32_769,
        65_536,
        1_048_576,
        1_048_577,
        50 << 20,
    ];
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
        ("a.html", "text/html"),
        ("a.css", "text/css"),
        ("a.js", "text/javascript"),
        ("a.json", "application/json"),
        ("a.svg", "image/svg+xml"),
        ("a.png", "image/png"),
        ("a.woff2", "font/woff2"),
        ("a.wasm", "application/wasm"),
        ("a.txt", "text/plain"),
        ("a.PNG", "image/png"),
        ("a.unheard-of", "application/octet-stream"),
        ("noextension", "application/octet-stream"),
    ];
    let files: Vec<(&str, &[u8])> = names.iter().map(|(name, _)| (*name, &b"x"[..])).collect();
    let site = Site::start(engine, &files);
    let mut client = site.connect();
    for (name, wanted) in names {
        let response = client.get(&format!("/static/{name}")).expect(200);
        // The harness sees to the charset of text.
        let essence = response.must_have("content-type").split(';').next();
        assert_eq!(essence, Some(wanted), "{name}");
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

fn conditions_save_a_body(engine: Engine) {
    let site = Site::start(
        engine,
        &[("a.txt", b"hello"), ("big.bin", &pattern(300_000))],
    );
    let mut client = site.connect();
    for name in ["a.txt", "big.bin"] {
        // Its date says nothing until its second is over.
        let long_ago = UNIX_EPOCH + Duration::from_secs(1_700_000_000);
        set_modified(&site.path(name), long_ago);
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
        ("photo.png", "public, no-cache"),
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
    // Dots that stay inside are what other servers take them for.
    for path in [
        "in/a.txt",
        "in/./a.txt",
        "in/../in/a.txt",
        "in/%2e%2e/in/%2E/a.txt",
        "none/../in/a.txt",
    ] {
        let target = format!("/static/{path}");
        assert_eq!(client.get(&target).expect(200).text(), "inside", "{path}");
    }
    // A link that stays inside may be followed, or not; it shows nothing else.
    let inner = client.get("/static/inner.txt");
    assert!(inner.status == 404 || inner.text() == "inside", "{inner:?}");
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
