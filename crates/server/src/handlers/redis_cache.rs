//! Which routes keep their answers in Redis, and for how long, as an operator
//! says it: `"/resource" = "60s"`.

use std::fmt;

use http::Method;

use super::cache_control::CacheControl;
use crate::handlers;
use crate::nearest::nearest;
use corelane::App;
use corelane::middleware::RedisCache;

/// The name of these caches in keys and metrics.
pub const ANSWERS_CACHE: &str = "answers";

/// Routes by pattern with their times to live, as configured.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RedisRoutes(pub Vec<(String, String)>);

impl RedisRoutes {
    /// Checks that there are such routes, that their answers may be kept for
    /// others, and the times.
    ///
    /// # Errors
    /// [`RedisRoutesError`].
    pub fn check(&self, policies: &CacheControl) -> Result<(), RedisRoutesError> {
        self.times(policies).map(drop)
    }

    /// Puts a cache around each.
    pub(super) fn install(
        &self,
        mut app: App,
        policies: &CacheControl,
        prefix: &str,
    ) -> Result<App, RedisRoutesError> {
        for (pattern, ttl_ms) in self.times(policies)? {
            let cache = RedisCache::new(ANSWERS_CACHE)
                .key_prefix(prefix)
                .ttl_ms(ttl_ms);
            app = app.middleware_on(&Method::GET, pattern, cache);
        }
        Ok(app)
    }

    fn times(&self, policies: &CacheControl) -> Result<Vec<(&str, u64)>, RedisRoutesError> {
        let known = handlers::default_cache_control();
        let known: Vec<&str> = known.into_iter().map(|(pattern, _)| pattern).collect();
        let mut times: Vec<(&str, u64)> = Vec::new();
        for (pattern, text) in &self.0 {
            if !known.contains(&pattern.as_str()) {
                return Err(RedisRoutesError::UnknownRoute {
                    pattern: pattern.clone(),
                    nearest: nearest(pattern, known.iter().copied()).map(str::to_owned),
                    known: known.iter().map(|&known| known.to_owned()).collect(),
                });
            }
            if times.iter().any(|(given, _)| given == pattern) {
                return Err(RedisRoutesError::GivenTwice(pattern.clone()));
            }
            let ttl_ms = duration_ms(text).ok_or_else(|| RedisRoutesError::NotATime {
                pattern: pattern.clone(),
                text: text.clone(),
            })?;
            let policy = policies.of(pattern).and_then(|value| value.to_str().ok());
            let policy = policy.unwrap_or_default().to_ascii_lowercase();
            if ["no-store", "private", "no-cache"]
                .iter()
                .any(|word| policy.contains(word))
            {
                let pattern = pattern.clone();
                return Err(RedisRoutesError::NotForOthers { pattern, policy });
            }
            times.push((pattern, ttl_ms));
        }
        Ok(times)
    }
}

/// `"60s"`, `"1500ms"`, `"5m"`, `"1h"`, or milliseconds without a unit.
fn duration_ms(text: &str) -> Option<u64> {
    let text = text.trim();
    let end = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    let unit_ms = match unit.trim_start() {
        "" | "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        _ => return None,
    };
    let ms = number.parse::<u64>().ok()?.checked_mul(unit_ms)?;
    (1..=YEAR_MS).contains(&ms).then_some(ms)
}

const YEAR_MS: u64 = 31_536_000_000;

/// Why the configured routes cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RedisRoutesError {
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
    /// The time of this pattern is none.
    NotATime {
        /// The pattern.
        pattern: String,
        /// What was given.
        text: String,
    },
    /// The route's answers say that they are not for others.
    NotForOthers {
        /// The pattern.
        pattern: String,
        /// Its `Cache-Control`.
        policy: String,
    },
}

impl fmt::Display for RedisRoutesError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownRoute {
                pattern,
                nearest,
                known,
            } => {
                write!(f, "redis_cache: no cacheable route is `{pattern}`")?;
                if let Some(nearest) = nearest {
                    write!(f, "; did you mean `{nearest}`?")?;
                }
                write!(f, " (routes: {})", known.join(", "))
            }
            Self::GivenTwice(pattern) => {
                write!(f, "redis_cache: `{pattern}` is given twice; keep one")
            }
            Self::NotATime { pattern, text } => write!(
                f,
                "redis_cache: `{text}` of `{pattern}` is no time; write something like `60s`, \
                 `1500ms` or `5m`, a year at most"
            ),
            Self::NotForOthers { pattern, policy } => write!(
                f,
                "redis_cache: the answers of `{pattern}` say `{policy}`, so that none would be \
                 kept; give the route something like `public, max-age=60` in api.cache_control"
            ),
        }
    }
}

impl std::error::Error for RedisRoutesError {}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(pairs: &[(&str, &str)]) -> Result<(), RedisRoutesError> {
        let own = |(pattern, text): &(&str, &str)| ((*pattern).to_owned(), (*text).to_owned());
        let policies = CacheControl::new(&handlers::default_cache_control(), &[]).unwrap();
        RedisRoutes(pairs.iter().map(own).collect()).check(&policies)
    }

    #[test]
    fn times_have_units() {
        for (text, ms) in [
            ("60s", 60_000),
            ("1500", 1_500),
            ("1500ms", 1_500),
            ("5 m", 300_000),
        ] {
            assert_eq!(duration_ms(text), Some(ms), "{text}");
        }
        for text in [
            "",
            "0s",
            "s",
            "-1",
            "1d",
            "1.5s",
            "99999999999999999999",
            "9999999h",
        ] {
            assert_eq!(duration_ms(text), None, "{text}");
        }
    }

    #[test]
    fn mistakes_are_named_with_their_cure() {
        let message = |pairs| check(pairs).unwrap_err().to_string();
        assert_eq!(check(&[("/resource", "60s")]), Ok(()));
        assert!(message(&[("/resourc", "1s")]).contains("did you mean `/resource`?"));
        assert!(message(&[("/resource", "1s"), ("/resource", "2s")]).contains("given twice"));
        assert!(message(&[("/resource", "soon")]).contains("`60s`"));
        assert!(message(&[("/api/users", "1s")]).contains("api.cache_control"));
    }
}
