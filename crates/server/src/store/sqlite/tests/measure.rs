//! Not tests: numbers to look at, with
//! `cargo test --release --lib measure -- --ignored --nocapture --test-threads 1`.

use std::time::Instant;

use super::{Fixture, create_all, person, shard};
use crate::store::{Location, PageStart, SeedPlan, StoreOptions, UserField, UserQuery, UserSort};

const USERS: u64 = 200_000;

/// Wall time, and CPU time of this process, which other work on the machine
/// does not change much.
struct Stopwatch {
    wall: Instant,
    cpu_us: f64,
}

impl Stopwatch {
    fn start() -> Self {
        Self {
            wall: Instant::now(),
            cpu_us: cpu_us(),
        }
    }

    fn report(&self, what: &str, count: usize) {
        let wall_us = self.wall.elapsed().as_secs_f64() * 1e6 / count as f64;
        let cpu_us = (cpu_us() - self.cpu_us) / count as f64;
        println!("{what:<44} {wall_us:>10.2} us, CPU {cpu_us:>10.2} us each ({count})");
    }
}

fn cpu_us() -> f64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    time.tv_sec as f64 * 1e6 + time.tv_nsec as f64 / 1e3
}

#[test]
#[ignore = "a measurement"]
fn reads_and_writes() {
    let fixture = Fixture::with(StoreOptions::default());
    let plan = SeedPlan {
        users: USERS,
        posts: 0,
        random_seed: 1,
    };
    let watch = Stopwatch::start();
    fixture.database.seed(&plan, &mut |_, _| {}).unwrap();
    watch.report("seed", USERS as usize);
    shard().block_on(async {
        let store = &fixture.store;
        let mut random = fastrand::Rng::with_seed(2);
        let mut some_id = || random.i64(1..=USERS as i64);
        let watch = Stopwatch::start();
        for _ in 0..100_000 {
            store.user(some_id()).await.unwrap().unwrap();
        }
        watch.report("user by id", 100_000);
        let watch = Stopwatch::start();
        for _ in 0..2_000 {
            let ids: Vec<i64> = (0..20).map(|_| some_id()).collect();
            store.users_by_ids(&ids).await.unwrap();
        }
        watch.report("20 users by ids", 2_000);
        measure_lists(&fixture).await;
        for (radius_km, limit) in [(10.0, 20), (21_000.0, 20), (21_000.0, 100)] {
            let watch = Stopwatch::start();
            for center in [(48.85, 2.35), (0.0, -30.0), (-85.0, 100.0), (35.6, 139.7)] {
                let center = Location {
                    lat: center.0,
                    lon: center.1,
                };
                store.users_near(center, radius_km, limit).await.unwrap();
            }
            watch.report(&format!("{limit} near, radius {radius_km} km"), 4);
        }
        for concurrent in [1, 64, 512] {
            let watch = Stopwatch::start();
            let mut written = 0;
            while watch.wall.elapsed().as_millis() < 1_000 {
                let from = 1_000_000 + concurrent * 100_000 + written;
                let made = create_all(store, (from..from + concurrent).map(person)).await;
                made.into_iter().for_each(|user| drop(user.unwrap()));
                written += concurrent;
            }
            watch.report(&format!("durable writes, {concurrent} at once"), written);
        }
    });
    println!("{:?}", fixture.database.writer_stats());
}

async fn measure_lists(fixture: &Fixture) {
    use UserSort::{Id, IdDescending, NameThenAge};
    for (sort, name, min_age, offset) in [
        (Id, None, None, 0),
        (Id, None, None, 10_000),
        (Id, None, Some(21), 0),
        (IdDescending, None, Some(90), 0),
        (Id, None, Some(90), 10_000),
        (Id, None, Some(150), 0),
        (Id, Some("Ada Abbas"), Some(30), 0),
        (NameThenAge, None, None, 10_000),
        (NameThenAge, None, Some(21), 0),
        (NameThenAge, None, Some(89), 0),
        (NameThenAge, None, Some(30), 10_000),
    ] {
        let query = UserQuery {
            fields: UserField::ALL.to_vec(),
            sort,
            name: name.map(str::to_owned),
            min_age,
            start: PageStart::Offset(offset),
            limit: 20,
        };
        let watch = Stopwatch::start();
        for _ in 0..50 {
            fixture.store.users(&query).await.unwrap();
        }
        watch.report(&format!("list {sort:?} {name:?} {min_age:?} +{offset}"), 50);
    }
}
