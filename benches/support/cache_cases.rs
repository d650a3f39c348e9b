//! Cases of `micro` about the caches: a hit on this shard, and what the state
//! machines cost when the home has the value; without lanes and wake-ups.

use std::hint::black_box;
use std::time::{Duration, Instant};

use corelane::cache::{CacheKey, KeyHasher, Payload};
use criterion::Criterion;

use super::directory::{Directory, HASH_SEED, Read, key_of, replica};

const KEYS: u64 = 4_096;

pub(crate) fn all(bench: &mut Criterion) {
    l1(bench);
    bench.bench_function("coherence/miss, home has it", |b| {
        b.iter_custom(home_answers)
    });
}

/// Hashing the key, finding the copy and judging it, as a hit does; keys in
/// turn, so that they are not all in the first cache of the core. Where this
/// shard is the key's home too and its directory has to choose what to keep,
/// the directory is told of the hit.
fn l1(bench: &mut Criterion) {
    let directory = loaded(1);
    let hasher = KeyHasher::new(HASH_SEED);
    let names: Vec<String> = (0..KEYS).map(|id| id.to_string()).collect();
    let (holder, home) = (&directory.holders[0], &directory.homes[0]);
    for (case, is_home) in [("L1/get", false), ("L1/get, home here and full", true)] {
        let mut turn = names.iter().cycle();
        bench.bench_function(case, |b| {
            b.iter(|| {
                let name = turn.next().expect("a cycle has no end");
                let key = hasher.key(1, black_box(name.as_bytes()));
                let kept = holder.shelf().map.find(key).expect("it is loaded");
                if is_home {
                    black_box(home.shelf().map.find(key));
                }
                holder.judge(&kept.entry, 1)
            })
        });
    }
}

/// Reads on shard 0 of keys that it never had and shard 1 is home to.
fn home_answers(reads: u64) -> Duration {
    let (mut took, mut done) = (Duration::ZERO, 0);
    while done < reads {
        let mut directory = loaded(2);
        let keys = (0..KEYS).map(key_of);
        let foreign: Vec<CacheKey> = keys.filter(|key| key.as_ref().home(2) == 1).collect();
        let left = usize::try_from(reads - done).unwrap_or(usize::MAX);
        let started = Instant::now();
        for key in foreign.iter().take(left) {
            let (_, read) = directory.read(0, key, 1, || panic!("the home has it"));
            assert_eq!(read, Read::Home);
        }
        took += started.elapsed();
        done += foreign.len().min(left) as u64;
    }
    took
}

/// Every key has been loaded by the last shard.
fn loaded(shards: usize) -> Directory {
    let mut directory = Directory::new(shards, 64 << 20);
    for key in (0..KEYS).map(key_of) {
        directory.read(shards - 1, &key, 0, || {
            replica(Payload::of(7_u64), u64::MAX)
        });
    }
    directory
}
