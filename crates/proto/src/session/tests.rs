//! Ids, records, cookies and origins.

use http::Method;
use proptest::prelude::*;

use crate::http::Origin;

use super::*;

fn find_cookie<'a>(
    lines: impl IntoIterator<Item = &'a [u8]>,
    base_name: &str,
    is_secure: bool,
) -> SessionCookie {
    SessionCookies::find(lines, base_name, is_secure).single()
}

fn id(seed: u8) -> SessionId {
    SessionId::of_random([seed; 32])
}

#[test]
fn an_id_is_written_as_base64url_and_hashed_as_sha_256() {
    assert_eq!(id(0).encode(), "A".repeat(43));
    assert_eq!(id(0xff).encode(), format!("{}8", "_".repeat(42)));
    assert_eq!(
        id(0).hash().to_string(),
        "66687aadf862bd776c8fc18b8e9f8e20089714856ee233b3902a591d0d5f2925"
    );
}

#[test]
fn an_id_is_not_shown() {
    assert_eq!(format!("{:?}", id(7)), "SessionId(…)");
    let cookie = SessionCookie::Id(id(7));
    assert!(!format!("{cookie:?}").contains(&id(7).encode()));
}

#[test]
fn a_session_ends_when_it_is_not_used_and_when_its_time_is_over() {
    let options = SessionOptions {
        sliding_ttl_ms: 100,
        absolute_ttl_ms: 250,
        refresh_ms: 10,
        ..SessionOptions::default()
    };
    let begun = SessionRecord::begin(7, 1_000, &options);
    assert_eq!(begun.judge(1_009, &options), SessionState::Live);
    assert_eq!(begun.judge(1_100, &options), SessionState::Expired);
    let SessionState::Refreshed(used) = begun.judge(1_099, &options) else {
        panic!("not refreshed");
    };
    assert_eq!((used.seen_at_ms, used.expires_at_ms), (1_099, 1_199));
    assert_eq!((used.created_at_ms, used.ends_at_ms), (1_000, 1_250));
    let SessionState::Refreshed(late) = used.judge(1_190, &options) else {
        panic!("not refreshed");
    };
    assert_eq!(late.expires_at_ms, 1_250, "not past its end");
    assert_eq!(late.judge(1_250, &options), SessionState::Expired);
    // The clock was set back.
    assert_eq!(late.judge(5, &options), SessionState::Live);
}

#[test]
fn a_session_does_not_outlive_options_that_were_shortened_since() {
    let options = SessionOptions::default();
    let begun = SessionRecord::begin(7, 0, &options);
    let stricter = SessionOptions {
        absolute_ttl_ms: u64::MAX,
        ..options
    };
    let SessionState::Refreshed(used) = begun.judge(3_599_999, &stricter) else {
        panic!("not refreshed");
    };
    assert_eq!(used.ends_at_ms, begun.ends_at_ms, "its end is its own");
}

fn cookie_of(line: &str, is_secure: bool) -> Option<String> {
    match find_cookie([line.as_bytes()], "corelane", is_secure) {
        SessionCookie::Id(id) => Some(id.encode()),
        SessionCookie::Unusable => Some("unusable".to_owned()),
        SessionCookie::Absent => None,
    }
}

#[test]
fn a_cookie_is_found_among_others_under_the_name_of_its_scheme() {
    let (one, two) = (id(1).encode(), id(2).encode());
    let unusable = Some("unusable".to_owned());
    for (line, plain, secure) in [
        (format!("corelane={one}"), Some(one.clone()), None),
        (format!("__Host-corelane={one}"), None, Some(one.clone())),
        (format!("a=b;corelane={one} ; c"), Some(one.clone()), None),
        (format!("corelane=\"{one}\""), Some(one.clone()), None),
        (
            format!("corelane={one}; __Host-corelane={two}"),
            Some(one.clone()),
            Some(two.clone()),
        ),
        (
            format!("corelane={one}; corelane={one}"),
            Some(one.clone()),
            None,
        ),
        (
            format!("corelane={one}; corelane={two}"),
            unusable.clone(),
            None,
        ),
        (
            format!("corelane=x; corelane={one}; corelane="),
            Some(one.clone()),
            None,
        ),
        (
            format!("corelane={one}; corelane={two}; corelane={one}"),
            unusable.clone(),
            None,
        ),
        (format!("corelane={one}=",), unusable.clone(), None),
        (format!("corelane={one}x"), unusable.clone(), None),
        ("corelane=".to_owned(), unusable.clone(), None),
        (
            format!("Corelane={one}; xcorelane={one}; =; ;; corelane"),
            None,
            None,
        ),
    ] {
        assert_eq!(cookie_of(&line, false), plain, "{line}");
        assert_eq!(cookie_of(&line, true), secure, "{line}");
    }
    let lines = ["a=b".to_owned(), format!("corelane={one}")];
    let lines = lines.iter().map(|line| line.as_bytes());
    assert!(matches!(
        find_cookie(lines, "corelane", false),
        SessionCookie::Id(_)
    ));
}

