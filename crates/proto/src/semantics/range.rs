//! `Range` and `If-Range` (RFC 9110 sections 13.1.5 and 14).
//!
//! Ranges of a request are clamped to the representation, merged where they
//! overlap or touch, and bounded in number, so that what is sent is never
//! longer than the representation plus the part headers.

use super::conditional::Validators;
use http::HeaderValue;

use super::date::parse_http_date;
use super::etag::ETag;

/// Bytes `start` to `end_inclusive` of a representation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct ByteRange {
    pub start: u64,
    pub end_inclusive: u64,
}

impl ByteRange {
    /// Bytes in the range; at least 1.
    #[allow(clippy::len_without_is_empty)]
    pub fn len(self) -> u64 {
        self.end_inclusive - self.start + 1
    }

    /// `Content-Range` of this range of a representation of `length` bytes.
    pub fn content_range(self, length: u64) -> HeaderValue {
        let text = format!("bytes {}-{}/{length}", self.start, self.end_inclusive);
        HeaderValue::try_from(text).expect("digits are a header value")
    }

    /// Whether the two overlap or one begins where the other ends.
    fn touches(self, other: ByteRange) -> bool {
        self.start <= other.end_inclusive.saturating_add(1)
            && other.start <= self.end_inclusive.saturating_add(1)
    }

    fn merge(self, other: ByteRange) -> ByteRange {
        ByteRange {
            start: self.start.min(other.start),
            end_inclusive: self.end_inclusive.max(other.end_inclusive),
        }
    }
}

/// What a `Range` field asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RangeOutcome {
    /// Ignore the field: another unit, bad syntax, or more ranges than a
    /// server should have to send.
    Whole,
    /// 206 with these, none touching another, in the order asked for; a merged
    /// one stands where its first part was asked. One range is a plain 206,
    /// several are `multipart/byteranges`. Never empty.
    Ranges(Vec<ByteRange>),
    /// 416 with `Content-Range: bytes */length`.
    NotSatisfiable,
}

/// Reads a `Range` value for a representation of `length` bytes.
///
/// More than `ranges_max` ranges make the field ignored (section 14.2 allows
/// it against abuse). Numbers too large for `u64` are as good as infinite. No
/// `Content-Range` can say which part of nothing is sent: of an empty
/// representation the field is ignored, for clients that send it always.
pub fn parse_ranges(value: &[u8], length: u64, ranges_max: usize) -> RangeOutcome {
    let Some(set) = range_set(value) else {
        return RangeOutcome::Whole;
    };
    let mut ranges: Vec<ByteRange> = Vec::new();
    let mut count = 0;
    for spec in set
        .split(|b| *b == b',')
        .map(<[u8]>::trim_ascii)
        .filter(|s| !s.is_empty())
    {
        count += 1;
        if count > ranges_max {
            return RangeOutcome::Whole;
        }
        match parse_spec(spec, length) {
            Spec::Invalid | Spec::AllOfNothing => return RangeOutcome::Whole,
            Spec::Unsatisfiable => {}
            Spec::Range(range) => insert_merged(&mut ranges, range),
        }
    }
    match (count, ranges.is_empty()) {
        (0, _) => RangeOutcome::Whole,
        (_, true) => RangeOutcome::NotSatisfiable,
        (_, false) => RangeOutcome::Ranges(ranges),
    }
}

/// `Content-Range` of a 416: what the length is, for a better next try.
pub fn unsatisfied_content_range(length: u64) -> HeaderValue {
    HeaderValue::try_from(format!("bytes */{length}")).expect("digits are a header value")
}

/// What follows `bytes=`; the unit is case-insensitive.
fn range_set(value: &[u8]) -> Option<&[u8]> {
    let value = value.trim_ascii();
    let (unit, set) = value.split_at_checked(b"bytes=".len())?;
    unit.eq_ignore_ascii_case(b"bytes=").then_some(set)
}

enum Spec {
    Invalid,
    Unsatisfiable,
    AllOfNothing,
    Range(ByteRange),
}

