//! Logging in and out and what guards a session, on the real binary with its
//! embedded store; `redis` and `postgres` the same with those, `origins` who may
//! use one.

mod cookies;
mod library;
mod origins;
mod postgres;
mod redis;

use std::io::Write;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::harness::{Client, Engine, Response, Serve, ServerProcess, corelane};

either_engine!(
    a_login_gives_a_session_that_every_shard_knows,
    a_wrong_password_and_an_unknown_email_are_told_alike,
    a_login_that_is_none_is_refused,
    over_tls_the_cookie_is_for_this_host_alone,
    a_cookie_counts_only_under_the_name_of_its_scheme,
    a_login_replaces_the_session_it_came_with,
    a_made_up_id_is_never_taken_over,
    a_logout_ends_the_session_everywhere,
    a_session_that_is_used_lasts_to_its_absolute_end,
    a_session_that_is_not_used_expires,
    a_session_outlives_a_restart,
    a_deleted_user_has_no_session_any_more,
    a_new_password_ends_the_old_sessions,
    logins_beyond_the_bound_are_turned_away_and_stop_nobody_else,
    demo_users_have_the_documented_password,
    sessions_can_be_off,
    what_happens_to_sessions_is_counted_and_no_secret_is_logged,
);

const EMAIL: &str = "ada@example.org";
const PASSWORD: &str = "correct horse";

/// A server, and a user 1 who can log in.
fn with_ada(serve: Serve) -> ServerProcess {
    // The limit against guessing passwords would stop the tests too.
    let rules = r#"{"POST /api/session" = ""}"#;
    let server = serve
        .environment("CORELANE_RATE_LIMIT_RULES", rules)
        .start();
    add_ada(&server);
    server
}

fn add_ada(server: &ServerProcess) {
    let ada = json!({"name": "Ada", "email": EMAIL, "age": 36});
    let mut client = server.connect();
    client
        .send_json("POST", "/api/users", &[], &ada)
        .expect(201);
    set_password(server.data().path(), EMAIL, PASSWORD);
}

/// `corelane password`, while the server runs.
fn set_password(folder: &Path, email: &str, password: &str) {
    let data = folder.join("data").display().to_string();
    set_password_with(&["--data", &data], email, password);
}

/// The same, where these arguments say that the database is.
fn set_password_with(place: &[&str], email: &str, password: &str) {
    let mut child = corelane()
        .args(["password", email])
        .args(place)
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary runs");
    let mut stdin = child.stdin.take().expect("piped");
    writeln!(stdin, "{password}").expect("it reads");
    drop(stdin);
    let output = child.wait_with_output().expect("it ends");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{said}");
    assert!(!said.contains(password), "{said}");
}

fn log_in(client: &mut Client, headers: &[(&str, &str)]) -> Response {
    log_in_as(client, headers, EMAIL, PASSWORD)
}

fn log_in_as(
    client: &mut Client,
    headers: &[(&str, &str)],
    email: &str,
    password: &str,
) -> Response {
    let login = json!({"email": email, "password": password});
    client.send_json("POST", "/api/session", headers, &login)
}

/// `name=value`, as a browser sends it back.
fn cookie_of(response: &Response) -> String {
    let line = response.must_have("set-cookie");
    line.split(';').next().expect("a pair").to_owned()
}

/// Logs in and gives the cookie.
fn cookie_in(server: &ServerProcess) -> String {
    cookie_of(&log_in(&mut server.connect(), &[]).expect(201))
}

fn session(client: &mut Client, cookie: &str) -> Response {
    let response = client.get_with("/api/session", &[("Cookie", cookie)]);
    assert_eq!(response.must_have("cache-control"), "no-store");
    response
}

/// Asks on many connections, so that each shard is asked.
fn expect_everywhere(server: &ServerProcess, cookie: &str, status: u16) {
    for _ in 0..8 {
        session(&mut server.connect(), cookie).expect(status);
    }
}

fn a_login_gives_a_session_that_every_shard_knows(engine: Engine) {
    let server = with_ada(Serve::on(engine));
    let response = log_in(&mut server.connect(), &[]).expect(201);
    let cookie = cookie_of(&response);
    let id = cookie.strip_prefix("corelane=").expect("the bare name");
    assert_eq!(id.len(), 43);
    assert_eq!(
        response.must_have("set-cookie"),
        format!("{cookie}; Path=/; Max-Age=43200; HttpOnly; SameSite=Lax")
    );
    assert_eq!(response.must_have("cache-control"), "no-store");
    assert_eq!(response.must_have("location"), "/api/session");
    let begun = response.json();
    assert_eq!(begun["user_id"], 1);
    assert!(!response.text().contains(id), "no id in the body");
    expect_everywhere(&server, &cookie, 200);
    let found = session(&mut server.connect(), &cookie).expect(200).json();
    assert_eq!(found, begun);
    let head = server.connect().head("/api/session");
    assert_eq!(head.status, 401);
    server
        .connect()
        .request("PUT", "/api/session", &[], b"")
        .expect(405);
}

