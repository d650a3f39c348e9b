//! Query strings as the API reads them: `name=value` pairs in the form
//! encoding (`+` is a space), strictly.
//!
//! A parameter that is unknown, given twice or not decodable is a fault that
//! names it: a misspelt filter that is silently ignored answers a question
//! nobody asked. A parameter without a value counts as not given, as a form
//! with empty inputs sends it.

use std::borrow::Cow;
use std::ops::RangeInclusive;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

use super::validate::Faults;

/// The decoded pairs of a query string, each name known and there once.
#[derive(Debug)]
pub struct QueryPairs<'a>(Vec<(&'static str, Cow<'a, str>)>);

impl<'a> QueryPairs<'a> {
    /// Reads `query` (without `?`), adding what is wrong with it to `faults`.
    pub fn parse(query: Option<&'a str>, known: &[&'static str], faults: &mut Faults) -> Self {
        let mut pairs = Self(Vec::new());
        for pair in query.unwrap_or("").split('&').filter(|p| !p.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let Some(name) = decode(name) else {
                faults.add(name, NOT_ENCODED);
                continue;
            };
            let Some(known_name) = known.iter().find(|known| **known == name) else {
                faults.add_unknown(&name, known);
                continue;
            };
            if pairs.0.iter().any(|(earlier, _)| earlier == known_name) {
                faults.add(known_name, "is given more than once");
                continue;
            }
            match decode(value) {
                Some(value) => pairs.0.push((known_name, value)),
                None => faults.add(known_name, NOT_ENCODED),
            }
        }
        pairs
    }

    /// The value of a parameter; `None` when it is absent or empty.
    pub fn text(&self, name: &str) -> Option<&str> {
        let (_, value) = self.0.iter().find(|(n, _)| *n == name)?;
        (!value.is_empty()).then_some(&**value)
    }

    /// A whole number within `range`; `None` when it is absent or wrong.
    pub fn integer(
        &self,
        name: &str,
        range: RangeInclusive<i64>,
        faults: &mut Faults,
    ) -> Option<i64> {
        let value = self.text(name)?.parse().ok().filter(|n| range.contains(n));
        if value.is_none() {
            let message = match (*range.start(), *range.end()) {
                (low, i64::MAX) => format!("must be a whole number from {low}"),
                (low, high) => format!("must be a whole number from {low} to {high}"),
            };
            faults.add(name, message);
        }
        value
    }

    /// A number within `range` that must be there; `None` when it is not.
    pub fn required_number(
        &self,
        name: &str,
        range: RangeInclusive<f64>,
        faults: &mut Faults,
    ) -> Option<f64> {
        let (low, high) = (range.start(), range.end());
        let Some(text) = self.text(name) else {
            faults.add(name, format!("is required: a number from {low} to {high}"));
            return None;
        };
        // NaN, which `parse` accepts, is in no range.
        let value = text.parse().ok().filter(|n| range.contains(n));
        if value.is_none() {
            faults.add(name, format!("must be a number from {low} to {high}"));
        }
        value
    }
}

const NOT_ENCODED: &str = "is not percent-encoded UTF-8";

/// Undoes the form encoding; `None` when an escape is broken or the result is
/// not UTF-8.
fn decode(text: &str) -> Option<Cow<'_, str>> {
    let whole = |rest: &str| {
        let digits = rest.as_bytes().get(..2);
        digits.is_some_and(|d| d.iter().all(u8::is_ascii_hexdigit))
    };
    if !text.split('%').skip(1).all(whole) {
        return None;
    }
    if !text.contains('+') {
        return percent_decode_str(text).decode_utf8().ok();
    }
    let spaced = text.replace('+', " ");
    let decoded = percent_decode_str(&spaced).decode_utf8().ok()?;
    Some(Cow::Owned(decoded.into_owned()))
}

