//! `/health`, `/health/live` and `/health/ready`.
//!
//! `/health` is the chapter's document and tells whether the database answers;
//! Redis, if there is one, is worth a warning, and so is that nobody tells of
//! changes made elsewhere: the server works without.
//! A load balancer asks `/health/ready`, an orchestrator that restarts hung
//! processes `/health/live`. None may be cached.

use std::future::Future;
use std::time::Duration;

use http::{HeaderValue, StatusCode, header};
use serde::Serialize;

use crate::store::{Store, StoreError};
use corelane::internals::clock;
use corelane::redis::{Redis, RedisFault};
use corelane::{App, Ctx, Error, Feed, Response, engine};

/// Options of the health endpoints.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HealthOptions {
    /// How long the database may take to answer before it counts as
    /// disconnected, milliseconds. Default 1,000; keep it below the prober's
    /// own timeout.
    pub store_timeout_ms: u64,
}

impl Default for HealthOptions {
    fn default() -> Self {
        Self {
            store_timeout_ms: 1_000,
        }
    }
}

/// Adds the three routes. The app must have a [`Store`] as state.
#[must_use]
pub fn install(app: App, options: &HealthOptions) -> App {
    let timeout = Duration::from_millis(options.store_timeout_ms);
    app.get("/health", move |ctx| health(ctx, timeout))
        .get("/health/live", live)
        .get("/health/ready", move |ctx| ready(ctx, timeout))
}

/// The chapter's document: 200 when the database answers, else 503. `WARN` is
/// 200 too: Redis does not answer this shard, the change feed is cut, a table is
/// locked, or no writes are taken.
async fn health(ctx: Ctx, timeout: Duration) -> Result<Response, Error> {
    let store = ctx.state::<Store>();
    let connected = answers_within(timeout, store.ping()).await;
    let redis = match ctx.redis() {
        Some(redis) => Some(answers(&redis).await),
        None => None,
    };
    let is_told = ctx.feed().is_none_or(Feed::is_running);
    let unwell = |redis: Redis| {
        redis
            .outage()
            .map(|why| format!("Redis is not there: {why}"))
    };
    let warning = (!is_told).then(|| UNTOLD.to_owned());
    let warning = store.warning().or(warning).or_else(|| unwell(ctx.redis()?));
    let document = Health {
        uptime: ctx.uptime_ms() as f64 / 1e3,
        timestamp: clock::unix_ms(),
        status: match (connected, redis) {
            (false, _) => "ERROR",
            (true, Some(false)) => "WARN",
            (true, _) if warning.is_some() => "WARN",
            (true, _) => "OK",
        },
        database: connection(connected),
        redis: redis.map(connection),
        warning,
    };
    answer(connected, &document)
}

/// Within the deadline of a command. Who may not ping is answered as well.
async fn answers(redis: &Redis) -> bool {
    let answer = redis.run::<()>(&::redis::cmd("PING")).await;
    matches!(answer, Ok(()) | Err(RedisFault::Refused(_)))
}

fn connection(is_there: bool) -> &'static str {
    match is_there {
        true => "connected",
        false => "disconnected",
    }
}

/// The process takes requests and its shard turns: that this runs shows it.
pub(super) async fn live(_ctx: Ctx) -> Result<Response, Error> {
    answer(true, &Probe { status: "live" })
}

/// Whether to send requests here: not while the server drains, and not while
/// the database does not answer.
async fn ready(ctx: Ctx, timeout: Duration) -> Result<Response, Error> {
    if ctx.is_draining() {
        return answer(false, &Probe { status: "draining" });
    }
    let store = ctx.state::<Store>();
    if answers_within(timeout, store.ping()).await {
        answer(true, &Probe { status: "ready" })
    } else {
        answer(
            false,
            &Probe {
                status: "database disconnected",
            },
        )
    }
}

#[derive(Debug, Serialize)]
struct Health {
    /// Seconds since the server started.
    uptime: f64,
    /// Milliseconds since the Unix epoch.
    timestamp: i64,
    status: &'static str,
    database: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    redis: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    warning: Option<String>,
}

/// While the change feed is cut.
const UNTOLD: &str =
    "changes made elsewhere are not told now: nothing is served from the caches until they are";

#[derive(Debug, Serialize)]
struct Probe {
    status: &'static str,
}

async fn answers_within(
    timeout: Duration,
    ping: impl Future<Output = Result<(), StoreError>>,
) -> bool {
    matches!(engine::timeout(timeout, ping).await, Ok(Ok(())))
}

fn answer(well: bool, document: &impl Serialize) -> Result<Response, Error> {
    let mut response = Response::json(document)?;
    response.insert_header(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if !well {
        response = response.with_status(StatusCode::SERVICE_UNAVAILABLE);
        response.insert_header(header::RETRY_AFTER, HeaderValue::from(RETRY_AFTER_S));
    }
    Ok(response)
}

/// When to ask again; a database that restarts is back in about that time.
const RETRY_AFTER_S: u32 = 5;

#[cfg(test)]
mod tests {
    use super::*;
    use corelane::internals::engine::{BlockingPool, EngineKind, EngineOptions, Runtime};

    /// Runs on epoll, which is there wherever the tests run.
    fn on_shard<T>(future: impl Future<Output = T>) -> T {
        let options = EngineOptions {
            kind: EngineKind::Epoll,
            ring_entries: 256,
        };
        let pool = BlockingPool::start(1).unwrap();
        Runtime::build(&options, pool).unwrap().block_on(future)
    }

    #[test]
    fn a_store_that_answers_late_or_badly_is_disconnected() {
        let short = Duration::from_millis(20);
        let (well, failing, hanging) = on_shard(async move {
            (
                answers_within(short, async { Ok(()) }).await,
                answers_within(short, async { Err(StoreError::Busy) }).await,
                answers_within(short, std::future::pending()).await,
            )
        });
        assert_eq!((well, failing, hanging), (true, false, false));
    }

    #[test]
    fn sickness_is_503_with_retry_after_and_nothing_is_stored() {
        let sick = answer(false, &Probe { status: "draining" }).unwrap();
        assert_eq!(sick.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(sick.header_value(&header::RETRY_AFTER).unwrap(), "5");
        let well = answer(true, &Probe { status: "ready" }).unwrap();
        assert_eq!(well.status(), StatusCode::OK);
        assert!(well.header_value(&header::RETRY_AFTER).is_none());
        for response in [sick, well] {
            assert_eq!(
                response.header_value(&header::CACHE_CONTROL).unwrap(),
                "no-store"
            );
        }
    }

    #[test]
    fn the_document_has_the_chapters_keys() {
        let health = Health {
            uptime: 1.5,
            timestamp: 1_700_000_000_000,
            status: "OK",
            database: "connected",
            redis: None,
            warning: None,
        };
        let response = answer(true, &health).unwrap();
        let json: serde_json::Value =
            serde_json::from_slice(response.body().as_bytes().unwrap()).unwrap();
        let expected = serde_json::json!({
            "uptime": 1.5, "timestamp": 1_700_000_000_000_i64,
            "status": "OK", "database": "connected",
        });
        assert_eq!(json, expected);
    }
}
