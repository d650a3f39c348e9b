//! Which requests may use a session to change something.

use super::*;

either_engine!(
    a_page_of_another_site_changes_nothing_with_a_session,
    a_login_is_always_guarded,
    without_a_sessions_cookie_nothing_is_guarded,
    the_own_origin_is_by_scheme_host_and_port,
    allowed_origins_may,
);

const JSON: (&str, &str) = ("Content-Type", "application/json");

fn create(client: &mut Client, headers: &[(&str, &str)], number: usize) -> u16 {
    let email = format!("person{number}@example.org");
    let user = json!({"name": "P", "email": email, "age": 20});
    client
        .send_json("POST", "/api/users", headers, &user)
        .status
}

/// What a request says of where it comes from, and whether it may. `Host` is
/// `test`, without TLS.
const MATRIX: &[(&[(&str, &str)], bool)] = &[
    (&[], true),
    (&[("Sec-Fetch-Site", "same-origin")], true),
    (&[("Sec-Fetch-Site", "none")], true),
    (&[("Sec-Fetch-Site", "same-site")], false),
    (&[("Sec-Fetch-Site", "cross-site")], false),
    (
        &[("Sec-Fetch-Site", "cross-site"), ("Origin", "http://test")],
        false,
    ),
    (&[("Origin", "http://test")], true),
    (&[("Origin", "http://TEST:80")], true),
    (&[("Origin", "https://test")], false),
    (&[("Origin", "http://test:8080")], false),
    (&[("Origin", "http://evil.test")], false),
    (&[("Origin", "http://test.evil")], false),
    (&[("Origin", "null")], false),
    (
        &[("Origin", "http://test"), ("Origin", "http://evil.test")],
        false,
    ),
    (&[("Referer", "http://evil.test/")], false),
    (
        &[("Referer", "http://test/"), ("Origin", "http://test")],
        true,
    ),
];

fn a_page_of_another_site_changes_nothing_with_a_session(engine: Engine) {
    let server = with_ada(Serve::on(engine));
    let cookie = cookie_in(&server);
    let mut client = server.connect();
    for (number, (from, may)) in MATRIX.iter().enumerate() {
        let mut headers = vec![("Cookie", cookie.as_str())];
        headers.extend_from_slice(from);
        let created = create(&mut client, &headers, number);
        assert_eq!(created, if *may { 201 } else { 403 }, "{from:?}");
        // What changes nothing is for everybody.
        client.get_with("/api/session", &headers).expect(200);
        client
            .request("OPTIONS", "/api/users", &headers, b"")
            .expect(204);
    }
    let mut from = vec![("Cookie", cookie.as_str())];
    from.push(("Sec-Fetch-Site", "cross-site"));
    let refused = client
        .request("DELETE", "/api/session", &from, b"")
        .expect(403);
    assert_eq!(refused.json()["type"], "urn:corelane:problem:cross-site");
    client
        .request("DELETE", "/api/users/1", &from, b"")
        .expect(403);
    client
        .request("PATCH", "/api/users/1", &[from[0], from[1], JSON], b"{}")
        .expect(403);
    session(&mut client, &cookie).expect(200);
}

fn a_login_is_always_guarded(engine: Engine) {
    let server = with_ada(Serve::on(engine));
    let mut client = server.connect();
    for (from, may) in MATRIX {
        let response = log_in(&mut client, from);
        assert_eq!(response.status, if *may { 201 } else { 403 }, "{from:?}");
        assert_eq!(response.header("set-cookie").is_some(), *may);
    }
}

fn without_a_sessions_cookie_nothing_is_guarded(engine: Engine) {
    let server = with_ada(Serve::on(engine));
    let mut client = server.connect();
    let from = ("Sec-Fetch-Site", "cross-site");
    for (number, cookie) in ["", "a=b", "__Host-corelane=x"].into_iter().enumerate() {
        assert_eq!(
            create(&mut client, &[from, ("Cookie", cookie)], number),
            201,
            "{cookie}"
        );
    }
    // Whatever stands behind the name.
    assert_eq!(
        create(&mut client, &[from, ("Cookie", "corelane=x")], 9),
        403
    );
}

fn the_own_origin_is_by_scheme_host_and_port(engine: Engine) {
    let server = with_ada(Serve::on(engine).config(TRUSTED));
    let mut client = server.connect();
    for (origin, tls, plain) in [
        ("https://test", 201, 403),
        ("https://test:443", 201, 403),
        ("http://test", 403, 201),
        ("https://test:8443", 403, 403),
    ] {
        let from = ("Origin", origin);
        assert_eq!(log_in(&mut client, &[from, TLS]).status, tls, "{origin}");
        assert_eq!(log_in(&mut client, &[from]).status, plain, "{origin}");
    }
}

fn allowed_origins_may(engine: Engine) {
    let config = "[session]\nallowed_origins = [\"https://app.example.org\"]\n";
    let server = with_ada(Serve::on(engine).config(config));
    let mut client = server.connect();
    for (origin, status) in [
        ("https://app.example.org", 201),
        ("https://APP.example.org:443", 201),
        ("http://app.example.org", 403),
        ("https://app.example.org.evil.test", 403),
    ] {
        let from = [("Origin", origin), ("Sec-Fetch-Site", "cross-site")];
        assert_eq!(log_in(&mut client, &from).status, status, "{origin}");
    }
}
