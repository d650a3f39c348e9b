//! How a client stands with every limit it has met, and how it is told:
//! `RateLimit-Policy` and `RateLimit` (draft-ietf-httpapi-ratelimit-headers-09),
//! and 429 (RFC 6585 section 4).

use std::cell::RefCell;
use std::rc::Rc;

use http::{HeaderName, HeaderValue, StatusCode, header};

use crate::limiter::{Judgement, LimiterRule};
use crate::rate_limit::{Quota, QuotaVerdict};
use crate::{Ctx, Error, Response};

/// The limits a request has met so far, from the outermost on. Attached to its
/// context, so that inner ones find it.
#[derive(Clone, Default)]
pub(super) struct AppliedLimits(Rc<RefCell<Met>>);

#[derive(Default)]
struct Met {
    /// Of all limits, in order.
    policies: String,
    /// Of the limit that leaves least, among those whose own judge spoke.
    tightest: Option<(Rc<str>, QuotaVerdict)>,
}

impl AppliedLimits {
    /// Those of a request, and whether they begin here.
    pub(super) fn of(ctx: &mut Ctx) -> (Self, bool) {
        if let Some(applied) = ctx.attached::<Self>() {
            return (applied.clone(), false);
        }
        let applied = Self::default();
        ctx.attach(applied.clone());
        (applied, true)
    }

    pub(super) fn add(&self, policy: &str, rule: &LimiterRule, judgement: Judgement) {
        let mut met = self.0.borrow_mut();
        if !met.policies.is_empty() {
            met.policies.push_str(", ");
        }
        met.policies.push_str(policy);
        if !judgement.is_of_home {
            return;
        }
        let verdict = judgement.verdict;
        let leaves = |verdict: &QuotaVerdict| {
            let wait_ns = u64::MAX - verdict.retry_after_ns.max(verdict.reset_ns);
            (verdict.is_allowed, verdict.remaining, wait_ns)
        };
        let is_tighter = match &met.tightest {
            Some((_, tightest)) => leaves(&verdict) < leaves(tightest),
            None => true,
        };
        if is_tighter {
            met.tightest = Some((quoted(&rule.name).into(), verdict));
        }
    }

    /// Adds the fields to an answer, where they began.
    pub(super) fn add_headers_if(
        &self,
        is_outermost: bool,
        outcome: Result<Response, Error>,
    ) -> Result<Response, Error> {
        match is_outermost {
            true => self.add_headers(outcome),
            false => outcome,
        }
    }

    fn add_headers(&self, outcome: Result<Response, Error>) -> Result<Response, Error> {
        let mut met = self.0.borrow_mut();
        let policies = std::mem::take(&mut met.policies);
        if policies.is_empty() {
            return outcome;
        }
        // What nobody knows is not told.
        let remaining = met.tightest.take().map(|(name, verdict)| {
            let (remaining, reset_s) = (verdict.remaining, seconds(verdict.reset_ns));
            format!("{name};r={remaining};t={reset_s}")
        });
        let fields = [(RATE_LIMIT_POLICY, Some(policies)), (RATE_LIMIT, remaining)];
        // A name is visible ASCII, so every value is good.
        let fields = fields
            .into_iter()
            .filter_map(|(name, value)| Some((name, HeaderValue::try_from(value?).ok()?)));
        match outcome {
            Ok(mut response) => {
                fields.for_each(|(name, value)| response.append_header(name, value));
                Ok(response)
            }
            Err(error) => {
                Err(fields.fold(error, |error, (name, value)| error.with_header(name, value)))
            }
        }
    }
}

/// Whether a field tells one client of what it has left.
pub(crate) fn is_of_client(name: &HeaderName) -> bool {
    *name == RATE_LIMIT || *name == RATE_LIMIT_POLICY
}

/// One item of `RateLimit-Policy`.
pub(super) fn policy(name: &str, quota: &Quota) -> String {
    let window_s = quota.window().as_millis().div_ceil(1_000);
    let mut policy = format!("{};q={};w={window_s}", quoted(name), quota.limit());
    if quota.burst() != quota.limit() {
        // A parameter of ours; the draft has none for it.
        policy.push_str(&format!(";burst={}", quota.burst()));
    }
    policy
}

/// What a request too many is told.
pub(super) fn too_many(rule: &LimiterRule, verdict: &QuotaVerdict) -> Error {
    let wait_s = seconds(verdict.retry_after_ns).max(1);
    let (limit, window) = (rule.quota.limit(), rule.quota.window());
    let detail = format!("more than {limit} requests in {window:?}; try again in {wait_s} s");
    Error::new(StatusCode::TOO_MANY_REQUESTS, detail)
        .with_problem_type("urn:corelane:problem:too-many-requests")
        .with_header(header::RETRY_AFTER, HeaderValue::from(wait_s))
}

/// A string of structured fields (RFC 9651 section 3.3.3).
fn quoted(name: &str) -> String {
    let escaped = name.replace('\\', "\\\\").replace('"', "\\\"");
    format!("\"{escaped}\"")
}

/// Rounded up: nobody who waits that long comes too early.
fn seconds(ns: u64) -> u64 {
    ns.div_ceil(1_000_000_000)
}

const RATE_LIMIT: HeaderName = HeaderName::from_static("ratelimit");
const RATE_LIMIT_POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn times_are_in_whole_seconds_never_too_few() {
        for (ns, s) in [(0, 0), (1, 1), (1_000_000_000, 1), (1_000_000_001, 2)] {
            assert_eq!(seconds(ns), s);
        }
        assert!(seconds(u64::MAX) > 18_000_000_000);
        let quota = Quota::new(5, Duration::from_millis(1_500)).unwrap();
        assert_eq!(policy("a", &quota), "\"a\";q=5;w=2");
    }

    #[test]
    fn a_refusal_waits_a_second_at_least() {
        let quota = Quota::new(1_000, Duration::from_secs(1)).unwrap();
        let verdict = QuotaVerdict {
            is_allowed: false,
            remaining: 0,
            reset_ns: 5,
            retry_after_ns: 3,
        };
        let error = too_many(&LimiterRule::new("a", "", quota), &verdict);
        assert_eq!(error.headers()[0].1, "1");
        assert_eq!(error.status(), StatusCode::TOO_MANY_REQUESTS);
    }

    #[test]
    fn the_tightest_is_the_one_that_refuses_then_the_one_that_leaves_least() {
        let quota = Quota::new(10, Duration::from_secs(10)).unwrap();
        let verdict = |is_allowed, remaining, reset_ns| QuotaVerdict {
            is_allowed,
            remaining,
            reset_ns,
            retry_after_ns: 0,
        };
        let tightest = |verdicts: &[(&str, QuotaVerdict)]| {
            let applied = AppliedLimits::default();
            for (name, verdict) in verdicts {
                let judgement = Judgement {
                    verdict: *verdict,
                    is_of_home: true,
                };
                applied.add("", &LimiterRule::new(name, "", quota), judgement);
            }
            let met = applied.0.borrow();
            met.tightest.as_ref().unwrap().0.to_string()
        };
        let roomy = ("roomy", verdict(true, 9, 9));
        let (tight, slow) = (
            ("tight", verdict(true, 1, 1)),
            ("slow", verdict(true, 1, 2)),
        );
        let refused = ("refused", verdict(false, 1, 0));
        assert_eq!(tightest(&[roomy, tight]), "\"tight\"");
        assert_eq!(tightest(&[slow, tight, roomy]), "\"slow\"");
        assert_eq!(tightest(&[slow, refused]), "\"refused\"");
    }
}
