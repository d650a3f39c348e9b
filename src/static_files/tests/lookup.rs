//! Which file a URL is, and which it never is.

use super::*;
use crate::static_files::resource::Lookup;

#[test]
fn a_file_has_its_type_rule_and_validators() {
    on_both_engines(async |site| {
        site.write("css/app.css", "body {}");
        set_modified(&site.path("css/app.css"), at_second(784_111_777));
        let answer = site.get("css/app.css").await;
        assert_eq!(answer.status(), 200);
        assert_eq!(
            answer.header(header::CONTENT_TYPE),
            Some("text/css; charset=utf-8")
        );
        assert_eq!(
            answer.header(header::LAST_MODIFIED),
            Some("Sun, 06 Nov 1994 08:49:37 GMT")
        );
        assert_eq!(
            answer.header(header::CACHE_CONTROL),
            Some("public, no-cache")
        );
        assert_eq!(answer.header(header::ACCEPT_RANGES), Some("bytes"));
        assert_eq!(answer.header(header::VARY), None);
        assert_eq!(answer.header(header::CONTENT_ENCODING), None);
        assert_eq!(
            answer.etag(),
            crate::semantics::ETag::of_bytes(b"body {}").to_string()
        );
        assert_eq!(answer.body().await, "body {}");
        site.write("app.0123abcd.js", "");
        let answer = site.get("app.0123abcd.js").await;
        assert_eq!(
            answer.header(header::CACHE_CONTROL),
            Some("public, max-age=31536000, immutable")
        );
        assert_eq!(answer.body().await, "");
    });
}

#[test]
fn directories_serve_their_index_under_a_slash_only() {
    on_both_engines(async |site| {
        site.write("index.html", "root");
        site.write("docs/index.html", "docs");
        site.write("empty/file.txt", "");
        assert_eq!(site.get("").await.body().await, "root");
        assert_eq!(site.get("docs/").await.body().await, "docs");
        assert_eq!(
            site.get("docs/").await.header(header::CONTENT_TYPE),
            Some("text/html; charset=utf-8")
        );
        let redirect = site.get("docs").await;
        assert_eq!(redirect.status(), 308);
        assert_eq!(redirect.header(header::LOCATION), Some("/static/docs/"));
        let redirect = site
            .ask(Ask {
                query: Some("a=b"),
                ..Ask::get("docs")
            })
            .await;
        assert_eq!(redirect.header(header::LOCATION), Some("/static/docs/?a=b"));
        for tail in [
            "empty",
            "empty/",
            "docs/index.html/",
            "index.html/",
            "nothing",
            "docs/nothing/",
        ] {
            assert_eq!(site.get(tail).await.status(), 404, "{tail}");
        }
    });
}

#[test]
fn the_mount_point_without_its_slash_redirects() {
    on_both_engines(async |site| {
        site.write("index.html", "root");
        let request = StaticRequest {
            path: "/static",
            tail: "",
            query: None,
            accept_encoding: None,
            gzip_offer: None,
            asked: Asked::default(),
        };
        let answer = Answer::from(site.files.answer(&request, 0).await);
        assert_eq!(
            (answer.status(), answer.header(header::LOCATION)),
            (308, Some("/static/"))
        );
    });
}

#[test]
fn names_are_decoded_once() {
    on_both_engines(async |site| {
        site.write("a b/été.txt", "here");
        site.write("a%20b.txt", "percent");
        assert_eq!(
            site.get("a%20b/%C3%A9t%c3%a9.txt").await.body().await,
            "here"
        );
        assert_eq!(site.get("a%2520b.txt").await.body().await, "percent");
        assert_eq!(site.get("a%20b.txt").await.status(), 404);
        assert_eq!(site.get("a%zz").await.status(), 400);
        assert_eq!(site.get("a%00").await.status(), 400);
    });
}

