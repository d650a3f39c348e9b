//! What one request costs in the parts that need no socket: parsing its head,
//! finding its route, encoding its answer, recording it, and the conditional
//! and path logic of static files; a hit of the cache and what its state
//! machines cost; a rate limit; compression; and what a message to another shard costs.
//!
//! `cargo bench --bench micro -- [FILTER] [--out DIR]`; `-- --test` only runs
//! each case once. The cache of static files belongs to a shard and is seen from
//! outside only: what a hit costs is measured through a socket. `instructions`
//! counts the same cases, which no other load on the machine disturbs.

#[path = "support/cache_cases.rs"]
mod cache_cases;
#[path = "support/directory.rs"]
mod directory;
#[path = "support/gzip_cases.rs"]
mod gzip_cases;
#[path = "support/hop.rs"]
mod hop;
#[path = "support/hot_cases.rs"]
mod hot_cases;
#[path = "support/limit_cases.rs"]
mod limit_cases;
mod support;

use std::fmt::Write as _;
use std::hint::black_box;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use corelane::internals::http1::{BodyDecoder, BodyFraming};
use corelane::internals::semantics::{
    Conditions, ETag, LastModified, Validators, evaluate, parse_ranges,
};
use corelane::internals::static_path::{PathRules, resolve};
use criterion::Criterion;

use hot_cases::Cases;
use support::{args, run};

fn main() {
    if args::text("--out").is_some() {
        return write_run_folder();
    }
    let mut bench = Criterion::default()
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(1))
        .configure_from_args();
    hot_cases::all(&mut Timed(&mut bench));
    chunk(&mut bench);
    semantics(&mut bench);
    cache_cases::all(&mut bench);
    limit_cases::all(&mut bench);
    gzip_cases::all(&mut bench);
    mesh_hop(&mut bench);
    bench.final_summary();
}

/// The cases that are counted too, by the clock.
struct Timed<'a>(&'a mut Criterion);

impl Cases for Timed<'_> {
    fn wants(&self, _name: &str) -> bool {
        true
    }

    fn case<T>(&mut self, name: &str, mut run: impl FnMut() -> T) {
        self.0.bench_function(name, |b| b.iter(&mut run));
    }
}

fn chunk(bench: &mut Criterion) {
    let chunked = b"400\r\n"
        .iter()
        .chain(&[b'x'; 1024])
        .chain(b"\r\n0\r\n\r\n");
    let chunked: Vec<u8> = chunked.copied().collect();
    bench.bench_function("parse/chunk of 1 KiB", |b| {
        b.iter(|| {
            let mut decoder = BodyDecoder::new(BodyFraming::Chunked, 1 << 20).expect("a limit");
            decoder.decode(black_box(&chunked))
        })
    });
}

fn semantics(bench: &mut Criterion) {
    let tag = ETag::strong("0123456789abcdef").expect("a tag");
    let current = Validators {
        etag: Some(&tag),
        last_modified: Some(LastModified::of(783_459_811_000, 783_460_000_000)),
    };
    let conditions = Conditions {
        if_none_match: Some(b"W/\"other\", \"0123456789abcdef\""),
        ..Conditions::default()
    };
    bench.bench_function("conditional/304", |b| {
        b.iter(|| evaluate(true, black_box(&conditions), Some(current)))
    });
    bench.bench_function("range/two of three", |b| {
        b.iter(|| parse_ranges(black_box(b"bytes=0-99,50-199,-100"), 10_000, 16))
    });
    bench.bench_function("static path/clean", |b| {
        b.iter(|| resolve(black_box("css/app.0123abcd.css"), PathRules::default()).is_ok())
    });
    bench.bench_function("static path/encoded", |b| {
        b.iter(|| resolve(black_box("css/my%20app.css"), PathRules::default()).is_ok())
    });
}

fn mesh_hop(bench: &mut Criterion) {
    bench.bench_function("mesh hop/message in a batch of 64, one thread", |b| {
        b.iter_custom(|messages| hop::batches(messages, 64))
    });
    bench.bench_function("mesh hop/round trip, both busy", |b| {
        b.iter_custom(|rounds| hop::round_trips(rounds, hop::Idle::Spins))
    });
    bench.bench_function("mesh hop/round trip, both parked", |b| {
        b.iter_custom(|rounds| hop::round_trips(rounds, hop::Idle::Parks))
    });
}

/// Criterion takes no argument it does not know and writes where it is told to:
/// runs itself again without `--out`, into a folder of its own, and reports what
/// is in there then.
fn write_run_folder() {
    let home = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a folder");
    let mut arguments: Vec<String> = std::env::args().skip(1).collect();
    let at = arguments.iter().position(|arg| arg == "--out");
    let at = at.expect("it was found");
    arguments.drain(at..at + 2);
    let mut command = Command::new(std::env::current_exe().expect("this executable"));
    command.args(arguments).env("CRITERION_HOME", home.path());
    let status = command.status().expect("it starts");
    assert!(status.success(), "the benchmark failed: {status}");
    let mut estimates = Vec::new();
    collect_estimates(home.path(), &mut estimates);
    estimates.sort_by(|one, other| one.case.cmp(&other.case));
    let mut table = String::from("| case | ns (95 % of the mean) |\n|---|---:|\n");
    let mut csv = String::from("case,mean_ns,mean_low_ns,mean_high_ns,median_ns\n");
    for Estimate {
        case,
        mean,
        low,
        high,
        median,
    } in &estimates
    {
        // Writing to a String cannot fail.
        let _ = writeln!(table, "| {case} | {mean:.1} ({low:.1}..{high:.1}) |");
        let _ = writeln!(csv, "\"{case}\",{mean:.3},{low:.3},{high:.3},{median:.3}");
    }
    run::report("Micro-benchmarks", "micro", &table, &csv);
}

/// What criterion found out about one case, nanoseconds.
struct Estimate {
    case: String,
    mean: f64,
    low: f64,
    high: f64,
    median: f64,
}

/// Of every folder `new` below, which criterion writes one of for each case.
fn collect_estimates(folder: &Path, found: &mut Vec<Estimate>) {
    let json = |name: &str| -> Option<serde_json::Value> {
        serde_json::from_slice(&std::fs::read(folder.join(name)).ok()?).ok()
    };
    if folder.ends_with("new")
        && let (Some(about), Some(numbers)) = (json("benchmark.json"), json("estimates.json"))
    {
        let number = |path: &str| numbers.pointer(path).and_then(serde_json::Value::as_f64);
        found.push(Estimate {
            case: about["full_id"].as_str().expect("a name").to_owned(),
            mean: number("/mean/point_estimate").expect("a mean"),
            low: number("/mean/confidence_interval/lower_bound").expect("a bound"),
            high: number("/mean/confidence_interval/upper_bound").expect("a bound"),
            median: number("/median/point_estimate").expect("a median"),
        });
    }
    for entry in std::fs::read_dir(folder).expect("a folder").flatten() {
        if entry.path().is_dir() {
            collect_estimates(&entry.path(), found);
        }
    }
}
