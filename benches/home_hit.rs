//! What a read costs that this shard has no copy of and its key's home has.
//!
//! Two shards of one process on two CPUs. Keys are loaded through shard 1; a
//! handler on shard 0, which never had them, times each `get_or_load` from call
//! to value: request lane, home, reply lane, task woken. Keys whose home turns
//! out to be shard 0 are told by their first poll, which has the value already
//! without a message, and counted apart; asked again, all are L1 hits. Shard 1
//! is **parked**, or **busy** (so is shard 0: a task works 2 us and yields, as
//! a shard that serves requests does), or **spinning** (`spin_us`).
//!
//! `cargo bench --bench home_hit -- [--rounds N] [--keys N]
//! [--engine io_uring|epoll] [--out DIR]`.

mod support;

use std::fmt::Write as _;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::time::{Duration, Instant};

use bytes::Bytes;
use corelane::cache::CacheOptions;
use corelane::{App, Ctx, Error, HitKind, Response, engine};
use hdrhistogram::Histogram;

use support::pair::{Pair, answer, query_number};
use support::{args, run, spread};

/// What the shards do while nothing is asked of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Idle {
    Parked,
    Busy,
    Spinning,
}

const IDLES: [(Idle, &str); 3] = [
    (Idle::Parked, "parked"),
    (Idle::Busy, "busy"),
    (Idle::Spinning, "spinning"),
];

/// How a read was answered.
const KINDS: [&str; 4] = [
    "home on the other shard",
    "home on this shard",
    "L1",
    "L1, without the clock",
];

/// Between reads while parked, so that both shards sleep before each.
const PAUSE: Duration = Duration::from_millis(1);
/// The longest there is. Spinning starts with a request and ends after this, so
/// few keys are measured at a time.
const SPIN_US: u32 = 10_000;
const KEYS_AT_A_TIME: u64 = 100;
/// About what a row of the API takes.
const VALUE_BYTES: usize = 512;

struct Row {
    round: u64,
    idle: &'static str,
    kind: &'static str,
    times_ns: Histogram<u64>,
}

fn main() {
    let rounds = args::number("--rounds").unwrap_or(9);
    let keys: u64 = args::number("--keys").unwrap_or(4_000);
    let mut rows = Vec::new();
    let mut pair = Pair::start(app(), args::engine(), 0);
    for round in 0..rounds {
        // A pause each makes parked reads slow.
        measure(&mut pair, round, IDLES[0], keys / 8, &mut rows);
        measure(&mut pair, round, IDLES[1], keys, &mut rows);
    }
    drop(pair);
    let mut pair = Pair::start(app(), args::engine(), SPIN_US);
    for round in 0..rounds {
        measure(&mut pair, round, IDLES[2], keys, &mut rows);
    }
    drop(pair);
    let result = summarise(&rows);
    run::report("Home hit", "home_hit", &result, &raw_csv(&rows));
}