fn a_wrong_password_and_an_unknown_email_are_told_alike(engine: Engine) {
    let server = with_ada(Serve::on(engine));
    let mut client = server.connect();
    let ben = json!({"name": "Ben", "email": "ben@example.org", "age": 40});
    client
        .send_json("POST", "/api/users", &[], &ben)
        .expect(201);
    let answers: Vec<Value> = [
        (EMAIL, "correct horsf"),
        (EMAIL, ""),
        ("nobody@example.org", PASSWORD),
        // Nobody has set a password for him.
        ("ben@example.org", ""),
    ]
    .into_iter()
    .map(|(email, password)| {
        let response = log_in_as(&mut client, &[], email, password).expect(401);
        assert!(response.header("set-cookie").is_none());
        assert!(response.header("www-authenticate").is_some());
        assert_eq!(response.must_have("cache-control"), "no-store");
        response.json()
    })
    .collect();
    assert!(
        answers.iter().all(|answer| *answer == answers[0]),
        "{answers:?}"
    );
    log_in_as(&mut client, &[], "ADA@example.org", PASSWORD).expect(201);
}

fn a_login_that_is_none_is_refused(engine: Engine) {
    let server = with_ada(Serve::on(engine));
    for (login, status) in [
        (json!({}), 422),
        (json!({"email": EMAIL}), 422),
        (json!({"email": EMAIL, "password": 7}), 422),
        (json!({"email": EMAIL, "password": "x".repeat(2_000)}), 401),
        (json!({"email": EMAIL, "password": "x".repeat(9_000)}), 413),
    ] {
        server
            .connect()
            .send_json("POST", "/api/session", &[], &login)
            .expect(status);
    }
    let form = [("Content-Type", "application/x-www-form-urlencoded")];
    server
        .connect()
        .request("POST", "/api/session", &form, b"email=a")
        .expect(415);
}

const TRUSTED: &str = "[server]\ntrusted_proxies = [\"loopback\"]\n";
const TLS: (&str, &str) = ("Forwarded", "for=192.0.2.1;proto=https");

fn over_tls_the_cookie_is_for_this_host_alone(engine: Engine) {
    let config = format!("{TRUSTED}[session]\nsame_site = \"strict\"\n");
    let server = with_ada(Serve::on(engine).config(config));
    let mut client = server.connect();
    let response = log_in(&mut client, &[TLS]).expect(201);
    let cookie = cookie_of(&response);
    assert!(cookie.starts_with("__Host-corelane="), "{cookie}");
    assert_eq!(
        response.must_have("set-cookie"),
        format!("{cookie}; Path=/; Max-Age=43200; Secure; HttpOnly; SameSite=Strict")
    );
    let with_cookie = [TLS, ("Cookie", cookie.as_str())];
    client.get_with("/api/session", &with_cookie).expect(200);
    let gone = client
        .request("DELETE", "/api/session", &with_cookie, b"")
        .expect(204);
    let line = gone.must_have("set-cookie");
    assert!(
        line.starts_with("__Host-corelane=; Path=/; Max-Age=0; Secure;"),
        "{line}"
    );
}

fn a_cookie_counts_only_under_the_name_of_its_scheme(engine: Engine) {
    let server = with_ada(Serve::on(engine).config(TRUSTED));
    let mut client = server.connect();
    let plain = cookie_of(&log_in(&mut client, &[]).expect(201));
    let prefixed = format!("__Host-{plain}");
    session(&mut client, &plain).expect(200);
    session(&mut client, &prefixed).expect(401);
    // A neighbour of the host can plant the bare name, and gets nowhere.
    client
        .get_with("/api/session", &[TLS, ("Cookie", &plain)])
        .expect(401);
    client
        .get_with("/api/session", &[TLS, ("Cookie", &prefixed)])
        .expect(200);
    let other = cookie_of(&log_in(&mut client, &[]).expect(201));
    session(&mut client, &format!("{plain}; {other}")).expect(401);
    session(&mut client, &format!("a=b; {plain}; {plain}")).expect(200);
}