#[test]
fn nothing_outside_the_root_is_reached() {
    on_both_engines(async |site| {
        fs::write(site.directory.path().join("secret"), "secret").unwrap();
        fs::create_dir(site.directory.path().join("outside")).unwrap();
        fs::write(site.directory.path().join("outside/index.html"), "secret").unwrap();
        site.write("in/file.txt", "inside");
        site.write(".env", "secret");
        site.write(".well-known/x", "known");
        symlink("../secret", site.path("relative-out")).unwrap();
        symlink(
            site.directory.path().join("secret"),
            site.path("absolute-out"),
        )
        .unwrap();
        symlink("../outside", site.path("directory-out")).unwrap();
        symlink("/proc/self/root/etc/passwd", site.path("magic")).unwrap();
        symlink(site.path("in/file.txt"), site.path("absolute-in")).unwrap();
        symlink("in/../in/file.txt", site.path("relative-in")).unwrap();
        symlink("in", site.path("directory-in")).unwrap();
        symlink("loop", site.path("loop")).unwrap();
        symlink("nowhere", site.path("dangling")).unwrap();
        for tail in [
            "../secret",
            "%2e%2e/secret",
            "in/../../secret",
            "..%2fsecret",
            "relative-out",
            "absolute-out",
            "directory-out",
            "directory-out/",
            "directory-out/index.html",
            "magic",
            "absolute-in",
            "loop",
            "dangling",
            ".env",
            "/etc/passwd",
            "in//file.txt",
        ] {
            let answer = site.get(tail).await;
            assert_eq!(answer.status(), 404, "{tail}");
            assert!(
                !answer.body().await.windows(6).any(|w| w == b"secret"),
                "{tail}"
            );
        }
        for tail in ["relative-in", "directory-in/file.txt"] {
            assert_eq!(site.get(tail).await.body().await, "inside", "{tail}");
        }
        assert_eq!(site.get(".well-known/x").await.body().await, "known");
    });
}

#[test]
fn what_is_not_a_file_is_not_opened_and_blocks_nothing() {
    on_both_engines(async |site| {
        let mode = rustix::fs::Mode::RWXU;
        rustix::fs::mknodat(
            rustix::fs::CWD,
            site.path("fifo"),
            rustix::fs::FileType::Fifo,
            mode,
            0,
        )
        .unwrap();
        let _socket = std::os::unix::net::UnixListener::bind(site.path("socket")).unwrap();
        site.write("page.html", "plain");
        rustix::fs::mknodat(
            rustix::fs::CWD,
            site.path("page.html.br"),
            rustix::fs::FileType::Fifo,
            mode,
            0,
        )
        .unwrap();
        for tail in ["fifo", "socket"] {
            assert_eq!(site.get(tail).await.status(), 404, "{tail}");
        }
        let answer = site
            .ask(Ask::get("page.html").field(header::ACCEPT_ENCODING, "br"))
            .await;
        assert_eq!(answer.body().await, "plain");
    });
}

#[test]
fn precompressed_siblings_go_to_those_who_accept_them() {
    on_both_engines(async |site| {
        site.write("app.js", "plain");
        for (suffix, content) in [("br", "brotli"), ("zst", "zstandard"), ("gz", "gzipped!")] {
            site.write(&format!("app.js.{suffix}"), content);
        }
        let mut tags = Vec::new();
        for (accept, coding, content) in [
            (None, None, "plain"),
            (Some("gzip"), Some("gzip"), "gzipped!"),
            (Some("gzip, zstd"), Some("zstd"), "zstandard"),
            (Some("gzip, deflate, br, zstd"), Some("br"), "brotli"),
            (Some("br;q=0.1, gzip;q=0.2"), Some("gzip"), "gzipped!"),
            (Some("identity"), None, "plain"),
        ] {
            let ask = Ask::get("app.js");
            let answer = match accept {
                Some(value) => site.ask(ask.field(header::ACCEPT_ENCODING, value)).await,
                None => site.ask(ask).await,
            };
            assert_eq!(
                answer.header(header::CONTENT_ENCODING),
                coding,
                "{accept:?}"
            );
            assert_eq!(
                answer.header(header::VARY),
                Some("accept-encoding"),
                "{accept:?}"
            );
            assert_eq!(
                answer.header(header::CONTENT_TYPE),
                Some("text/javascript; charset=utf-8")
            );
            tags.push(answer.etag());
            assert_eq!(answer.body().await, content, "{accept:?}");
        }
        tags.sort();
        tags.dedup();
        assert_eq!(tags.len(), 4, "each coding has a tag of its own");
        let answer = site
            .ask(Ask::get("app.js").field(header::ACCEPT_ENCODING, "*;q=0"))
            .await;
        assert_eq!(answer.status(), 406);
        // Asked for by name, a compressed file is just a file.
        let answer = site
            .ask(Ask::get("app.js.gz").field(header::ACCEPT_ENCODING, "gzip"))
            .await;
        assert_eq!(answer.header(header::CONTENT_ENCODING), None);
        assert_eq!(
            answer.header(header::CONTENT_TYPE),
            Some("application/gzip")
        );
    });
}

