//! Rules as an operator writes them: `"POST /api/session" = "10/60s"`.

use std::fmt;
use std::time::Duration;

use super::Quota;

/// The paths of a rule: as written, `*` standing for anything, slashes too.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PathPattern {
    text: String,
}

/// What stands on the right of a rule: `100/60s`, `100/60s burst 20`,
/// `100/60s by header:X-Api-Key`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QuotaText {
    /// The quota.
    pub quota: Quota,
    /// What follows `by`.
    pub by: Option<String>,
}

/// A rule that cannot be read, and what would do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InvalidRule(pub String);

impl PathPattern {
    /// # Errors
    /// [`InvalidRule`]: it does not begin with a slash, or has what no path
    /// has.
    pub fn parse(text: &str) -> Result<Self, InvalidRule> {
        let fits = |b: u8| b.is_ascii_graphic() && !b"?#\"<>\\^`|".contains(&b);
        if !text.starts_with('/') || !text.bytes().all(fits) {
            let what = "a path begins with `/` and is visible ASCII without a query";
            return Err(InvalidRule(what.to_owned()));
        }
        Ok(Self {
            text: text.to_owned(),
        })
    }

    /// As it was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether it fits a path as sent.
    pub fn fits(&self, path: &str) -> bool {
        let mut parts = self.text.split('*');
        let first = parts.next().unwrap_or_default();
        let Some(mut rest) = path.strip_prefix(first) else {
            return false;
        };
        let Some(last) = parts.next_back() else {
            return rest.is_empty();
        };
        for part in parts {
            match rest.find(part) {
                Some(at) => rest = &rest[at + part.len()..],
                None => return false,
            }
        }
        rest.ends_with(last)
    }

    /// Whether a path that fits a route, `/users/{id}`, may fit this: by what
    /// both begin with, so it may say yes too often and never no.
    pub fn may_fit_route(&self, route: &str) -> bool {
        let Some((theirs, _)) = route.split_once('{') else {
            return self.fits(route);
        };
        match self.text.split_once('*') {
            Some((ours, _)) => ours.starts_with(theirs) || theirs.starts_with(ours),
            // A route's own pattern too.
            None => self.text.starts_with(theirs),
        }
    }
}

impl QuotaText {
    /// # Errors
    /// [`InvalidRule`], with what would do.
    pub fn parse(text: &str) -> Result<Self, InvalidRule> {
        let wrong = || InvalidRule(format!("{text:?} is not {FORM}"));
        let mut words = text.split_ascii_whitespace();
        let (limit, window) = words
            .next()
            .and_then(|rate| rate.split_once('/'))
            .ok_or_else(wrong)?;
        let limit = limit.parse().map_err(|_| wrong())?;
        let window = parse_window(window).ok_or_else(wrong)?;
        let invalid = |error: super::InvalidQuota| InvalidRule(format!("{text:?}: {error}"));
        let mut quota = Quota::new(limit, window).map_err(invalid)?;
        let mut by = None;
        while let Some(word) = words.next() {
            let value = words.next().ok_or_else(wrong)?;
            match word {
                "burst" => {
                    let burst = value.parse().map_err(|_| wrong())?;
                    quota = quota.with_burst(burst).map_err(invalid)?;
                }
                "by" => by = Some(value.to_owned()),
                _ => return Err(wrong()),
            }
        }
        Ok(Self { quota, by })
    }
}

/// A time such as `60s`, `500ms`, `5m`, `1h` or `1d`; without a number, one.
pub fn parse_window(text: &str) -> Option<Duration> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let number: u64 = match number {
        "" => 1,
        number => number.parse().ok()?,
    };
    let unit_ms = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return None,
    };
    Some(Duration::from_millis(number.checked_mul(unit_ms)?))
}

const FORM: &str = "LIMIT/WINDOW, such as \"100/60s\", \"100/60s burst 20\" or \
                    \"1000/1h by header:X-Api-Key\"";

impl fmt::Display for InvalidRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for InvalidRule {}
