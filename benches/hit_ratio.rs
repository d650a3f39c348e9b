//! How often a read of the crud mix is answered without a load, by the number
//! of shards: one cache for all (the ideal), corelane's directory, and a cache
//! of its own for each shard, as a server without the protocol has.
//!
//! A simulation: the product's homes, holders and stores on one thread in
//! virtual time. Requests come at random moments to random shards: 75 % reads
//! of an id, 15 % updates of an id, 5 % lists, which are another cache's and
//! only take up time, 5 % creates. Messages and loads take no time, so nothing
//! is ever loaded twice at once.
//!
//! `cargo bench --bench hit_ratio -- [--rate N]... [--requests N] [--out DIR]`.
//! Rates are of all shards together, requests a second.

#[path = "support/directory.rs"]
mod directory;
#[path = "support/plot.rs"]
mod plot;
#[path = "support/reference.rs"]
mod reference;
mod support;
#[path = "support/svg.rs"]
mod svg;

use std::fmt::Write as _;

use corelane::internals::cache::{CacheKey, CacheValue, Payload};
use corelane::internals::coherence::Replica;

use directory::{Directory, Read, key_of, replica};
use reference::{PlainCache, Zipf};
use support::{args, run};

const SHARDS: [usize; 7] = [1, 2, 4, 8, 16, 32, 64];
const RATES: [f64; 3] = [50_000.0, 200_000.0, 1_000_000.0];
const IDS: u64 = 50_000;
const TTL_MS: u64 = 200;
/// What a user's finished answer weighs in its cache.
const ROW_BYTES: usize = 900;
/// Of the requests, before anything is counted.
const WARM_UP_PART: f64 = 0.3;

/// Which ids are asked for, and what memory there is.
struct Scenario {
    name: &'static str,
    bytes_max: u64,
    is_zipf: bool,
}

/// An entry of the directory with its key weighs about 1,150 bytes.
const SCENARIOS: [Scenario; 3] = [
    Scenario {
        name: "uniform, all fits",
        bytes_max: 128 << 20,
        is_zipf: false,
    },
    Scenario {
        name: "uniform, memory for 20 %",
        bytes_max: IDS / 5 * 1_150,
        is_zipf: false,
    },
    Scenario {
        name: "zipf 0.99, memory for 20 %",
        bytes_max: IDS / 5 * 1_150,
        is_zipf: true,
    },
];

/// Hit ratios of one number of shards, 0 to 1.
pub struct Row {
    scenario: &'static str,
    rate: f64,
    shards: usize,
    single: f64,
    directory: f64,
    /// Of the directory's reads, those that needed no message.
    directory_l1: f64,
    private: f64,
    /// Of the private caches' reads, those answered with an old value.
    private_stale: f64,
}

fn main() {
    let given: Vec<f64> = args::all("--rate")
        .iter()
        .map(|rate| rate.parse().expect("--rate takes a number"))
        .collect();
    let rates = if given.is_empty() {
        RATES.to_vec()
    } else {
        given
    };
    let requests = args::number("--requests").unwrap_or(1_000_000);
    let mut rows = Vec::new();
    for scenario in &SCENARIOS {
        for rate in &rates {
            rows.extend(simulate(scenario, *rate, requests));
        }
    }
    run::report(
        "Hit ratio",
        "hit_ratio",
        &describe(&rows, requests),
        &raw_csv(&rows),
    );
    if let Some(folder) = run::folder() {
        let scenarios: Vec<&str> = SCENARIOS.iter().map(|scenario| scenario.name).collect();
        let svg = plot::hit_ratios(&rows, &scenarios, &rates);
        std::fs::write(folder.join("hit_ratio.svg"), svg).expect("hit_ratio.svg");
    }
}

fn simulate(scenario: &Scenario, rate: f64, requests: u64) -> Vec<Row> {
    let single = run_mix(
        scenario,
        rate,
        requests,
        1,
        PlainCache::new(1, scenario.bytes_max),
    );
    let rows = SHARDS.map(|shards| {
        let directory = Directory::new(shards, scenario.bytes_max);
        let directory = run_mix(scenario, rate, requests, shards, directory);
        let private = PlainCache::new(shards, scenario.bytes_max);
        let private = run_mix(scenario, rate, requests, shards, private);
        assert_eq!(directory.stale, 0, "the directory never answers with an old value");
        eprintln!(
            "{:26} {rate:9} requests/s {shards:3} shards: single {:.3} directory {:.3} private {:.3}",
            scenario.name,
            single.hits(),
            directory.hits(),
            private.hits()
        );
        Row {
            scenario: scenario.name,
            rate,
            shards,
            single: single.hits(),
            directory: directory.hits(),
            directory_l1: directory.part(directory.l1),
            private: private.hits(),
            private_stale: private.part(private.stale),
        }
    });
    rows.into()
}

/// What is compared.
trait Caches {
    fn read(
        &mut self,
        shard: usize,
        key: &CacheKey,
        now_ms: u64,
        load: impl FnOnce() -> Replica<Payload>,
    ) -> (Payload, Read);

