//! Conditions of a write, turned into what the writing transaction checks.
//!
//! `If-Match` with our tags is checked by the store itself. Anything else is
//! judged against the row as it was read, a date too, for what it stands for
//! takes more than itself; the write then happens only to exactly that version
//! (`write.rs`), so that no condition is ever judged outside the transaction
//! that relies on it.

use super::representation::version_in_tag;
use crate::store::WriteCondition;
use corelane::internals::semantics::{Conditions, TagList, parse_http_date};

/// How the conditions of a write are checked.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum WritePlan {
    /// By the store, as this.
    Direct(WriteCondition),
    /// Against the current row, read first.
    AgainstCurrent,
}

/// The plan for a write of user `id` (RFC 9110 section 13.2.2: with `If-Match`
/// there, `If-Unmodified-Since` is ignored, and so is a date that is none).
/// A missing user is a 404 whatever the conditions, section 13.2.1; therefore
/// `If-Match: *`, which asks for any, asks for nothing more.
pub(super) fn plan_write(id: i64, conditions: &Conditions<'_>) -> WritePlan {
    if conditions.if_none_match.is_some() {
        return WritePlan::AgainstCurrent;
    }
    let Some(value) = conditions.if_match else {
        let since = conditions.if_unmodified_since.and_then(parse_http_date);
        return match since {
            Some(_) => WritePlan::AgainstCurrent,
            None => WritePlan::Direct(WriteCondition::Always),
        };
    };
    let list = TagList::new(value);
    if list.is_any() {
        return WritePlan::Direct(WriteCondition::Always);
    }
    let tags = list.iter().flatten();
    let versions = tags.filter_map(|tag| version_in_tag(id, tag)).collect();
    WritePlan::Direct(WriteCondition::VersionIn(versions))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::representation::tests::ada;
    use super::super::representation::{user_etag, user_validators};
    use super::*;
    use corelane::internals::semantics::{Verdict, evaluate};

    const DATE: &[u8] = b"Sat, 29 Oct 1994 19:43:31 GMT";

    fn if_match(value: &[u8]) -> Conditions<'_> {
        Conditions {
            if_match: Some(value),
            ..Default::default()
        }
    }

    fn versions(value: &[u8]) -> Vec<i64> {
        match plan_write(42, &if_match(value)) {
            WritePlan::Direct(WriteCondition::VersionIn(versions)) => versions,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn only_strong_tags_of_this_user_count() {
        assert_eq!(versions(b"\"u42-v3\""), [3]);
        assert_eq!(
            versions(b"\"u42-v3\", \"u41-v9\" , W/\"u42-v4\",\"u42-v5\""),
            [3, 5]
        );
        for nothing in [&b""[..], b"W/\"u42-v3\"", b"u42-v3", b"\"x\"", b"\"*\""] {
            assert!(versions(nothing).is_empty());
        }
    }

    #[test]
    fn any_asks_for_nothing_and_a_date_for_a_look() {
        let always = WritePlan::Direct(WriteCondition::Always);
        assert_eq!(plan_write(42, &Conditions::default()), always);
        assert_eq!(plan_write(42, &if_match(b"*")), always);
        let mut since = Conditions {
            if_unmodified_since: Some(DATE),
            ..Default::default()
        };
        assert_eq!(plan_write(42, &since), WritePlan::AgainstCurrent);
        since.if_match = Some(b"*");
        assert_eq!(plan_write(42, &since), always, "If-Match wins");
        since.if_match = None;
        since.if_unmodified_since = Some(b"yesterday");
        assert_eq!(plan_write(42, &since), always, "no date, no condition");
    }

    #[test]
    fn if_none_match_is_judged_against_the_row() {
        for value in [&b"*"[..], b"\"u42-v3\"", b"broken"] {
            let mut conditions = if_match(b"\"u42-v3\"");
            conditions.if_none_match = Some(value);
            assert_eq!(plan_write(42, &conditions), WritePlan::AgainstCurrent);
        }
    }

    proptest! {
        /// What the store is told and what RFC 9110 says are the same.
        #[test]
        fn the_plan_agrees_with_the_evaluation(
            value in prop::option::of("(W/)?\"u4[12]-v[234]\"(, ?\"u42-v[1-5]\")?|\\*|[u\", *]{0,6}"),
            since_s in prop::option::of(1_709_210_094..1_709_210_099_i64),
            after_ms in 0..4_000_i64,
        ) {
            let user = ada();
            let etag = user_etag(&user);
            let now_ms = user.updated_at_ms + after_ms;
            let date = since_s.and_then(corelane::internals::semantics::format_http_date);
            let conditions = Conditions {
                if_match: value.as_deref().map(str::as_bytes),
                if_unmodified_since: date.as_ref().map(|d| d.as_bytes()),
                ..Default::default()
            };
            let WritePlan::Direct(condition) = plan_write(user.id, &conditions) else {
                prop_assert!(value.is_none() && date.is_some(), "a direct plan");
                return Ok(());
            };
            let holds = match condition {
                WriteCondition::Always => true,
                WriteCondition::VersionIn(versions) => versions.contains(&user.version),
                WriteCondition::NotModifiedSince(_) => return Err(TestCaseError::fail("by date")),
            };
            let verdict = evaluate(false, &conditions, Some(user_validators(&user, &etag, now_ms)));
            prop_assert_eq!(holds, verdict == Verdict::Proceed);
        }
    }
}