fn a_login_replaces_the_session_it_came_with(engine: Engine) {
    let server = with_ada(Serve::on(engine));
    let first = cookie_in(&server);
    let again = log_in(&mut server.connect(), &[("Cookie", &first)]).expect(201);
    let second = cookie_of(&again);
    assert_ne!(first, second);
    expect_everywhere(&server, &first, 401);
    expect_everywhere(&server, &second, 200);
    // One that is refused leaves it alone.
    let wrong = [("Cookie", second.as_str())];
    log_in_as(&mut server.connect(), &wrong, EMAIL, "wrong").expect(401);
    expect_everywhere(&server, &second, 200);
}

fn a_made_up_id_is_never_taken_over(engine: Engine) {
    let server = with_ada(Serve::on(engine));
    let planted = format!("corelane={}", "A".repeat(43));
    let response = log_in(&mut server.connect(), &[("Cookie", &planted)]).expect(201);
    assert_ne!(cookie_of(&response), planted);
    expect_everywhere(&server, &planted, 401);
}

fn a_logout_ends_the_session_everywhere(engine: Engine) {
    let server = with_ada(Serve::on(engine));
    let cookie = cookie_in(&server);
    for _ in 0..2 {
        let header = [("Cookie", cookie.as_str())];
        let response = server
            .connect()
            .request("DELETE", "/api/session", &header, b"");
        let line = response.expect(204).must_have("set-cookie").to_owned();
        assert!(line.starts_with("corelane=; Path=/; Max-Age=0;"), "{line}");
        expect_everywhere(&server, &cookie, 401);
    }
    server
        .connect()
        .request("DELETE", "/api/session", &[], b"")
        .expect(204);
}

fn a_session_that_is_used_lasts_to_its_absolute_end(engine: Engine) {
    let config = "[session]\nsliding_ttl_ms = 2500\nabsolute_ttl_ms = 5000\nrefresh_ms = 0\n";
    let server = with_ada(Serve::on(engine).config(config));
    let begun = Instant::now();
    let cookie = cookie_in(&server);
    let mut client = server.connect();
    // Used well within its sliding time.
    while session(&mut client, &cookie).status == 200 {
        assert!(begun.elapsed() < Duration::from_secs(20), "it never ends");
        std::thread::sleep(Duration::from_millis(50));
    }
    let lived = begun.elapsed();
    assert!(lived >= Duration::from_millis(4_900), "{lived:?}");
}

fn a_session_that_is_not_used_expires(engine: Engine) {
    let config = "[session]\nsliding_ttl_ms = 2500\nrefresh_ms = 0\n";
    let server = with_ada(Serve::on(engine).config(config));
    let cookie = cookie_in(&server);
    session(&mut server.connect(), &cookie).expect(200);
    // Asking would prolong it, so this is the time itself that is waited for.
    std::thread::sleep(Duration::from_millis(2_550));
    session(&mut server.connect(), &cookie).expect(401);
}

fn a_session_outlives_a_restart(engine: Engine) {
    let server = with_ada(Serve::on(engine));
    let cookie = cookie_in(&server);
    let data = server.kill();
    let server = Serve::on(engine).data(&data).start();
    expect_everywhere(&server, &cookie, 200);
}

fn a_deleted_user_has_no_session_any_more(engine: Engine) {
    let server = with_ada(Serve::on(engine));
    let cookie = cookie_in(&server);
    expect_everywhere(&server, &cookie, 200);
    server
        .connect()
        .request("DELETE", "/api/users/1", &[], b"")
        .expect(204);
    expect_everywhere(&server, &cookie, 401);
    log_in(&mut server.connect(), &[]).expect(401);
}

fn a_new_password_ends_the_old_sessions(engine: Engine) {
    let server = with_ada(Serve::on(engine));
    let cookie = cookie_in(&server);
    set_password(server.data().path(), EMAIL, "another horse");
    expect_everywhere(&server, &cookie, 401);
    log_in(&mut server.connect(), &[]).expect(401);
    log_in_as(&mut server.connect(), &[], EMAIL, "another horse").expect(201);
}