#[test]
fn a_cookie_is_for_this_host_alone_and_out_of_reach_of_scripts() {
    let text = id(1).encode();
    assert_eq!(
        set_cookie("corelane", true, SameSite::Lax, &id(1), 60),
        format!("__Host-corelane={text}; Path=/; Max-Age=60; Secure; HttpOnly; SameSite=Lax")
    );
    assert_eq!(
        set_cookie("corelane", false, SameSite::Strict, &id(1), 60),
        format!("corelane={text}; Path=/; Max-Age=60; HttpOnly; SameSite=Strict")
    );
    assert_eq!(
        expired_cookie("corelane", true, SameSite::Lax),
        "__Host-corelane=; Path=/; Max-Age=0; Secure; HttpOnly; SameSite=Lax"
    );
}

#[test]
fn origins_are_compared_by_scheme_host_and_port() {
    let own = |text: &str| Origin::parse(text.as_bytes());
    let at = |authority: &str, is_secure| Origin::of_authority(authority.as_bytes(), is_secure);
    assert_eq!(own("https://A.example"), at("a.example:443", true));
    assert_eq!(own("http://a.example:80"), at("a.example", false));
    assert_eq!(own("http://[::1]:3000"), at("[::1]:3000", false));
    for different in [
        "https://a.example",
        "http://a.example:81",
        "http://b.example",
    ] {
        assert_ne!(own(different), at("a.example", false), "{different}");
    }
    for wrong in [
        "null",
        "",
        "http://",
        "http:///",
        "ftp://a",
        "http://a/",
        "http://a:x",
        "http://a:99999",
        "http://u@a",
        "http://a b",
        "http:a",
        "http://a http://b",
    ] {
        assert_eq!(own(wrong), None, "{wrong}");
    }
}

#[test]
fn only_this_servers_pages_and_no_pages_at_all_use_a_session() {
    let allowed = [Origin::parse(b"https://friend.example").unwrap()];
    let judge = |site: &str, origin: &str, referer: bool, is_secure: bool| {
        let given = |text: &'static str| (!text.is_empty()).then_some(text.as_bytes());
        let request = RequestOrigin {
            site: given(String::leak(site.to_owned())),
            origin: given(String::leak(origin.to_owned())),
            has_referer: referer,
            authority: b"a.example",
            is_secure,
        };
        may_use_session(&request, &allowed)
    };
    for (site, origin, referer, is_secure, may) in [
        ("", "", false, false, true),
        ("", "", true, false, false),
        ("same-origin", "", true, false, true),
        ("none", "", false, false, true),
        ("same-site", "", false, false, false),
        ("cross-site", "http://a.example", true, false, false),
        ("Same-Origin", "", false, false, false),
        ("", "http://a.example", true, false, true),
        ("", "https://a.example", true, false, false),
        ("", "https://a.example", true, true, true),
        ("", "http://a.example", true, true, false),
        ("", "http://a.example:8080", true, false, false),
        ("", "http://b.example", false, false, false),
        ("", "null", false, false, false),
        ("cross-site", "https://friend.example", true, false, true),
        ("", "https://friend.example", true, false, true),
        ("", "http://friend.example", true, false, false),
    ] {
        let found = judge(site, origin, referer, is_secure);
        assert_eq!(found, may, "{site} {origin} {referer} {is_secure}");
    }
}

#[test]
fn a_server_that_was_not_named_has_no_own_origin() {
    let request = RequestOrigin {
        origin: Some(b"nonsense"),
        authority: b"",
        ..RequestOrigin::default()
    };
    assert!(!may_use_session(&request, &[]));
}

