//! What gzip costs: JSON lists of 5 and 50 KiB at the levels one would choose,
//! with how much is left of them, and what making an encoder anew would add.

use std::hint::black_box;

use corelane::internals::compression::GzipEncoder;
use criterion::{Criterion, Throughput};

pub(crate) fn all(bench: &mut Criterion) {
    for kib in [5, 50] {
        let body = users_of(kib * 1024);
        let mut group = bench.benchmark_group("gzip");
        group.throughput(Throughput::Bytes(body.len() as u64));
        for level in [1, 2, 4, 6, 9] {
            let mut encoder = GzipEncoder::new(level);
            let coded = encoder.encode(&body).expect("gzip").len();
            let left = 100 * coded / body.len();
            let name = format!("{kib} KiB, level {level}, {left} % left");
            group.bench_function(name, |b| b.iter(|| encoder.encode(black_box(&body))));
        }
        let anew = format!("{kib} KiB, level 1, encoder made anew");
        group.bench_function(anew, |b| {
            b.iter(|| GzipEncoder::new(1).encode(black_box(&body)))
        });
        group.finish();
    }
}

/// A list of users as the shipped application shows it, cut at `bytes`.
fn users_of(bytes: usize) -> Vec<u8> {
    const NAMES: [&str; 8] = [
        "Ada", "Grace", "Edsger", "Barbara", "Alan", "Donald", "Margaret", "Niklaus",
    ];
    let mut random = fastrand::Rng::with_seed(7);
    let mut list = String::from("{\"data\":[");
    for id in 1.. {
        let (first, last) = (random.choice(NAMES), random.choice(NAMES));
        let (first, last) = (first.expect("eight"), last.expect("eight"));
        let (lat, lon) = (random.f64() * 180.0 - 90.0, random.f64() * 360.0 - 180.0);
        list += &format!(
            "{{\"id\":{id},\"name\":\"{first} {last}\",\"email\":\"{}.{id}@example.org\",\"age\":{},\
             \"location\":{{\"lat\":{lat:.6},\"lon\":{lon:.6}}},\"created_at\":\"2024-0{}-{:02}T12:\
             {:02}:56.{:03}Z\",\"version\":1}},",
            first.to_lowercase(),
            random.u32(18..99),
            random.u32(1..9),
            random.u32(10..28),
            random.u32(10..60),
            random.u32(0..1_000),
        );
        if list.len() >= bytes {
            break;
        }
    }
    list.truncate(bytes);
    list.into_bytes()
}
