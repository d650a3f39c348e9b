//! Profile static.

use corelane::internals::topology::EngineKind;
use tempfile::TempDir;

use crate::both_engines;
use crate::server::{Arena, write};

both_engines!(
    files_have_their_type_and_bytes,
    files_that_are_compressed_already_are_sent_so,
);

const ACCEPT: &[(&str, &str)] = &[("Accept-Encoding", "br;q=1, gzip;q=0.8")];

fn start(engine: EngineKind, folder: &TempDir) -> Arena {
    let root = folder.path().to_owned();
    Arena::start_with(engine, &|settings| settings.static_dir = Some(root.clone()))
}

fn files_have_their_type_and_bytes(engine: EngineKind) {
    let folder = TempDir::new().unwrap();
    let files = [
        ("reset.css", "text/css", 8_192),
        ("vendor.js", "text/javascript", 307_200),
        ("manifest.json", "application/json", 2_883),
        ("header.html", "text/html", 122_880),
        ("logo.svg", "image/svg+xml", 15_344),
        ("bold.woff2", "font/woff2", 22_528),
        ("hero.webp", "image/webp", 46_080),
    ];
    let bytes = |length: usize| -> Vec<u8> { (0..length).map(|at| (at % 253) as u8).collect() };
    for (name, _, length) in files {
        write(folder.path(), name, &bytes(length));
    }
    let arena = start(engine, &folder);
    let mut client = arena.connect();
    for headers in [&[], ACCEPT] {
        for (name, content_type, length) in files {
            let answer = client.request("GET", &format!("/static/{name}"), headers, b"");
            let answer = answer.expect(200);
            let given = answer.header("content-type").unwrap();
            assert!(given.starts_with(content_type), "{name}: {given}");
            assert_eq!(answer.header("content-encoding"), None);
            assert!(answer.body == bytes(length), "{name}");
        }
    }
    client.get("/static/nonexistent.txt").expect(404);
    client.get("/static/%2e%2e/dataset.json").expect(404);
}

fn files_that_are_compressed_already_are_sent_so(engine: EngineKind) {
    let folder = TempDir::new().unwrap();
    for (name, text) in [
        ("app.js", "as it is"),
        ("app.js.br", "by brotli"),
        ("app.js.gz", "by gzip"),
        ("theme.css", "body {}"),
        ("theme.css.gz", "by gzip"),
    ] {
        write(folder.path(), name, text.as_bytes());
    }
    let arena = start(engine, &folder);
    let mut client = arena.connect();
    let mut ask = |name: &str, accept: &[(&str, &str)]| {
        let answer = client.request("GET", &format!("/static/{name}"), accept, b"");
        let answer = answer.expect(200);
        let coding = answer.header("content-encoding").map(str::to_owned);
        (coding, answer.text())
    };
    let sent = |coding: &str, text: &str| (Some(coding.to_owned()), text.to_owned());
    assert_eq!(ask("app.js", ACCEPT), sent("br", "by brotli"));
    assert_eq!(ask("theme.css", ACCEPT), sent("gzip", "by gzip"));
    assert_eq!(ask("app.js", &[]), (None, "as it is".to_owned()));
}
