//! What the caches' state machines cost when the home has the value; without
//! lanes and wake-ups.

use std::time::{Duration, Instant};

use corelane::internals::cache::CacheKey;
use criterion::Criterion;

use super::directory::{Read, key_of};
use super::hot_cases::{KEYS, loaded};

pub(crate) fn all(bench: &mut Criterion) {
    bench.bench_function("coherence/miss, home has it", |b| {
        b.iter_custom(home_answers)
    });
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
