//! What strict coherence adds to a write.
//!
//! Real: two shards, both with a copy of the row (and of the lists' tag) before
//! each write; a handler times the write alone, bare and through the cache, on
//! SQLite as it comes (durable), and without a database, which is the protocol
//! alone. Simulated: 2 to 64 shards' homes and holders on one thread, CPU of
//! each part of one write, and from it the time a writer would wait.
//!
//! `cargo bench --bench write_overhead -- [--writes N] [--hop-ns N]
//! [--engine io_uring|epoll] [--out DIR]`. Without `--hop-ns` a hop is half a
//! round trip between two shards that spin, measured first.

#[path = "support/directory.rs"]
mod directory;
#[path = "support/hop.rs"]
mod hop;
mod support;
#[path = "support/write_parts.rs"]
mod write_parts;

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use corelane::cache::CacheOptions;
use corelane::{App, Ctx, Error, Response};
use corelane_server::store::{Database, NewUser, SeedPlan, Store, StoreOptions, WriteCondition};
use hdrhistogram::Histogram;

use support::pair::{Pair, answer, query_number};
use support::{args, run, spread};
use write_parts::Parts;

/// How a row is written.
const WAYS: [&str; 5] = [
    "bare",
    "through the cache",
    "through the cache, with a tag",
    "no database, through the cache",
    "no database, with a tag",
];
const CONDITIONS: [&str; 2] = ["parked", "busy"];
const SHARDS: [usize; 4] = [2, 8, 16, 64];
const IDS: u64 = 64;
const TAG: &str = "users";

struct Row {
    condition: usize,
    way: usize,
    id: u64,
    ns: u64,
}

fn main() {
    let hop_ns = args::number("--hop-ns").unwrap_or_else(measured_hop_ns);
    let writes = args::number("--writes").unwrap_or(400);
    let rows = measure_real(writes);
    let parts: Vec<Parts> = SHARDS
        .iter()
        .map(|shards| Parts::measure(*shards))
        .collect();
    let result = describe_real(&rows) + "\n" + &write_parts::describe(&parts, hop_ns);
    run::report(
        "What coherence adds to a write",
        "write_overhead",
        &result,
        &raw_csv(&rows),
    );
    if let Some(folder) = run::folder() {
        let csv = write_parts::raw_csv(&parts);
        std::fs::write(folder.join("raw-simulated.csv"), csv).expect("raw-simulated.csv");
    }
}

/// Half a round trip between two busy shards, as `micro` measures it. On a
/// thread of its own, which is pinned by it.
fn measured_hop_ns() -> f64 {
    const ROUNDS: u64 = 20_000;
    let once = || {
        let asking = std::thread::spawn(|| hop::round_trips(ROUNDS, hop::Idle::Spins));
        let took = asking.join().expect("both shards end well");
        took.as_nanos() as f64 / ROUNDS as f64 / 2.0
    };
    let times: Vec<f64> = (0..5).map(|_| once()).collect();
    spread(&times).0
}

fn measure_real(writes: u64) -> Vec<Row> {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a folder");
    let path = folder.path().join("users.db");
    let database = Database::open(&StoreOptions::sqlite(path)).expect("a database");
    let plan = SeedPlan {
        users: IDS,
        posts: 0,
        ..SeedPlan::default()
    };
    database.seed(&plan, &mut |_, _| {}).expect("users");
    let mut pair = Pair::start(app(database.clone()), args::engine(), 0);
    let mut rows = Vec::new();
    for (condition, name) in CONDITIONS.iter().enumerate() {
        pair.keep_busy(*name == "busy");
        for number in 0..writes {
            let id = 1 + number % IDS;
            for turn in 0..WAYS.len() {
                // Forwards and backwards, so that drift hits all alike.
                let way = if number % 2 == 0 {
                    turn
                } else {
                    WAYS.len() - 1 - turn
                };
                for shard in [1, 0] {
                    pair.ask(shard, &format!("/read?id={id}"));
                }
                let said = pair.ask(0, &format!("/write?id={id}&way={way}&number={number}"));
                let ns = said.parse().expect("ns");
                rows.push(Row {
                    condition,
                    way,
                    id,
                    ns,
                });
            }
        }
        eprintln!("{name}: {writes} writes of each kind");
    }
    pair.keep_busy(false);
    drop(pair);
    database.close();
    rows
}

