//! A cache of whole answers in Redis, around routes: all nodes have it
//! together, and it outlives them.
//!
//! A request is looked up under its URL (`stored`); what the handler answers
//! instead is put there by `put` while the client has its answer already.
//! Nothing invalidates an answer but its time to live. Without Redis, or while
//! it is away or slow, the handler answers.

mod counts;
mod put;
mod seek;

use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use http::{HeaderValue, Method, header};

use crate::Error;
use crate::app::{ConditionFields, Ctx, Middleware, Next, PreparedResponse, Response, X_CACHE};
use crate::redis_codec::{RequestRules, StoredAnswer};
use crate::semantics::{Verdict, evaluate};

pub(crate) use counts::AnswerCounts;

use put::RequestCopy;
use seek::AnswerLookup;

/// Middleware that keeps a route's answers in the app's Redis
/// ([`App::redis`](crate::App::redis)).
///
/// Kept are answers to GET: 200, and 301, 404 and 410 that say for how long;
/// never those with `Set-Cookie`, `Cache-Control: no-store`, `private` or
/// `no-cache`, or `Vary: *`, nor streams. HEAD is answered from them too.
/// Requests that say who asks, by `Authorization` or `Cookie`, have a part in it
/// only where the answer says `public`, or with [`personal`](Self::personal).
///
/// The key is the scheme, the host, the path and the query with its pairs sorted
/// by name, and the request's fields that `Vary` names. A GET with a body has no
/// part in it. Any spelling of the
/// percent-encoding is the same key.
///
/// ```
/// use corelane::{App, RedisCache, Response, Route};
/// use http::Method;
///
/// let report = Route::new(Method::GET, "/report", async |_| Ok(Response::text("slow\n")))
///     .middleware(RedisCache::new("reports").ttl_ms(60_000));
/// let app = App::new()
///     .redis(corelane::redis::RedisOptions::new("redis://127.0.0.1"))
///     .route(report);
/// # app.check().unwrap();
/// ```
#[derive(Debug, Clone)]
pub struct RedisCache {
    plan: Arc<AnswerPlan>,
}

#[derive(Debug, Clone)]
struct AnswerPlan {
    name: String,
    key_prefix: String,
    ttl_ms: u64,
    bytes_max: usize,
    personal: bool,
}

impl RedisCache {
    /// A cache of this name, which is in its keys and in the metrics. Answers
    /// are kept for a minute.
    #[must_use]
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            plan: Arc::new(AnswerPlan {
                name: name.into(),
                key_prefix: "corelane".to_owned(),
                ttl_ms: 60_000,
                bytes_max: 256 * 1024,
                personal: false,
            }),
        }
    }

    /// How long answers are kept, milliseconds; one that says less
    /// (`s-maxage`, `max-age`) is kept for less.
    #[must_use]
    pub fn ttl_ms(mut self, ttl_ms: u64) -> Self {
        self.change().ttl_ms = ttl_ms;
        self
    }

    /// Longest body that is kept, bytes. Default 256 KiB.
    #[must_use]
    pub fn bytes_max(mut self, bytes_max: usize) -> Self {
        self.change().bytes_max = bytes_max;
        self
    }

    /// What its keys in Redis start with. Default `corelane`; another for each
    /// app that shares a Redis.
    #[must_use]
    pub fn key_prefix(mut self, prefix: impl Into<String>) -> Self {
        self.change().key_prefix = prefix.into();
        self
    }

    /// Also requests with `Authorization` or `Cookie` are answered from it, and
    /// their answers kept for everybody: for routes that look at neither.
    #[must_use]
    pub fn personal(mut self, also: bool) -> Self {
        self.change().personal = also;
        self
    }

    fn change(&mut self) -> &mut AnswerPlan {
        Arc::make_mut(&mut self.plan)
    }
}

impl Middleware for RedisCache {
    fn call(&self, ctx: Ctx, next: Next) -> Pin<Box<dyn Future<Output = Result<Response, Error>>>> {
        let plan = self.plan.clone();
        Box::pin(async move { plan.answer(ctx, next).await })
    }
}

fn counts_of(ctx: &Ctx) -> Rc<AnswerCounts> {
    ctx.part().expect("a part of every shard")
}

