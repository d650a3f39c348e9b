//! The admin listener of the binary: its settings, its table at start, its
//! endpoints, and that the token is shown nowhere.

use std::collections::BTreeSet;
use std::net::{SocketAddr, TcpListener};
use std::path::Path;

use super::{TOKEN, ask, expect_unauthorised};
use crate::harness::{Engine, Refusal, Serve, corelane};

either_engine!(
    the_table_says_where_it_is_and_what_to_try,
    it_can_be_turned_off,
    the_endpoints_answer_and_are_counted,
    settings_come_from_the_file_and_variables,
    a_taken_port_names_the_flag,
);

const LOCAL: &[&str] = &["Host: localhost"];

fn the_table_says_where_it_is_and_what_to_try(engine: Engine) {
    let server = Serve::on(engine).admin("127.0.0.1:0").start();
    let admin = server.admin_address().expect("an admin listener");
    server.wait_for_output(&format!("curl -i http://{admin}/\n"));
    let list = ask(admin, "GET /", LOCAL).expect(200).json();
    for endpoint in list["endpoints"].as_array().expect("a list") {
        let path = endpoint["path"].as_str().expect("a path");
        if endpoint["method"] != "GET" {
            continue;
        }
        let path = path.replace("{name}", "users");
        ask(admin, &format!("GET {path}"), LOCAL).expect(200);
    }
    // By default nothing but its port differs.
    ask(admin, "GET /api/users", LOCAL).expect(404);
    ask(server.address(), "GET /metrics", LOCAL).expect(200);
    server.stop();
}

fn it_can_be_turned_off(engine: Engine) {
    let server = Serve::on(engine)
        .admin("off")
        .environment("CORELANE_ADMIN_LISTEN", "127.0.0.1:1")
        .start();
    assert_eq!(server.admin_address(), None);
    assert!(
        server.output().contains("  admin      off\n"),
        "{}",
        server.output()
    );
    server.connect().expect_usable();
}

fn the_endpoints_answer_and_are_counted(engine: Engine) {
    let server = Serve::on(engine).admin("127.0.0.1:0").start();
    let admin = server.admin_address().expect("an admin listener");
    for _ in 0..3 {
        ask(admin, "GET /health/live", LOCAL).expect(200);
    }
    server.connect().get("/health/live").expect(200);
    let json = ask(admin, "GET /metrics", LOCAL).expect(200).json();
    assert_eq!(json["routes"]["GET admin:/health/live"]["requests"], 3);
    assert_eq!(json["routes"]["GET /health/live"]["requests"], 1);
    server.connect().get("/metrics").expect(200);
    // One series each, although both have the same pattern.
    let text = ask(admin, "GET /metrics?format=prometheus", LOCAL).expect(200);
    let series = text.text().lines().filter(|line| !line.starts_with('#'));
    let series: Vec<_> = series
        .map(|line| line.rsplit_once(' ').expect("a value").0)
        .collect();
    let distinct: BTreeSet<_> = series.iter().collect();
    assert_eq!(distinct.len(), series.len(), "{}", text.text());
    assert!(
        text.text().contains("route=\"admin:/metrics\""),
        "{}",
        text.text()
    );
}

fn settings_come_from_the_file_and_variables(engine: Engine) {
    let in_file = "a-token-out-of-the-file";
    let right = format!("Authorization: Bearer {TOKEN}");
    let config = format!("[admin]\nlisten = \"127.0.0.1:0\"\ntoken = \"{in_file}\"\n");
    let server = Serve::on(engine)
        .admin_as_configured()
        .config(config.as_str())
        .argument("--access-log")
        .argument("json")
        .start();
    let admin = server.admin_address().expect("an admin listener");
    expect_unauthorised(ask(admin, "GET /", &["Host: localhost", &right]));
    let line = format!("Authorization: Bearer {in_file}");
    ask(admin, "GET /", &["Host: localhost", &line]).expect(200);
    server.wait_for_output("\"target\"");
    assert!(!server.output().contains(in_file), "{}", server.output());
    server.stop();
    let server = Serve::on(engine)
        .admin_as_configured()
        .config(config)
        .environment("CORELANE_ADMIN_TOKEN", TOKEN)
        .start();
    let admin = server.admin_address().expect("an admin listener");
    ask(admin, "GET /", &["Host: localhost", &right]).expect(200);
    expect_unauthorised(ask(admin, "GET /", &["Host: localhost", &line]));
    server.wait_for_output("$CORELANE_ADMIN_TOKEN");
    assert!(!server.output().contains(TOKEN), "{}", server.output());
}

