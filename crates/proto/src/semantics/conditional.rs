//! Conditional requests (RFC 9110 section 13): may the request go on, is the
//! client's copy still good, or has its precondition failed.
//!
//! Called by a handler once it knows the current representation, and only when
//! the answer would otherwise be a 2xx (section 13.2.1). `If-Range` is in
//! `range`, being a condition on `Range` alone.

use std::borrow::Cow;

use super::date::parse_http_date;
use super::etag::{ETag, TagList};
use super::last_modified::LastModified;

/// The condition fields of a request. A field sent in several lines must be
/// joined first: [`join_lines`].
#[derive(Debug, Clone, Copy, Default)]
#[allow(missing_docs)]
pub struct Conditions<'a> {
    pub if_match: Option<&'a [u8]>,
    pub if_none_match: Option<&'a [u8]>,
    pub if_modified_since: Option<&'a [u8]>,
    pub if_unmodified_since: Option<&'a [u8]>,
}

impl Conditions<'_> {
    /// Whether the request is unconditional, the common case.
    pub fn is_empty(&self) -> bool {
        self.if_match.is_none()
            && self.if_none_match.is_none()
            && self.if_modified_since.is_none()
            && self.if_unmodified_since.is_none()
    }
}

/// Validators of the current representation, as far as there are any.
#[derive(Debug, Clone, Copy, Default)]
pub struct Validators<'a> {
    /// Its entity tag.
    pub etag: Option<&'a ETag>,
    /// When it was last modified: the very value sent as `Last-Modified`.
    pub last_modified: Option<LastModified>,
}

/// What becomes of a conditional request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Answer as if there were no conditions.
    Proceed,
    /// 304 without content.
    NotModified,
    /// 412; nothing may have been changed.
    PreconditionFailed,
}

/// Evaluates the conditions in the order of RFC 9110 section 13.2.2.
///
/// `current` is `None` when the target has no current representation: `*`
/// then matches nothing, and dates are ignored. Dates that are not one valid
/// HTTP date are ignored, as are dates about a representation without one.
/// What a date may stand for is [`LastModified`]'s: `If-Modified-Since` of one
/// that does not stand is ignored, `If-Unmodified-Since` fails.
///
/// Malformed tag lists, which the RFC leaves open: the members before the
/// fault count. An `If-Match` that then does not match fails, as it would when
/// well formed. An `If-None-Match` that then does not match lets a GET or HEAD
/// go on (the worst outcome is a full response) but fails any other method,
/// because the client asked for a protection that could not be read.
///
/// Do not call it for CONNECT, OPTIONS or TRACE, which have no conditions.
pub fn evaluate(
    method_is_get_or_head: bool,
    conditions: &Conditions<'_>,
    current: Option<Validators<'_>>,
) -> Verdict {
    if conditions.is_empty() {
        return Verdict::Proceed;
    }
    if !lost_update_check_passes(conditions, current) {
        return Verdict::PreconditionFailed;
    }
    if let Some(value) = conditions.if_none_match {
        return match (none_match(value, current), method_is_get_or_head) {
            (NoneMatch::True, _) | (NoneMatch::Unreadable, true) => Verdict::Proceed,
            (NoneMatch::False, true) => Verdict::NotModified,
            (NoneMatch::False | NoneMatch::Unreadable, false) => Verdict::PreconditionFailed,
        };
    }
    let dates = conditions
        .if_modified_since
        .filter(|_| method_is_get_or_head)
        .and_then(|value| Some((parse_http_date(value)?, current?.last_modified?)));
    match dates {
        Some((since, modified)) if modified.is_fresh(since) => Verdict::NotModified,
        _ => Verdict::Proceed,
    }
}

