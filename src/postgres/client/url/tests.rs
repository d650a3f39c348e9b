//! Addresses are read as libpq reads them, and shown without the password.

use super::*;

fn parse(text: &str) -> PostgresUrl {
    PostgresUrl::parse(text).unwrap_or_else(|why| panic!("{text}: {why}"))
}

fn tcp(host: &str, port: u16) -> Target {
    let host = host.to_owned();
    Target::Tcp { host, port }
}

#[test]
fn hosts_are_names_addresses_or_folders() {
    for (text, target) in [
        ("//db/x", tcp("db", 5_432)),
        ("//joe@db.example:5433/x", tcp("db.example", 5_433)),
        ("//joe:p%40ss@[::1]:5433/x", tcp("::1", 5_433)),
        ("//joe:p@ss@10.0.0.1", tcp("10.0.0.1", 5_432)),
        ("///x?host=db&port=1", tcp("db", 1)),
        (
            "//joe@%2Frun%2Fpostgresql/x",
            Target::Unix("/run/postgresql/.s.PGSQL.5432".into()),
        ),
        (
            "///x?host=/run/postgresql&port=5433",
            Target::Unix("/run/postgresql/.s.PGSQL.5433".into()),
        ),
    ] {
        assert_eq!(parse(text).targets, [target], "{text}");
    }
}

#[test]
fn several_hosts_are_tried_in_order() {
    let three = [tcp("a", 1), tcp("b", 2), tcp("::1", 5_432)];
    for text in [
        "//joe@a:1,b:2,[::1]/x",
        "///x?host=a,b,::1&port=1,2,5432",
        "//c/x?host=a,b,::1&port=1,2,",
    ] {
        assert_eq!(parse(text).targets, three, "{text}");
    }
    let same_port = parse("///x?host=a,/run&port=7&target_session_attrs=read-write");
    let socket = Target::Unix("/run/.s.PGSQL.7".into());
    assert_eq!(same_port.targets, [tcp("a", 7), socket]);
    assert_eq!(same_port.session_attrs, SessionAttrs::ReadWrite);
    assert_eq!(same_port.place(), "a:7,/run/.s.PGSQL.7");
    assert_eq!(parse("//a").session_attrs, SessionAttrs::Any);
    let bound = parse("//a?channel_binding=require");
    assert_eq!(bound.channel_binding, ChannelBinding::Require);
}

#[test]
fn who_logs_in_and_where_is_decoded() {
    let url = parse("//j%6Fe:p%40s%3As@db/my%20base?application_name=a%20b&connect_timeout=3");
    assert_eq!(url.user.as_deref(), Some("joe"));
    assert_eq!(url.password.as_ref().unwrap().reveal(), "p@s:s");
    assert_eq!(url.database.as_deref(), Some("my base"));
    assert_eq!(url.application_name.as_deref(), Some("a b"));
    assert_eq!(url.connect_timeout_ms, Some(3_000));
    let bare = parse("//db");
    assert_eq!(
        (bare.user, bare.password, bare.database),
        (None, None, None)
    );
}

#[test]
fn tls_means_what_libpq_says() {
    for (query, mode) in [
        ("", TlsMode::Prefer),
        ("?sslmode=disable", TlsMode::Disable),
        ("?sslmode=require", TlsMode::Require),
        ("?sslmode=require&sslrootcert=/ca.pem", TlsMode::VerifyCa),
        ("?sslmode=verify-ca", TlsMode::VerifyCa),
        ("?sslmode=verify-full", TlsMode::VerifyFull),
    ] {
        assert_eq!(parse(&format!("//db/x{query}")).effective_tls(), mode);
    }
    let socket = parse("///x?host=/run&sslmode=verify-full");
    assert_eq!(socket.effective_tls(), TlsMode::Disable);
}

#[test]
fn the_password_is_never_shown() {
    for text in ["//joe:hunter2@db/x", "//db/x?user=joe&password=hunter2"] {
        let url = parse(text);
        assert_eq!(url.password.as_ref().unwrap().reveal(), "hunter2");
        let shown = format!("{url} {url:?} {url:#?}");
        assert!(!shown.contains("hunter2"), "{shown}");
        assert!(
            shown.starts_with("postgres://joe:***@db:5432/x "),
            "{shown}"
        );
    }
}

#[test]
fn what_is_shown_leads_to_the_same_place() {
    for text in [
        "//a%20b@[::1]:5/x%2Fy?sslmode=require",
        "//%2Frun%2Fp:99/x",
        "//a,b:7,%2Frun/x?sslmode=disable&target_session_attrs=read-write",
        "//a/x?channel_binding=require&target_session_attrs=prefer-standby",
        "//db",
    ] {
        let url = parse(text);
        let shown = url.to_string();
        let again = parse(shown.strip_prefix("postgres:").unwrap());
        assert_eq!(url, again, "{shown}");
    }
}

#[test]
fn mistakes_are_told_without_the_address() {
    for (text, word) in [
        ("joe:hunter2@db", "postgres://"),
        ("//joe:hunter2@/x", "host"),
        ("//joe:hunter2@a,,b/x", "host"),
        ("//joe:hunter2@a:1,b:x/x", "port"),
        ("//joe:hunter2@db/x?host=a,b,c&port=1,2", "one for each"),
        (
            "//joe:hunter2@db/x?target_session_attrs=master",
            "read-write",
        ),
        ("//joe:hunter2@db/x?channel_binding=on", "require"),
        (
            "//joe:hunter2@db/x?channel_binding=require&sslmode=disable",
            "TLS",
        ),
        ("///x?host=/run&channel_binding=require", "TLS"),
        ("//joe:hunter2@db:port/x", "port"),
        ("//joe:hunter2@db:65536/x", "port"),
        ("//joe:hunter2@[::1/x", "]"),
        ("//joe:hunter2@db/x?sslmode=allow", "verify-full"),
        ("//joe:hunter2@db/x?ssl=on", "sslmode"),
        ("//joe:hunter2@db/x?connect_timeout=soon", "seconds"),
        ("//joe:hunter2%00@db/x", "zero"),
        ("//joe:hunter2%ff@db/x", "UTF-8"),
    ] {
        let why = PostgresUrl::parse(text).unwrap_err();
        assert!(why.contains(word), "{text}: {why}");
        assert!(!why.contains("hunter2"), "{why}");
    }
}
