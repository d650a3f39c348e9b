//! From a request and a representation to what is to be sent: the conditional
//! and range logic of RFC 9110 put together. Pure.

use crate::limits::RANGES_MAX;
use crate::semantics::{
    ByteRange, Conditions, RangeOutcome, Validators, Verdict, evaluate, if_range_holds,
    parse_ranges,
};

/// What a request says about the representation it wants.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Asked<'a> {
    pub(super) is_head: bool,
    pub(super) conditions: Conditions<'a>,
    pub(super) range: Option<&'a [u8]>,
    pub(super) if_range: Option<&'a [u8]>,
}

/// What is to be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Plan {
    /// 304.
    NotModified,
    /// 412.
    PreconditionFailed,
    /// 416.
    NotSatisfiable,
    /// 200.
    Whole,
    /// 206 with `Content-Range`.
    Part(ByteRange),
    /// 206 as `multipart/byteranges`; two or more.
    Parts(Vec<ByteRange>),
}

/// Decides, in the order of RFC 9110 section 13.2.2.
///
/// HEAD has no ranges (section 14.2). Several ranges of an encoded
/// representation are answered with the whole: a multipart body has no way to
/// say that its parts are encoded and it is not.
pub(super) fn plan(
    asked: &Asked<'_>,
    validators: Validators<'_>,
    length: u64,
    is_encoded: bool,
) -> Plan {
    match evaluate(true, &asked.conditions, Some(validators)) {
        Verdict::NotModified => return Plan::NotModified,
        Verdict::PreconditionFailed => return Plan::PreconditionFailed,
        Verdict::Proceed => {}
    }
    let Some(range) = asked.range.filter(|_| !asked.is_head) else {
        return Plan::Whole;
    };
    if asked
        .if_range
        .is_some_and(|value| !if_range_holds(value, validators))
    {
        return Plan::Whole;
    }
    match parse_ranges(range, length, RANGES_MAX) {
        RangeOutcome::Whole => Plan::Whole,
        RangeOutcome::NotSatisfiable => Plan::NotSatisfiable,
        RangeOutcome::Ranges(ranges) => match ranges[..] {
            [range] => Plan::Part(range),
            _ if is_encoded => Plan::Whole,
            _ => Plan::Parts(ranges),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::semantics::{ETag, LastModified};

    const DATE: &[u8] = b"Sat, 29 Oct 1994 19:43:31 GMT";
    const DATE_S: i64 = 783_459_811;

    fn decide(asked: Asked<'_>, is_encoded: bool) -> Plan {
        let etag = ETag::strong("a").unwrap();
        let validators = Validators {
            etag: Some(&etag),
            last_modified: Some(LastModified::of(DATE_S * 1_000, DATE_S * 1_000 + 10_000)),
        };
        plan(&asked, validators, 100, is_encoded)
    }

    fn range(start: u64, end_inclusive: u64) -> ByteRange {
        ByteRange {
            start,
            end_inclusive,
        }
    }

    #[test]
    fn a_plain_request_gets_the_whole() {
        assert_eq!(decide(Asked::default(), false), Plan::Whole);
    }

    #[test]
    fn ranges_count_for_get_and_not_for_head() {
        let asked = Asked {
            range: Some(b"bytes=0-9"),
            ..Default::default()
        };
        assert_eq!(decide(asked, false), Plan::Part(range(0, 9)));
        assert_eq!(
            decide(
                Asked {
                    is_head: true,
                    ..asked
                },
                false
            ),
            Plan::Whole
        );
        let beyond = Asked {
            range: Some(b"bytes=100-"),
            ..Default::default()
        };
        assert_eq!(decide(beyond, false), Plan::NotSatisfiable);
        assert_eq!(
            decide(
                Asked {
                    is_head: true,
                    ..beyond
                },
                false
            ),
            Plan::Whole
        );
    }

    #[test]
    fn several_ranges_need_an_unencoded_representation() {
        let asked = Asked {
            range: Some(b"bytes=0-9,20-29"),
            ..Default::default()
        };
        assert_eq!(
            decide(asked, false),
            Plan::Parts(vec![range(0, 9), range(20, 29)])
        );
        assert_eq!(decide(asked, true), Plan::Whole);
        let merged = Asked {
            range: Some(b"bytes=0-9,10-29"),
            ..Default::default()
        };
        assert_eq!(decide(merged, true), Plan::Part(range(0, 29)));
    }

    #[test]
    fn if_range_decides_between_part_and_whole() {
        let asked = Asked {
            range: Some(b"bytes=0-9"),
            ..Default::default()
        };
        for (value, holds) in [
            (&b"\"a\""[..], true),
            (b"\"b\"", false),
            (b"W/\"a\"", false),
            (DATE, true),
            (b"x", false),
        ] {
            let expected = if holds {
                Plan::Part(range(0, 9))
            } else {
                Plan::Whole
            };
            assert_eq!(
                decide(
                    Asked {
                        if_range: Some(value),
                        ..asked
                    },
                    false
                ),
                expected
            );
        }
        // A failed If-Range hides even an unsatisfiable range.
        let beyond = Asked {
            range: Some(b"bytes=100-"),
            if_range: Some(b"\"b\""),
            ..Default::default()
        };
        assert_eq!(decide(beyond, false), Plan::Whole);
        // Without a range it means nothing.
        let alone = Asked {
            if_range: Some(b"\"b\""),
            ..Default::default()
        };
        assert_eq!(decide(alone, false), Plan::Whole);
    }

    #[test]
    fn conditions_come_before_ranges() {
        let mut asked = Asked {
            range: Some(b"bytes=100-"),
            ..Default::default()
        };
        asked.conditions.if_none_match = Some(b"\"a\"");
        assert_eq!(decide(asked, false), Plan::NotModified);
        asked.conditions.if_match = Some(b"\"b\"");
        assert_eq!(decide(asked, false), Plan::PreconditionFailed);
    }
}
