//! What an answer says of the cache: `X-Cache`, and `Cache-Status` read as RFC
//! 9211 and RFC 8941 have it, not searched for words.

use crate::harness::Response;

/// How an answer was come by, as its headers say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum How {
    L1,
    Home,
    Stale,
    StaleOnError,
    Stored,
    Collapsed,
    Bypass,
}

impl How {
    /// Fails unless both headers are there, well-formed and of one mind.
    #[track_caller]
    pub(super) fn of(response: &Response) -> Self {
        let item = parse(response.must_have("cache-status"));
        assert_eq!(item.cache, "corelane", "{response:?}");
        let (is_hit, how) = match item.parameters.as_slice() {
            [("hit", None), ("detail", Some("l1"))] => (true, Self::L1),
            [("hit", None), ("detail", Some("home"))] => (true, Self::Home),
            [("hit", None), ("detail", Some("stale"))] => (true, Self::Stale),
            [("hit", None), ("detail", Some("stale-on-error"))] => (true, Self::StaleOnError),
            [("fwd", Some("uri-miss")), ("stored", None)] => (false, Self::Stored),
            [("fwd", Some("uri-miss")), ("collapsed", None)] => (false, Self::Collapsed),
            [("fwd", Some("bypass"))] => (false, Self::Bypass),
            other => panic!("unknown parameters {other:?} in {response:?}"),
        };
        let x_cache = if is_hit { "HIT" } else { "MISS" };
        assert_eq!(response.must_have("x-cache"), x_cache, "{response:?}");
        how
    }

    pub(super) fn is_hit(self) -> bool {
        matches!(
            self,
            Self::L1 | Self::Home | Self::Stale | Self::StaleOnError
        )
    }
}

struct Item<'a> {
    cache: &'a str,
    /// In order; without a value they are true.
    parameters: Vec<(&'a str, Option<&'a str>)>,
}

/// A list of one item (we are the only cache), whose bare item and values are
/// tokens.
fn parse(value: &str) -> Item<'_> {
    let mut parts = value.split(';');
    let cache = token(parts.next().expect("split gives one at least"), value);
    let parameters = parts.map(|part| {
        let part = part.trim_start_matches(' ');
        let (key, parameter) = match part.split_once('=') {
            Some((key, parameter)) => (key, Some(token(parameter, value))),
            None => (part, None),
        };
        let is_key = !key.is_empty()
            && key.starts_with(|c: char| c.is_ascii_lowercase() || c == '*')
            && key
                .chars()
                .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || "_-.*".contains(c));
        assert!(is_key, "the key {key:?} in {value:?}");
        (key, parameter)
    });
    let parameters = parameters.collect();
    Item { cache, parameters }
}

fn token<'a>(text: &'a str, value: &str) -> &'a str {
    let is_token = text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '*')
        && text
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~:/".contains(c));
    assert!(is_token, "the token {text:?} in {value:?}");
    text
}