fn measure(
    pair: &mut Pair,
    round: u64,
    (idle, name): (Idle, &'static str),
    keys: u64,
    rows: &mut Vec<Row>,
) {
    let set = format!("set={name}{round}");
    pair.ask(1, &format!("/load?{set}&from=0&keys={keys}"));
    pair.keep_busy(idle == Idle::Busy);
    let mut times = [(); KINDS.len()].map(|()| Histogram::new(3).expect("three digits"));
    let pauses = u64::from(idle == Idle::Parked);
    for from in (0..keys).step_by(KEYS_AT_A_TIME as usize) {
        let keys = KEYS_AT_A_TIME.min(keys - from);
        // Spins from here, if it spins.
        pair.ask(1, "/bench/shard");
        let query = format!("{set}&from={from}&keys={keys}&pauses={pauses}");
        let said = pair.ask(0, &format!("/measure?{query}"));
        for (line, times) in said.lines().zip(&mut times) {
            let each = line.split(' ').filter(|ns| !ns.is_empty());
            each.for_each(|ns| *times += ns.parse::<u64>().expect("ns"));
        }
    }
    pair.keep_busy(false);
    for (times_ns, kind) in times.into_iter().zip(KINDS) {
        let [p50, p90, p99] = percentiles(&times_ns);
        eprintln!(
            "round {round} {name:9} {kind:24} {:6} reads, p50 {p50} p90 {p90} p99 {p99} ns",
            times_ns.len()
        );
        rows.push(Row {
            round,
            idle: name,
            kind,
            times_ns,
        });
    }
}

fn percentiles(times: &Histogram<u64>) -> [u64; 3] {
    [0.5, 0.9, 0.99].map(|at| times.value_at_quantile(at))
}

fn app() -> App {
    App::new()
        .cache(
            CacheOptions::new("values")
                .ttl_ms(3_600_000)
                .bytes_max(1 << 30),
        )
        .get("/load", load)
        .get("/measure", measure_here)
}

async fn load(ctx: Ctx) -> Result<Response, Error> {
    let values = ctx.cache("values");
    for key in keys_of(&ctx)? {
        let loaded = values.get_or_load(&key, || async { Ok(Bytes::from(vec![7; VALUE_BYTES])) });
        assert_eq!(loaded.await?.lookup(), HitKind::Loaded);
    }
    Ok(answer(&ctx, String::new()))
}

/// Times the first and the second read of every key: ns, a line of them for
/// each of [`KINDS`].
async fn measure_here(ctx: Ctx) -> Result<Response, Error> {
    let keys = keys_of(&ctx)?;
    let pauses = query_number(&ctx, "pauses")? == 1;
    let mut lines = [(); KINDS.len()].map(|()| Vec::with_capacity(keys.len()));
    for key in &keys {
        if pauses {
            engine::sleep(PAUSE).await;
        }
        let (lookup, polls, took) = timed_read(&ctx, key).await?;
        assert_eq!(lookup, HitKind::Home);
        lines[usize::from(polls == 1)].push(took);
    }
    for key in &keys {
        let (lookup, polls, took) = timed_read(&ctx, key).await?;
        assert_eq!((lookup, polls), (HitKind::L1, 1));
        lines[2].push(took);
    }
    // Reading the clock twice costs about as much as a hit: all in one go.
    let started = Instant::now();
    for key in &keys {
        let lookup = read(&ctx, key).await?;
        assert_eq!(lookup, HitKind::L1);
    }
    lines[3].push(started.elapsed() / keys.len() as u32);
    let mut text = String::new();
    for line in &lines {
        line.iter()
            .for_each(|took| text.push_str(&format!("{} ", took.as_nanos())));
        text.push('\n');
    }
    Ok(answer(&ctx, text))
}

/// How a read was answered, in how many polls, and how long it took.
async fn timed_read(ctx: &Ctx, key: &str) -> Result<(HitKind, u32, Duration), Error> {
    let mut polls = 0;
    let started = Instant::now();
    let mut reading = pin!(read(ctx, key));
    let read = poll_fn(|cx| {
        polls += 1;
        reading.as_mut().poll(cx)
    });
    let lookup = read.await?;
    Ok((lookup, polls, started.elapsed()))
}

async fn read(ctx: &Ctx, key: &str) -> Result<HitKind, Error> {
    let values = ctx.cache("values");
    let value = values.get_or_load(key, || async {
        Err::<Bytes, _>(Error::internal("it is cached: nothing is to be loaded"))
    });
    let value = value.await?;
    assert_eq!(value.len(), VALUE_BYTES);
    Ok(value.lookup())
}

fn keys_of(ctx: &Ctx) -> Result<Vec<String>, Error> {
    let query = ctx.query_string().unwrap_or("");
    let set = query.split('&').find_map(|pair| pair.strip_prefix("set="));
    let set = set.ok_or_else(|| Error::bad_request("set=NAME is missing"))?;
    let from = query_number(ctx, "from")?;
    let keys = from..from + query_number(ctx, "keys")?;
    Ok(keys.map(|key| format!("{set}/{key}")).collect())
}

/// Medians of the rounds' percentiles.
fn summarise(rows: &[Row]) -> String {
    let mut text = format!(
        "Reads on shard 0, {}; medians of the rounds' percentiles, in ns. A read is timed from \
         its call to its value, inside a handler, and its time has two readings of the clock in \
         it.\n\n| shards | answered by | reads | p50 (min..max) | p90 | p99 |\n\
         |---|---|---:|---:|---:|---:|\n",
        args::engine().name()
    );
    for (_, idle) in IDLES {
        for kind in KINDS {
            let own = || rows.iter().filter(|r| r.idle == idle && r.kind == kind);
            let each = |index: usize| -> Vec<f64> {
                own()
                    .map(|row| percentiles(&row.times_ns)[index] as f64)
                    .collect()
            };
            let (p50, least, most) = spread(&each(0));
            let (p90, ..) = spread(&each(1));
            let (p99, ..) = spread(&each(2));
            let reads: u64 = own().map(|row| row.times_ns.len()).sum();
            let _ = writeln!(
                text,
                "| {idle} | {kind} | {reads} | {p50:.0} ({least:.0}..{most:.0}) | {p90:.0} | {p99:.0} |"
            );
        }
    }
    text
}

fn raw_csv(rows: &[Row]) -> String {
    let mut csv = String::from("round,shards,answered_by,reads,p50_ns,p90_ns,p99_ns\n");
    for row in rows {
        let [p50, p90, p99] = percentiles(&row.times_ns);
        let _ = writeln!(
            csv,
            "{},{},\"{}\",{},{p50},{p90},{p99}",
            row.round,
            row.idle,
            row.kind,
            row.times_ns.len()
        );
    }
    csv
}