/// Steps 1 and 2: `If-Match`, and only without it `If-Unmodified-Since`.
fn lost_update_check_passes(conditions: &Conditions<'_>, current: Option<Validators<'_>>) -> bool {
    if let Some(value) = conditions.if_match {
        let list = TagList::new(value);
        let Some(current) = current else { return false };
        return list.is_any()
            || current.etag.is_some_and(|etag| {
                list.iter()
                    .flatten()
                    .any(|tag| tag.strong_eq(etag.as_tag_ref()))
            });
    }
    let since = conditions.if_unmodified_since.and_then(parse_http_date);
    match (since, current.and_then(|c| c.last_modified)) {
        (Some(since), Some(modified)) => modified.is_unmodified(since),
        _ => true,
    }
}

enum NoneMatch {
    True,
    False,
    Unreadable,
}

fn none_match(value: &[u8], current: Option<Validators<'_>>) -> NoneMatch {
    let list = TagList::new(value);
    if list.is_any() {
        return if current.is_some() {
            NoneMatch::False
        } else {
            NoneMatch::True
        };
    }
    let etag = current.and_then(|c| c.etag);
    for member in list.iter() {
        match (member, etag) {
            (Err(_), _) => return NoneMatch::Unreadable,
            (Ok(tag), Some(etag)) if tag.weak_eq(etag.as_tag_ref()) => return NoneMatch::False,
            (Ok(_), _) => {}
        }
    }
    NoneMatch::True
}

