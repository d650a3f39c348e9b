//! What the statements of the embedded store cost, one by one, on 200,000 users:
//! wall and CPU time of each, without HTTP or a cache.
//!
//! `cargo bench --bench store_statements`; the file is in the temporary folder.

use std::time::Instant;

use corelane::internals::engine::{BlockingPool, EngineKind, EngineOptions, Runtime};
use corelane_server::store::{
    Database, Location, NewUser, PageStart, SeedPlan, Store, StoreOptions, UserField, UserQuery,
    UserSort,
};
use futures_util::future::join_all;

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

fn main() {
    let folder = tempfile::tempdir().expect("a folder");
    let options = StoreOptions::sqlite(folder.path().join("data/c.db"));
    let database = Database::open(&options).unwrap();
    let plan = SeedPlan {
        users: USERS,
        posts: 0,
        random_seed: 1,
    };
    let watch = Stopwatch::start();
    database.seed(&plan, &mut |_, _| {}).unwrap();
    watch.report("seed", USERS as usize);
    let epoll = EngineOptions {
        kind: EngineKind::Epoll,
        ..EngineOptions::default()
    };
    let pool = BlockingPool::start(1).expect("threads");
    let mut shard = Runtime::build(&epoll, pool).expect("epoll");
    shard.block_on(async {
        let store = &database.connect().unwrap();
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
        measure_lists(store).await;
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
                let people = (from..from + concurrent).map(person);
                let made = people.map(|person| store.create_user(person));
                let made = join_all(made).await;
                made.into_iter().for_each(|user| drop(user.unwrap()));
                written += concurrent;
            }
            watch.report(&format!("durable writes, {concurrent} at once"), written);
        }
    });
    shard.shutdown();
    println!("{:?}", database.writer_stats());
}

fn person(number: usize) -> NewUser {
    NewUser {
        name: format!("Person {number}"),
        email: format!("person{number}@example.com"),
        age: 30,
        location: Some(Location {
            lat: 48.85,
            lon: 2.35,
        }),
    }
}

async fn measure_lists(store: &Store) {
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
            store.users(&query).await.unwrap();
        }
        watch.report(&format!("list {sort:?} {name:?} {min_age:?} +{offset}"), 50);
    }
}
