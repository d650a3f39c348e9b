//! The caches for an operator: what is in them, and having it forgotten.
//!
//! On the admin listener only. Whatever is deleted is gone from all shards when
//! the answer is sent.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use http::{HeaderValue, Method, StatusCode, header};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::{Deserialize, Serialize};

use super::cached::{LISTS_CACHE, USERS_CACHE, tags_of, with_all_tags};
use super::health::stuck_warning;
use super::named_list::key_of_target;
use super::users::parse_id;
use corelane::error::FieldError;
use corelane::internals::l2::RowCache;
use corelane::internals::metrics::{CacheSnapshot, ProcessSnapshot};
use corelane::{App, Cache, Ctx, Error, Handler, Next, Response, Route};

/// Adds the routes.
#[must_use]
pub fn install(app: App) -> App {
    app.route(route(Method::GET, "/cache/stats", stats))
        .route(route(Method::GET, "/cache/{name}", list))
        .route(route(Method::DELETE, "/cache/{name}", flush))
        .route(route(Method::DELETE, "/cache/{name}/{*key}", delete))
        .route(route(Method::DELETE, "/cache", invalidate))
}

fn route(method: Method, pattern: &str, handler: impl Handler) -> Route {
    Route::new(method, pattern, handler).middleware(no_store)
}

async fn no_store(mut ctx: Ctx, next: Next) -> Result<Response, Error> {
    let value = HeaderValue::from_static("no-store");
    let stuck = StuckShards(ctx.shards_health().await.stuck.into());
    ctx.attach(stuck.clone());
    match next.run(ctx).await {
        Ok(mut response) => {
            response.insert_header(header::CACHE_CONTROL, value);
            Ok(response)
        }
        Err(error) => Err(stuck
            .name_in(error)
            .with_header(header::CACHE_CONTROL, value)),
    }
}

/// Shards that gave no sign of life when the request came. What they have cannot
/// be listed, nor forgotten in time.
#[derive(Clone)]
struct StuckShards(Rc<[usize]>);

impl StuckShards {
    /// Instead of what a caller can do nothing with.
    fn name_in(&self, error: Error) -> Error {
        if self.0.is_empty() || error.status() != StatusCode::SERVICE_UNAVAILABLE {
            return error;
        }
        let detail = format!("it is not forgotten everywhere: {}", stuck_warning(&self.0));
        Error::unavailable(detail, RETRY_AFTER_S)
    }
}

/// When to ask again whether a shard is still stuck.
const RETRY_AFTER_S: u32 = 1;

/// `GET /cache/stats`.
async fn stats(ctx: Ctx) -> Result<Response, Error> {
    let snapshot = ctx.metrics().await;
    Response::json(&Stats::of(&ctx.caches(), &snapshot))
}

/// All shards together.
#[derive(Debug, Serialize)]
struct Stats {
    total: Total,
    caches: Vec<CacheStats>,
    /// Shards that did not answer in time and are in no sum.
    missing_shards: Vec<usize>,
}

/// All caches together, by the names of node-cache's `getStats`. What keys and
/// values take is counted together here, as `bytes`.
#[derive(Debug, Default, Serialize)]
struct Total {
    hits: u64,
    misses: u64,
    keys: u64,
    bytes: u64,
}

#[derive(Debug, Serialize)]
struct CacheStats {
    name: String,
    coherence: &'static str,
    ttl_ms: u64,
    negative_ttl_ms: u64,
    stale_while_revalidate_ms: u64,
    stale_if_error_ms: u64,
    bytes_max: u64,
    keys_max: Option<u64>,
    keys: u64,
    bytes: u64,
    copies: u64,
    copy_bytes: u64,
    /// Reads answered without waiting for a load, and those that waited.
    hits: u64,
    misses: u64,
    hit_ratio: f64,
    counters: BTreeMap<&'static str, u64>,
}

impl Stats {
    fn of(caches: &[Cache], snapshot: &ProcessSnapshot) -> Self {
        let nothing = CacheSnapshot::default();
        let caches = caches.iter().map(|cache| {
            let counted = snapshot.caches.iter().find(|c| c.name == cache.name());
            CacheStats::of(cache, counted.unwrap_or(&nothing))
        });
        let caches: Vec<CacheStats> = caches.collect();
        let mut total = Total::default();
        for cache in &caches {
            total.hits += cache.hits;
            total.misses += cache.misses;
            total.keys += cache.keys;
            total.bytes += cache.bytes;
        }
        Self {
            total,
            caches,
            missing_shards: snapshot.missing_shards.clone(),
        }
    }
}

