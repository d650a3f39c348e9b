//! What is wrong with a configuration: where, what, and the cure.

use std::fmt;
use std::path::PathBuf;

use strsim::{damerau_levenshtein, jaro_winkler};

/// Where a value was given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// Nobody gave it.
    Default,
    /// A line of a file, counted from 1; `None` is the file as a whole.
    File {
        /// The file as it was named.
        path: PathBuf,
        /// Line, from 1.
        line: Option<usize>,
    },
    /// An environment variable.
    Environment {
        /// Its name.
        variable: String,
    },
    /// A flag of the command line.
    Flag {
        /// With its dashes.
        flag: String,
    },
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File {
                path,
                line: Some(line),
            } => write!(f, "{}:{line}", path.display()),
            Self::File { path, line: None } => write!(f, "{}", path.display()),
            Self::Environment { variable } => f.write_str(variable),
            Self::Flag { flag } => f.write_str(flag),
        }
    }
}

/// One thing that is wrong. Displays as two lines: what, and the cure.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigError {
    /// Where it was given.
    pub origin: Origin,
    /// What is wrong with it, one line.
    pub what: String,
    /// What to do about it, one line.
    pub cure: String,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}\n  cure: {}", self.origin, self.what, self.cure)
    }
}

impl std::error::Error for ConfigError {}

/// Everything that is wrong, in the order it was read. Never empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigErrors(pub Vec<ConfigError>);

impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, error) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            error.fmt(f)?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigErrors {}

/// The known name most like `given`, if one is like it at all.
pub(crate) fn nearest<'a>(given: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    // Of two that are equally like it the first, as in the annotated file.
    let (name, likeness) = known
        .map(|name| (name, likeness(given, name)))
        .reduce(|best, next| if next.1 > best.1 { next } else { best })?;
    (likeness >= LIKENESS_MIN).then_some(name)
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
    fn an_error_is_two_lines() {
        let error = ConfigError {
            origin: Origin::File {
                path: "a.toml".into(),
                line: Some(3),
            },
            what: "x is wrong".to_owned(),
            cure: "right it".to_owned(),
        };
        assert_eq!(error.to_string(), "a.toml:3: x is wrong\n  cure: right it");
    }
}
