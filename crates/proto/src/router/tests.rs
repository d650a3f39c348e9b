//! The router against a table and against a matcher that is naive.

use http::Method;
use proptest::prelude::*;

use super::{Match, Params, RouteError, Router};

fn router(routes: &[(Method, &str)]) -> Router<String> {
    let mut router = Router::new();
    for (method, pattern) in routes {
        router
            .insert(method.clone(), pattern, format!("{method} {pattern}"))
            .unwrap();
    }
    router
}

fn find(router: &Router<String>, method: Method, path: &str) -> Result<String, String> {
    let mut params = Params::new();
    match router.find(&method, path, &mut params) {
        Match::Found(value) => Ok(params
            .iter(path)
            .fold(value.clone(), |text, (name, value)| {
                format!("{text} {name}={value}")
            })),
        Match::MethodNotAllowed { allow } => Err(allow.to_owned()),
        Match::NotFound => Err(String::new()),
    }
}

#[test]
fn finds_text_before_parameters() {
    let router = router(&[
        (Method::GET, "/"),
        (Method::GET, "/users"),
        (Method::GET, "/users/{id}"),
        (Method::GET, "/users/batch"),
        (Method::GET, "/users/{id}/posts/{post_id}"),
        (Method::GET, "/static/{*path}"),
    ]);
    for (path, expected) in [
        ("/", "GET /"),
        ("/users", "GET /users"),
        ("/users/7", "GET /users/{id} id=7"),
        ("/users/batch", "GET /users/batch"),
        ("/users/batch7", "GET /users/{id} id=batch7"),
        ("/users/a%2Fb", "GET /users/{id} id=a%2Fb"),
        (
            "/users/7/posts/8",
            "GET /users/{id}/posts/{post_id} id=7 post_id=8",
        ),
        (
            "/users/batch/posts/8",
            "GET /users/{id}/posts/{post_id} id=batch post_id=8",
        ),
        ("/static/a/b//c.css", "GET /static/{*path} path=a/b//c.css"),
    ] {
        assert_eq!(
            find(&router, Method::GET, path).as_deref(),
            Ok(expected),
            "{path}"
        );
    }
    for path in [
        "",
        "*",
        "/nope",
        "/users/",
        "/users//posts/8",
        "/static/",
        "/img-.png",
        "//",
    ] {
        assert_eq!(
            find(&router, Method::GET, path),
            Err(String::new()),
            "{path}"
        );
    }
}

#[test]
fn head_falls_back_to_get_and_options_reports_allow() {
    let mut routes = router(&[
        (Method::DELETE, "/a"),
        (Method::GET, "/a"),
        (Method::POST, "/b"),
        (Method::HEAD, "/c"),
        (Method::GET, "/c"),
        (Method::OPTIONS, "/d"),
    ]);
    routes
        .insert(Method::from_bytes(b"PURGE").unwrap(), "/a", "purge".into())
        .unwrap();
    assert_eq!(find(&routes, Method::HEAD, "/a").as_deref(), Ok("GET /a"));
    assert_eq!(find(&routes, Method::HEAD, "/c").as_deref(), Ok("HEAD /c"));
    assert_eq!(
        find(&routes, Method::OPTIONS, "/d").as_deref(),
        Ok("OPTIONS /d")
    );
    let allow = |method, path| find(&routes, method, path).unwrap_err();
    assert_eq!(
        allow(Method::OPTIONS, "/a"),
        "GET, HEAD, DELETE, PURGE, OPTIONS"
    );
    assert_eq!(allow(Method::PUT, "/b"), "POST, OPTIONS");
    assert_eq!(allow(Method::HEAD, "/b"), "POST, OPTIONS");
    assert_eq!(allow(Method::PUT, "/c"), "GET, HEAD, OPTIONS");
    assert_eq!(allow(Method::PUT, "/d"), "OPTIONS");
}

