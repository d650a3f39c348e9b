//! Limits by method and path, for a whole app, as an operator writes them.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;

use http::Method;
use percent_encoding::percent_decode_str;

use super::{AppliedLimits, Key, KeySource, Limit, RateLimit, check};
use crate::Error;
use crate::app::{App, Ctx, Middleware, Next, Response, RouteRules};
use crate::rate_limit::{InvalidRule, PathPattern, QuotaText};

/// Rules such as `"POST /api/session" = "10/60s"`: on the left a path, `*`
/// standing for anything in it, slashes too, or the pattern of a route, with or
/// without a method before it; on the right a limit and a window, and if need
/// be `burst 20` and `by ip`, `by session` or `by header:X-Api-Key`.
///
/// A request counts for every rule that fits it, in the order written, until
/// one refuses it. HEAD counts like GET, whose routes answer it. `/metrics` and
/// `/health` with what is below it are never limited, and neither is anything
/// at the admin listener.
#[derive(Clone, Default)]
pub struct RateRules {
    rules: Vec<Arc<Rule>>,
}

/// A rule that cannot be used: which, and what would do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InvalidRateRule {
    rule: String,
    why: String,
}

struct Rule {
    method: Option<Method>,
    path: PathPattern,
    limit: RateLimit,
}

impl RateRules {
    /// Reads rules; `by` is for those that do not say.
    ///
    /// # Errors
    /// [`InvalidRateRule`], the first.
    pub fn parse<'a>(
        rules: impl IntoIterator<Item = (&'a str, &'a str)>,
        by: &Key,
    ) -> Result<Self, InvalidRateRule> {
        let rules = rules.into_iter().map(|(left, right)| {
            Rule::parse(left, right, by).map_err(|error| InvalidRateRule {
                rule: left.to_owned(),
                why: error.0,
            })
        });
        Ok(Self {
            rules: rules
                .map(|rule| rule.map(Arc::new))
                .collect::<Result<_, _>>()?,
        })
    }
}

impl App {
    /// Limits by method and path how often each client may ask, inside this
    /// app's middleware and around that of routes, and also what has no route.
    /// Paths are whole, whichever app brings the rules; an admin app's count
    /// for nothing. A limit of one route or group can be its middleware:
    /// [`RateLimit`].
    #[must_use]
    pub fn rate_limits(mut self, rules: RateRules) -> Self {
        self.route_rules.push(Arc::new(rules));
        self
    }
}

impl RouteRules for RateRules {
    /// The rules that a request to this route, or to none, may meet.
    fn middleware_for(
        &self,
        method: Option<&Method>,
        route: Option<&str>,
    ) -> Option<Arc<dyn Middleware>> {
        if route.is_some_and(is_exempt) {
            return None;
        }
        let may_meet = |rule: &&Arc<Rule>| rule.may_meet(method, route);
        let rules: Vec<_> = self.rules.iter().filter(may_meet).cloned().collect();
        match rules.is_empty() {
            true => None,
            false => Some(Arc::new(RuleSet(rules))),
        }
    }
}

impl Key {
    /// What an operator writes: `ip`, `session` or `header:NAME`.
    ///
    /// # Errors
    /// What would do.
    pub fn parse(text: &str) -> Result<Self, String> {
        let wrong = || format!("{text:?} is none of \"ip\", \"session\" and \"header:NAME\"");
        match text.split_once(':') {
            None if text == "ip" => Ok(Self::Ip),
            None if text == "session" => Ok(Self::Session),
            Some(("header", name)) => name.parse().map(Self::Header).map_err(|_| wrong()),
            _ => Err(wrong()),
        }
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ip => f.write_str("ip"),
            Self::Session => f.write_str("session"),
            Self::Header(name) => write!(f, "header:{name}"),
        }
    }
}

impl Rule {
    fn parse(left: &str, right: &str, by: &Key) -> Result<Self, InvalidRule> {
        let (method, path) = match left.split_once(' ') {
            Some((method, path)) => (Some(parse_method(method)?), path),
            None => (None, left),
        };
        let path = PathPattern::parse(path)?;
        let QuotaText { quota, by: own } = QuotaText::parse(right)?;
        let by = match own {
            Some(text) => Key::parse(&text).map_err(InvalidRule)?,
            None => by.clone(),
        };
        // By its name all nodes know it, wherever it was written.
        let limit = Limit::new(left.to_owned(), String::new(), quota, KeySource::Key(by));
        Ok(Self {
            method,
            path,
            limit: RateLimit(Arc::new(limit)),
        })
    }

    fn may_meet(&self, method: Option<&Method>, route: Option<&str>) -> bool {
        let meets_method = match (&self.method, method) {
            (Some(ours), Some(theirs)) => is_of(ours, theirs) || is_of(theirs, ours),
            _ => true,
        };
        meets_method && route.is_none_or(|route| self.path.may_fit_route(route))
    }

