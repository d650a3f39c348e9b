//! HTTP dates (RFC 9110 section 5.6.7) as seconds since the Unix epoch.
//!
//! `httpdate` panics on a time outside 1970 to 9999, and a file's mtime comes
//! from outside: every date of a representation goes through here.

use std::time::{Duration, UNIX_EPOCH};

use http::HeaderValue;

/// Reads an HTTP date in any of the three forms a recipient must accept:
/// IMF-fixdate, RFC 850 and asctime. `None` for anything else, which includes
/// a list of dates.
pub fn parse_http_date(value: &[u8]) -> Option<i64> {
    let text = std::str::from_utf8(value).ok()?;
    let time = httpdate::parse_http_date(text).ok()?;
    let since_epoch = time.duration_since(UNIX_EPOCH).ok()?;
    i64::try_from(since_epoch.as_secs()).ok()
}

/// The IMF-fixdate of a second, or `None` outside the years 1970 to 9999,
/// where the format has no date.
pub fn format_http_date(unix_s: i64) -> Option<HeaderValue> {
    let seconds = u64::try_from(unix_s).ok().filter(|s| *s < YEAR_10000_S)?;
    let text = httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_secs(seconds));
    HeaderValue::try_from(text).ok()
}

/// The first second of the year 10000.
const YEAR_10000_S: u64 = 253_402_300_800;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_three_forms_of_the_rfc_example_are_one_date() {
        for text in [
            "Sun, 06 Nov 1994 08:49:37 GMT",
            "Sunday, 06-Nov-94 08:49:37 GMT",
            "Sun Nov  6 08:49:37 1994",
        ] {
            assert_eq!(
                parse_http_date(text.as_bytes()),
                Some(784_111_777),
                "{text}"
            );
        }
    }

    #[test]
    fn what_is_not_one_date_is_none() {
        for text in [
            "",
            "784111777",
            "Sun, 06 Nov 1994 08:49:37",
            "Sun, 31 Feb 1994 08:49:37 GMT",
            "Sun, 06 Nov 1994 08:49:37 GMT, Sun, 06 Nov 1994 08:49:37 GMT",
        ] {
            assert_eq!(parse_http_date(text.as_bytes()), None, "{text}");
        }
        assert_eq!(parse_http_date(b"Sun, 06 Nov 1994 08:49:37 GM\xff"), None);
    }

    #[test]
    fn times_without_a_date_are_none_instead_of_a_panic() {
        assert_eq!(format_http_date(-1), None);
        assert_eq!(format_http_date(i64::MAX), None);
        assert_eq!(format_http_date(i64::MIN), None);
        assert_eq!(
            format_http_date(0).unwrap(),
            "Thu, 01 Jan 1970 00:00:00 GMT"
        );
        assert_eq!(
            format_http_date(253_402_300_799).unwrap(),
            "Fri, 31 Dec 9999 23:59:59 GMT"
        );
    }

    proptest! {
        #[test]
        fn a_formatted_date_reads_back(second in 0_i64..253_402_300_800) {
            let value = format_http_date(second).unwrap();
            prop_assert_eq!(parse_http_date(value.as_bytes()), Some(second));
        }

        #[test]
        fn no_bytes_panic(value in proptest::collection::vec(any::<u8>(), 0..64)) {
            parse_http_date(&value);
        }

        #[test]
        fn no_near_date_panics(
            day in "[A-Z][a-z]{2,8}[, ]{1,2}[0-9]{2}[- ][JFMASOND][a-z]{2}[- ][0-9]{2,4}",
            time in "[0-9]{2}:[0-9]{2}:[0-9]{2} GMT",
        ) {
            let value = format!("{day} {time}");
            parse_http_date(value.as_bytes());
        }
    }
}
