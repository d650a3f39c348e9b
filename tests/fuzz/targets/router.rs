//! The router: a path is found exactly when one of the accepted patterns fits
//! it, by the most specific of them, with the parameters a naive matcher reads.
//!
//! Input: lines; the first is the path, the others are patterns.
#![no_main]

use corelane_fuzz::router::{Match, Params, Router};
use http::Method;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &str| {
    let mut lines = data.split('\n');
    let path = lines.next().unwrap_or_default();
    let mut router = Router::new();
    let mut accepted: Vec<&str> = Vec::new();
    for pattern in lines.take(12) {
        match router.insert(Method::GET, pattern, pattern) {
            Ok(()) => accepted.push(pattern),
            Err(error) => assert!(error.to_string().contains(&format!("{pattern:?}"))),
        }
    }
    assert_eq!(router.iter().count(), accepted.len());

    let fitting = accepted
        .iter()
        .filter(|pattern| fits(pattern, path).is_some());
    let expected = fitting.min_by_key(|pattern| specificity(pattern));
    let mut params = Params::new();
    match router.find(&Method::HEAD, path, &mut params) {
        Match::Found(pattern) => {
            assert_eq!(Some(pattern), expected);
            let values: Vec<(&str, &str)> = params.iter(path).collect();
            assert_eq!(fits(pattern, path).as_ref(), Some(&values));
            for (name, value) in values {
                check_decoded(&params, path, name, value);
            }
        }
        Match::NotFound => assert_eq!(expected, None, "{path:?} fits {expected:?}"),
        Match::MethodNotAllowed { .. } => panic!("GET answers HEAD"),
    }
    if expected.is_some() {
        let answer = router.find(&Method::POST, path, &mut params);
        assert_eq!(
            answer,
            Match::MethodNotAllowed {
                allow: "GET, HEAD, OPTIONS"
            }
        );
        assert_eq!(params.count(), 0);
    }
});

fn check_decoded(params: &Params, path: &str, name: &str, value: &str) {
    match params.decoded(path, name) {
        Some(decoded) if !value.contains('%') => assert_eq!(decoded, value),
        Some(decoded) => assert!(decoded.len() < value.len()),
        None => assert!(value.contains('%')),
    }
}

/// Whether `pattern` alone fits `path`, and its parameters.
fn fits<'a>(pattern: &'a str, path: &'a str) -> Option<Vec<(&'a str, &'a str)>> {
    let (mut rest, mut values) = (path.strip_prefix('/')?, Vec::new());
    for (index, segment) in pattern[1..].split('/').enumerate() {
        if index > 0 {
            rest = rest.strip_prefix('/')?;
        }
        if let Some(name) = segment.strip_prefix("{*") {
            values.push((name.trim_end_matches('}'), rest));
            return (!rest.is_empty()).then_some(values);
        }
        let (here, after) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        rest = after;
        match segment.strip_prefix('{') {
            None if here == segment => {}
            Some(name) if !here.is_empty() => values.push((name.trim_end_matches('}'), here)),
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
