//! Which answers may be kept for others, and which requests may be answered
//! with them (RFC 9111 sections 3, 4 and 5.2).

use std::time::Duration;

use http::{HeaderName, HeaderValue, StatusCode, header};

use crate::http::has_member;
use crate::limits::ANSWER_VARY_NAMES_MAX;

/// What a request says about answers that are kept.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RequestRules {
    /// Neither looked up nor kept: `no-store`, or only a range is wanted, or it
    /// has a body, which is part of no key (RFC 9110 section 9.3.1).
    pub is_bypass: bool,
    /// Not looked up, but kept anew: `no-cache`, `max-age=0`.
    pub revalidates: bool,
    /// What is older is not wanted, seconds.
    pub max_age_s: Option<u64>,
    /// It says who asks, by `Authorization` or `Cookie`.
    pub is_personal: bool,
}

impl RequestRules {
    /// Of a request with these header lines.
    pub fn of<'a>(headers: impl Iterator<Item = (&'a str, &'a [u8])>) -> Self {
        let mut rules = Self::default();
        let (mut has_control, mut has_pragma) = (false, false);
        for (name, value) in headers {
            if name.eq_ignore_ascii_case("cache-control") {
                has_control = true;
                rules.control(value);
            } else if name.eq_ignore_ascii_case("pragma") {
                has_pragma = has_member(value, b"no-cache");
            } else if name.eq_ignore_ascii_case("range")
                || name.eq_ignore_ascii_case("transfer-encoding")
                || name.eq_ignore_ascii_case("content-length") && value != b"0"
            {
                rules.is_bypass = true;
            } else if name.eq_ignore_ascii_case("authorization")
                || name.eq_ignore_ascii_case("cookie")
            {
                rules.is_personal = true;
            }
        }
        // RFC 9111 section 5.4: for clients that know nothing newer.
        rules.revalidates |= has_pragma && !has_control;
        rules
    }

    fn control(&mut self, value: &[u8]) {
        for (name, argument) in directives(value) {
            match name.to_ascii_lowercase().as_slice() {
                b"no-store" => self.is_bypass = true,
                b"no-cache" => self.revalidates = true,
                b"max-age" => {
                    let seconds = argument.and_then(seconds).unwrap_or(0);
                    self.revalidates |= seconds == 0;
                    self.max_age_s = Some(seconds);
                }
                _ => {}
            }
        }
    }
}

/// What an answer says about being kept.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct AnswerRules {
    /// It must not be kept for others.
    pub is_forbidden: bool,
    /// It is for everybody, whoever asked.
    pub is_public: bool,
    /// How long it may be kept, seconds, if it says so.
    pub lifetime_s: Option<u64>,
}

impl AnswerRules {
    /// Of an answer with these header fields.
    pub fn of<'a>(headers: impl Iterator<Item = (&'a HeaderName, &'a HeaderValue)>) -> Self {
        let mut rules = Self::default();
        let mut shared_s = None;
        for (name, value) in headers {
            if *name == header::SET_COOKIE {
                rules.is_forbidden = true;
            } else if *name == header::VARY {
                rules.is_forbidden |= has_member(value.as_bytes(), b"*");
            } else if *name == header::CACHE_CONTROL {
                for (name, argument) in directives(value.as_bytes()) {
                    match name.to_ascii_lowercase().as_slice() {
                        // `no-cache` wants to be asked about each time.
                        b"no-store" | b"private" | b"no-cache" => rules.is_forbidden = true,
                        b"public" => rules.is_public = true,
                        b"s-maxage" => shared_s = Some(argument.and_then(seconds).unwrap_or(0)),
                        b"max-age" => {
                            rules.lifetime_s = Some(argument.and_then(seconds).unwrap_or(0));
                        }
                        _ => {}
                    }
                }
            }
        }
        rules.lifetime_s = shared_s.or(rules.lifetime_s);
        rules
    }
}

/// How long an answer of this status is kept, milliseconds: the route's time,
/// or less if the answer says less. `None`: not at all. What is not a 200 must
/// say itself how long.
pub fn lifetime_ms(status: StatusCode, rules: &AnswerRules, route_ms: u64) -> Option<u64> {
    let says_ms = rules.lifetime_s.map(|s| s.saturating_mul(1_000));
    let most_ms = match (status, says_ms) {
        (StatusCode::OK, None) => route_ms,
        (
            StatusCode::OK
            | StatusCode::MOVED_PERMANENTLY
            | StatusCode::NOT_FOUND
            | StatusCode::GONE,
            Some(says_ms),
        ) => route_ms.min(says_ms),
        _ => 0,
    };
    let is_kept = most_ms > 0 && !rules.is_forbidden;
    is_kept.then_some(most_ms)
}

/// The names in `Vary`, in small letters, in order, each once.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct VaryNames(Vec<String>);