#[test]
fn the_most_specific_pattern_decides_before_the_method() {
    let router = router(&[(Method::GET, "/users/me"), (Method::PUT, "/users/{id}")]);
    assert_eq!(
        find(&router, Method::PUT, "/users/me").unwrap_err(),
        "GET, HEAD, OPTIONS"
    );
    assert_eq!(
        find(&router, Method::PUT, "/users/7").as_deref(),
        Ok("PUT /users/{id} id=7")
    );
}

#[test]
fn params_are_decoded_or_refused_and_do_not_linger() {
    let router = router(&[(Method::GET, "/p/{v}"), (Method::GET, "/q")]);
    let mut params = Params::new();
    let mut decoded = |path: &str| {
        assert!(
            matches!(
                router.find(&Method::GET, path, &mut params),
                Match::Found(_)
            ),
            "{path}"
        );
        params.decoded(path, "v").map(|value| value.into_owned())
    };
    assert_eq!(decoded("/p/plain").as_deref(), Some("plain"));
    assert_eq!(decoded("/p/a%20b+c%2Fd").as_deref(), Some("a b+c/d"));
    assert_eq!(decoded("/p/%C3%A4").as_deref(), Some("ä"));
    for bad in [
        "/p/%", "/p/%2", "/p/%zz", "/p/a%2", "/p/%ff", "/p/%C3", "/p/%+1",
    ] {
        assert_eq!(decoded(bad), None, "{bad}");
    }
    assert_eq!(decoded("/q"), None);
    router.find(&Method::GET, "/p/1", &mut params);
    assert_eq!((params.count(), params.name("/p/1", "w")), (1, None));
    router.find(&Method::POST, "/p/1", &mut params);
    assert_eq!(params.count(), 0);
}

#[test]
fn bad_patterns_are_refused_with_the_cure() {
    let many: String = (0..9).map(|i| format!("/{{p{i}}}")).collect();
    for pattern in [
        "",
        "users",
        "/a b",
        "/ä",
        "/a?x",
        "/a#x",
        "/{",
        "/}",
        "/{}",
        "/{a",
        "/a}",
        "/{a}{b}",
        "/{a}-{b}",
        "/{*a}/b",
        "/x{*a}",
        "/{*a}x",
        "/{*}",
        "/{a-b}",
        "/{{a}}",
        "/{a}/{a}",
        "/{a}}",
        "/img-{id}.png",
        "/{id}.png",
        "/img-{id}",
        &many,
    ] {
        let mut router = Router::new();
        let error = router.insert(Method::GET, pattern, ()).unwrap_err();
        assert!(
            matches!(error, RouteError::BadPattern { .. }),
            "{pattern}: {error}"
        );
        assert!(
            error.to_string().contains(&format!("{pattern:?}")),
            "{error}"
        );
        assert_eq!(router.iter().count(), 0);
    }
}

#[test]
fn conflicts_and_duplicates_name_both_patterns_and_change_nothing() {
    let mut routes = router(&[(Method::GET, "/a/{id}"), (Method::GET, "/b/{*rest}")]);
    for (pattern, with) in [
        ("/a/{name}", "/a/{id}"),
        ("/a/{*all}", "/a/{id}"),
        ("/b/{x}", "/b/{*rest}"),
    ] {
        let error = routes
            .insert(Method::PUT, pattern, String::new())
            .unwrap_err();
        let expected = RouteError::Conflict {
            pattern: pattern.into(),
            with: with.into(),
        };
        assert_eq!(error, expected);
        assert!(error.to_string().contains(pattern) && error.to_string().contains(with));
    }
    let error = routes
        .insert(Method::GET, "/a/{id}", String::new())
        .unwrap_err();
    assert!(matches!(error, RouteError::Duplicate { .. }));
    assert!(error.to_string().contains("GET \"/a/{id}\""), "{error}");
    routes.insert(Method::PUT, "/a/{id}", "put".into()).unwrap();
    assert_eq!(
        find(&routes, Method::PUT, "/a/7").as_deref(),
        Ok("put id=7")
    );
    assert_eq!(routes.iter().count(), 3);
}

