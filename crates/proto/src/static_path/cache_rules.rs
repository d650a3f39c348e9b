//! Which `Cache-Control` a path gets: the first rule whose pattern matches.

use http::HeaderValue;

use super::glob::{Glob, InvalidGlob};

/// Ordered rules from pattern to `Cache-Control`.
#[derive(Debug, Clone, Default)]
pub struct CacheRules(Vec<(Glob, HeaderValue)>);

/// A rule that cannot be used; `Display` says which and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum InvalidCacheRule {
    /// The pattern.
    Pattern(InvalidGlob),
    /// The value is not a header value.
    Value(String),
}

impl CacheRules {
    /// Compiles rules of pattern and value, in order of precedence.
    ///
    /// # Errors
    /// On the first rule that cannot be used.
    pub fn new<P: AsRef<str>, V: AsRef<str>>(
        rules: impl IntoIterator<Item = (P, V)>,
    ) -> Result<Self, InvalidCacheRule> {
        let compile = |(pattern, value): (P, V)| {
            let glob = Glob::new(pattern.as_ref()).map_err(InvalidCacheRule::Pattern)?;
            let text = value.as_ref().trim();
            match HeaderValue::from_str(text) {
                Ok(value) if !text.is_empty() => Ok((glob, value)),
                _ => Err(InvalidCacheRule::Value(text.to_owned())),
            }
        };
        rules
            .into_iter()
            .map(compile)
            .collect::<Result<_, _>>()
            .map(Self)
    }

    /// The value for a relative path; `None` when no rule matches, and then no
    /// `Cache-Control` is sent.
    pub fn for_path(&self, path: &str) -> Option<&HeaderValue> {
        self.0
            .iter()
            .find(|(glob, _)| glob.matches(path))
            .map(|(_, value)| value)
    }
}

impl std::fmt::Display for InvalidCacheRule {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Pattern(error) => write!(f, "cache rule {error}"),
            Self::Value(value) => {
                write!(
                    f,
                    "cache rule value `{value}`: not a Cache-Control, try `max-age=3600`"
                )
            }
        }
    }
}

impl std::error::Error for InvalidCacheRule {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_matching_rule_counts() {
        let rules = CacheRules::new([
            ("*.{hash}.*", "public, max-age=31536000, immutable"),
            ("*.html", "no-cache"),
            ("media/**", "max-age=86400"),
        ])
        .unwrap();
        let value = |path| rules.for_path(path).map(|v| v.to_str().unwrap());
        assert_eq!(
            value("js/app.0123abcd.js"),
            Some("public, max-age=31536000, immutable")
        );
        assert_eq!(
            value("a.0123abcd.html"),
            Some("public, max-age=31536000, immutable")
        );
        assert_eq!(value("index.html"), Some("no-cache"));
        assert_eq!(value("media/x/y.mp4"), Some("max-age=86400"));
        assert_eq!(value("readme.txt"), None);
    }

    #[test]
    fn a_rule_that_cannot_be_used_says_why() {
        let error = CacheRules::new([("/abs", "no-cache")]).unwrap_err();
        assert!(error.to_string().contains("`/abs`"), "{error}");
        for value in ["", "a\r\nX: y"] {
            let error = CacheRules::new([("*", value)]).unwrap_err();
            assert!(matches!(error, InvalidCacheRule::Value(_)));
        }
    }
}