impl VaryNames {
    /// Of these header fields; `None` when there are too many, or one is no
    /// name.
    pub fn of<'a>(
        headers: impl Iterator<Item = (&'a HeaderName, &'a HeaderValue)>,
    ) -> Option<Self> {
        let mut names = Vec::new();
        for (_, value) in headers.filter(|(name, _)| **name == header::VARY) {
            for member in value.as_bytes().split(|byte| *byte == b',') {
                let member = member.trim_ascii();
                if !member.is_empty() {
                    // Lowers letters, and refuses what is no name.
                    names.push(HeaderName::from_bytes(member).ok()?.as_str().to_owned());
                }
            }
        }
        Self::of_names(names)
    }

    pub(super) fn of_names(mut names: Vec<String>) -> Option<Self> {
        names.sort();
        names.dedup();
        (names.len() <= ANSWER_VARY_NAMES_MAX).then_some(Self(names))
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The names.
    pub fn names(&self) -> impl ExactSizeIterator<Item = &str> {
        self.0.iter().map(String::as_str)
    }
}

/// The directives of a `Cache-Control` value. A comma in quotes ends one too,
/// which can only find more of them than there are.
fn directives(value: &[u8]) -> impl Iterator<Item = (&[u8], Option<&[u8]>)> {
    let members = value.split(|byte| *byte == b',').map(<[u8]>::trim_ascii);
    members.map(
        |member| match member.iter().position(|byte| *byte == b'=') {
            Some(at) => (
                member[..at].trim_ascii(),
                Some(member[at + 1..].trim_ascii()),
            ),
            None => (member, None),
        },
    )
}

/// Delta-seconds (RFC 9111 section 1.2.2), in quotes or not.
fn seconds(argument: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(argument).ok()?.trim_matches('"');
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    Some(text.parse().unwrap_or(Duration::MAX.as_secs()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(lines: &[(&'static str, &'static str)]) -> RequestRules {
        RequestRules::of(lines.iter().map(|(name, value)| (*name, value.as_bytes())))
    }

    fn answer(lines: &[(&'static str, &'static str)]) -> AnswerRules {
        let lines: Vec<_> = lines
            .iter()
            .map(|(name, value)| {
                (
                    HeaderName::from_static(name),
                    HeaderValue::from_static(value),
                )
            })
            .collect();
        AnswerRules::of(lines.iter().map(|(name, value)| (name, value)))
    }

    fn kept(status: StatusCode, lines: &[(&'static str, &'static str)]) -> Option<u64> {
        lifetime_ms(status, &answer(lines), 60_000)
    }

    #[test]
    fn a_request_says_what_it_wants() {
        assert_eq!(request(&[]), RequestRules::default());
        assert!(request(&[("Range", "bytes=0-1")]).is_bypass);
        assert!(request(&[("Content-Length", "3")]).is_bypass);
        assert!(request(&[("transfer-encoding", "chunked")]).is_bypass);
        assert!(!request(&[("Content-Length", "0")]).is_bypass);
        assert!(request(&[("Cache-Control", "x, No-Store")]).is_bypass);
        for value in [
            "no-cache",
            "max-age=0",
            "max-age=\"0\"",
            "max-age",
            "max-age=x",
        ] {
            assert!(request(&[("cache-control", value)]).revalidates, "{value}");
        }
        let aged = request(&[("Cache-Control", "max-age = 5")]);
        assert_eq!((aged.revalidates, aged.max_age_s), (false, Some(5)));
        assert!(request(&[("Pragma", "no-cache")]).revalidates);
        assert!(!request(&[("Pragma", "no-cache"), ("Cache-Control", "x")]).revalidates);
        assert!(request(&[("cookie", "a=b")]).is_personal);
        assert!(request(&[("Authorization", "Basic x")]).is_personal);
    }

    #[test]
    fn an_answer_says_whether_and_how_long_it_may_be_kept() {
        assert_eq!(kept(StatusCode::OK, &[]), Some(60_000));
        assert_eq!(
            kept(StatusCode::OK, &[("cache-control", "max-age=5")]),
            Some(5_000)
        );
        let both = [("cache-control", "max-age=5, s-maxage=7")];
        assert_eq!(kept(StatusCode::OK, &both), Some(7_000));
        for (name, value) in [
            ("cache-control", "private"),
            ("cache-control", "private=\"x\""),
            ("cache-control", "max-age=9, NO-STORE"),
            ("cache-control", "no-cache"),
            ("cache-control", "max-age=0"),
            ("set-cookie", "a=b"),
            ("vary", "accept, *"),
        ] {
            assert_eq!(kept(StatusCode::OK, &[(name, value)]), None, "{value}");
        }
        let aged = [("cache-control", "max-age=99")];
        for status in [
            StatusCode::NOT_FOUND,
            StatusCode::GONE,
            StatusCode::MOVED_PERMANENTLY,
        ] {
            assert_eq!(kept(status, &[]), None);
            assert_eq!(kept(status, &aged), Some(60_000));
        }
        for status in [
            StatusCode::NO_CONTENT,
            StatusCode::FOUND,
            StatusCode::NOT_MODIFIED,
        ] {
            assert_eq!(kept(status, &aged), None);
        }
        assert!(answer(&[("cache-control", "max-age=9, public")]).is_public);
    }

    #[test]
    fn names_of_vary_are_in_order_and_each_once() {
        let names = |value: &'static str| {
            let (name, value) = (header::VARY, HeaderValue::from_static(value));
            let names = VaryNames::of([(&name, &value)].into_iter())?;
            Some(names.names().collect::<Vec<_>>().join(","))
        };
        assert_eq!(names("B, a,,A").as_deref(), Some("a,b"));
        assert_eq!(names("").as_deref(), Some(""));
        assert_eq!(names("a b"), None);
    }
}