/// A segment of a pattern or of a path from a tiny alphabet, so that they meet.
fn text() -> impl Strategy<Value = String> {
    "[ab]{1,2}"
}

fn pattern() -> impl Strategy<Value = String> {
    let segment = prop_oneof![
        3 => text(),
        2 => Just("{p}".to_owned()),
    ];
    (
        proptest::collection::vec(segment, 1..4),
        prop_oneof![Just(""), Just("/"), Just("/{*rest}")],
    )
        .prop_map(|(segments, end)| {
            let numbered: Vec<String> = segments
                .iter()
                .enumerate()
                .map(|(index, segment)| segment.replace('p', &format!("p{index}")))
                .collect();
            format!("/{}{end}", numbered.join("/"))
        })
}

fn path() -> impl Strategy<Value = String> {
    proptest::collection::vec("[ab]{0,3}", 1..5)
        .prop_map(|segments| format!("/{}", segments.join("/")))
}

/// Whether `pattern` alone fits `path`, and its parameters.
fn fits(pattern: &str, path: &str) -> Option<Vec<(String, String)>> {
    let (mut rest, mut values) = (path.strip_prefix('/')?, Vec::new());
    for (index, segment) in pattern[1..].split('/').enumerate() {
        if index > 0 {
            rest = rest.strip_prefix('/')?;
        }
        if let Some(name) = segment.strip_prefix("{*") {
            values.push((name.trim_end_matches('}').to_owned(), rest.to_owned()));
            return (!rest.is_empty()).then_some(values);
        }
        let (here, after) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        rest = after;
        match segment.strip_prefix('{') {
            None if here == segment => {}
            Some(name) if !here.is_empty() => {
                values.push((name.trim_end_matches('}').to_owned(), here.to_owned()));
            }
            _ => return None,
        }
    }
    rest.is_empty().then_some(values)
}

/// Sorts the more specific pattern first: text before parameter, from the left.
fn specificity(pattern: &str) -> Vec<bool> {
    pattern
        .split('/')
        .map(|segment| segment.starts_with('{'))
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    /// Found exactly when some pattern fits alone, by the most specific of
    /// them, with the values that the naive matcher reads.
    #[test]
    fn agrees_with_a_naive_matcher(
        patterns in proptest::collection::vec(pattern(), 1..8), path in path(),
    ) {
        let mut router = Router::new();
        let mut known: Vec<String> = Vec::new();
        for pattern in patterns {
            if router.insert(Method::GET, &pattern, pattern.clone()).is_ok() {
                known.push(pattern);
            }
        }
        let expected = known
            .iter()
            .filter(|pattern| fits(pattern, &path).is_some())
            .min_by_key(|pattern| specificity(pattern));
        let mut params = Params::new();
        match router.find(&Method::GET, &path, &mut params) {
            Match::Found(pattern) => {
                prop_assert_eq!(Some(pattern), expected);
                let values: Vec<(String, String)> =
                    params.iter(&path).map(|(n, v)| (n.to_owned(), v.to_owned())).collect();
                prop_assert_eq!(fits(pattern, &path), Some(values));
            }
            Match::NotFound => prop_assert_eq!(expected, None),
            Match::MethodNotAllowed { .. } => prop_assert!(false),
        }
    }

    #[test]
    fn arbitrary_patterns_and_paths_never_panic(
        patterns in proptest::collection::vec("[/{}*a-c?é%]{0,12}", 0..8), path in "\\PC{0,16}",
    ) {
        let mut router = Router::new();
        for pattern in patterns {
            let _ = router.insert(Method::GET, &pattern, ());
        }
        let mut params = Params::new();
        router.find(&Method::GET, &path, &mut params);
        for (name, value) in params.iter(&path) {
            prop_assert!(!name.is_empty() && path.contains(value));
            params.decoded(&path, name);
        }
    }
}
