//! Rate limits as an operator gives them: rules by method and path.

use corelane::middleware::RateRules;
use corelane::middleware::rate_limit::{InvalidRateRule, Key};

/// What is limited, and who counts as one client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RateLimitOptions {
    /// For rules that do not say.
    pub by: Key,
    /// The rules as they were written; an empty one is off.
    pub rules: RuleTexts,
}

/// Rules and their limits, in the order written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuleTexts(pub Vec<(String, String)>);

/// Against guessing passwords.
const DEFAULT_RULES: &[(&str, &str)] = &[("POST /api/session", "10/60s")];

impl Default for RateLimitOptions {
    fn default() -> Self {
        Self {
            by: Key::Ip,
            rules: RuleTexts(defaults().collect()),
        }
    }
}

impl RateLimitOptions {
    /// Adds the default rules that were not given.
    pub(super) fn resolve(&mut self) {
        let RuleTexts(rules) = &mut self.rules;
        for (rule, limit) in defaults() {
            if !rules.iter().any(|(given, _)| *given == rule) {
                rules.push((rule, limit));
            }
        }
    }

    /// The rules that are on.
    ///
    /// # Errors
    /// The first that cannot be used.
    pub fn rules(&self) -> Result<RateRules, InvalidRateRule> {
        let RuleTexts(rules) = &self.rules;
        let rules = rules.iter().filter(|(_, limit)| !limit.is_empty());
        RateRules::parse(rules.map(|(rule, limit)| (&**rule, &**limit)), &self.by)
    }
}

fn defaults() -> impl Iterator<Item = (String, String)> {
    let owned = |(rule, limit): &(&str, &str)| ((*rule).to_owned(), (*limit).to_owned());
    DEFAULT_RULES.iter().map(owned)
}
