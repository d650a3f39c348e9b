//! What a request that has to ask PostgreSQL or Redis costs, against the same
//! endpoint written with axum, deadpool-postgres and bb8-redis on one tokio
//! current-thread runtime.
//!
//! `cargo bench --bench upstream -- [--rounds N] [--seconds N]
//! [--connections N] [--out DIR]`. The server has CPU 0; PostgreSQL, Redis and
//! wrk share CPU 1, so requests per second are often theirs: look at the CPU
//! per request. Contenders in turn, forwards and backwards.

mod support;

use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use corelane::internals::topology::EngineKind;
use corelane::middleware::rate_limit::Key;
use corelane::redis::RedisOptions;
use corelane::{App, Ctx, Error, RateLimit, RedisCache, Response, Route};
use corelane_server::handlers::cached::{ApiCacheOptions, RedisUse};
use corelane_server::handlers::{self, ApiOptions};
use corelane_server::store::{Database, SeedPlan, StoreOptions};
use http::Method;
use services::{Postgres, Redis};

use support::client::Client;
use support::{ServerProcess, Target, args, build_rival, corelane_with, free_port, run, spread};

const SERVER_CPU: usize = 0;
const LOAD_CPU: usize = 1;
/// Ids 1 to this many are asked for; `support/users.lua` has it too.
const USERS: u64 = 1_000;
/// Of each pool of the rival, and of corelane's to PostgreSQL.
const POOL: u32 = 16;
const LIMIT: u32 = 1_000_000_000;

const SERVERS: [&str; 3] = ["axum", "corelane-io_uring", "corelane-epoll"];
/// Name, path, whether an id follows.
const SCENARIOS: [(&str, &str, bool); 3] = [
    ("user by id from PostgreSQL", "/api/users", true),
    ("answer from Redis", "/l2/users", true),
    ("limiter check in Redis", "/limited", false),
];

struct Row {
    round: usize,
    server: usize,
    scenario: usize,
    requests_per_s: f64,
    cpu_us: f64,
    busy: f64,
}

fn main() {
    support::serve_app_if_asked(app);
    let rounds: usize = args::number("--rounds").unwrap_or(5);
    let seconds: u32 = args::number("--seconds").unwrap_or(4);
    let connections: u32 = args::number("--connections").unwrap_or(64);
    let rival = build_rival("axum-upstream");
    // What is started now stays on the load's CPU.
    let (postgres, redis) = on_cpu(LOAD_CPU, || (Postgres::start(), Redis::start()));
    seed(&postgres);
    let mut rows = Vec::new();
    for round in 0..rounds {
        let mut order: Vec<usize> = (0..SERVERS.len()).collect();
        if round % 2 == 1 {
            order.reverse();
        }
        for server in order {
            redis.cli(&["FLUSHALL"]);
            let process = start(server, &rival, &postgres, &redis);
            check_answers(&process, &redis);
            for (scenario, (name, ..)) in SCENARIOS.iter().enumerate() {
                let load = measure(&process, scenario, connections, seconds);
                let row = Row {
                    round,
                    server,
                    scenario,
                    ..load
                };
                eprintln!(
                    "round {round} {:18} {:27} {:8.0} requests/s {:7.3} CPU us/request, {:.0} % busy",
                    SERVERS[server],
                    name,
                    row.requests_per_s,
                    row.cpu_us,
                    row.busy * 100.0
                );
                rows.push(row);
            }
        }
    }
    run::report(
        "PostgreSQL and Redis",
        "upstream",
        &summarise(&rows),
        &raw_csv(&rows),
    );
}

/// Runs `work` on one CPU, where the processes it starts remain.
fn on_cpu<T>(cpu: usize, work: impl FnOnce() -> T) -> T {
    let all = rustix::thread::sched_getaffinity(None).expect("an affinity");
    let mut one = rustix::thread::CpuSet::new();
    one.set(cpu);
    rustix::thread::sched_setaffinity(None, &one).expect("pinned");
    let done = work();
    rustix::thread::sched_setaffinity(None, &all).expect("as before");
    done
}

fn seed(postgres: &Postgres) {
    let options = StoreOptions {
        url: postgres.url().parse().expect("an address"),
        ..StoreOptions::default()
    };
    let database = Database::open(&options).expect("a database");
    let plan = SeedPlan {
        users: USERS,
        posts: 0,
        ..SeedPlan::default()
    };
    database.seed(&plan, &mut |_, _| {}).expect("users");
    database.close();
    postgres.psql("VACUUM ANALYZE");
}

fn start(server: usize, rival: &Path, postgres: &Postgres, redis: &Redis) -> ServerProcess {
    let engine = match server {
        0 => {
            let port = free_port();
            let mut command = Command::new(rival);
            command.args([port.to_string(), SERVER_CPU.to_string()]);
            command.args([postgres.url(), redis.url(), POOL.to_string()]);
            return ServerProcess::start(command, port);
        }
        1 => EngineKind::IoUring,
        _ => EngineKind::Epoll,
    };
    let more = ["--database", &postgres.url(), "--redis", &redis.url()].map(str::to_owned);
    let more: Vec<&str> = more.iter().map(String::as_str).collect();
    corelane_with(engine, SERVER_CPU, &more)
}

