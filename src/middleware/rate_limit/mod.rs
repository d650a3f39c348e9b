//! Limits on how often a client may ask: middleware of a route or of a group,
//! and an app's rules by path (`rules`).
//!
//! In the life of a request: `key` says who counts, the shard's limiter judges,
//! `headers` gathers the verdicts of all limits on the way in and writes them
//! into the response on the way out. The check comes before the handler, and so
//! before any cache: a 304 and a hit count like everything else.

mod headers;
mod key;
mod rules;

use std::panic::Location;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

pub use key::{Key, RateLimitKey};
pub use rules::{InvalidRateRule, RateRules};

pub use crate::rate_limit::InvalidQuota;

use crate::Error;
use crate::app::{Ctx, Middleware, Next, Response};
use crate::limiter::LimiterRule;
use crate::limits::LIMITER_NAME_BYTES_MAX;
use crate::rate_limit::Quota;

pub(super) use headers::is_of_client;

use headers::AppliedLimits;
use key::KeySource;

/// A limit on how often each client may ask, as middleware of a
/// [`Route`](crate::Route::middleware) or of an [`App`](crate::App::middleware).
///
/// A client that was quiet may make `limit` requests at once ([`burst`](Self::burst)
/// changes that), then one every `window` / `limit`: never more than limit +
/// burst in any window. It is told so by `RateLimit` and `RateLimit-Policy`
/// (draft-ietf-httpapi-ratelimit-headers), and over it by 429 with
/// `Retry-After`. All shards count together, exactly, and with
/// [`App::redis`](crate::App::redis) all nodes; while the one that counts a
/// client does not answer, each shard lets its equal share through, and `RateLimit`
/// is left out.
///
/// A clone counts with the original: put one limit on several routes to limit
/// them together.
///
/// ```
/// use std::time::Duration;
///
/// use corelane::{App, Ctx, RateLimit, Response, Route};
/// use corelane::middleware::rate_limit::Key;
/// use http::{HeaderName, Method};
///
/// let by_key = Key::Header(HeaderName::from_static("x-api-key"));
/// let api = App::new()
///     .middleware(RateLimit::new(100, Duration::from_secs(60))?.by(by_key).name("api"))
///     .get("/time", async |ctx: Ctx| Ok(Response::text(format!("{}\n", ctx.now_ms()))));
/// let search = RateLimit::new(5, Duration::from_secs(1))?.burst(20)?;
/// let app = App::new()
///     .nest("/api", api)
///     .route(Route::new(Method::GET, "/search", async |_| Ok(Response::no_content())).middleware(search));
/// # app.check().unwrap();
/// # Ok::<(), corelane::middleware::rate_limit::InvalidQuota>(())
/// ```
#[derive(Clone)]
pub struct RateLimit(Arc<Limit>);

#[derive(Clone)]
struct Limit {
    rule: LimiterRule,
    /// Of the policy, as the field shows it.
    policy: String,
    by: KeySource,
    /// Where in the program it was made: the same on every node.
    place: String,
}

impl RateLimit {
    /// Lets each client make `limit` requests per `window`, by its address.
    ///
    /// # Errors
    /// [`InvalidQuota`]: a limit of 0; a window under a millisecond or over a
    /// year.
    #[track_caller]
    pub fn new(limit: u32, window: Duration) -> Result<Self, InvalidQuota> {
        let place = Location::caller();
        let quota = Quota::new(limit, window)?;
        let name = format!("{limit}/{}ms", window.as_millis());
        Ok(Self(Arc::new(Limit::new(
            name,
            place.to_string(),
            quota,
            KeySource::Key(Key::Ip),
        ))))
    }

    /// Lets through `burst` requests at once instead of `limit`.
    ///
    /// # Errors
    /// [`InvalidQuota`]: a burst of 0.
    pub fn burst(self, burst: u32) -> Result<Self, InvalidQuota> {
        let Limit {
            rule, place, by, ..
        } = Arc::unwrap_or_clone(self.0);
        let quota = rule.quota.with_burst(burst)?;
        let name = rule.name.to_string();
        Ok(Self(Arc::new(Limit::new(name, place, quota, by))))
    }

    /// Says who counts as one client. Default: [`Key::Ip`].
    #[must_use]
    pub fn by(self, key: Key) -> Self {
        self.with_source(KeySource::Key(key))
    }

    /// Has `key` say who counts as one client; `None` is the address.
    #[must_use]
    pub fn by_fn(self, key: impl Fn(&Ctx) -> Option<Vec<u8>> + Send + Sync + 'static) -> Self {
        self.with_source(KeySource::Function(Arc::new(key)))
    }

    /// Names it, for clients and for the metrics. Limits of the same name and
    /// quota count together wherever they are made; without names those that
    /// are made at the same place of the program do.
    ///
    /// # Panics
    /// When `name` is empty, longer than [`LIMITER_NAME_BYTES_MAX`] or not
    /// visible ASCII: a mistake of the program.
    #[must_use]
    pub fn name(self, name: &str) -> Self {
        let is_visible = |b: u8| (b' '..=b'~').contains(&b);
        assert!(
            (1..=LIMITER_NAME_BYTES_MAX).contains(&name.len()) && name.bytes().all(is_visible),
            "a rate limit's name is 1 to {LIMITER_NAME_BYTES_MAX} visible ASCII characters: {name:?}"
        );
        let Limit { rule, by, .. } = Arc::unwrap_or_clone(self.0);
        let place = String::new();
        Self(Arc::new(Limit::new(name.to_owned(), place, rule.quota, by)))
    }

    fn with_source(self, by: KeySource) -> Self {
        let limit = Arc::unwrap_or_clone(self.0);
        Self(Arc::new(Limit { by, ..limit }))
    }
}

impl Limit {
    fn new(name: String, place: String, quota: Quota, by: KeySource) -> Self {
        Self {
            rule: LimiterRule::new(&name, &place, quota),
            policy: headers::policy(&name, &quota),
            by,
            place,
        }
    }
}

impl Middleware for RateLimit {
    fn call(
        &self,
        mut ctx: Ctx,
        next: Next,
    ) -> Pin<Box<dyn Future<Output = Result<Response, Error>>>> {
        let limit = self.0.clone();
        Box::pin(async move {
            let (applied, is_outermost) = AppliedLimits::of(&mut ctx);
            let outcome = match check(&mut ctx, &limit, &applied).await {
                Ok(()) => next.run(ctx).await,
                Err(error) => Err(error),
            };
            applied.add_headers_if(is_outermost, outcome)
        })
    }
}

/// Judges the request by one limit.
///
/// # Errors
/// 429 when it is one too many.
async fn check(ctx: &mut Ctx, limit: &Limit, applied: &AppliedLimits) -> Result<(), Error> {
    #[cfg(feature = "sessions")]
    if limit.by.is_session() {
        ctx.identify_session().await;
    }
    let limiter = ctx.limiter();
    let key = limit.by.of(ctx, limiter.options().ipv6_prefix_bits);
    let judgement = limiter.check(&limit.rule, key.as_bytes()).await;
    applied.add(&limit.policy, &limit.rule, judgement);
    match judgement.verdict.is_allowed {
        true => Ok(()),
        false => Err(headers::too_many(&limit.rule, &judgement.verdict)),
    }
}

impl std::fmt::Debug for RateLimit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("RateLimit").field(&self.0.policy).finish()
    }
}
