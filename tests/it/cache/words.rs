//! An app that lets a test say to a cache what a handler can: `/c/{cache}/
//! {verb}/{key}`, over a source in the test's memory. `x-log` shows what a
//! failure tells the log.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use corelane::cache::CacheOptions;
use corelane::{App, Cache, Ctx, Error, Next, Response, engine};
use http::StatusCode;

use super::tell_inside;

/// What is loaded from and written to.
#[derive(Debug, Default)]
pub(super) struct Source {
    values: Mutex<HashMap<String, String>>,
    /// Loads begun.
    pub(super) loads: AtomicUsize,
    /// Loads do not go on.
    pub(super) holds_loads: AtomicBool,
    /// How long a load takes, before it reads.
    pub(super) load_ms: AtomicU64,
    /// How long a write takes, before it writes.
    pub(super) write_ms: AtomicU64,
    /// Writes under way, and the most there were at a time.
    writing: AtomicUsize,
    writing_most: AtomicUsize,
    /// Loads fail.
    pub(super) fails: AtomicBool,
    /// So many loads panic, when they are through.
    pub(super) panics: AtomicUsize,
}

impl Source {
    pub(super) fn put(&self, key: &str, value: &str) {
        let mut values = self.values.lock().expect("no panic");
        values.insert(key.to_owned(), value.to_owned());
    }

    pub(super) fn loads(&self) -> usize {
        self.loads.load(Ordering::SeqCst)
    }

    async fn load(&self, key: &str) -> Result<Option<String>, Error> {
        self.loads.fetch_add(1, Ordering::SeqCst);
        while self.holds_loads.load(Ordering::SeqCst) {
            engine::sleep(Duration::from_millis(1)).await;
        }
        pause(&self.load_ms).await;
        if self.fails.load(Ordering::SeqCst) {
            return Err(Error::new(StatusCode::BAD_GATEWAY, "the source is away"));
        }
        let less = |count: usize| count.checked_sub(1);
        let panics = self
            .panics
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, less);
        assert!(panics.is_err(), "as asked, in a load");
        Ok(self.values.lock().expect("no panic").get(key).cloned())
    }

    /// The most writes there were at a time.
    pub(super) fn writing_most(&self) -> usize {
        self.writing_most.load(Ordering::SeqCst)
    }

    async fn write(&self, key: &str, value: &str) {
        let writing = 1 + self.writing.fetch_add(1, Ordering::SeqCst);
        self.writing_most.fetch_max(writing, Ordering::SeqCst);
        pause(&self.write_ms).await;
        self.put(key, value);
        self.writing.fetch_sub(1, Ordering::SeqCst);
    }
}

async fn pause(ms: &AtomicU64) {
    let ms = ms.load(Ordering::SeqCst);
    if ms > 0 {
        engine::sleep(Duration::from_millis(ms)).await;
    }
}

/// The app with these caches. A request with `x-patience-ms` is dropped by a
/// middleware when it takes longer: 504.
pub(super) fn app(source: &Arc<Source>, caches: impl IntoIterator<Item = CacheOptions>) -> App {
    let source = source.clone();
    let app = App::new()
        .middleware(tell_inside)
        .middleware(lose_patience)
        .state(move |_| {
            let source = source.clone();
            async move { Ok(source) }
        })
        .get("/c/{cache}/{verb}/{key}", say)
        .put("/c/{cache}/{verb}/{key}", say)
        .get("/counters/{cache}", counters);
    caches.into_iter().fold(app, App::cache)
}

async fn lose_patience(ctx: Ctx, next: Next) -> Result<Response, Error> {
    let name = http::HeaderName::from_static("x-patience-ms");
    let Some(ms) = ctx.header(&name).map(str::to_owned) else {
        return next.run(ctx).await;
    };
    let patience = Duration::from_millis(ms.parse()?);
    let late = || Error::new(StatusCode::GATEWAY_TIMEOUT, "it took too long");
    let done = engine::timeout(patience, next.run(ctx)).await;
    done.unwrap_or_else(|_| Err(late()))
}