fn logins_beyond_the_bound_are_turned_away_and_stop_nobody_else(engine: Engine) {
    let files = tempfile::tempdir().expect("a folder");
    std::fs::write(files.path().join("new.txt"), "new\n").expect("a file");
    let server = with_ada(Serve::on(engine).static_folder(files.path()));
    let login = json!({"email": EMAIL, "password": PASSWORD}).to_string();
    let mut clients: Vec<Client> = (0..50).map(|_| server.connect()).collect();
    let mut others: Vec<Client> = (0..4).map(|_| server.connect()).collect();
    for client in &mut clients {
        let json = [("Content-Type", "application/json")];
        client.send_request("POST", "/api/session", &json, login.as_bytes());
    }
    // Each is read when it comes.
    let readers = clients.into_iter().map(|client| {
        let mut client = client.patience(Duration::from_secs(60));
        std::thread::spawn(move || (client.read(), Instant::now()))
    });
    let readers: Vec<_> = readers.collect();
    for other in &mut others {
        other.get("/api/users/1").expect(200);
    }
    // Nobody has looked for it yet: a thread must, which does not hash.
    others[0].get("/static/new.txt").expect(200);
    let others_answered = Instant::now();
    let answers = readers
        .into_iter()
        .map(|reader| reader.join().expect("an answer"));
    let (answers, times): (Vec<Response>, Vec<Instant>) = answers.unzip();
    let last = times.into_iter().max().expect("fifty");
    assert!(others_answered < last, "the others waited for all logins");
    let count = |status| {
        answers
            .iter()
            .filter(|answer| answer.status == status)
            .count()
    };
    assert!(count(201) >= 16, "{} logins", count(201));
    assert!(count(503) > 0, "none turned away");
    assert_eq!(count(201) + count(503), 50);
    // It is over with those.
    log_in(&mut server.connect(), &[]).expect(201);
}

fn demo_users_have_the_documented_password(engine: Engine) {
    let server = Serve::on(engine).demo().start();
    let mut client = server.connect();
    assert!(client.get("/").expect(200).text().contains("corelane-demo"));
    let user = client.get("/api/users/1").expect(200).json();
    let email = user["email"].as_str().expect("an email");
    let response = log_in_as(&mut client, &[], email, "corelane-demo").expect(201);
    session(&mut client, &cookie_of(&response)).expect(200);
}

fn sessions_can_be_off(engine: Engine) {
    let server = Serve::on(engine)
        .config("[session]\nenabled = false\n")
        .start();
    let mut client = server.connect();
    client.get("/api/session").expect(404);
    let ada = json!({"name": "Ada", "email": EMAIL, "age": 36});
    let foreign = [("Cookie", "corelane=x"), ("Sec-Fetch-Site", "cross-site")];
    client
        .send_json("POST", "/api/users", &foreign, &ada)
        .expect(201);
}

fn what_happens_to_sessions_is_counted_and_no_secret_is_logged(engine: Engine) {
    let server = with_ada(Serve::on(engine).argument("--access-log").argument("json"));
    let mut client = server.connect();
    let cookie = cookie_of(&log_in(&mut client, &[]).expect(201));
    log_in_as(&mut client, &[], EMAIL, "a wrong secret").expect(401);
    session(&mut client, &cookie).expect(200);
    let logout = [("Cookie", cookie.as_str())];
    client
        .request("DELETE", "/api/session", &logout, b"")
        .expect(204);
    session(&mut client, &cookie).expect(401);
    let metrics = client.get("/metrics?format=prometheus").expect(200);
    let total = |event: &str| -> u64 {
        let label = format!("event=\"{event}\"");
        let lines = metrics.text().lines().filter(|line| line.contains(&label));
        lines
            .map(|line| {
                line.rsplit(' ')
                    .next()
                    .expect("a value")
                    .parse::<u64>()
                    .expect("a number")
            })
            .sum()
    };
    for (event, count) in [
        ("created", 1),
        ("found", 1),
        ("expired", 1),
        ("ended", 1),
        ("login_refused", 1),
        ("login_busy", 0),
        ("origin_refused", 0),
    ] {
        assert_eq!(total(event), count, "{event}");
    }
    server.wait_for_output("/api/session");
    let id = cookie.strip_prefix("corelane=").expect("the name");
    for secret in [id, PASSWORD, "a wrong secret"] {
        assert!(!server.output().contains(secret));
        assert!(!metrics.text().contains(secret));
    }
}

#[test]
fn a_password_that_cannot_be_is_not_set() {
    let server = Serve::on(Engine::Epoll).start();
    let folder = server.data().path().join("data");
    let try_set = |email: &str, input: &str| {
        let mut child = corelane()
            .args(["password", email, "--data"])
            .arg(&folder)
            .stdin(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the binary runs");
        let mut stdin = child.stdin.take().expect("piped");
        stdin.write_all(input.as_bytes()).expect("it reads");
        drop(stdin);
        let output = child.wait_with_output().expect("it ends");
        assert_eq!(output.status.code(), Some(2));
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    assert!(try_set(EMAIL, "short").contains("too short"));
    assert!(try_set(EMAIL, "").contains("too short"));
    assert!(try_set(EMAIL, &"x".repeat(1_025)).contains("too long"));
    assert!(try_set(EMAIL, "long enough\n").contains("no user has the email"));
}