#[test]
fn methods_that_may_change_something_are_unsafe() {
    for method in [Method::GET, Method::HEAD, Method::OPTIONS, Method::TRACE] {
        assert!(is_safe_method(&method));
    }
    for name in ["POST", "PUT", "PATCH", "DELETE", "PURGE", "CONNECT"] {
        assert!(!is_safe_method(
            &Method::from_bytes(name.as_bytes()).unwrap()
        ));
    }
}

#[test]
fn options_that_cannot_be_meant_are_refused_by_name() {
    let good = SessionOptions {
        allowed_origins: vec!["https://a.example:8443".to_owned()],
        ..SessionOptions::default()
    };
    assert_eq!(good.check(), Ok(()));
    assert_eq!(good.origins().len(), 1);
    let field = |change: fn(&mut SessionOptions)| {
        let mut options = SessionOptions::default();
        change(&mut options);
        options.check().unwrap_err().field
    };
    assert_eq!(field(|o| o.absolute_ttl_ms = 1), "absolute_ttl_ms");
    assert_eq!(field(|o| o.refresh_ms = o.sliding_ttl_ms), "refresh_ms");
    assert_eq!(field(|o| o.cookie = "a b".to_owned()), "cookie");
    assert_eq!(field(|o| o.cookie = "__Host-a".to_owned()), "cookie");
    let wrong = |o: &mut SessionOptions| o.allowed_origins = vec!["a.example".to_owned()];
    assert_eq!(field(wrong), "allowed_origins");
}

proptest! {
    #[test]
    fn an_id_reads_back_and_no_other_text_gives_it(
        bytes in any::<[u8; 32]>(), at in 0..43_usize, other in any::<u8>(),
    ) {
        let id = SessionId::of_random(bytes);
        let text = id.encode();
        prop_assert_eq!(SessionId::parse(text.as_bytes()).unwrap().hash(), id.hash());
        let mut changed = text.clone().into_bytes();
        changed[at] = other;
        if let Some(read) = SessionId::parse(&changed) {
            prop_assert_eq!(read.hash() == id.hash(), changed == text.as_bytes());
        }
    }

    #[test]
    fn a_record_reads_back(fields in any::<[i64; 5]>()) {
        let [user_id, created_at_ms, seen_at_ms, expires_at_ms, ends_at_ms] = fields;
        let record = SessionRecord { user_id, created_at_ms, seen_at_ms, expires_at_ms, ends_at_ms };
        let bytes = record.encode();
        prop_assert_eq!(SessionRecord::decode(&bytes), Some(record));
        for length in 0..RECORD_BYTES {
            prop_assert_eq!(SessionRecord::decode(&bytes[..length]), None);
        }
    }

    #[test]
    fn judging_never_prolongs_past_the_end(
        fields in any::<[i64; 5]>(), now_ms in any::<i64>(), ttl in any::<[u64; 3]>(),
    ) {
        let options = SessionOptions {
            sliding_ttl_ms: ttl[0],
            absolute_ttl_ms: ttl[1],
            refresh_ms: ttl[2],
            ..SessionOptions::default()
        };
        let [user_id, created_at_ms, seen_at_ms, expires_at_ms, ends_at_ms] = fields;
        let record = SessionRecord { user_id, created_at_ms, seen_at_ms, expires_at_ms, ends_at_ms };
        if let SessionState::Refreshed(used) = record.judge(now_ms, &options) {
            prop_assert!(used.expires_at_ms <= ends_at_ms && now_ms < ends_at_ms);
        }
        let begun = SessionRecord::begin(user_id, now_ms, &options);
        prop_assert!(begun.expires_at_ms <= begun.ends_at_ms);
    }

    #[test]
    fn no_bytes_break_the_readers(
        lines in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..80), 0..4),
        text in "(corelane=|__Host-corelane=|;| |\"|[A-Za-z0-9_-]{43}){0,12}",
        bytes in prop::collection::vec(any::<u8>(), 0..80),
    ) {
        let lines = || lines.iter().map(Vec::as_slice).chain([text.as_bytes()]);
        for is_secure in [false, true] {
            let _ = find_cookie(lines(), "corelane", is_secure);
            let request = RequestOrigin {
                site: None,
                origin: Some(&bytes),
                has_referer: false,
                authority: text.as_bytes(),
                is_secure,
            };
            let _ = may_use_session(&request, &[]);
        }
        let _ = SessionRecord::decode(&bytes);
        let _ = SessionId::parse(&bytes);
    }
}