/// `first-last`, `first-` or `-suffix`.
fn parse_spec(spec: &[u8], length: u64) -> Spec {
    let Some(dash) = spec.iter().position(|b| *b == b'-') else {
        return Spec::Invalid;
    };
    let (first, last) = (&spec[..dash], &spec[dash + 1..]);
    if first.is_empty() {
        return match parse_digits(last) {
            None => Spec::Invalid,
            Some(0) => Spec::Unsatisfiable,
            Some(_) if length == 0 => Spec::AllOfNothing,
            Some(suffix) => Spec::Range(ByteRange {
                start: length.saturating_sub(suffix),
                end_inclusive: length - 1,
            }),
        };
    }
    let Some(first) = parse_digits(first) else {
        return Spec::Invalid;
    };
    let last = match last {
        [] => u64::MAX,
        digits => match parse_digits(digits) {
            Some(last) if last >= first => last,
            _ => return Spec::Invalid,
        },
    };
    if first >= length {
        return match length {
            0 => Spec::AllOfNothing,
            _ => Spec::Unsatisfiable,
        };
    }
    Spec::Range(ByteRange {
        start: first,
        end_inclusive: last.min(length - 1),
    })
}

/// One or more digits; saturates.
fn parse_digits(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() {
        return None;
    }
    digits.iter().try_fold(0_u64, |number, digit| {
        let digit = digit.is_ascii_digit().then(|| u64::from(digit - b'0'))?;
        Some(number.saturating_mul(10).saturating_add(digit))
    })
}

/// Adds `range`, merged with every range it touches, at the place of the first
/// of them. Quadratic in a count that the caller bounds.
fn insert_merged(ranges: &mut Vec<ByteRange>, range: ByteRange) {
    let mut merged = range;
    let mut place = ranges.len();
    // Merging may make it touch ranges looked at before: begin again.
    while let Some(index) = ranges.iter().position(|other| other.touches(merged)) {
        merged = merged.merge(ranges.remove(index));
        place = place.min(index);
    }
    ranges.insert(place, merged);
}

