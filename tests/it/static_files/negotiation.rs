//! Files on disk in several codings, and the one that is made on the way out:
//! one negotiation of both.

use std::io::Read;
use std::time::{Duration, SystemTime};

use tempfile::TempDir;

use super::{set_modified, write};
use crate::harness::{Client, Engine, Response, Serve, ServerProcess};

either_engine!(
    what_can_be_made_is_counted_among_what_there_is,
    the_wish_of_the_client_is_above_what_lies_ready,
    a_client_without_identity_is_sent_no_part_of_it,
    a_date_does_not_resume_what_was_made,
    files_and_answers_of_the_api_negotiate_alike,
);

fn start(engine: Engine, files: &[(&str, &[u8])]) -> (ServerProcess, TempDir) {
    let folder = TempDir::new().expect("a folder");
    for (name, content) in files {
        write(&folder.path().join(name), content);
    }
    let server = Serve::on(engine)
        .static_folder(folder.path())
        .config("[compression]\nenabled = true\n")
        .demo()
        .start();
    (server, folder)
}

/// Of a length that is worth compressing.
fn text() -> String {
    "to be or not to be, that is the question\n".repeat(100)
}

fn ask(client: &mut Client, target: &str, accepted: &str) -> Response {
    client.get_with(target, &[("Accept-Encoding", accepted)])
}

fn gunzip(response: &Response) -> String {
    assert_eq!(response.must_have("content-encoding"), "gzip");
    let mut plain = String::new();
    let mut decoder = flate2::bufread::GzDecoder::new(&*response.body);
    decoder.read_to_string(&mut plain).expect("gzip");
    plain
}

fn a_date_does_not_resume_what_was_made(engine: Engine) {
    let (server, folder) = start(engine, &[("a.css", text().as_bytes())]);
    let long_ago = SystemTime::now() - Duration::from_secs(1_000);
    set_modified(&folder.path().join("a.css"), long_ago);
    let mut client = server.connect();
    let made = ask(&mut client, "/static/a.css", "gzip").expect(200);
    let date = made.must_have("last-modified").to_owned();
    let resumes = |accepted| {
        [
            ("Accept-Encoding", accepted),
            ("Range", "bytes=50-"),
            ("If-Range", &*date),
        ]
    };
    // What the client has of it is gzip; a part would be of the plain file.
    let whole = client.get_with("/static/a.css", &resumes("gzip"));
    assert_eq!(gunzip(&whole.expect(200)), text());
    let part = client.get_with("/static/a.css", &resumes("identity"));
    assert_eq!(part.expect(206).text(), &text()[50..]);
}

fn what_can_be_made_is_counted_among_what_there_is(engine: Engine) {
    let long = text().repeat(400);
    let files = [
        ("a.css", text().into_bytes()),
        ("long.css", long.clone().into_bytes()),
        ("a.png", text().into_bytes()),
        ("short.css", b"short".to_vec()),
    ];
    let files = files
        .each_ref()
        .map(|(name, content)| (*name, &content[..]));
    let (server, _folder) = start(engine, &files);
    let mut client = server.connect();
    for accepted in [
        "gzip, identity;q=0",
        "gzip;q=0.1, *;q=0",
        "x-gzip, identity;q=0",
        "br, gzip;q=0.5, identity;q=0",
        "compress, GZIP, *;q=0",
    ] {
        let made = ask(&mut client, "/static/a.css", accepted).expect(200);
        assert_eq!(gunzip(&made), text(), "{accepted}");
        let made = ask(&mut client, "/static/long.css", accepted).expect(200);
        assert!(gunzip(&made) == long, "{accepted}");
        // Neither is there gzip, nor is it made.
        for name in ["a.png", "short.css"] {
            ask(&mut client, &format!("/static/{name}"), accepted).expect(406);
        }
    }
    for refused in [
        "identity;q=0",
        "*;q=0",
        "br, identity;q=0",
        "gzip;q=0, *;q=0",
    ] {
        ask(&mut client, "/static/a.css", refused).expect(406);
    }
    for plain in ["identity", "", "gzip;q=0", "br", "gzip;q=0.5, identity"] {
        let response = ask(&mut client, "/static/a.css", plain).expect(200);
        assert_eq!(response.header("content-encoding"), None, "{plain}");
        assert_eq!(response.text(), text());
    }
}

fn the_wish_of_the_client_is_above_what_lies_ready(engine: Engine) {
    let content = text();
    let files = [("a.js", content.as_bytes()), ("a.js.br", &b"brotli"[..])];
    let (server, _folder) = start(engine, &files);
    let mut client = server.connect();
    for (accepted, coding) in [
        ("br;q=0.5, gzip", Some("gzip")),
        ("br, gzip", Some("br")),
        ("br;q=0.5, gzip;q=0.5", Some("br")),
        ("br;q=0, *", Some("gzip")),
        ("gzip;q=0.5, identity", None),
    ] {
        let response = ask(&mut client, "/static/a.js", accepted).expect(200);
        assert_eq!(response.header("content-encoding"), coding, "{accepted}");
        let vary = response.must_have("vary").to_ascii_lowercase();
        assert!(vary.contains("accept-encoding"), "{accepted}: {vary}");
    }
}

fn a_client_without_identity_is_sent_no_part_of_it(engine: Engine) {
    let content = text();
    let (server, _folder) = start(engine, &[("a.css", content.as_bytes())]);
    let mut client = server.connect();
    let range = ("Range", "bytes=0-9");
    let only_gzip = [("Accept-Encoding", "gzip, identity;q=0"), range];
    let whole = client.get_with("/static/a.css", &only_gzip).expect(200);
    assert_eq!(gunzip(&whole), content);
    let both = [("Accept-Encoding", "gzip"), range];
    let part = client.get_with("/static/a.css", &both).expect(206);
    assert_eq!(part.body, content.as_bytes()[..10]);
    // And it comes back by its tag.
    let tag = [
        ("Accept-Encoding", "gzip, identity;q=0"),
        ("If-None-Match", whole.must_have("etag")),
    ];
    client.get_with("/static/a.css", &tag).expect(304);
}

fn files_and_answers_of_the_api_negotiate_alike(engine: Engine) {
    let content = text();
    let (server, _folder) = start(engine, &[("a.css", content.as_bytes())]);
    let mut client = server.connect();
    for accepted in [
        "gzip",
        "gzip, identity;q=0",
        "x-gzip",
        "identity",
        "gzip;q=0",
        "*",
        "br",
        "",
        "gzip;q=0.2, identity;q=0.1",
        "gzip;q=0.1, identity;q=0.2",
    ] {
        // Made anew, and out of the cache.
        let coding = |response: &Response| response.header("content-encoding").map(str::to_owned);
        let file = ask(&mut client, "/static/a.css", accepted).expect(200);
        for _ in 0..2 {
            let answer = ask(&mut client, "/api/users?limit=50", accepted).expect(200);
            assert_eq!(coding(&answer), coding(&file), "{accepted}");
        }
    }
}
