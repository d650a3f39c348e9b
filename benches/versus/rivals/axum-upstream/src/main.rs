//! What corelane's clients of PostgreSQL and Redis are measured against: axum
//! on one tokio current-thread runtime, deadpool-postgres, bb8-redis.
//!
//! Usage: `axum-upstream PORT CPU DATABASE_URL REDIS_URL POOL`. Fair: the same
//! statement, prepared once per connection; the same headers and body; the same
//! GCRA script; NODELAY; pools as large as corelane's. Unfair to corelane: no
//! limits, deadlines, metrics, log or circuit breaker, no conditional requests.

use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use axum::extract::{Path, Request, State};
use axum::http::{StatusCode, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use bb8_redis::RedisConnectionManager;
use serde::Serialize;

struct World {
    postgres: deadpool_postgres::Pool,
    redis: bb8::Pool<RedisConnectionManager>,
    gcra: redis::Script,
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [port, cpu, database, redis, pool] = arguments.as_slice() else {
        panic!("usage: axum-upstream PORT CPU DATABASE_URL REDIS_URL POOL");
    };
    let mut cpus = rustix::thread::CpuSet::new();
    cpus.set(cpu.parse().expect("a CPU"));
    rustix::thread::sched_setaffinity(None, &cpus).expect("pinned");
    let port: u16 = port.parse().expect("a port");
    let pool: usize = pool.parse().expect("a pool size");
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    runtime.block_on(serve(port, database, redis, pool));
}

async fn serve(port: u16, database: &str, redis: &str, pool: usize) {
    let manager = deadpool_postgres::Manager::from_config(
        database.parse().expect("a database URL"),
        tokio_postgres::NoTls,
        deadpool_postgres::ManagerConfig {
            recycling_method: deadpool_postgres::RecyclingMethod::Fast,
        },
    );
    let postgres = deadpool_postgres::Pool::builder(manager)
        .max_size(pool)
        .build()
        .expect("a pool");
    let manager = RedisConnectionManager::new(redis).expect("a Redis URL");
    let redis = bb8::Pool::builder()
        .max_size(pool as u32)
        .build(manager)
        .await
        .expect("a pool");
    let world = Arc::new(World {
        postgres,
        redis,
        gcra: redis::Script::new(GCRA),
    });
    let limited = Router::new()
        .route("/limited", get(async || "Hello\n"))
        .layer(from_fn_with_state(world.clone(), limit));
    let app = Router::new()
        .route("/api/users/{id}", get(user))
        .route("/l2/users/{id}", get(cached_user))
        .merge(limited)
        .with_state(world);
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", port))
        .await
        .expect("the port");
    println!("listening on http://127.0.0.1:{port}");
    use axum::serve::ListenerExt;
    let listener = listener.tap_io(|stream| drop(stream.set_nodelay(true)));
    axum::serve(listener, app).await.expect("it serves");
}

#[derive(Serialize)]
struct User {
    id: i64,
    name: String,
    email: String,
    age: i64,
    location: Option<Location>,
    created_at: String,
    updated_at: String,
    version: i64,
}

#[derive(Serialize)]
struct Location {
    lat: f64,
    lon: f64,
}

async fn user(State(world): State<Arc<World>>, Path(id): Path<i64>) -> Response {
    match load(&world, id).await {
        Ok(Some((user, updated_at_ms))) => {
            let headers = [
                (header::ETAG, format!("\"{}-{}\"", user.id, user.version)),
                (header::LAST_MODIFIED, httpdate::fmt_http_date(at(updated_at_ms))),
                (header::CACHE_CONTROL, "private, no-cache".to_owned()),
                (header::SERVER, "axum".to_owned()),
            ];
            (headers, Json(user)).into_response()
        }
        Ok(None) => StatusCode::NOT_FOUND.into_response(),
        Err(_) => StatusCode::SERVICE_UNAVAILABLE.into_response(),
    }
}

async fn load(
    world: &World,
    id: i64,
) -> Result<Option<(User, i64)>, Box<dyn std::error::Error + Send + Sync>> {
    let client = world.postgres.get().await?;
    let statement = client.prepare_cached(USER_BY_ID).await?;
    let Some(row) = client.query_opt(&statement, &[&id]).await? else {
        return Ok(None);
    };
    let (lat, lon): (Option<f64>, Option<f64>) = (row.get(4), row.get(5));
    let (created_at_ms, updated_at_ms): (i64, i64) = (row.get(6), row.get(7));
    let user = User {
        id: row.get(0),
        name: row.get(1),
        email: row.get(2),
        age: i64::from(row.get::<_, i32>(3)),
        location: lat.zip(lon).map(|(lat, lon)| Location { lat, lon }),
        created_at: rfc3339(created_at_ms),
        updated_at: rfc3339(updated_at_ms),
        version: row.get(8),
    };
    Ok(Some((user, updated_at_ms)))
}

const USER_BY_ID: &str = "SELECT id, name, email, age::int4, lat, lon, created_at_ms, \
     updated_at_ms, version FROM users WHERE id = $1";

/// A cached answer out of Redis, as a body kept under its key.
async fn cached_user(State(world): State<Arc<World>>, Path(id): Path<i64>) -> Response {
    let body: Option<Vec<u8>> = match world.redis.get().await {
        Ok(mut connection) => {
            let mut get = redis::cmd("GET");
            get.arg(format!("bench:users:{id}"));
            get.query_async(&mut *connection).await.unwrap_or(None)
        }
        Err(_) => None,
    };
    match body {
        Some(body) => ([(header::CONTENT_TYPE, "application/json")], body).into_response(),
        None => StatusCode::NOT_FOUND.into_response(),
    }
}

async fn limit(State(world): State<Arc<World>>, request: Request, next: Next) -> Response {
    let verdict: Result<(i64, i64, i64), _> = match world.redis.get().await {
        Ok(mut connection) => {
            world
                .gcra
                .key("bench:limit:127.0.0.1")
                .arg(1_000_000_000_i64)
                .arg(60_000_000_i64)
                .invoke_async(&mut *connection)
                .await
        }
        Err(_) => return next.run(request).await,
    };
    match verdict {
        Ok((0, _, retry_us)) => {
            let after = retry_us.div_euclid(1_000_000) + 1;
            let headers = [(header::RETRY_AFTER, after.to_string())];
            (StatusCode::TOO_MANY_REQUESTS, headers).into_response()
        }
        Ok((_, remaining, reset_us)) => {
            let mut response = next.run(request).await;
            let headers = response.headers_mut();
            let policy = "\"default\";q=1000000000;w=60";
            headers.insert("ratelimit-policy", policy.parse().expect("a header"));
            let limit = format!("\"default\";r={remaining};t={}", reset_us.div_euclid(1_000_000));
            headers.insert("ratelimit", limit.parse().expect("a header"));
            response
        }
        Err(_) => next.run(request).await,
    }
}

/// GCRA: the theoretical arrival time in microseconds under the key.
const GCRA: &str = "\
local t = redis.call('TIME')
local now = t[1] * 1000000 + t[2]
local limit, window = tonumber(ARGV[1]), tonumber(ARGV[2])
local interval = window / limit
local tat = math.max(tonumber(redis.call('GET', KEYS[1]) or now), now)
local allow_at = tat + interval - window
if allow_at > now then return {0, 0, math.ceil(allow_at - now)} end
tat = tat + interval
redis.call('SET', KEYS[1], tat, 'PX', math.ceil((tat - now) / 1000) + 1)
return {1, math.floor((now - allow_at) / interval), math.ceil(tat - now)}
";

fn at(unix_ms: i64) -> std::time::SystemTime {
    UNIX_EPOCH + Duration::from_millis(unix_ms.unsigned_abs())
}

/// RFC 3339 in UTC with milliseconds (days to civil date: Howard Hinnant).
fn rfc3339(unix_ms: i64) -> String {
    let (days, ms) = (unix_ms.div_euclid(86_400_000), unix_ms.rem_euclid(86_400_000));
    let z = days + 719_468;
    let (era, doe) = (z.div_euclid(146_097), z.rem_euclid(146_097));
    let yoe = (doe - doe / 1_460 + doe / 36_524 - doe / 146_096) / 365;
    let doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    let mp = (5 * doy + 2) / 153;
    let (d, m) = (doy - (153 * mp + 2) / 5 + 1, if mp < 10 { mp + 3 } else { mp - 9 });
    let y = yoe + era * 400 + i64::from(m <= 2);
    let (h, mi, s) = (ms / 3_600_000, ms / 60_000 % 60, ms / 1_000 % 60);
    format!("{y:04}-{m:02}-{d:02}T{h:02}:{mi:02}:{s:02}.{:03}Z", ms % 1_000)
}
