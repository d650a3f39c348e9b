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
use corelane::internals::metrics::RECENT_MS;
use corelane::metrics::{RecentFailures, RecentFaults};
use corelane::redis::{Redis, RedisFault};
use corelane::{App, Ctx, Error, Feed, Response, ShardsHealth, engine};

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

/// Adds the three routes. Without a [`Store`] as state nothing is said of a
/// database.
#[must_use]
pub fn install(app: App, options: &HealthOptions) -> App {
    let timeout = Duration::from_millis(options.store_timeout_ms);
    app.get("/health", move |ctx| health(ctx, timeout))
        .get("/health/live", live)
        .get("/health/ready", move |ctx| ready(ctx, timeout))
}

/// The chapter's document: 200 when the database answers, and a shard beside that
/// of the admin listener, else 503. `WARN` is 200 too: Redis does not answer this
/// shard, the change feed is cut, a table is locked, no writes are taken, a shard is
/// stuck, requests were refused lately for no fault of theirs, or lines of the access
/// log were lost.
async fn health(ctx: Ctx, timeout: Duration) -> Result<Response, Error> {
    // Asked now, answered while the others are.
    let shards = ctx.shards_health();
    let connected = database_answers(&ctx, timeout).await;
    let redis = match ctx.redis() {
        Some(redis) => Some(answers(&redis).await),
        None => None,
    };
    let is_told = ctx.feed().is_none_or(Feed::is_running);
    let ShardsHealth { stuck, faults } = shards.await;
    let mut warnings = Vec::new();
    warnings.extend(ctx.find_state::<Store>().and_then(|store| store.warning()));
    if !is_told {
        warnings.push(UNTOLD.to_owned());
    }
    let outage = ctx.redis().and_then(|redis| redis.outage());
    warnings.extend(outage.map(|why| format!("Redis is not there: {why}")));
    if !stuck.is_empty() {
        warnings.push(stuck_warning(&stuck));
    }
    warnings.extend(fault_warnings(&faults));
    // What answers here is no shard of theirs, if it is the admin listener's.
    let well = connected != Some(false) && stuck.len() < ctx.shard().count;
    let document = Health {
        uptime: ctx.uptime_ms() as f64 / 1e3,
        timestamp: clock::unix_ms(),
        status: match (well, redis) {
            (false, _) => "ERROR",
            (true, Some(false)) => "WARN",
            (true, _) if !warnings.is_empty() => "WARN",
            (true, _) => "OK",
        },
        database: connected.map(|is| if is { "OK" } else { "ERROR" }),
        redis: redis.map(connection),
        warning: (!warnings.is_empty()).then(|| warnings.join("; ")),
        stuck_shards: stuck,
    };
    answer(well, &document)
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

pub(super) fn stuck_warning(stuck: &[usize]) -> String {
    let stuck: Vec<String> = stuck.iter().map(usize::to_string).collect();
    let (shards, do_not) = match stuck.len() {
        1 => ("shard", "does not"),
        _ => ("shards", "do not"),
    };
    format!(
        "{shards} {} {do_not} answer: something blocks the thread, or the shard is being restarted",
        stuck.join(", ")
    )
}

/// One for each route and kind of refusal, and for what the log has lost.
fn fault_warnings(faults: &RecentFaults) -> Vec<String> {
    let failures = faults.failures.iter();
    let mut warnings: Vec<String> = failures.filter_map(failure_warning).collect();
    if faults.log_lines_lost > 0 {
        warnings.push(format!(
            "{} lines of the access log were lost lately: its disk is full, its reader is gone, or \
             it cannot keep up",
            faults.log_lines_lost
        ));
    }
    warnings
}

/// Reads are told of while they are recent; a write may be rare, and is told of
/// until one has gone well again.
fn failure_warning(failures: &RecentFailures) -> Option<String> {
    let route = &failures.route;
    let (status, blame) = (failures.status, failures.blame.name());
    let because = match status {
        507 => "no room on the disk",
        _ => blame,
    };
    let is_read = matches!(&*route.method, "GET" | "HEAD" | "OPTIONS" | "*");
    match failures.in_a_row.filter(|_| !is_read) {
        Some(in_a_row) => Some(format!(
            "every {route} fails, {in_a_row} in a row: {status} ({because})"
        )),
        None if failures.count > 0 => Some(format!(
            "{route} was answered {status} ({because}) {} times in the last {} s",
            failures.count,
            RECENT_MS / 1_000
        )),
        None => None,
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
    if database_answers(&ctx, timeout).await != Some(false) {
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
    #[serde(skip_serializing_if = "Option::is_none")]
    database: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    redis: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    warning: Option<String>,
    /// Shards that gave no sign of life.
    #[serde(rename = "stuckShards", skip_serializing_if = "Vec::is_empty")]
    stuck_shards: Vec<usize>,
}

/// While the change feed is cut.
const UNTOLD: &str =
    "changes made elsewhere are not told now: nothing is served from the caches until they are";

#[derive(Debug, Serialize)]
struct Probe {
    status: &'static str,
}

/// `None` without a database.
async fn database_answers(ctx: &Ctx, timeout: Duration) -> Option<bool> {
    let store = ctx.find_state::<Store>()?;
    Some(answers_within(timeout, store.ping()).await)
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
            database: Some("OK"),
            redis: None,
            warning: None,
            stuck_shards: Vec::new(),
        };
        let response = answer(true, &health).unwrap();
        let json: serde_json::Value =
            serde_json::from_slice(response.body().as_bytes().unwrap()).unwrap();
        let expected = serde_json::json!({
            "uptime": 1.5, "timestamp": 1_700_000_000_000_i64,
            "status": "OK", "database": "OK",
        });
        assert_eq!(json, expected);
    }
}