fn a_taken_port_names_the_flag(engine: Engine) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address").to_string();
    let Err(Refusal { status, output }) = Serve::on(engine).admin(&address).try_start() else {
        panic!("it started");
    };
    assert_eq!(status.code(), Some(1));
    for word in [&*address, "admin.listen", "--admin off"] {
        assert!(output.contains(word), "{word} in {output}");
    }
}

/// `corelane serve --check` with these arguments and variables: the exit code
/// and what it said.
fn check(arguments: &[&str], variables: &[(&str, &str)], folder: &Path) -> (Option<i32>, String) {
    let mut command = corelane();
    command.args(["serve", "--check"]).args(arguments);
    command.envs(variables.iter().copied()).current_dir(folder);
    let output = command.output().expect("the binary runs");
    let said = [output.stdout, output.stderr].concat();
    (
        output.status.code(),
        String::from_utf8(said).expect("UTF-8"),
    )
}

#[test]
fn settings_that_would_let_everybody_in_are_refused_with_the_cure() {
    let folder = tempfile::TempDir::new().expect("a folder");
    let folder = folder.path();
    for (arguments, words) in [
        (
            &["--admin", "0.0.0.0:3001"][..],
            &["--admin", "set admin.token or listen on 127.0.0.1"][..],
        ),
        (
            &["--admin", "[::]:3001"],
            &["--admin", "set admin.token or listen on 127.0.0.1"],
        ),
        (
            &["--listen", "0.0.0.0:3001"],
            &["--listen", "admin.listen", "--admin off"],
        ),
    ] {
        let (code, said) = check(arguments, &[], folder);
        assert_eq!(code, Some(2), "{said}");
        for word in words {
            assert!(said.contains(word), "{word} in {said}");
        }
    }
    let token = [("CORELANE_ADMIN_TOKEN", TOKEN)];
    let (code, said) = check(&["--admin", "0.0.0.0:3001"], &token, folder);
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("admin on 0.0.0.0:3001"), "{said}");
    let (code, said) = check(&["--listen", "0.0.0.0:3001", "--admin", "off"], &[], folder);
    assert_eq!(code, Some(0), "{said}");
    // Another public port leaves it where it is.
    let (code, said) = check(&["--listen", "0.0.0.0:80"], &[], folder);
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("admin on 127.0.0.1:3001"), "{said}");
}

#[test]
fn no_message_and_no_listing_shows_the_token() {
    let folder = tempfile::TempDir::new().expect("a folder");
    let folder = folder.path();
    for token in [
        "short-secret",
        "a secret with spaces in it",
        "geheimes-Passwort-mit-\u{fc}",
    ] {
        let (code, said) = check(&[], &[("CORELANE_ADMIN_TOKEN", token)], folder);
        assert_eq!(code, Some(2), "{said}");
        assert!(said.contains("CORELANE_ADMIN_TOKEN: admin.token"), "{said}");
        assert!(!said.contains(token), "{said}");
    }
    for line in ["token = 1234567890123456", "token = [\"1234567890123456\"]"] {
        std::fs::write(folder.join("server.toml"), format!("[admin]\n{line}\n")).expect("a file");
        let (code, said) = check(&["--config", "server.toml"], &[], folder);
        assert_eq!(code, Some(2), "{said}");
        assert!(said.contains("server.toml:2: admin.token"), "{said}");
        assert!(!said.contains("1234567890123456"), "{said}");
    }
    let mut command = corelane();
    command.arg("config").env("CORELANE_ADMIN_TOKEN", TOKEN);
    let output = command.output().expect("the binary runs");
    let listing = String::from_utf8(output.stdout).expect("UTF-8");
    assert!(
        listing.contains("# from: CORELANE_ADMIN_TOKEN\ntoken = \"***\"\n"),
        "{listing}"
    );
    assert!(!listing.contains(TOKEN), "{listing}");
    // What it prints is not taken for a token.
    std::fs::write(folder.join("server.toml"), listing).expect("a file");
    let (code, said) = check(&["--config", "server.toml"], &[], folder);
    assert_eq!(code, Some(2), "{said}");
}

#[test]
fn its_address_is_checked_before_a_store_is_made() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address: SocketAddr = taken.local_addr().expect("an address");
    let folder = tempfile::TempDir::new().expect("a folder");
    let mut command = corelane();
    command.args(["serve", "--listen", "127.0.0.1:0", "--admin"]);
    command.arg(address.to_string()).current_dir(folder.path());
    let output = command.output().expect("the binary runs");
    assert_eq!(output.status.code(), Some(1));
    assert!(!folder.path().join("data").exists());
}
