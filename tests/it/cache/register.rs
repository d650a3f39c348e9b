//! An app of registers: a database in the test's memory, shared by all shards
//! and slow at random, behind a strict, lazy or incoherent cache.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use corelane::cache::CacheOptions;
use corelane::{App, Ctx, Error, Response, engine};

use super::history::{Target, Write};
use super::tell_inside;
use crate::harness::Response as Received;

/// The database.
#[derive(Debug, Default)]
pub(super) struct Registers {
    values: Mutex<HashMap<String, u64>>,
    /// Every value that was ever written.
    written: Mutex<HashSet<u64>>,
    pub(super) loads: AtomicUsize,
    delays: AtomicU64,
    /// A step of a load or write takes up to so long.
    pub(super) delay_us_max: AtomicU64,
}

impl Registers {
    pub(super) fn slow(delay_us_max: u64) -> Arc<Self> {
        let registers = Self::default();
        registers
            .delay_us_max
            .store(delay_us_max, Ordering::Relaxed);
        Arc::new(registers)
    }

    pub(super) fn was_written(&self, value: u64) -> bool {
        self.written.lock().expect("no panic").contains(&value)
    }

    async fn read(&self, key: &str) -> u64 {
        self.loads.fetch_add(1, Ordering::Relaxed);
        self.dawdle().await;
        let value = self.values.lock().expect("no panic").get(key).copied();
        // What was read may be old by now.
        self.dawdle().await;
        value.unwrap_or(0)
    }

    async fn write(&self, key: String, value: u64) {
        self.dawdle().await;
        self.values.lock().expect("no panic").insert(key, value);
        self.written.lock().expect("no panic").insert(value);
        self.dawdle().await;
    }

    /// Some steps take no time at all, some all of it.
    async fn dawdle(&self) {
        let number = self.delays.fetch_add(1, Ordering::Relaxed);
        let most = self.delay_us_max.load(Ordering::Relaxed);
        let random = number.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
        match random % 4 {
            0 => {}
            1 => engine::yield_now().await,
            _ => engine::sleep(Duration::from_micros(random % most.max(1))).await,
        }
    }
}

/// `GET` and `PUT /registers/{key}`. A `PUT` with `?kept` leaves its value in
/// the cache; with `?panics` it panics once it has written.
pub(super) fn app(registers: &Arc<Registers>, options: CacheOptions) -> App {
    let registers = registers.clone();
    App::new()
        .middleware(tell_inside)
        .cache(options)
        .state(move |_| {
            let registers = registers.clone();
            async move { Ok(registers) }
        })
        .get("/registers/{key}", read)
        .put("/registers/{key}", write)
        .get("/counters", counters)
}

/// The cache of [`app`].
pub(super) fn options() -> CacheOptions {
    CacheOptions::new("registers").ttl_ms(60_000)
}

async fn read(ctx: Ctx) -> Result<Response, Error> {
    let key: String = ctx.param("key")?;
    let registers = ctx.state::<Arc<Registers>>();
    let cache = ctx.cache("registers");
    let load = {
        let key = key.clone();
        move || async move { Ok(registers.read(&key).await) }
    };
    let value = cache.get_or_load(key, load).await?;
    Ok(Response::text(value.to_string()).with_lookup(value.lookup()))
}

async fn write(mut ctx: Ctx) -> Result<Response, Error> {
    let key: String = ctx.param("key")?;
    let value: u64 = std::str::from_utf8(&ctx.bytes().await?)?.parse()?;
    let registers = ctx.state::<Arc<Registers>>();
    let cache = ctx.cache("registers");
    let (name, mode) = (key.clone(), ctx.query_string().unwrap_or("").to_owned());
    if mode == "kept" {
        let write = move || async move {
            registers.write(name, value).await;
            Ok(value)
        };
        cache.write_value(key, write).await?;
    } else {
        let write = move || async move {
            registers.write(name, value).await;
            assert_ne!(mode, "panics", "as asked");
            Ok(())
        };
        cache.write([key], write).await?;
    }
    Ok(Response::no_content())
}

/// The cache's counters, all shards together.
async fn counters(ctx: Ctx) -> Result<Response, Error> {
    let metrics = ctx.metrics().await;
    let counters: HashMap<&str, u64> = metrics.caches[0].counters.fields().into_iter().collect();
    Response::json(&counters)
}

/// For a crowd.
pub(super) struct RegisterTarget {
    pub(super) keys: usize,
    /// Of 1,000 writes, so many panic.
    pub(super) panics_permille: u64,
}

impl Target for RegisterTarget {
    fn keys(&self) -> usize {
        self.keys
    }

    fn read(&self, key: usize, _: u64) -> String {
        format!("/registers/{key}")
    }

    fn values(&self, key: usize, response: &Received) -> Vec<(usize, u64)> {
        vec![(key, response.text().parse().expect("a number"))]
    }

    fn write(&self, key: usize, value: u64, choice: u64) -> Write {
        let mode = match choice % 1_000 {
            permille if permille < self.panics_permille => "?panics",
            permille if permille % 2 == 0 => "?kept",
            _ => "",
        };
        Write {
            method: "PUT",
            target: format!("/registers/{key}{mode}"),
            body: value.to_string(),
        }
    }
}