async fn say(mut ctx: Ctx) -> Result<Response, Error> {
    let (name, verb, key): (String, String, String) =
        (ctx.param("cache")?, ctx.param("verb")?, ctx.param("key")?);
    let body = String::from_utf8_lossy(&ctx.bytes().await?).into_owned();
    let source = Arc::clone(&ctx.state::<Arc<Source>>());
    let cache = with_tags(ctx.cache(&name), ctx.query_string().unwrap_or(""));
    let text = |text: String| Ok(Response::text(text));
    match verb.as_str() {
        "load" => load(cache, source, key).await,
        "find" => find(cache, source, key).await,
        "number" => {
            let number = cache.get_or_load(key, || async { Ok(7_u64) }).await?;
            text(number.to_string())
        }
        "get" => shown(
            cache
                .get::<String>(&key)
                .await?
                .map(|value| value.to_string()),
        ),
        "take" => shown(
            cache
                .take::<String>(&key)
                .await?
                .map(|value| value.to_string()),
        ),
        "left" => shown(
            cache
                .ttl_left_ms::<String>(&key)
                .await?
                .map(|ms| ms.to_string()),
        ),
        "mget" => {
            let values = cache.mget::<String>(key.split(',')).await?;
            let shown = values
                .iter()
                .map(|value| value.as_ref().map(|value| value.as_str()));
            Response::json(&shown.collect::<Vec<_>>())
        }
        "set" => cache.set(key, body).await.map(|()| Response::no_content()),
        "del" => text(cache.del(key.split(',')).await?.to_string()),
        "ttl" => text(cache.ttl(key, body.parse()?).await?.to_string()),
        "keys" => {
            let keys = cache.keys().await?.into_iter().map(String::from_utf8);
            text(keys.collect::<Result<Vec<_>, _>>()?.join(","))
        }
        "flush" => cache.flush().await.map(|()| Response::no_content()),
        "invalidate" => {
            ctx.invalidate_tag(&key).await?;
            Ok(Response::no_content())
        }
        "write" => {
            let name = key.clone();
            let write = move || async move {
                source.write(&name, &body).await;
                Ok(Response::no_content())
            };
            cache.write([key], write).await
        }
        other => Err(Error::not_found(format!("no verb {other}"))),
    }
}

/// `tags=a,b` and `invalidating=a,b`, or neither.
fn with_tags(cache: Cache, query: &str) -> Cache {
    match query.split_once('=') {
        Some(("tags", tags)) => cache.tagged(tags.split(',')),
        Some(("invalidating", tags)) => cache.invalidating(tags.split(',')),
        _ => cache,
    }
}

fn shown(value: Option<String>) -> Result<Response, Error> {
    let value = value.ok_or_else(|| Error::not_found("not cached"))?;
    Ok(Response::text(value))
}

async fn load(cache: Cache, source: Arc<Source>, key: String) -> Result<Response, Error> {
    let name = key.clone();
    let load = move || async move {
        let value = source.load(&name).await?;
        Ok(value.unwrap_or_else(|| "nothing yet".to_owned()))
    };
    let value = cache.get_or_load(key, load).await?;
    Ok(Response::text(value.to_string()).with_lookup(value.lookup()))
}

async fn find(cache: Cache, source: Arc<Source>, key: String) -> Result<Response, Error> {
    let name = key.clone();
    let load = move || async move { source.load(&name).await };
    let found = cache.find_or_load(key, load).await?;
    let lookup = found.lookup();
    let response = match found.into_value() {
        Some(value) => Response::text(value.to_string()),
        None => Error::not_found("there is none").into(),
    };
    Ok(response.with_lookup(lookup))
}

/// One cache's counters and gauges, all shards together.
async fn counters(ctx: Ctx) -> Result<Response, Error> {
    let name: String = ctx.param("cache")?;
    let metrics = ctx.metrics().await;
    let cache = metrics.caches.iter().find(|cache| cache.name == name);
    let cache = cache.ok_or_else(|| Error::not_found("no such cache"))?;
    let mut shown: HashMap<&str, u64> = cache.counters.fields().into_iter().collect();
    shown.insert("keys", cache.gauges.keys);
    shown.insert("bytes", cache.gauges.bytes);
    Response::json(&shown)
}