/// The value of a list-based field from its lines: one line as it is, several
/// joined with `, ` (RFC 9110 section 5.3).
pub fn join_lines<'a>(lines: impl IntoIterator<Item = &'a [u8]>) -> Option<Cow<'a, [u8]>> {
    let mut lines = lines.into_iter();
    let mut value = Cow::Borrowed(lines.next()?);
    for line in lines {
        let joined = value.to_mut();
        joined.extend_from_slice(b", ");
        joined.extend_from_slice(line);
    }
    Some(value)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const DATE: &[u8] = b"Sat, 29 Oct 1994 19:43:31 GMT";
    const DATE_S: i64 = 783_459_811;

    fn tag() -> ETag {
        ETag::strong("xyzzy").unwrap()
    }

    /// Of a second that is long over.
    fn settled(modified_s: i64) -> LastModified {
        let modified_ms = modified_s.saturating_mul(1_000);
        LastModified::of(modified_ms, modified_ms.saturating_add(10_000))
    }

    fn judge(get: bool, conditions: Conditions<'_>, modified_s: i64) -> Verdict {
        let tag = tag();
        let current = Validators {
            etag: Some(&tag),
            last_modified: Some(settled(modified_s)),
        };
        evaluate(get, &conditions, Some(current))
    }

    fn judge_missing(get: bool, conditions: Conditions<'_>) -> Verdict {
        evaluate(get, &conditions, None)
    }

    #[test]
    fn if_match_compares_strongly() {
        use Verdict::{PreconditionFailed, Proceed};
        for (value, verdict) in [
            (&b"\"xyzzy\""[..], Proceed),
            (b"\"r2d2xxxx\", \"xyzzy\", \"c3piozzzz\"", Proceed),
            (b"*", Proceed),
            (b"W/\"xyzzy\"", PreconditionFailed),
            (b"\"other\"", PreconditionFailed),
            (b"", PreconditionFailed),
            (b"xyzzy", PreconditionFailed),
            (b"\"xyzzy\", broken", Proceed),
            (b"broken, \"xyzzy\"", PreconditionFailed),
        ] {
            let conditions = Conditions {
                if_match: Some(value),
                ..Default::default()
            };
            for get in [true, false] {
                assert_eq!(
                    judge(get, conditions, 0),
                    verdict,
                    "{}",
                    value.escape_ascii()
                );
            }
            assert_eq!(judge_missing(false, conditions), PreconditionFailed);
        }
    }

    #[test]
    fn a_weak_current_tag_never_satisfies_if_match_by_name() {
        let weak = ETag::weak("xyzzy").unwrap();
        let current = Some(Validators {
            etag: Some(&weak),
            last_modified: None,
        });
        let with = |value| Conditions {
            if_match: Some(value),
            ..Default::default()
        };
        assert_eq!(
            evaluate(false, &with(b"W/\"xyzzy\""), current),
            Verdict::PreconditionFailed
        );
        assert_eq!(
            evaluate(false, &with(b"\"xyzzy\""), current),
            Verdict::PreconditionFailed
        );
        assert_eq!(evaluate(false, &with(b"*"), current), Verdict::Proceed);
    }

    #[test]
    fn if_none_match_compares_weakly() {
        use Verdict::{NotModified, PreconditionFailed, Proceed};
        for (value, on_get, on_put) in [
            (&b"\"xyzzy\""[..], NotModified, PreconditionFailed),
            (b"W/\"xyzzy\"", NotModified, PreconditionFailed),
            (b"\"a\", W/\"xyzzy\"", NotModified, PreconditionFailed),
            (b"*", NotModified, PreconditionFailed),
            (b"\"a\", \"b\"", Proceed, Proceed),
            (b"", Proceed, Proceed),
            (b"broken", Proceed, PreconditionFailed),
            (b"broken, \"xyzzy\"", Proceed, PreconditionFailed),
            (b"\"xyzzy\", broken", NotModified, PreconditionFailed),
        ] {
            let conditions = Conditions {
                if_none_match: Some(value),
                ..Default::default()
            };
            assert_eq!(
                judge(true, conditions, 0),
                on_get,
                "{}",
                value.escape_ascii()
            );
            assert_eq!(
                judge(false, conditions, 0),
                on_put,
                "{}",
                value.escape_ascii()
            );
        }
    }

    #[test]
    fn if_none_match_star_creates_only_what_is_missing() {
        let conditions = Conditions {
            if_none_match: Some(b"*"),
            ..Default::default()
        };
        assert_eq!(judge_missing(false, conditions), Verdict::Proceed);
        assert_eq!(judge(false, conditions, 0), Verdict::PreconditionFailed);
    }

    #[test]
    fn if_modified_since_counts_for_get_and_head_only() {
        let conditions = Conditions {
            if_modified_since: Some(DATE),
            ..Default::default()
        };
        assert_eq!(judge(true, conditions, DATE_S), Verdict::NotModified);
        assert_eq!(judge(true, conditions, DATE_S - 1), Verdict::NotModified);
        assert_eq!(judge(true, conditions, DATE_S + 1), Verdict::Proceed);
        assert_eq!(judge(false, conditions, DATE_S), Verdict::Proceed);
    }

    #[test]
    fn if_unmodified_since_counts_for_every_method() {
        let conditions = Conditions {
            if_unmodified_since: Some(DATE),
            ..Default::default()
        };
        for get in [true, false] {
            assert_eq!(judge(get, conditions, DATE_S), Verdict::Proceed);
            assert_eq!(
                judge(get, conditions, DATE_S + 1),
                Verdict::PreconditionFailed
            );
            assert_eq!(judge_missing(get, conditions), Verdict::Proceed);
        }
    }

    #[test]
    fn obsolete_date_forms_count() {
        for date in [
            &b"Saturday, 29-Oct-94 19:43:31 GMT"[..],
            b"Sat Oct 29 19:43:31 1994",
        ] {
            let conditions = Conditions {
                if_modified_since: Some(date),
                ..Default::default()
            };
            assert_eq!(judge(true, conditions, DATE_S), Verdict::NotModified);
        }
    }

    #[test]
    fn dates_that_cannot_be_read_are_ignored() {
        for date in [
            &b"yesterday"[..],
            b"",
            b"783459811",
            &[DATE, b", ", DATE].concat(),
        ] {
            let conditions = Conditions {
                if_modified_since: Some(date),
                if_unmodified_since: Some(date),
                ..Default::default()
            };
            assert_eq!(judge(true, conditions, 1 << 40), Verdict::Proceed);
            assert_eq!(judge(true, conditions, 0), Verdict::Proceed);
        }
    }

    #[test]
    fn tags_take_precedence_over_dates() {
        // A matching If-Match hides a failing If-Unmodified-Since.
        let conditions = Conditions {
            if_match: Some(b"\"xyzzy\""),
            if_unmodified_since: Some(DATE),
            ..Default::default()
        };
        assert_eq!(judge(false, conditions, DATE_S + 1), Verdict::Proceed);
        // A differing If-None-Match hides a matching If-Modified-Since, even
        // when the list is broken.
        for tags in [&b"\"other\""[..], b"broken"] {
            let conditions = Conditions {
                if_none_match: Some(tags),
                if_modified_since: Some(DATE),
                ..Default::default()
            };
            assert_eq!(judge(true, conditions, DATE_S), Verdict::Proceed);
        }
    }

    #[test]
    fn the_lost_update_check_comes_before_the_cache_check() {
        let conditions = Conditions {
            if_match: Some(b"\"other\""),
            if_none_match: Some(b"\"xyzzy\""),
            ..Default::default()
        };
        assert_eq!(judge(true, conditions, 0), Verdict::PreconditionFailed);
        let conditions = Conditions {
            if_unmodified_since: Some(DATE),
            if_none_match: Some(b"\"xyzzy\""),
            ..Default::default()
        };
        assert_eq!(
            judge(true, conditions, DATE_S + 1),
            Verdict::PreconditionFailed
        );
        assert_eq!(judge(true, conditions, DATE_S), Verdict::NotModified);
    }

    #[test]
    fn several_lines_are_one_list() {
        let joined = join_lines([&b"\"a\""[..], b"\"xyzzy\""]).unwrap();
        let conditions = Conditions {
            if_none_match: Some(&joined),
            ..Default::default()
        };
        assert_eq!(judge(true, conditions, 0), Verdict::NotModified);
        assert!(matches!(
            join_lines([&b"\"a\""[..]]),
            Some(Cow::Borrowed(b"\"a\""))
        ));
        assert_eq!(join_lines([]), None);
    }

    fn value() -> impl Strategy<Value = Option<Vec<u8>>> {
        proptest::option::of(prop_oneof![
            Just(b"*".to_vec()),
            Just(b"\"xyzzy\"".to_vec()),
            Just(b"W/\"xyzzy\"".to_vec()),
            Just(b"\"other\", \"xyzzy\"".to_vec()),
            Just(b"\"other\"".to_vec()),
            Just(DATE.to_vec()),
            proptest::collection::vec(any::<u8>(), 0..24),
        ])
    }

    proptest! {
        #[test]
        fn only_reads_are_ever_not_modified_and_nothing_panics(
            get: bool, exists: bool, modified in proptest::option::of(DATE_S - 1..=DATE_S + 1),
            values in (value(), value(), value(), value()),
        ) {
            let tag = tag();
            let last_modified = modified.map(settled);
            let current = exists.then_some(Validators { etag: Some(&tag), last_modified });
            let conditions = Conditions {
                if_match: values.0.as_deref(),
                if_none_match: values.1.as_deref(),
                if_modified_since: values.2.as_deref(),
                if_unmodified_since: values.3.as_deref(),
            };
            let verdict = evaluate(get, &conditions, current);
            if verdict == Verdict::NotModified {
                prop_assert!(get && exists);
            }
            if conditions.is_empty() {
                prop_assert_eq!(verdict, Verdict::Proceed);
            }
            // Step by step: without the fields the precedence hides, the same verdict.
            let mut reduced = conditions;
            if reduced.if_match.is_some() { reduced.if_unmodified_since = None; }
            if reduced.if_none_match.is_some() || !get { reduced.if_modified_since = None; }
            prop_assert_eq!(evaluate(get, &reduced, current), verdict);
        }
    }
}