impl CacheStats {
    fn of(cache: &Cache, counted: &CacheSnapshot) -> Self {
        let (options, gauges) = (cache.options(), &counted.gauges);
        Self {
            name: cache.name().to_owned(),
            coherence: options.coherence.name(),
            ttl_ms: options.ttl_ms,
            negative_ttl_ms: options.negative_ttl_ms,
            stale_while_revalidate_ms: options.stale_while_revalidate_ms,
            stale_if_error_ms: options.stale_if_error_ms,
            bytes_max: options.bytes_max,
            keys_max: options.keys_max,
            keys: gauges.keys,
            bytes: gauges.bytes,
            copies: gauges.copies,
            copy_bytes: gauges.copy_bytes,
            hits: counted.counters.hits(),
            misses: counted.counters.missed(),
            hit_ratio: counted.counters.hit_ratio(),
            counters: counted.counters.fields().into_iter().collect(),
        }
    }
}

/// `GET /cache/{name}`: the keys that are fresh, in order.
async fn list(ctx: Ctx) -> Result<Response, Error> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Query {
        #[serde(default = "default_limit")]
        limit: usize,
    }
    fn default_limit() -> usize {
        KEYS_LISTED
    }
    let cache = cache_of(&ctx)?;
    let limit = ctx.query::<Query>()?.limit;
    if limit > KEYS_LISTED_MAX {
        let why = format!("at most {KEYS_LISTED_MAX}");
        return Err(Error::validation(vec![FieldError::new("limit", why)]));
    }
    let mut keys = BTreeSet::new();
    for cache in with_all_tags(&cache) {
        keys.extend(cache.keys().await?);
    }
    Response::json(&Keys {
        name: cache.name(),
        missing_shards: ctx.attached().map_or(&[], |stuck: &StuckShards| &stuck.0),
        total: keys.len(),
        keys: keys
            .iter()
            .take(limit)
            .map(|key| Key::of(&cache, key))
            .collect(),
    })
}

#[derive(Debug, Serialize)]
struct Keys<'a> {
    name: &'a str,
    /// Shards that did not answer, whose keys are not listed.
    #[serde(skip_serializing_if = "<[usize]>::is_empty")]
    missing_shards: &'a [usize],
    total: usize,
    keys: Vec<Key>,
}

#[derive(Debug, Serialize)]
struct Key {
    /// With U+FFFD where it is not UTF-8.
    key: String,
    /// The path to DELETE it by, whatever its bytes.
    path: String,
}

impl Key {
    fn of(cache: &Cache, key: &[u8]) -> Self {
        let encoded = percent_encoding::percent_encode(key, NOT_IN_A_PATH);
        Self {
            key: String::from_utf8_lossy(key).into_owned(),
            path: format!("/cache/{}/{encoded}", path_name(cache)),
        }
    }
}

/// A cache's name as a segment of a path.
fn path_name(cache: &Cache) -> impl std::fmt::Display {
    utf8_percent_encode(cache.name(), NOT_IN_A_PATH)
}

/// Slashes too, so that nobody on the way tidies the path.
const NOT_IN_A_PATH: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~')
    .remove(b'=')
    .remove(b'&')
    .remove(b',')
    .remove(b':');

/// Keys in an answer, unless more are asked for.
const KEYS_LISTED: usize = 100;
/// And never more.
const KEYS_LISTED_MAX: usize = 10_000;

/// `DELETE /cache/{name}/{key}`. The query is part of the key: the keys of
/// `lists` have one, and can be pasted as they are.
async fn delete(ctx: Ctx) -> Result<Response, Error> {
    let cache = cache_of(&ctx)?;
    let key = ctx.param_bytes("key");
    let mut key = key
        .ok_or_else(|| Error::bad_request("the key is not percent-encoded rightly"))?
        .into_owned();
    if let Some(query) = ctx.query_string() {
        key.push(b'?');
        key.extend_from_slice(query.as_bytes());
    }
    if let Some(spelled) = list_key_of(&cache, &key) {
        key = spelled;
    }
    if let Some(rows) = rows_of(&ctx, &cache)
        && let Some(id) = std::str::from_utf8(&key).ok().and_then(parse_id)
    {
        rows.changed(&[(id, None)]).await;
    }
    let mut was_there = false;
    for cache in with_all_tags(&cache) {
        was_there |= cache.del([&key]).await? > 0;
    }
    #[derive(Serialize)]
    struct Deleted {
        deleted: u8,
    }
    Response::json(&Deleted {
        deleted: u8::from(was_there),
    })
}

