//! The price of the cache on the paved path: CPU per request of answers out of
//! this shard's own copies, against a handler that answers with a constant of
//! the same status, headers and size.
//!
//! `cargo bench --bench cached_get -- [--rounds N] [--seconds N]
//! [--connections N] [--engine io_uring|epoll] [--out DIR]`. One shard on CPU
//! 0, wrk on CPU 1. Each round has a fresh process that all contenders share,
//! in turn, forwards and backwards: code, memory layout, router and port are
//! then the same for both sides of every ratio, and new in every round.

mod support;

use std::fmt::Write as _;
use std::path::Path;
use std::rc::Rc;

use bytes::Bytes;
use corelane::{App, Ctx, PreparedResponse, Response};
use corelane_server::handlers::cached::ApiCacheOptions;
use corelane_server::handlers::{self, ApiOptions};
use corelane_server::store::{Database, SeedPlan, StoreOptions};
use http::{HeaderName, HeaderValue, header};

use support::client::{Answer, Client};
use support::{ServerProcess, Target, args, corelane_with, run, spread, wrk_at};

const SERVER_CPU: usize = 0;
const LOAD_CPU: usize = 1;
/// Ids 1 to this many are asked for; `support/users.lua` has it too.
const USERS: u64 = 1_000;
const USER: &str = "/api/users/1";
/// So that nothing expires while it is measured.
const TTL_MS: u64 = 3_600_000;

/// What is compared; the first is what the others are compared with.
const NAMES: [&str; 6] = [
    "constant",
    "constant, prepared",
    "cached user by id",
    "cached users, 1,000 ids",
    "cached list of 20",
    "304 of the cached user",
];
const CONSTANT: usize = 0;
const USER_BY_ID: usize = 2;

struct Row {
    round: usize,
    contender: usize,
    requests_per_s: f64,
    cpu_us: f64,
    busy: f64,
}

fn main() {
    support::serve_app_if_asked(app);
    let rounds: usize = args::number("--rounds").unwrap_or(9);
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a folder");
    let database = folder.path().join("users.db");
    seed(&database);
    let model = {
        let server = start(&database, None);
        warm(&server);
        Client::connect(server.port).ask(USER, None)
    };
    let constant = folder.path().join("constant.json");
    std::fs::write(&constant, Constant::of(&model).to_json()).expect("a file");
    let targets = targets(&model);
    let mut rows = Vec::new();
    for round in 0..rounds {
        let server = start(&database, Some(&constant));
        warm(&server);
        check_answers(&server, &model);
        let mut order: Vec<usize> = (0..NAMES.len()).collect();
        if round % 2 == 1 {
            order.reverse();
        }
        for contender in order {
            let row = measure(&server, &targets[contender], round, contender);
            eprintln!(
                "round {round} {:26} {:9.0} requests/s {:6.3} CPU us/request, server {:.0} % busy",
                NAMES[contender],
                row.requests_per_s,
                row.cpu_us,
                row.busy * 100.0
            );
            rows.push(row);
        }
        check_answers(&server, &model);
    }
    let result = summarise(&rows, &model);
    run::report("Cached GET", "cached_get", &result, &raw_csv(&rows));
}

fn seed(path: &Path) {
    let database = Database::open(&StoreOptions::sqlite(path)).expect("a database");
    let plan = SeedPlan {
        users: USERS,
        posts: 0,
        ..SeedPlan::default()
    };
    database.seed(&plan, &mut |_, _| {}).expect("users");
    database.close();
}

fn start(database: &Path, constant: Option<&Path>) -> ServerProcess {
    let path = |path: &Path| path.to_str().expect("UTF-8").to_owned();
    let mut more = vec!["--database".to_owned(), path(database)];
    if let Some(constant) = constant {
        more.extend(["--constant".to_owned(), path(constant)]);
    }
    let more: Vec<&str> = more.iter().map(String::as_str).collect();
    corelane_with(args::engine(), SERVER_CPU, &more)
}

/// The shipped API, and beside it the two constants, as a user writes them.
fn app() -> App {
    let path = args::text("--database").expect("--database");
    let database = Database::open(&StoreOptions::sqlite(path)).expect("the database");
    let options = ApiOptions {
        cache: ApiCacheOptions {
            ttl_ms: TTL_MS,
            ..ApiCacheOptions::default()
        },
        ..ApiOptions::default()
    };
    let app = handlers::app(options, database).expect("good options");
    let app = app.get("/bench/hits", async |ctx: Ctx| {
        let metrics = ctx.metrics().await;
        let hits = metrics.caches.iter().map(|cache| cache.counters.hits_l1);
        Ok(Response::text(hits.sum::<u64>().to_string()))
    });
    match args::text("--constant") {
        Some(path) => install_constants(app, Constant::read(Path::new(&path))),
        None => app,
    }
}