#[test]
fn a_sibling_older_than_its_original_is_left_out() {
    on_both_engines(async |site| {
        site.write("a.txt", "new");
        site.write("a.txt.gz", "gzip of old");
        set_modified(&site.path("a.txt"), at_second(2_000));
        set_modified(&site.path("a.txt.gz"), at_second(1_999));
        let ask = || Ask::get("a.txt").field(header::ACCEPT_ENCODING, "gzip");
        let answer = site.ask(ask()).await;
        assert_eq!(answer.header(header::VARY), None);
        assert_eq!(answer.body().await, "new");
        // As old as its original, as gzip leaves it, is current.
        set_modified(&site.path("a.txt.gz"), at_second(2_000));
        assert_eq!(site.ask(ask().at(1_000)).await.body().await, "gzip of old");
    });
}

#[test]
fn precompression_index_and_hidden_files_are_options() {
    let pool = BlockingPool::start(1).unwrap();
    let options = EngineOptions {
        kind: EngineKind::Epoll,
        ring_entries: 256,
    };
    Runtime::build(&options, pool).unwrap().block_on(async {
        let site = Site::with(|options| {
            options.precompressed = false;
            options.index = None;
            options.hidden = true;
        });
        site.write("a.txt", "plain");
        site.write("a.txt.gz", "gzip");
        site.write("docs/index.html", "docs");
        site.write(".env", "hidden");
        let answer = site
            .ask(Ask::get("a.txt").field(header::ACCEPT_ENCODING, "gzip"))
            .await;
        assert_eq!(answer.body().await, "plain");
        for tail in ["docs", "docs/", ""] {
            assert_eq!(site.get(tail).await.status(), 404, "{tail}");
        }
        assert_eq!(site.get(".env").await.body().await, "hidden");
    });
}

#[test]
fn what_may_not_be_read_is_told_alike_with_a_slash_and_without() {
    use std::os::unix::fs::PermissionsExt;

    let site = Site::new();
    site.write("locked/index.html", "locked");
    let allow = |path: &Path, mode| {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    };
    allow(site.directory.path(), 0o755);
    allow(&site.path("locked"), 0o000);
    let finder = site.files.entries.finder().clone();
    // On a thread of its own, which may be another user's.
    let found = std::thread::spawn(move || {
        let nobody = rustix::process::Uid::from_raw(65_534);
        let _ = rustix::thread::set_thread_res_uid(nobody, nobody, nobody);
        ["locked", "locked/", "locked/index.html", "locked/none"].map(|path| {
            let looked = finder.look_up(path, None).unwrap();
            matches!(looked, Lookup::Found(Found::Forbidden))
        })
    });
    assert_eq!(found.join().unwrap(), [true; 4]);
    allow(&site.path("locked"), 0o755);
}

#[test]
fn dots_are_followed_within_the_root() {
    on_both_engines(async |site| {
        site.write("docs/index.html", "docs");
        site.write("a.txt", "here");
        for tail in [
            "docs/../a.txt",
            "docs/%2e%2e/a.txt",
            "./a.txt",
            "docs/./../a.txt",
        ] {
            assert_eq!(site.get(tail).await.body().await, "here", "{tail}");
        }
        assert_eq!(site.get("docs/x/..").await.body().await, "docs");
        assert_eq!(site.get("docs/../../a.txt").await.status(), 404);
    });
}

#[test]
fn times_that_have_no_date_do_not_matter() {
    on_both_engines(async |site| {
        site.write("old", "old");
        set_modified(
            &site.path("old"),
            SystemTime::UNIX_EPOCH - Duration::from_secs(1_000),
        );
        let answer = site.get("old").await;
        assert_eq!(
            (answer.status(), answer.header(header::LAST_MODIFIED)),
            (200, None)
        );
        site.write("future", "future");
        set_modified(
            &site.path("future"),
            SystemTime::now() + Duration::from_secs(1_000_000),
        );
        let answer = site.get("future").await;
        let modified = answer.header(header::LAST_MODIFIED).unwrap();
        let modified = crate::semantics::parse_http_date(modified.as_bytes()).unwrap();
        assert!(
            modified <= crate::clock::unix_ms() / 1_000,
            "never later than the Date"
        );
    });
}
