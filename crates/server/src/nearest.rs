//! "Did you mean": the name that was meant, for messages about configuration
//! keys, query parameters and routes.

use strsim::{damerau_levenshtein, jaro_winkler};

/// The known name most like `given`, if one is like it at all. What is long is
/// like nothing, so that nobody makes it expensive.
pub(crate) fn nearest<'a>(given: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    if given.chars().count() > NAME_CHARS_MAX {
        return None;
    }
    // Of two that are equally like it the first, as in the annotated file.
    let (name, likeness) = known
        .map(|name| (name, likeness(given, name)))
        .reduce(|best, next| if next.1 > best.1 { next } else { best })?;
    (likeness >= LIKENESS_MIN).then_some(name)
}

/// As [`nearest`], of a handful of short names: half of one may be wrong.
pub(crate) fn nearest_of_few<'a>(
    given: &str,
    known: impl Iterator<Item = &'a str>,
) -> Option<&'a str> {
    if given.chars().count() > NAME_CHARS_MAX {
        return None;
    }
    let (slips, name) = known
        .map(|name| (damerau_levenshtein(given, name), name))
        .min_by_key(|(slips, _)| *slips)?;
    (slips <= name.len().max(given.len()) / 2).then_some(name)
}

/// 0 to 1. Names are compared whole and by their last part, so that a key in
/// the wrong section is found too. Jaro-Winkler finds names cut short
/// (`idle_timeout`), edit distance finds slips of the finger.
fn likeness<'a>(given: &'a str, name: &'a str) -> f64 {
    let last = |text: &'a str| text.rsplit('.').next().unwrap_or("");
    let (given_last, name_last) = (last(given), last(name));
    let slips = damerau_levenshtein(given_last, name_last);
    let longest = given_last.len().max(name_last.len()).max(1);
    // One slip is always near, however short the name.
    let by_slips = if slips <= 1 && longest > 2 {
        0.9
    } else {
        1.0 - slips as f64 / longest as f64
    };
    let by_part = jaro_winkler(given_last, name_last).max(by_slips);
    // The section only breaks ties between equal last parts, if there is one.
    let by_whole = match given.contains('.') == name.contains('.') {
        true => jaro_winkler(given, name),
        false => by_part,
    };
    by_part * 0.95 + by_whole * 0.05
}

/// Under this two names have nothing to do with each other.
const LIKENESS_MIN: f64 = 0.8;

/// Longer than any name of ours.
const NAME_CHARS_MAX: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    const KNOWN: [&str; 6] = [
        "server.listen",
        "admin.listen",
        "http.idle_timeout_ms",
        "http.head_timeout_ms",
        "store.url",
        "static.root",
    ];

    #[test]
    fn slips_short_forms_and_wrong_sections_find_their_key() {
        for (given, wanted) in [
            ("server.lisen", "server.listen"),
            ("http.idle_timeout", "http.idle_timeout_ms"),
            ("http.haed_timeout_ms", "http.head_timeout_ms"),
            ("server.idle_timeout_ms", "http.idle_timeout_ms"),
            ("store.ulr", "store.url"),
            ("static.rot", "static.root"),
            ("listen", "server.listen"),
            ("admn.listen", "admin.listen"),
        ] {
            assert_eq!(nearest(given, KNOWN.into_iter()), Some(wanted), "{given}");
        }
    }

    #[test]
    fn what_is_like_nothing_finds_nothing() {
        assert_eq!(nearest("server.turbo", KNOWN.into_iter()), None);
    }

    #[test]
    fn a_slip_of_the_finger_gets_the_name_that_was_meant() {
        let known = ["page", "limit", "fields", "sort", "min_age"];
        for (typed, meant) in [
            ("limt", Some("limit")),
            ("Page", Some("page")),
            ("minage", Some("min_age")),
            ("field", Some("fields")),
            ("xyzzy", None),
            ("", None),
        ] {
            assert_eq!(nearest(typed, known.into_iter()), meant, "{typed}");
        }
        assert_eq!(nearest(&"l".repeat(1 << 20), known.into_iter()), None);
        assert_eq!(nearest("page", std::iter::empty()), None);
    }
}
