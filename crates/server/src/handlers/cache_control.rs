//! `Cache-Control` by route: what the shipped routes say by default, and what
//! an operator's configuration says instead.
//!
//! Sent with the 200 and 304 of a route, by [`super::conditional`]. Checked
//! once when the app is built; then each shard has a copy of its own, so that
//! sending a value touches no memory another shard writes to.

use std::fmt;

use http::HeaderValue;

use crate::nearest::nearest;

/// The `Cache-Control` of each route, by pattern. State of every shard.
#[derive(Debug)]
pub struct CacheControl(Vec<(String, HeaderValue)>);

impl CacheControl {
    /// The `defaults` with the operator's `configured` values in their place.
    /// A configured value that is empty means the route sends none.
    ///
    /// # Errors
    /// When a configured pattern is of no route that can be cached or is given
    /// twice, or a value is not a header value.
    pub fn new(
        defaults: &[(&str, &str)],
        configured: &[(String, String)],
    ) -> Result<Self, CacheControlError> {
        for (index, (pattern, _)) in configured.iter().enumerate() {
            if !defaults.iter().any(|(known, _)| known == pattern) {
                return Err(CacheControlError::unknown(pattern, defaults));
            }
            if configured[..index].iter().any(|(p, _)| p == pattern) {
                return Err(CacheControlError::GivenTwice(pattern.clone()));
            }
        }
        let mut policies = Vec::with_capacity(defaults.len());
        for (pattern, default) in defaults {
            let own = configured.iter().find(|(p, _)| p == pattern);
            let text = own.map_or(*default, |(_, text)| text);
            let value = HeaderValue::from_str(text)
                .map_err(|_| CacheControlError::NotAValue((*pattern).to_owned()))?;
            if !value.is_empty() {
                policies.push(((*pattern).to_owned(), value));
            }
        }
        Ok(Self(policies))
    }

    /// The value for a route, if it sends one.
    pub fn of(&self, pattern: &str) -> Option<&HeaderValue> {
        let (_, value) = self.0.iter().find(|(p, _)| p == pattern)?;
        Some(value)
    }
}

/// Why the configured `Cache-Control` values cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CacheControlError {
    /// No route with a cacheable answer has this pattern.
    UnknownRoute {
        /// The pattern as configured.
        pattern: String,
        /// The pattern most like it.
        nearest: Option<String>,
        /// All there are.
        known: Vec<String>,
    },
    /// The pattern is configured more than once.
    GivenTwice(String),
    /// The value of this pattern has a control or non-ASCII character.
    NotAValue(String),
}

impl CacheControlError {
    fn unknown(pattern: &str, defaults: &[(&str, &str)]) -> Self {
        let known: Vec<&str> = defaults.iter().map(|(known, _)| *known).collect();
        Self::UnknownRoute {
            pattern: pattern.to_owned(),
            nearest: nearest(pattern, known.iter().copied()).map(str::to_owned),
            known: known.into_iter().map(str::to_owned).collect(),
        }
    }
}

impl fmt::Display for CacheControlError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownRoute {
                pattern,
                nearest,
                known,
            } => {
                write!(f, "cache_control: no cacheable route is `{pattern}`")?;
                if let Some(nearest) = nearest {
                    write!(f, "; did you mean `{nearest}`?")?;
                }
                write!(f, " (routes: {})", known.join(", "))
            }
            Self::GivenTwice(pattern) => {
                write!(f, "cache_control: `{pattern}` is given twice; keep one")
            }
            Self::NotAValue(pattern) => write!(
                f,
                "cache_control: the value of `{pattern}` has a character no header may have; \
                 write something like `public, max-age=60`"
            ),
        }
    }
}

impl std::error::Error for CacheControlError {}

#[cfg(test)]
mod tests {
    use super::*;

    const DEFAULTS: &[(&str, &str)] = &[("/api/users", "no-cache"), ("/resource", "public")];

    fn configured(pairs: &[(&str, &str)]) -> Result<CacheControl, CacheControlError> {
        let pairs: Vec<(String, String)> = pairs
            .iter()
            .map(|(pattern, value)| ((*pattern).to_owned(), (*value).to_owned()))
            .collect();
        CacheControl::new(DEFAULTS, &pairs)
    }

    #[test]
    fn a_configured_value_replaces_the_default_and_an_empty_one_removes_it() {
        let cache = configured(&[]).unwrap();
        assert_eq!(cache.of("/resource").unwrap(), "public");
        assert_eq!(cache.of("/other"), None);
        let cache = configured(&[("/resource", "max-age=5"), ("/api/users", "")]).unwrap();
        assert_eq!(cache.of("/resource").unwrap(), "max-age=5");
        assert_eq!(cache.of("/api/users"), None);
    }

    #[test]
    fn mistakes_are_named_with_the_nearest_route() {
        let message = |pairs| configured(pairs).unwrap_err().to_string();
        assert!(message(&[("/api/user", "x")]).contains("did you mean `/api/users`?"));
        assert!(message(&[("/resource", "x"), ("/resource", "y")]).contains("given twice"));
        assert!(message(&[("/resource", "a\r\nb: c")]).contains("`/resource`"));
    }
}
