//! Conditions and ranges: verdicts agree with each other and with the rules of
//! RFC 9110 section 13.2.2 said another way; ranges are the bytes a naive
//! reader marks, disjoint, in bounds and in the order asked.
//!
//! Input: one byte of flags, one for the length, then lines: `If-Match`,
//! `If-None-Match`, `If-Modified-Since`, `If-Unmodified-Since`, `If-Range`,
//! `Range` (an empty line is no field).
#![no_main]

use corelane_fuzz::semantics::{
    ByteRange, ByterangesBody, Conditions, ETag, LastModified, RangeOutcome, Validators, Verdict, evaluate,
    format_http_date, if_range_holds, join_lines, parse_http_date, parse_ranges,
};
use http::HeaderValue;
use libfuzzer_sys::fuzz_target;

/// Sat, 29 Oct 1994 19:43:31 GMT.
const MODIFIED_S: i64 = 783_459_811;
const RANGES_MAX: usize = 6;

fuzz_target!(|data: &[u8]| {
    let [flags, length, text @ ..] = data else {
        return;
    };
    let mut lines = text.split(|&byte| byte == b'\n');
    let mut field = || lines.next().filter(|line| !line.is_empty());
    let conditions = Conditions {
        if_match: field(),
        if_none_match: field(),
        if_modified_since: field(),
        if_unmodified_since: field(),
    };
    let (if_range, range) = (field(), field());

    // Within the second of the change, or long after.
    let looked_ms = MODIFIED_S * 1_000 + i64::from(flags & 8) * 10_000;
    let tag = match flags & 1 {
        0 => ETag::strong("xyzzy"),
        _ => ETag::weak("xyzzy"),
    };
    let tag = tag.unwrap();
    let current = Validators {
        etag: (flags & 2 == 0).then_some(&tag),
        last_modified: (flags & 4 == 0).then(|| LastModified::of(MODIFIED_S * 1_000, looked_ms)),
    };
    check_conditions(&conditions, current);
    for value in [conditions.if_modified_since, conditions.if_unmodified_since] {
        check_date(value.unwrap_or_default());
    }
    if let Some(value) = if_range {
        check_if_range(value, current);
        check_tag(value);
    }
    if let Some(value) = range {
        check_ranges(value, u64::from(*length));
    }
});

fn check_conditions(asked: &Conditions<'_>, current: Validators<'_>) {
    for (current, get) in [
        (Some(current), true),
        (Some(current), false),
        (None, true),
        (None, false),
    ] {
        let verdict = evaluate(get, asked, current);
        assert!(
            get || verdict != Verdict::NotModified,
            "304 is for GET and HEAD"
        );
        if asked.is_empty() {
            assert_eq!(verdict, Verdict::Proceed);
        }
        let without_dates = Conditions {
            if_modified_since: asked
                .if_modified_since
                .filter(|_| asked.if_none_match.is_none()),
            if_unmodified_since: asked
                .if_unmodified_since
                .filter(|_| asked.if_match.is_none()),
            ..*asked
        };
        assert_eq!(
            verdict,
            evaluate(get, &without_dates, current),
            "tags outrank dates"
        );
        let only_first = Conditions {
            if_none_match: None,
            if_modified_since: None,
            ..*asked
        };
        if evaluate(get, &only_first, current) == Verdict::PreconditionFailed {
            assert_eq!(
                verdict,
                Verdict::PreconditionFailed,
                "If-Match is judged first"
            );
        }
        if current.is_none() {
            assert_ne!(verdict, Verdict::NotModified);
            assert!(asked.if_match.is_none() || verdict == Verdict::PreconditionFailed);
        }
    }
    // The client's list with our own tag before it.
    if let (Some(list), Some(tag)) = (asked.if_none_match, current.etag) {
        let own = tag.header_value().as_bytes();
        let joined = join_lines([own, list]).unwrap();
        let with_own = Conditions {
            if_none_match: Some(&joined),
            ..Conditions::default()
        };
        assert_eq!(
            evaluate(true, &with_own, Some(current)),
            Verdict::NotModified
        );
        assert_eq!(
            evaluate(false, &with_own, Some(current)),
            Verdict::PreconditionFailed
        );
    }
}