fn install_constants(app: App, constant: Constant) -> App {
    // As good as written in the source.
    let constant: &'static Constant = Box::leak(Box::new(constant));
    app.state(|_| async { Ok(Rc::new(constant.prepare())) })
        .get("/bench/constant", |_| async { Ok(constant.respond()) })
        .get("/bench/prepared", async |ctx: Ctx| {
            let prepared: Rc<Rc<PreparedResponse>> = ctx.state();
            let mut response = ctx.respond_conditionally((*prepared).clone())?;
            // Not kept with it, because they are about each answer.
            for (name, value) in [X_CACHE, CACHE_STATUS] {
                response.append_header(name, HeaderValue::from_static(value));
            }
            Ok(response)
        })
}

const X_CACHE: (HeaderName, &str) = (HeaderName::from_static("x-cache"), "HIT");
const CACHE_STATUS: (HeaderName, &str) = (header::CACHE_STATUS, "corelane; hit; detail=l1");

/// An answer like that of the cached user.
struct Constant {
    body: Bytes,
    etag: String,
    last_modified: String,
    cache_control: String,
}

impl Constant {
    fn of(model: &Answer) -> Self {
        let value = |name| model.header(name).expect("the user has it").to_owned();
        Self {
            body: Bytes::copy_from_slice(&model.body),
            etag: value("etag"),
            last_modified: value("last-modified"),
            cache_control: value("cache-control"),
        }
    }

    fn to_json(&self) -> String {
        let body = std::str::from_utf8(&self.body).expect("JSON is UTF-8");
        serde_json::json!([body, self.etag, self.last_modified, self.cache_control]).to_string()
    }

    fn read(path: &Path) -> Self {
        let text = std::fs::read_to_string(path).expect("the constant");
        let [body, etag, last_modified, cache_control]: [String; 4] =
            serde_json::from_str(&text).expect("four strings");
        Self {
            body: body.into(),
            etag,
            last_modified,
            cache_control,
        }
    }

    fn respond(&self) -> Response {
        Response::with_body("application/json", self.body.clone())
            .header("etag", &self.etag)
            .header("last-modified", &self.last_modified)
            .header("cache-control", &self.cache_control)
            .header("x-cache", X_CACHE.1)
            .header("cache-status", CACHE_STATUS.1)
    }

    fn prepare(&self) -> PreparedResponse {
        PreparedResponse::new(self.respond()).expect("it may be kept")
    }
}

fn targets(model: &Answer) -> [Target; NAMES.len()] {
    let plain = |path: &str| Target {
        path: path.to_owned(),
        ..Target::default()
    };
    let etag = model.header("etag").expect("an etag");
    [
        plain("/bench/constant"),
        plain("/bench/prepared"),
        plain(USER),
        Target {
            script: Some("users.lua"),
            ..plain("/api/users")
        },
        plain("/api/users?limit=20"),
        Target {
            header: Some(format!("If-None-Match: {etag}")),
            ..plain(USER)
        },
    ]
}

/// Every answer that will be asked for is in the cache after this.
fn warm(server: &ServerProcess) {
    let mut client = Client::connect(server.port);
    for id in 1..=USERS {
        assert_eq!(client.ask(&format!("/api/users/{id}"), None).status, 200);
    }
    for _ in 0..2 {
        assert_eq!(client.ask("/api/users?limit=20", None).status, 200);
    }
}

/// The constants are as the cached user but for the date, and all others are
/// hits on this shard.
fn check_answers(server: &ServerProcess, model: &Answer) {
    let mut client = Client::connect(server.port);
    let same = |answer: &Answer| {
        let mut headers = answer.headers.clone();
        headers.retain(|(name, _)| name != "date");
        headers.sort();
        (answer.status, headers, answer.body.clone())
    };
    let hit = |answer: &Answer| {
        let state = (answer.header("x-cache"), answer.header("cache-status"));
        assert_eq!(state, (Some("HIT"), Some(CACHE_STATUS.1)));
    };
    for path in ["/bench/constant", "/bench/prepared", USER] {
        let answer = client.ask(path, None);
        hit(&answer);
        // The model itself was the first answer of its process.
        assert_eq!(same(&answer), same(model), "{path}");
    }
    let list = client.ask("/api/users?limit=20", None);
    assert_eq!(list.status, 200);
    hit(&list);
    let etag = model.header("etag").expect("an etag");
    let not_modified = client.ask(USER, Some(&format!("If-None-Match: {etag}")));
    assert_eq!(not_modified.status, 304);
    hit(&not_modified);
}