fn app(database: Arc<Database>) -> App {
    App::new()
        .cache(CacheOptions::new("users").ttl_ms(3_600_000))
        .cache(CacheOptions::new("lists").ttl_ms(3_600_000))
        .state(move |_| {
            let store = database.connect();
            async move { store.map_err(Error::internal) }
        })
        .get("/read", read)
        .get("/write", write)
}

/// Afterwards this shard has a copy of the row, and of a list under the tag.
async fn read(ctx: Ctx) -> Result<Response, Error> {
    let key = query_number(&ctx, "id")?.to_string();
    let value = || async { Ok(Bytes::from_static(&[7; 512])) };
    ctx.cache("users").get_or_load(&key, value).await?;
    ctx.cache("lists")
        .tagged([TAG])
        .get_or_load("all", value)
        .await?;
    Ok(answer(&ctx, String::new()))
}

/// Writes a row in one of the [`WAYS`], and says how many ns it took.
async fn write(ctx: Ctx) -> Result<Response, Error> {
    let id = query_number(&ctx, "id")?;
    let way = query_number(&ctx, "way")?;
    let user = NewUser {
        name: format!("User {}", query_number(&ctx, "number")?),
        email: format!("user{id}@example.org"),
        age: 42,
        location: None,
    };
    let (store, users) = (ctx.state::<Store>(), ctx.cache("users"));
    let in_store = move || async move {
        let written = store
            .replace_user(id as i64, user, WriteCondition::Always)
            .await;
        written.map(drop).map_err(Error::internal)
    };
    let nowhere = || async { Ok(()) };
    let keys = [id.to_string()];
    let tagged = users.invalidating([TAG]);
    let started = Instant::now();
    match way {
        0 => in_store().await?,
        1 => users.write(keys, in_store).await?,
        2 => tagged.write(keys, in_store).await?,
        3 => users.write(keys, nowhere).await?,
        _ => tagged.write(keys, nowhere).await?,
    }
    let took = started.elapsed();
    if way == 0 {
        // Untimed: what was written behind the cache's back is not to stay.
        users.del([id.to_string()]).await?;
    }
    Ok(answer(&ctx, took.as_nanos().to_string()))
}

fn describe_real(rows: &[Row]) -> String {
    let mut text = format!(
        "## Two shards, {}\n\nBoth shards hold the row and the tag before each write; times as \
         the writing handler sees them, in us. Busy shards leave SQLite's writer and the kernel \
         no CPU of their own where there are two. The last two have no database: that is what \
         coherence costs, without the noise of the disk.\n\n| shards | write | writes | p50 | p90 \
         | p50 more than bare | p90 more than bare |\n|---|---|---:|---:|---:|---:|---:|\n",
        args::engine().name()
    );
    for (condition, name) in CONDITIONS.iter().enumerate() {
        let times = |way: usize| {
            let own = rows
                .iter()
                .filter(|r| (r.condition, r.way) == (condition, way));
            let mut histogram = Histogram::<u64>::new(3).expect("three digits");
            own.for_each(|row| histogram += row.ns);
            let at = |quantile| histogram.value_at_quantile(quantile) as f64 / 1e3;
            (histogram.len(), at(0.5), at(0.9))
        };
        let (_, bare_p50, bare_p90) = times(0);
        for (way, way_name) in WAYS.iter().enumerate() {
            let (count, p50, p90) = times(way);
            let more = match way {
                1 | 2 => format!("{:+.1} | {:+.1}", p50 - bare_p50, p90 - bare_p90),
                _ => "| ".to_owned(),
            };
            let _ = writeln!(
                text,
                "| {name} | {way_name} | {count} | {p50:.1} | {p90:.1} | {more} |"
            );
        }
    }
    text
}

fn raw_csv(rows: &[Row]) -> String {
    let mut csv = String::from("shards,write,id,ns\n");
    for row in rows {
        let (condition, way) = (CONDITIONS[row.condition], WAYS[row.way]);
        let _ = writeln!(csv, "{condition},\"{way}\",{},{}", row.id, row.ns);
    }
    csv
}