/// Whether an `If-Range` value still names the current representation, so that
/// `Range` counts; if not, the whole is sent.
///
/// A tag is compared strongly; a weak one on either side fails. A date must be
/// the very `Last-Modified` that would be sent, and that one must stand for
/// this state alone (section 8.8.2.2).
pub fn if_range_holds(value: &[u8], current: Validators<'_>) -> bool {
    let value = value.trim_ascii();
    if let Ok(tag) = ETag::parse(value) {
        return current.etag.is_some_and(|etag| etag.strong_eq(&tag));
    }
    match (parse_http_date(value), current.last_modified) {
        (Some(date), Some(modified)) => modified.is_same(date),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::semantics::LastModified;

    fn outcome(value: &str, length: u64) -> RangeOutcome {
        parse_ranges(value.as_bytes(), length, 8)
    }

    fn ranges(pairs: &[(u64, u64)]) -> RangeOutcome {
        let range = |&(start, end_inclusive)| ByteRange {
            start,
            end_inclusive,
        };
        RangeOutcome::Ranges(pairs.iter().map(range).collect())
    }

    #[test]
    fn the_examples_of_the_rfc_for_ten_thousand_bytes() {
        // RFC 9110 section 14.1.2.
        for (value, expected) in [
            ("bytes=0-499", ranges(&[(0, 499)])),
            ("bytes=500-999", ranges(&[(500, 999)])),
            ("bytes=-500", ranges(&[(9500, 9999)])),
            ("bytes=9500-", ranges(&[(9500, 9999)])),
            ("bytes=0-0,-1", ranges(&[(0, 0), (9999, 9999)])),
            (
                "bytes= 0-999, 4500-5499, -1000",
                ranges(&[(0, 999), (4500, 5499), (9000, 9999)]),
            ),
            ("bytes=500-600,601-999", ranges(&[(500, 999)])),
            ("bytes=500-700,601-999", ranges(&[(500, 999)])),
        ] {
            assert_eq!(outcome(value, 10_000), expected, "{value}");
        }
    }

    #[test]
    fn ends_are_clamped_and_huge_numbers_are_infinite() {
        let huge = "99999999999999999999999999";
        assert_eq!(outcome("bytes=5-99", 10), ranges(&[(5, 9)]));
        assert_eq!(outcome("bytes=-99", 10), ranges(&[(0, 9)]));
        assert_eq!(outcome(&format!("bytes=5-{huge}"), 10), ranges(&[(5, 9)]));
        assert_eq!(outcome(&format!("bytes=-{huge}"), 10), ranges(&[(0, 9)]));
        assert_eq!(
            outcome(&format!("bytes={huge}-"), 10),
            RangeOutcome::NotSatisfiable
        );
        let last = u64::MAX - 1;
        assert_eq!(
            outcome(&format!("bytes={last}-,0-0"), u64::MAX),
            ranges(&[(last, last), (0, 0)])
        );
    }

    #[test]
    fn what_cannot_be_read_is_ignored() {
        for value in [
            "",
            "bytes",
            "bytes=",
            "bytes=,",
            "bytes=-",
            "bytes=a-b",
            "bytes=5-4",
            "bytes=1 -2",
            "bytes=0-1;",
            "bytes=+1-2",
            "bytes=--1",
            "bytes=0-1-2",
            "bytes =0-1",
            "lines=0-1",
            "bytes=0-1, x",
            "bytes=0-1, bytes=2-3",
            "0-1",
        ] {
            assert_eq!(outcome(value, 10), RangeOutcome::Whole, "{value:?}");
        }
        assert_eq!(outcome("BYTES=0-1", 10), ranges(&[(0, 1)]));
        assert_eq!(outcome("bytes=,0-1,,", 10), ranges(&[(0, 1)]));
    }

    #[test]
    fn nothing_in_reach_is_not_satisfiable() {
        for value in ["bytes=10-", "bytes=10-20,30-40", "bytes=-0"] {
            assert_eq!(outcome(value, 10), RangeOutcome::NotSatisfiable, "{value}");
        }
        assert_eq!(outcome("bytes=10-, 3-4, -0", 10), ranges(&[(3, 4)]));
    }

    #[test]
    fn content_ranges_as_they_are_sent() {
        let range = ByteRange {
            start: 42,
            end_inclusive: 1233,
        };
        assert_eq!(range.content_range(1234), "bytes 42-1233/1234");
        assert_eq!(range.len(), 1192);
        assert_eq!(unsatisfied_content_range(47), "bytes */47");
    }

    #[test]
    fn an_empty_representation() {
        for all_of_nothing in ["bytes=0-", "bytes=0-0", "bytes=5-9", "bytes=-5"] {
            assert_eq!(outcome(all_of_nothing, 0), RangeOutcome::Whole);
        }
        assert_eq!(outcome("bytes=-0", 0), RangeOutcome::NotSatisfiable);
    }

    #[test]
    fn too_many_ranges_are_ignored() {
        let spec = |count: u64| {
            let specs: Vec<_> = (0..count).map(|i| format!("{}-{}", i * 9, i * 9)).collect();
            format!("bytes={}", specs.join(","))
        };
        assert!(matches!(outcome(&spec(8), 1000), RangeOutcome::Ranges(r) if r.len() == 8));
        assert_eq!(outcome(&spec(9), 1000), RangeOutcome::Whole);
        assert_eq!(
            outcome(&format!("bytes={}", "0-,".repeat(5000)), 1000),
            RangeOutcome::Whole
        );
    }

    #[test]
    fn order_is_the_clients_and_a_merge_takes_the_first_place() {
        assert_eq!(
            outcome("bytes=50-59,0-9,20-29", 100),
            ranges(&[(50, 59), (0, 9), (20, 29)])
        );
        assert_eq!(
            outcome("bytes=0-9,50-59,5-14", 100),
            ranges(&[(0, 14), (50, 59)])
        );
        // The last one bridges the first two and absorbs both.
        assert_eq!(
            outcome("bytes=90-99,0-9,20-29,10-19", 100),
            ranges(&[(90, 99), (0, 29)])
        );
    }

    #[test]
    fn if_range_wants_a_strong_match() {
        let strong = ETag::strong("a").unwrap();
        let weak = ETag::weak("a").unwrap();
        let date = b"Sat, 29 Oct 1994 19:43:31 GMT";
        let date_s = 783_459_811;
        let of = |etag, last_modified| Validators {
            etag,
            last_modified,
        };
        let looked = |modified_s: i64, after_ms: i64| {
            let modified_ms = modified_s * 1_000;
            Some(LastModified::of(modified_ms, modified_ms + after_ms))
        };
        assert!(if_range_holds(b"\"a\"", of(Some(&strong), None)));
        assert!(!if_range_holds(b"W/\"a\"", of(Some(&strong), None)));
        assert!(!if_range_holds(b"W/\"a\"", of(Some(&weak), None)));
        assert!(!if_range_holds(b"\"a\"", of(Some(&weak), None)));
        assert!(!if_range_holds(b"\"a\", \"b\"", of(Some(&strong), None)));
        assert!(!if_range_holds(b"*", of(Some(&strong), None)));
        assert!(if_range_holds(date, of(None, looked(date_s, 2_000))));
        for too_soon in [date_s, date_s + 1] {
            assert!(
                !if_range_holds(date, of(None, looked(too_soon, 500))),
                "still the same second"
            );
        }
        assert!(
            !if_range_holds(date, of(None, looked(date_s - 1, 2_000))),
            "exact, not earlier"
        );
        assert!(!if_range_holds(date, of(None, None)));
        assert!(!if_range_holds(
            b"garbage",
            of(Some(&strong), looked(date_s, 2_000))
        ));
    }

    proptest! {
        /// Against a byte map: the ranges cover exactly the bytes asked for,
        /// once each.
        #[test]
        fn ranges_cover_what_was_asked_exactly_once(
            length in 0_u64..60,
            specs in proptest::collection::vec(
                (proptest::option::of(0_u64..70), proptest::option::of(0_u64..70)), 1..8),
        ) {
            let mut asked = vec![false; length as usize];
            let mut texts = Vec::new();
            for (first, last) in specs {
                let (from, to) = match (first, last) {
                    (Some(a), Some(b)) => { texts.push(format!("{}-{}", a.min(b), a.max(b))); (a.min(b), a.max(b) + 1) }
                    (Some(a), None) => { texts.push(format!("{a}-")); (a, length) }
                    (None, Some(n)) => { texts.push(format!("-{n}")); (length.saturating_sub(n), length) }
                    (None, None) => continue,
                };
                (from..to.min(length)).for_each(|i| asked[i as usize] = true);
            }
            prop_assume!(!texts.is_empty());
            let value = format!("bytes={}", texts.join(","));
            match outcome(&value, length) {
                RangeOutcome::Whole => prop_assert_eq!(length, 0),
                RangeOutcome::NotSatisfiable => prop_assert!(!asked.contains(&true)),
                RangeOutcome::Ranges(ranges) => {
                    let mut sent = vec![false; length as usize];
                    for range in &ranges {
                        prop_assert!(range.end_inclusive < length);
                        for i in range.start..=range.end_inclusive {
                            prop_assert!(!std::mem::replace(&mut sent[i as usize], true));
                        }
                    }
                    for (i, a) in ranges.iter().enumerate() {
                        prop_assert!(ranges[i + 1..].iter().all(|b| !a.touches(*b)));
                    }
                    prop_assert_eq!(sent, asked);
                }
            }
        }

        #[test]
        fn no_bytes_panic(value in proptest::collection::vec(any::<u8>(), 0..64), length: u64) {
            parse_ranges(&value, length, 4);
            parse_ranges(&[b"bytes=", &value[..]].concat(), length, 4);
            if_range_holds(&value, Validators::default());
        }
    }
}
