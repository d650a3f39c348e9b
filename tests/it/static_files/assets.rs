//! Names with a fingerprint, and pages whose links lead to a CDN.

use std::fs;
use std::time::Duration;

use tempfile::TempDir;

use super::write;
use crate::harness::{Client, Engine, Serve, ServerProcess};

either_engine!(
    a_page_links_to_the_cdn_by_fingerprint,
    a_name_with_a_fingerprint_is_kept_for_a_year,
    a_cdn_that_is_none_says_its_cure,
);

const IMMUTABLE: &str = "public, max-age=31536000, immutable";
const PAGE: &[u8] = b"<link href=\"css/app.css\"><script src='/static/app.js'></script>";

fn start(engine: Engine, config: &str) -> (ServerProcess, TempDir) {
    let folder = TempDir::new().expect("a folder");
    for (name, content) in [
        ("index.html", PAGE),
        ("index.html.gz", b"the links that it had"),
        ("app.js", b"script"),
        ("app.js.br", b"brotli"),
        ("css/app.css", b"style"),
    ] {
        write(&folder.path().join(name), content);
    }
    let server = Serve::on(engine)
        .static_folder(folder.path())
        .config(config)
        .start();
    (server, folder)
}

/// Where the page links to, below the CDN.
fn links(client: &mut Client) -> Vec<String> {
    let gzip = [("Accept-Encoding", "gzip")];
    let page = client.get_with("/static/", &gzip).expect(200);
    let links = page.text().split("https://cdn.example").skip(1);
    links
        .map(|link| {
            link.split(['"', '\''])
                .next()
                .unwrap_or_default()
                .to_owned()
        })
        .collect()
}

const CDN: &str = "[static]\ncdn_url = \"https://cdn.example\"\n";

fn a_page_links_to_the_cdn_by_fingerprint(engine: Engine) {
    let (server, _folder) = start(engine, CDN);
    let mut client = server.connect();
    let links = links(&mut client);
    assert_eq!(links.len(), 2, "{links:?}");
    for (link, (start, body)) in links
        .iter()
        .zip([("/static/css/app.", "style"), ("/static/app.", "script")])
    {
        assert!(link.starts_with(start), "{link}");
        let asset = client.get(link).expect(200);
        assert_eq!(asset.text(), body);
        assert_eq!(asset.must_have("cache-control"), IMMUTABLE);
    }
    // Of the page itself, whose links change with other files.
    let page = client.get("/static/").expect(200);
    assert_eq!(page.header("last-modified"), None);
    let (server, _folder) = start(engine, "");
    let page = server.connect().get("/static/").expect(200);
    page.must_have("last-modified");
    assert_eq!(page.body, PAGE);
}

fn a_name_with_a_fingerprint_is_kept_for_a_year(engine: Engine) {
    let (server, folder) = start(engine, CDN);
    let mut client = server.connect();
    let link = links(&mut client).remove(1);
    let brotli = [("Accept-Encoding", "br")];
    let asset = client.get_with(&link, &brotli).expect(200);
    assert_eq!(
        (asset.text(), asset.must_have("cache-control")),
        ("brotli", IMMUTABLE)
    );
    assert_eq!(
        asset.must_have("content-type"),
        "text/javascript; charset=utf-8"
    );
    // The plain name goes on working, and is asked about each time.
    let plain = client.get("/static/app.js").expect(200);
    assert_eq!(plain.text(), "script");
    assert_eq!(plain.must_have("cache-control"), "public, no-cache");
    for name in [
        "app.0123456789abcdef.css",
        "none.0123456789abcdef.js",
        "app.0123.js",
    ] {
        client.get(&format!("/static/{name}")).expect(404);
    }
    // Other content has another name: this one is not kept any more.
    fs::write(folder.path().join("app.js"), "newer").expect("a file");
    std::thread::sleep(Duration::from_millis(1_200));
    let newer = client.get(&link).expect(200);
    assert_eq!(newer.text(), "newer");
    assert_eq!(newer.must_have("cache-control"), "public, no-cache");
}

fn a_cdn_that_is_none_says_its_cure(engine: Engine) {
    for url in [
        "cdn.example",
        "ftp://x",
        "https://",
        "https://a?b",
        "https://a\\\"b",
    ] {
        let refused = Serve::on(engine)
            .config(format!("[static]\ncdn_url = \"{url}\"\n"))
            .try_start();
        let Err(refusal) = refused else {
            panic!("started with {url}");
        };
        assert!(
            refusal.output.contains("static.cdn_url"),
            "{}",
            refusal.output
        );
        assert!(
            refusal.output.contains("https://cdn.example.org"),
            "{}",
            refusal.output
        );
    }
}