    /// Writes a row that may be cached.
    fn update(&mut self, shard: usize, key: &CacheKey, now_ms: u64, write: impl FnOnce());

    /// A row has come into being.
    fn create(&mut self, shard: usize, key: &CacheKey, now_ms: u64);
}

impl Caches for Directory {
    fn read(
        &mut self,
        shard: usize,
        key: &CacheKey,
        now_ms: u64,
        load: impl FnOnce() -> Replica<Payload>,
    ) -> (Payload, Read) {
        Directory::read(self, shard, key, now_ms, load)
    }

    fn update(&mut self, shard: usize, key: &CacheKey, now_ms: u64, write: impl FnOnce()) {
        self.write(shard, key, now_ms, write);
    }

    fn create(&mut self, shard: usize, key: &CacheKey, now_ms: u64) {
        self.invalidate(shard, key, now_ms);
    }
}

/// A row of the database as it is cached.
struct CachedRow {
    version: u32,
}

impl CacheValue for CachedRow {
    fn weight_bytes(&self) -> usize {
        ROW_BYTES
    }
}

/// What became of the reads of ids.
#[derive(Default)]
struct Count {
    reads: u64,
    l1: u64,
    home: u64,
    stale: u64,
}

impl Count {
    fn part(&self, of: u64) -> f64 {
        of as f64 / self.reads.max(1) as f64
    }

    fn hits(&self) -> f64 {
        self.part(self.l1 + self.home)
    }
}

fn run_mix(
    scenario: &Scenario,
    rate: f64,
    requests: u64,
    shards: usize,
    mut caches: impl Caches,
) -> Count {
    let keys: Vec<CacheKey> = (0..IDS).map(key_of).collect();
    let mut versions = vec![0_u32; keys.len()];
    let zipf = scenario.is_zipf.then(|| Zipf::new(keys.len(), 0.99));
    let mut random = fastrand::Rng::with_seed(42);
    let (mut count, mut now_s, mut created) = (Count::default(), 0.0_f64, IDS);
    let counted_from = (requests as f64 * WARM_UP_PART) as u64;
    for request in 0..requests {
        // From one request to the next, as they come from many clients.
        now_s -= (1.0 - random.f64()).ln() / rate;
        let now_ms = (now_s * 1e3) as u64;
        let shard = random.usize(..shards);
        let id = match &zipf {
            Some(zipf) => zipf.draw(&mut random),
            None => random.usize(..keys.len()),
        };
        match random.u32(..100) {
            0..75 => {
                let load = || {
                    let version = versions[id];
                    replica(Payload::of(CachedRow { version }), now_ms + TTL_MS)
                };
                let (value, read) = caches.read(shard, &keys[id], now_ms, load);
                if request < counted_from {
                    continue;
                }
                let row: &CachedRow = value.downcast().expect("a row");
                count.reads += 1;
                count.l1 += u64::from(read == Read::L1);
                count.home += u64::from(read == Read::Home);
                count.stale += u64::from(row.version != versions[id]);
            }
            75..90 => caches.update(shard, &keys[id], now_ms, || versions[id] += 1),
            90..95 => {}
            _ => {
                created += 1;
                caches.create(shard, &key_of(created), now_ms);
            }
        }
    }
    count
}

fn describe(rows: &[Row], requests: u64) -> String {
    let mut text = format!(
        "{requests} requests each, the first {:.0} % of them not counted; {IDS} ids, TTL {TTL_MS} \
         ms. Hit ratios of reads of an id, in %. The directory's difference is to the one cache, \
         in points. Stale are reads of the private caches that were answered with a value that \
         had been overwritten; the directory has none. \
         `hit_ratio.svg` is the picture.\n",
        WARM_UP_PART * 100.0
    );
    let mut last = ("", 0.0);
    for row in rows {
        if last != (row.scenario, row.rate) {
            last = (row.scenario, row.rate);
            let _ = write!(
                text,
                "\n## {}, {} requests/s\n\n| shards | one cache | directory | difference | of it \
                 without a message | private | private, stale |\n\
                 |---:|---:|---:|---:|---:|---:|---:|\n",
                row.scenario, row.rate
            );
        }
        let _ = writeln!(
            text,
            "| {} | {:.1} | {:.1} | {:+.1} | {:.1} | {:.1} | {:.1} |",
            row.shards,
            row.single * 100.0,
            row.directory * 100.0,
            (row.directory - row.single) * 100.0,
            row.directory_l1 * 100.0,
            row.private * 100.0,
            row.private_stale * 100.0
        );
    }
    text
}

fn raw_csv(rows: &[Row]) -> String {
    let mut csv = String::from(
        "scenario,requests_per_s,shards,single,directory,directory_l1,private,private_stale\n",
    );
    for row in rows {
        let _ = writeln!(
            csv,
            "\"{}\",{},{},{:.5},{:.5},{:.5},{:.5},{:.5}",
            row.scenario,
            row.rate,
            row.shards,
            row.single,
            row.directory,
            row.directory_l1,
            row.private,
            row.private_stale
        );
    }
    csv
}