impl AnswerPlan {
    async fn answer(self: Arc<Self>, ctx: Ctx, next: Next) -> Result<Response, Error> {
        let is_read = matches!(*ctx.method(), Method::GET | Method::HEAD);
        let Some(redis) = ctx.redis().filter(|_| is_read) else {
            return next.run(ctx).await;
        };
        let counts = counts_of(&ctx);
        let rules = RequestRules::of(ctx.headers());
        if rules.is_bypass {
            counts.count(&self.name, |counters| counters.bypasses += 1);
            return Ok(said(next.run(ctx).await?, MISS, BYPASS));
        }
        let base = self.key_of(&ctx);
        let looked = match rules.revalidates {
            true => AnswerLookup::Miss(REQUEST),
            false => self.seek(&ctx, &redis, &base, &rules).await,
        };
        let why = match looked {
            AnswerLookup::Hit(answer) => {
                if let Some(response) = self.hit(&ctx, answer)? {
                    counts.count(&self.name, |counters| counters.hits += 1);
                    return Ok(response);
                }
                counts.count(&self.name, |counters| counters.garbage += 1);
                URI_MISS
            }
            AnswerLookup::Miss(why) => why,
            AnswerLookup::Bypass => {
                counts.count(&self.name, |counters| counters.bypasses += 1);
                return Ok(said(next.run(ctx).await?, MISS, BYPASS));
            }
        };
        counts.count(&self.name, |counters| counters.misses += 1);
        let copy = RequestCopy::of(&ctx);
        let response = next.run(ctx).await?;
        let is_put = self.put(&counts, redis, base, &rules, &copy, &response);
        let status = if is_put { why.stored } else { why.only };
        Ok(said(copy.judge(response)?, MISS, status))
    }

    /// `None` when it is no answer that could have been kept.
    fn hit(&self, ctx: &Ctx, answer: StoredAnswer) -> Result<Option<Response>, Error> {
        let now_unix_ms = unix_ms();
        let answer_age_ms = answer.age_ms(now_unix_ms);
        let (age_s, ttl_s) = (answer_age_ms / 1_000, answer.left_ms(now_unix_ms) / 1_000);
        let mut response = Response::new(answer.status).replace_body(answer.body);
        for (name, value) in answer.headers {
            response.append_header(name, value);
        }
        let Ok(prepared) = PreparedResponse::new(response) else {
            return Ok(None);
        };
        let kept_ms = now_unix_ms.saturating_sub(answer_age_ms) as i64;
        let prepared = prepared.kept_since(kept_ms);
        let mut response = ctx.respond_conditionally(Rc::new(prepared))?;
        response.insert_header(header::AGE, HeaderValue::from(age_s));
        let status = format!("{CACHE}; hit; ttl={ttl_s}");
        Ok(Some(said_value(
            response,
            HIT,
            HeaderValue::try_from(status)?,
        )))
    }
}

impl RequestCopy {
    /// A whole answer to a client whose copy is still good is 304.
    fn judge(&self, response: Response) -> Result<Response, Error> {
        if !self.has_conditions() || !response.status().is_success() {
            return Ok(response);
        }
        let fields = ConditionFields::of_lines(|name| self.header_all(name));
        match PreparedResponse::new(response) {
            Ok(prepared) => {
                let current = prepared.validators();
                match evaluate(true, &fields.conditions(), Some(current)) {
                    Verdict::NotModified => {
                        Ok(Response::prepared_not_modified(Rc::new(prepared).into()))
                    }
                    // Whether it goes on is the handler's affair.
                    _ => Ok(Response::prepared(Rc::new(prepared))),
                }
            }
            Err(response) => Ok(response),
        }
    }
}

/// Why a request was handed on (RFC 9211 section 2.2), with and without its
/// answer having been stored.
#[derive(Debug, Clone, Copy)]
struct Why {
    only: &'static str,
    stored: &'static str,
}

/// The member of `Cache-Status` that is this cache's.
const CACHE: &str = "corelane-redis";
const URI_MISS: Why = Why {
    only: "corelane-redis; fwd=uri-miss",
    stored: "corelane-redis; fwd=uri-miss; stored",
};
const VARY_MISS: Why = Why {
    only: "corelane-redis; fwd=vary-miss",
    stored: "corelane-redis; fwd=vary-miss; stored",
};
const REQUEST: Why = Why {
    only: "corelane-redis; fwd=request",
    stored: "corelane-redis; fwd=request; stored",
};
const BYPASS: &str = "corelane-redis; fwd=bypass";

const HIT: HeaderValue = HeaderValue::from_static("HIT");
const MISS: HeaderValue = HeaderValue::from_static("MISS");

fn said(response: Response, x_cache: HeaderValue, status: &'static str) -> Response {
    said_value(response, x_cache, HeaderValue::from_static(status))
}

/// A cache behind this one has said its part before (RFC 9211 section 2).
fn said_value(mut response: Response, x_cache: HeaderValue, status: HeaderValue) -> Response {
    response.insert_header(X_CACHE, x_cache);
    response.append_header(header::CACHE_STATUS, status);
    response
}

fn unix_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| since.as_millis() as u64)
}