fn check_date(value: &[u8]) {
    if let Some(text) = parse_http_date(value).and_then(format_http_date) {
        assert_eq!(parse_http_date(text.as_bytes()), parse_http_date(value));
    }
}

fn check_tag(value: &[u8]) {
    if let Ok(tag) = ETag::parse(value) {
        assert_eq!(tag.header_value().as_bytes(), value);
        assert!(tag.weak_eq(&tag) && tag.strong_eq(&tag) != tag.is_weak());
    }
}

fn check_if_range(value: &[u8], current: Validators<'_>) {
    if !if_range_holds(value, current) {
        return;
    }
    let value = value.trim_ascii();
    match (current.etag, current.last_modified) {
        (Some(tag), _) if value == tag.header_value().as_bytes() => assert!(!tag.is_weak()),
        (_, modified) => {
            let modified = modified.expect("a date");
            assert_eq!(parse_http_date(value), Some(modified.second()));
            assert!(modified.stands(), "a date of this second may lie");
        }
    }
}

fn check_ranges(value: &[u8], length: u64) {
    match parse_ranges(value, length, RANGES_MAX) {
        RangeOutcome::Whole => {}
        RangeOutcome::NotSatisfiable => assert_eq!(marked(value, length), Vec::<u64>::new()),
        RangeOutcome::Ranges(ranges) => {
            assert!(!ranges.is_empty() && ranges.len() <= RANGES_MAX);
            let mut bytes = Vec::new();
            for (index, range) in ranges.iter().enumerate() {
                assert!(range.start <= range.end_inclusive && range.end_inclusive < length);
                assert!(ranges[..index].iter().all(|other| apart(*other, *range)));
                bytes.extend(range.start..=range.end_inclusive);
                let alone = format!("bytes={}-{}", range.start, range.end_inclusive);
                let again = parse_ranges(alone.as_bytes(), length, 1);
                assert_eq!(again, RangeOutcome::Ranges(vec![*range]));
            }
            bytes.sort_unstable();
            assert_eq!(bytes, marked(value, length));
            check_envelope(&ranges, length);
        }
    }
}

/// Neither overlapping nor touching.
fn apart(one: ByteRange, other: ByteRange) -> bool {
    one.end_inclusive + 1 < other.start || other.end_inclusive + 1 < one.start
}

/// The bytes a valid value asks for, one by one, ascending.
fn marked(value: &[u8], length: u64) -> Vec<u64> {
    let text = std::str::from_utf8(value).expect("accepted, so digits and signs");
    let (_, set) = text.split_once('=').expect("accepted, so a unit");
    let number = |digits: &str| digits.parse::<u64>().unwrap_or(u64::MAX);
    let wanted = |byte: u64| {
        set.split(',')
            .map(str::trim)
            .any(|spec| match spec.split_once('-') {
                None => false,
                Some(("", suffix)) => byte >= length.saturating_sub(number(suffix)),
                Some((first, "")) => byte >= number(first),
                Some((first, last)) => (number(first)..=number(last)).contains(&byte),
            })
    };
    (0..length).filter(|byte| wanted(*byte)).collect()
}

fn check_envelope(ranges: &[ByteRange], length: u64) {
    let media_type = HeaderValue::from_static("text/plain");
    let envelope = ByterangesBody::new("boundary", ranges, &media_type, length);
    let heads: usize = envelope.parts().iter().map(|(head, _)| head.len()).sum();
    let content: u64 = ranges.iter().map(|range| range.len()).sum();
    let total = (heads + envelope.tail().len()) as u64 + content;
    assert_eq!(envelope.total_bytes(), total);
    assert!(content <= length);
}