/// `DELETE /cache/{name}`.
async fn flush(ctx: Ctx) -> Result<Response, Error> {
    let cache = cache_of(&ctx)?;
    // Before a forgotten tag flushes everything else.
    if ctx.query_string().is_some_and(|query| !query.is_empty()) {
        let name = cache.name();
        let why = format!(
            "DELETE /cache/{name} takes none and forgets the whole cache; \
             DELETE /cache?tag=NAME forgets what depends on a tag"
        );
        return Err(Error::validation(vec![FieldError::new("query", why)]));
    }
    flushed(&ctx, [cache]).await
}

async fn flushed(ctx: &Ctx, caches: impl IntoIterator<Item = Cache>) -> Result<Response, Error> {
    #[derive(Default, Serialize)]
    struct Flushed {
        flushed: Vec<String>,
    }
    let mut flushed = Flushed::default();
    for cache in caches {
        // First what it would be filled from.
        if let Some(rows) = rows_of(ctx, &cache) {
            rows.changed_any().await;
        }
        cache.flush().await?;
        flushed.flushed.push(cache.name().to_owned());
    }
    Response::json(&flushed)
}

/// `DELETE /cache?tag=NAME`, with any number of tags, or `?all=true`.
async fn invalidate(ctx: Ctx) -> Result<Response, Error> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Query {
        #[serde(default)]
        tag: Vec<String>,
        #[serde(default)]
        all: bool,
    }
    let query: Query = ctx.query().map_err(|_| say_what())?;
    match (query.all, query.tag.is_empty()) {
        (true, true) => flushed(&ctx, ctx.caches()).await,
        (false, false) => invalidate_tags(&ctx, query.tag).await,
        _ => Err(say_what()),
    }
}

/// So that nobody flushes everything by a slip of the hand.
fn say_what() -> Error {
    let why = "say what to forget: ?tag=NAME what depends on a tag (more than one may be given), \
               /cache/{name} one cache, ?all=true all caches";
    Error::validation(vec![FieldError::new("query", why)])
}

async fn invalidate_tags(ctx: &Ctx, asked: Vec<String>) -> Result<Response, Error> {
    #[derive(Serialize)]
    struct Invalidated {
        invalidated: BTreeSet<String>,
    }
    let mut known = ctx.cache_tags().await;
    known.extend(tags_of(&ctx.caches()).iter().map(|&tag| tag.to_owned()));
    // All of them before any is touched.
    if let Some(unknown) = asked.iter().find(|tag| !known.contains(*tag)) {
        let known = Vec::from_iter(known).join(", ");
        return Err(Error::not_found(format!(
            "no such tag: {unknown}; there are: {known}"
        )));
    }
    let invalidated = BTreeSet::from_iter(asked);
    for tag in &invalidated {
        ctx.invalidate_tag(tag).await?;
    }
    Response::json(&Invalidated { invalidated })
}

/// The key that a list asked for by this path and query is kept under, however the
/// caller writes it.
fn list_key_of(cache: &Cache, key: &[u8]) -> Option<Vec<u8>> {
    let target = std::str::from_utf8(key).ok();
    let target = target.filter(|_| cache.name() == LISTS_CACHE)?;
    match target.split_once('?') {
        Some((path, query)) => key_of_target(path, Some(query)),
        None => key_of_target(target, None),
    }
}

/// What is kept in Redis of this cache.
fn rows_of(ctx: &Ctx, cache: &Cache) -> Option<Rc<RowCache>> {
    let rows = ctx.find_state::<RowCache>();
    rows.filter(|_| cache.name() == USERS_CACHE)
}

/// The cache in the path.
fn cache_of(ctx: &Ctx) -> Result<Cache, Error> {
    let caches = ctx.caches();
    let name = ctx.param_str("name").unwrap_or_default();
    let found = caches.iter().find(|cache| *cache.name() == *name);
    found.cloned().ok_or_else(|| {
        let known: Vec<&str> = caches.iter().map(Cache::name).collect();
        Error::not_found(format!(
            "no such cache: {name}; there are: {}",
            known.join(", ")
        ))
    })
}