/// Adds a parameter to a link, starting its query if it has none yet.
pub fn push_pair(link: &mut String, name: &str, value: &str) {
    link.push(if link.contains('?') { '&' } else { '?' });
    link.push_str(name);
    link.push('=');
    link.extend(utf8_percent_encode(value, ESCAPED));
}

/// All but the unreserved characters of RFC 3986 section 2.3, and the comma,
/// which separates our lists and may stand as it is.
const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~')
    .remove(b',');

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const KNOWN: &[&str] = &["name", "limit", "lat"];

    fn faulty(query: &str) -> Vec<(String, String)> {
        let mut faults = Faults::new();
        QueryPairs::parse(Some(query), KNOWN, &mut faults);
        let error = faults.into_error();
        let fields = error.fields().iter();
        fields
            .map(|f| (f.field.clone(), f.message.clone()))
            .collect()
    }

    #[test]
    fn values_are_decoded() {
        let mut faults = Faults::new();
        let query = "name=Ada+L%2E%20%C3%A9%2B&&limit=&lat";
        let pairs = QueryPairs::parse(Some(query), KNOWN, &mut faults);
        assert!(faults.is_empty());
        assert_eq!(pairs.text("name"), Some("Ada L. é+"));
        assert_eq!(pairs.text("limit"), None, "an empty value is not given");
        assert_eq!(pairs.text("lat"), None);
        assert_eq!(pairs.text("other"), None);
    }

    #[test]
    fn what_is_wrong_is_named() {
        let faults = faulty("limt=3&name=%ff&name=x&limit=1&limit=2&lat=%2&%zz=1");
        let names: Vec<&str> = faults.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["limt", "name", "limit", "lat", "%zz"]);
        assert!(faults[0].1.contains("did you mean `limit`?"));
        assert!(faults[2].1.contains("more than once"));
    }

    #[test]
    fn numbers_keep_to_their_ranges() {
        let mut faults = Faults::new();
        let pairs = QueryPairs::parse(Some("limit=101&lat=NaN"), KNOWN, &mut faults);
        assert_eq!(pairs.integer("limit", 1..=100, &mut faults), None);
        assert_eq!(
            pairs.required_number("lat", -90.0..=90.0, &mut faults),
            None
        );
        let error = faults.into_error();
        assert_eq!(
            error.fields()[0].message,
            "must be a whole number from 1 to 100"
        );
        assert_eq!(error.fields()[1].message, "must be a number from -90 to 90");

        let mut faults = Faults::new();
        let pairs = QueryPairs::parse(Some("limit=100&lat=-90"), KNOWN, &mut faults);
        assert_eq!(pairs.integer("limit", 1..=100, &mut faults), Some(100));
        let lat = pairs.required_number("lat", -90.0..=90.0, &mut faults);
        assert_eq!(lat, Some(-90.0));
        assert!(faults.is_empty());
    }

    proptest! {
        #[test]
        fn a_pushed_value_reads_back(value in "\\PC{1,40}") {
            let mut link = String::from("/x");
            push_pair(&mut link, "name", &value);
            push_pair(&mut link, "limit", "7");
            prop_assert!(link.bytes().all(|b| b.is_ascii_graphic()), "{}", link);
            let mut faults = Faults::new();
            let query = link.strip_prefix("/x?").unwrap();
            let pairs = QueryPairs::parse(Some(query), KNOWN, &mut faults);
            prop_assert!(faults.is_empty());
            prop_assert_eq!(pairs.text("name"), Some(&*value));
            prop_assert_eq!(pairs.text("limit"), Some("7"));
        }

        #[test]
        fn no_query_panics(query in "[a-z%&=+0-9é]{0,60}") {
            let mut faults = Faults::new();
            let pairs = QueryPairs::parse(Some(&query), KNOWN, &mut faults);
            pairs.integer("limit", 1..=100, &mut faults);
            pairs.required_number("lat", -90.0..=90.0, &mut faults);
        }
    }
}