fn measure(server: &ServerProcess, target: &Target, round: usize, contender: usize) -> Row {
    let seconds = args::number("--seconds").unwrap_or(4);
    let connections = args::number("--connections").unwrap_or(64);
    let mut client = Client::connect(server.port);
    let mut hits = || -> u64 {
        let text = client.ask("/bench/hits", None).text().to_owned();
        text.parse().expect("a count")
    };
    wrk_at(target, server.port, LOAD_CPU, connections, 1);
    let (hits_before, before) = (hits(), server.cpu_ns());
    let load = wrk_at(target, server.port, LOAD_CPU, connections, seconds);
    let cpu_ns = (server.cpu_ns() - before) as f64;
    let hit = hits() - hits_before;
    assert_eq!(load.errors, 0, "{} had errors", NAMES[contender]);
    match contender >= USER_BY_ID {
        // wrk does not count the answers that were under way at its end.
        true => assert!(hit >= load.requests, "all hits: {hit} of {}", load.requests),
        false => assert_eq!(hit, 0, "a constant asks no cache"),
    }
    Row {
        round,
        contender,
        requests_per_s: load.requests as f64 / load.seconds,
        cpu_us: cpu_ns / 1e3 / load.requests as f64,
        busy: cpu_ns / 1e9 / load.seconds,
    }
}

/// Medians with spread, and ratios to the constant pair by pair (same round).
fn summarise(rows: &[Row], model: &Answer) -> String {
    let mut text = format!(
        "One shard, {}, {} connections; the user's body has {} bytes.\n\n\
         | answer | requests/s | CPU us/request (min..max) | ratio to the constant, by pairs \
         (min..max) | server busy |\n|---|---:|---:|---:|---:|\n",
        args::engine().name(),
        args::number("--connections").unwrap_or(64),
        model.body.len()
    );
    let mut bar = String::new();
    for (contender, name) in NAMES.iter().enumerate() {
        let own = of_contender(rows, contender);
        let floor = of_contender(rows, CONSTANT);
        let pairs = own.iter().zip(&floor);
        let ratios: Vec<f64> = pairs
            .map(|(own, floor)| own.cpu_us / floor.cpu_us)
            .collect();
        let each = |value: fn(&Row) -> f64| -> Vec<f64> { own.iter().map(|r| value(r)).collect() };
        let (cpu, cpu_min, cpu_max) = spread(&each(|row| row.cpu_us));
        let (ratio, ratio_min, ratio_max) = spread(&ratios);
        let (rate, ..) = spread(&each(|row| row.requests_per_s));
        let (busy, ..) = spread(&each(|row| row.busy));
        // Writing to a String cannot fail.
        let _ = writeln!(
            text,
            "| {name} | {rate:.0} | {cpu:.3} ({cpu_min:.3}..{cpu_max:.3}) | {ratio:.3} \
             ({ratio_min:.3}..{ratio_max:.3}) | {:.0} % |",
            busy * 100.0
        );
        if contender == USER_BY_ID {
            let verdict = if ratio <= BAR { "met" } else { "missed" };
            bar = format!(
                "The bar, cached user by id at most {BAR:.2} of the constant: {verdict}, {ratio:.3}."
            );
        }
    }
    text + "\n" + &bar + "\n"
}

const BAR: f64 = 1.10;

/// A contender's rows by round.
fn of_contender(rows: &[Row], contender: usize) -> Vec<&Row> {
    let mut own: Vec<&Row> = rows.iter().filter(|r| r.contender == contender).collect();
    own.sort_by_key(|row| row.round);
    own
}

fn raw_csv(rows: &[Row]) -> String {
    let mut csv = String::from("round,answer,requests_per_s,cpu_us_per_request,server_busy\n");
    for row in rows {
        let _ = writeln!(
            csv,
            "{},\"{}\",{:.1},{:.4},{:.4}",
            row.round, NAMES[row.contender], row.requests_per_s, row.cpu_us, row.busy
        );
    }
    csv
}