    fn fits(&self, ctx: &Ctx) -> bool {
        let fits_method = self.method.as_ref();
        fits_method.is_none_or(|method| is_of(method, ctx.method()))
            && (self.fits_path(ctx.path()) || self.path.as_str() == ctx.route_pattern())
    }

    /// An encoded path is the same path: a parameter is decoded for its
    /// handler.
    fn fits_path(&self, path: &str) -> bool {
        let decoded = || percent_decode_str(path).decode_utf8_lossy();
        self.path.fits(path) || path.contains('%') && self.path.fits(&decoded())
    }
}

fn parse_method(text: &str) -> Result<Method, InvalidRule> {
    let is_upper = !text.is_empty() && text.bytes().all(|b| b.is_ascii_uppercase());
    let wrong = || InvalidRule(format!("{text:?} is not a method such as \"POST\""));
    match is_upper {
        true => Method::from_bytes(text.as_bytes()).map_err(|_| wrong()),
        false => Err(wrong()),
    }
}

/// Whether a request of this method falls under a rule for `method`.
fn is_of(method: &Method, request: &Method) -> bool {
    method == request || (method == Method::GET && request == Method::HEAD)
}

/// What an operator's tools ask for as often as they like.
fn is_exempt(path: &str) -> bool {
    path == "/metrics" || path == "/health" || path.starts_with("/health/")
}

/// The rules before one route, or before whatever has none: one link of the
/// chain, and those that do not fit cost a comparison.
struct RuleSet(Vec<Arc<Rule>>);

impl Middleware for RuleSet {
    fn call(
        &self,
        mut ctx: Ctx,
        next: Next,
    ) -> Pin<Box<dyn Future<Output = Result<Response, Error>>>> {
        let is_limited = !is_exempt(ctx.path());
        let fitting = self.0.iter().filter(|rule| is_limited && rule.fits(&ctx));
        let fitting: Vec<_> = fitting.map(|rule| rule.limit.0.clone()).collect();
        if fitting.is_empty() {
            return Box::pin(next.run(ctx));
        }
        Box::pin(async move {
            let (applied, is_outermost) = AppliedLimits::of(&mut ctx);
            for limit in &fitting {
                if let Err(error) = check(&mut ctx, limit, &applied).await {
                    return applied.add_headers_if(is_outermost, Err(error));
                }
            }
            let outcome = next.run(ctx).await;
            applied.add_headers_if(is_outermost, outcome)
        })
    }
}

impl fmt::Display for InvalidRateRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the rule {:?}: {}", self.rule, self.why)
    }
}

impl std::error::Error for InvalidRateRule {}

impl fmt::Debug for RateRules {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let policies = self.rules.iter().map(|rule| &rule.limit.0.policy);
        f.debug_list().entries(policies).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(text: &[(&str, &str)]) -> RateRules {
        RateRules::parse(text.iter().copied(), &Key::Ip).unwrap()
    }

    #[test]
    fn nothing_stands_before_a_route_that_no_rule_fits() {
        let rules = rules(&[("POST /api/session", "10/60s"), ("GET /files/*", "1/s")]);
        let stands = |method: Method, route: &str| {
            let middleware = rules.middleware_for(Some(&method), Some(route));
            middleware.is_some()
        };
        assert!(stands(Method::POST, "/api/session"));
        assert!(stands(Method::POST, "/api/{resource}"));
        assert!(stands(Method::GET, "/files/{*path}"));
        assert!(stands(Method::HEAD, "/files/a"));
        for (method, route) in [
            (Method::GET, "/api/session"),
            (Method::POST, "/api/users"),
            (Method::POST, "/files/{*path}"),
            (Method::GET, "/"),
        ] {
            assert!(!stands(method, route), "{route}");
        }
        assert!(
            rules.middleware_for(None, None).is_some(),
            "what has no route"
        );
        assert!(RateRules::default().middleware_for(None, None).is_none());
    }

    #[test]
    fn what_operators_watch_is_exempt() {
        let rules = rules(&[("/*", "1/s")]);
        let get = Some(&Method::GET);
        for route in ["/metrics", "/health", "/health/live"] {
            assert!(rules.middleware_for(get, Some(route)).is_none(), "{route}");
        }
        assert!(rules.middleware_for(get, Some("/healthy")).is_some());
    }

    #[test]
    fn an_encoded_path_does_not_get_around_a_rule() {
        let rules = rules(&[("/static/private/*", "1/s")]);
        for path in [
            "/static/private/a",
            "/static/%70rivate/a",
            "/static/private%2Fa",
        ] {
            assert!(rules.rules[0].fits_path(path), "{path}");
        }
        assert!(!rules.rules[0].fits_path("/static/%71rivate/a"));
    }

    #[test]
    fn keys_are_read_and_shown_alike() {
        for text in ["ip", "session", "header:x-api-key"] {
            assert_eq!(Key::parse(text).unwrap().to_string(), text);
        }
        for text in ["", "header", "header:", "header:a b", "ip:4", "IP"] {
            assert!(Key::parse(text).is_err(), "{text}");
        }
    }
}
