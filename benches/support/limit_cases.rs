//! What a rate limit costs where the key is at home on the shard itself: the
//! judgement of a known key among many, of a new one, and of a new one that has
//! to push out another; and finding the client behind a proxy.

use std::hint::black_box;
use std::time::Duration;

use corelane::internals::rate_limit::{KeyHash, KeyStore, Quota};
use corelane::internals::semantics::{ForwardingFields, TrustedProxies, trace_client};
use criterion::Criterion;

pub(crate) fn all(bench: &mut Criterion) {
    judge(bench);
    trace(bench);
}

const KEYS: u64 = 65_536;

/// Steps through the keys as clients do: in no order.
const STRIDE: u64 = 0x9e37_79b9_7f4a_7c15;

fn key(number: u64) -> KeyHash {
    let spread = number.wrapping_mul(STRIDE);
    KeyHash(u128::from(spread) << 64 | u128::from(spread.rotate_left(17)))
}

fn judge(bench: &mut Criterion) {
    let mut group = bench.benchmark_group("rate_limit");
    let quota = Quota::new(100, Duration::from_secs(60)).expect("a quota");
    let mut store = KeyStore::new(KEYS as usize);
    for number in 0..KEYS {
        store.check(key(number), &quota, 0);
    }
    let mut now_ns = 0;
    group.bench_function("one_key", |b| {
        b.iter(|| {
            now_ns += 1_000;
            store.check(black_box(key(7)), &quota, now_ns)
        });
    });
    let mut number = 0;
    group.bench_function("known_key_of_65536", |b| {
        b.iter(|| {
            (number, now_ns) = ((number + 1) % KEYS, now_ns + 1_000);
            store.check(black_box(key(number)), &quota, now_ns)
        });
    });
    group.bench_function("new_key_that_evicts", |b| {
        b.iter(|| {
            (number, now_ns) = (number + KEYS, now_ns + 1_000);
            store.check(black_box(key(number)), &quota, now_ns)
        });
    });
    group.finish();
}

fn trace(bench: &mut Criterion) {
    let mut group = bench.benchmark_group("client_ip");
    let trusted = TrustedProxies::parse(["private"]).expect("networks");
    let peer = "10.0.0.1".parse().expect("an address");
    type Lines = &'static [&'static [u8]];
    let lines: [(&str, Lines, Lines); 3] = [
        ("no_fields", &[], &[]),
        ("x_forwarded_for", &[], &[b"192.0.2.7, 10.0.0.2"]),
        (
            "forwarded",
            &[b"for=192.0.2.7;proto=https, for=10.0.0.2"],
            &[],
        ),
    ];
    for (name, forwarded, x_forwarded_for) in lines {
        group.bench_function(name, |b| {
            b.iter(|| {
                let fields = ForwardingFields {
                    forwarded: forwarded.iter().copied(),
                    x_forwarded_for: x_forwarded_for.iter().copied(),
                    x_forwarded_proto: std::iter::empty(),
                };
                trace_client(black_box(peer), &trusted, fields)
            });
        });
    }
    group.finish();
}