/// The shipped API without its own cache, an answer kept in Redis, and a
/// limited constant.
fn app() -> App {
    let url = args::text("--database").expect("--database");
    let mut store = StoreOptions {
        url: url.parse().expect("an address"),
        ..StoreOptions::default()
    };
    store.database.pool_max = POOL;
    let database = Database::open(&store).expect("the database");
    let cache = ApiCacheOptions {
        ttl_ms: 0,
        redis: RedisUse::Off,
        ..ApiCacheOptions::default()
    };
    let options = ApiOptions {
        cache,
        ..ApiOptions::default()
    };
    let app = handlers::app(options, database).expect("good options");
    let redis = args::text("--redis").expect("--redis");
    let kept = RedisCache::new("bench").ttl_ms(3_600_000);
    let limit = RateLimit::new(LIMIT, Duration::from_secs(60)).expect("a quota");
    let hello = async |_: Ctx| Ok(Response::text("Hello\n"));
    app.redis(RedisOptions::new(redis))
        .route(Route::new(Method::GET, "/l2/users/{id}", body).middleware(kept))
        .route(Route::new(Method::GET, "/limited", hello).middleware(limit.by(Key::Ip)))
}

async fn body(ctx: Ctx) -> Result<Response, Error> {
    let id: u64 = ctx.param("id")?;
    Ok(Response::with_body("application/json", body_of(id)))
}

/// As long as a user.
fn body_of(id: u64) -> String {
    format!("{{\"id\":{id},\"name\":\"{}\"}}", "x".repeat(180))
}

/// Fills Redis, and looks that all answer alike.
fn check_answers(process: &ServerProcess, redis: &Redis) {
    let mut client = Client::connect(process.port);
    for id in 1..=USERS {
        redis_set(redis, id);
        let answer = client.ask(&format!("/l2/users/{id}"), None);
        assert_eq!(answer.body, body_of(id).as_bytes(), "{id}");
    }
    let user = client.ask("/api/users/7", None);
    let user: serde_json::Value = serde_json::from_slice(&user.body).expect("JSON");
    assert_eq!(user["id"], 7, "{user}");
    let limited = client.ask("/limited", None);
    assert_eq!(limited.body, b"Hello\n");
    assert!(limited.header("ratelimit").is_some());
}

/// Where the rival looks.
fn redis_set(redis: &Redis, id: u64) {
    use std::io::{Read, Write as _};
    let (key, body) = (format!("bench:users:{id}"), body_of(id));
    let mut stream = std::net::TcpStream::connect(("127.0.0.1", redis.port())).expect("Redis");
    let command = format!(
        "*3\r\n$3\r\nSET\r\n${}\r\n{key}\r\n${}\r\n{body}\r\n",
        key.len(),
        body.len()
    );
    stream.write_all(command.as_bytes()).expect("sent");
    let mut answer = [0; 5];
    stream.read_exact(&mut answer).expect("an answer");
    assert_eq!(&answer, b"+OK\r\n");
}

fn measure(process: &ServerProcess, scenario: usize, connections: u32, seconds: u32) -> Row {
    let (name, path, has_id) = SCENARIOS[scenario];
    let target = Target {
        path: path.to_owned(),
        script: has_id.then_some("users.lua"),
        ..Target::default()
    };
    support::wrk_at(&target, process.port, LOAD_CPU, connections, 1);
    let before = process.cpu_ns();
    let load = support::wrk_at(&target, process.port, LOAD_CPU, connections, seconds);
    let cpu_ns = (process.cpu_ns() - before) as f64;
    assert_eq!(load.errors, 0, "{name} answered with errors");
    Row {
        round: 0,
        server: 0,
        scenario,
        requests_per_s: load.requests as f64 / load.seconds,
        cpu_us: cpu_ns / 1e3 / load.requests as f64,
        busy: cpu_ns / 1e9 / load.seconds,
    }
}

/// Medians with spread, and ratios to axum pair by pair (same round).
fn summarise(rows: &[Row]) -> String {
    let mut text = String::from(
        "| scenario | server | requests/s | CPU us/request (min..max) | \
         axum's CPU / its, by pairs (min..max) | server busy |\n\
         |---|---|---:|---:|---:|---:|\n",
    );
    for (scenario, (name, ..)) in SCENARIOS.iter().enumerate() {
        for (server, server_name) in SERVERS.iter().enumerate() {
            let of = |server: usize| -> Vec<&Row> {
                let mut of: Vec<&Row> = rows
                    .iter()
                    .filter(|row| row.server == server && row.scenario == scenario)
                    .collect();
                of.sort_by_key(|row| row.round);
                of
            };
            let own = of(server);
            let pairs = own.iter().zip(of(0));
            let ratios: Vec<f64> = pairs.map(|(row, axum)| axum.cpu_us / row.cpu_us).collect();
            let each =
                |value: fn(&Row) -> f64| own.iter().map(|row| value(row)).collect::<Vec<_>>();
            let (cpu, cpu_min, cpu_max) = spread(&each(|row| row.cpu_us));
            let (ratio, ratio_min, ratio_max) = spread(&ratios);
            let (rate, ..) = spread(&each(|row| row.requests_per_s));
            let (busy, ..) = spread(&each(|row| row.busy));
            // Writing to a String cannot fail.
            let _ = writeln!(
                text,
                "| {name} | {server_name} | {rate:.0} | {cpu:.2} ({cpu_min:.2}..{cpu_max:.2}) | \
                 {ratio:.2} ({ratio_min:.2}..{ratio_max:.2}) | {:.0} % |",
                busy * 100.0
            );
        }
    }
    text
}

fn raw_csv(rows: &[Row]) -> String {
    let mut csv = String::from("round,server,scenario,requests_per_s,cpu_us_per_request,busy\n");
    for row in rows {
        let _ = writeln!(
            csv,
            "{},{},{},{:.1},{:.4},{:.4}",
            row.round,
            SERVERS[row.server],
            SCENARIOS[row.scenario].0,
            row.requests_per_s,
            row.cpu_us,
            row.busy
        );
    }
    csv
}
