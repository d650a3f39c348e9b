//! The API's two caches, and the answers they keep.
//!
//! `users` has one finished answer for each user, by id; every write of a user
//! goes through it. `lists` has whatever shows several rows, by path and query;
//! it depends on tags, a collection each, that writes invalidate.

use http::{HeaderName, HeaderValue, header};

use super::cache_control::CacheControl;
use super::conditional::{add_validators, next_link_header};
use super::list_key::ListKey;
use corelane::internals::cache::{CacheOptions, CacheOptionsError, Coherence};
use corelane::internals::l2::{RowCache, RowCacheOptions, RowPlan};
use corelane::internals::limits::CACHE_DOUBT_MS;
use corelane::internals::semantics::{ETag, LastModified, Validators};
use corelane::{App, Cache, Ctx, Error, PreparedResponse, Response};

/// The cache of single users.
pub const USERS_CACHE: &str = "users";
/// The cache of lists.
pub const LISTS_CACHE: &str = "lists";
/// Tag of whatever shows users.
pub const USERS_TAG: &str = "users";
/// Tag of whatever shows posts.
pub const POSTS_TAG: &str = "posts";

/// Options of the API's caches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiCacheOptions {
    /// See [`CacheOptions::ttl_ms`]. Default 10,000; 0 keeps nothing at all.
    pub ttl_ms: u64,
    /// See [`CacheOptions::negative_ttl_ms`]. Default 1,000.
    pub negative_ttl_ms: u64,
    /// See [`CacheOptions::stale_while_revalidate_ms`]. Default 0.
    pub stale_while_revalidate_ms: u64,
    /// See [`CacheOptions::stale_if_error_ms`]. Default 0.
    pub stale_if_error_ms: u64,
    /// Memory of the users, all shards together, bytes. Default 64 MiB.
    pub users_bytes_max: u64,
    /// Memory of the lists, all shards together, bytes. Default 32 MiB.
    pub lists_bytes_max: u64,
    /// Default strict.
    pub coherence: Coherence,
    /// Whether users are kept in Redis too. Default auto.
    pub redis: RedisUse,
    /// How long a user is kept in Redis, milliseconds. Default 60,000.
    pub redis_ttl_ms: u64,
    /// How long Redis remembers a write, milliseconds: see
    /// [`RowCacheOptions::tombstone_ms`]. At most `redis_ttl_ms`. Default
    /// 10,000.
    pub redis_tombstone_ms: u64,
    /// See [`RowCacheOptions::prefix`]; what stands for the database follows
    /// it. Default `corelane`.
    pub redis_prefix: String,
    /// How long a write without a clear outcome may still happen,
    /// milliseconds. Default [`CACHE_DOUBT_MS`].
    pub doubt_ms: u64,
}

/// Whether something is kept in Redis.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum RedisUse {
    /// If the app has a Redis.
    #[default]
    Auto,
    /// Never.
    Off,
}

impl Default for ApiCacheOptions {
    fn default() -> Self {
        Self {
            ttl_ms: 10_000,
            negative_ttl_ms: 1_000,
            stale_while_revalidate_ms: 0,
            stale_if_error_ms: 0,
            users_bytes_max: 64 << 20,
            lists_bytes_max: 32 << 20,
            coherence: Coherence::Strict,
            redis: RedisUse::Auto,
            redis_ttl_ms: 60_000,
            redis_tombstone_ms: 10_000,
            redis_prefix: "corelane".to_owned(),
            doubt_ms: CACHE_DOUBT_MS,
        }
    }
}

impl ApiCacheOptions {
    fn cache(&self, name: &str, bytes_max: u64) -> CacheOptions {
        // 0 is for no caching, not even of what is not there.
        let negative_ttl_ms = match self.ttl_ms {
            0 => 0,
            _ => self.negative_ttl_ms,
        };
        CacheOptions::new(name)
            .ttl_ms(self.ttl_ms)
            .negative_ttl_ms(negative_ttl_ms)
            .stale_while_revalidate_ms(self.stale_while_revalidate_ms)
            .stale_if_error_ms(self.stale_if_error_ms)
            .coherence(self.coherence)
            .fed(true)
            .bytes_max(bytes_max)
    }

    fn users(&self) -> CacheOptions {
        self.cache(USERS_CACHE, self.users_bytes_max)
            .invalidates([USERS_TAG])
    }

    fn lists(&self) -> CacheOptions {
        self.cache(LISTS_CACHE, self.lists_bytes_max)
    }

    /// Checks that both caches can be made.
    ///
    /// # Errors
    /// [`CacheOptionsError`].
    pub fn check(&self) -> Result<(), CacheOptionsError> {
        self.users().check()?;
        self.lists().check()
    }
}

/// Adds the caches, and the users in Redis. `database` stands for the database
/// in their keys.
#[must_use]
pub fn install(app: App, options: &ApiCacheOptions, database: &str) -> App {
    let rows = RowPlan::new(RowCacheOptions {
        name: USERS_CACHE.to_owned(),
        prefix: format!("{}:{database}", options.redis_prefix),
        ttl_ms: options.redis_ttl_ms,
        tombstone_ms: options.redis_tombstone_ms,
        doubt_ms: options.doubt_ms,
    });
    let is_used = options.redis == RedisUse::Auto;
    app.cache(options.users())
        .cache(options.lists())
        .state(move |_| {
            let rows = match is_used {
                true => RowCache::new(&rows),
                false => RowCache::unused(&rows),
            };
            async move { Ok(rows) }
        })
        .on_shard_start(|shard| {
            if let (Some(rows), Some(redis)) = (shard.state::<RowCache>(), shard.redis()) {
                rows.attach(redis);
            }
        })
        .metrics_source::<RowCache>()
}

/// A JSON document with its validators.
pub(super) struct Document {
    pub(super) body: Vec<u8>,
    pub(super) etag: ETag,
    pub(super) last_modified: Option<LastModified>,
    /// Path and query of the next page.
    pub(super) next: Option<String>,
}

impl Document {
    /// A document that is its own validator.
    pub(super) fn of_body(body: Vec<u8>, next: Option<String>) -> Self {
        Self {
            etag: ETag::of_bytes(&body),
            last_modified: None,
            body,
            next,
        }
    }

    /// Encoded, to be kept and sent with the route's `Cache-Control`.
    pub(super) fn prepare(self, policy: Option<&HeaderValue>) -> Result<PreparedResponse, Error> {
        let mut head = Response::no_content();
        let validators = Validators {
            etag: Some(&self.etag),
            last_modified: self.last_modified,
        };
        add_validators(&mut head, validators);
        let mut headers: Vec<(HeaderName, HeaderValue)> = head
            .headers()
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect();
        if let Some(policy) = policy {
            headers.push((header::CACHE_CONTROL, policy.clone()));
        }
        if let Some(next) = &self.next {
            headers.push(next_link_header(next)?);
        }
        let json = HeaderValue::from_static("application/json");
        let prepared = PreparedResponse::of_content(json, &self.body, headers);
        Ok(prepared.dated(self.last_modified))
    }
}

/// Answers a GET of the route `pattern` out of the cache of lists, loading the
/// document if need be. `key` is what was asked for as [`ListKey`] spells it: one
/// question has one key, however it was written.
pub(super) async fn answer_list<Fut>(
    ctx: &Ctx,
    pattern: &'static str,
    key: ListKey,
    tags: &'static [&'static str],
    load: impl FnOnce() -> Fut,
) -> Result<Response, Error>
where
    Fut: Future<Output = Result<Document, Error>> + 'static,
{
    let load = || {
        let (load, policies) = (load(), ctx.state::<CacheControl>());
        async move { load.await?.prepare(policies.of(pattern)) }
    };
    let lists: Cache = ctx.cache(LISTS_CACHE).tagged(tags.iter().copied());
    let found = lists.get_or_load(key.into_bytes(), load).await?;
    ctx.respond_conditionally(found)
}

/// The tags that entries of `lists` are kept with; each route uses one of
/// these, in this order.
pub(super) mod list_tags {
    use super::{POSTS_TAG, USERS_TAG};

    pub(in crate::handlers) const USERS: &[&str] = &[USERS_TAG];
    pub(in crate::handlers) const POSTS: &[&str] = &[POSTS_TAG];
    /// What shows posts with their authors depends on both.
    pub(in crate::handlers) const POSTS_AND_AUTHORS: &[&str] = &[POSTS_TAG, USERS_TAG];
    pub(super) const ALL: [&[&str]; 3] = [USERS, POSTS, POSTS_AND_AUTHORS];
}

/// A cache in every way its entries may be kept: an entry is found only with
/// its tags, and those of `lists` have others by route.
pub(super) fn with_all_tags(cache: &Cache) -> Vec<Cache> {
    let mut ways = vec![cache.clone()];
    if cache.name() == LISTS_CACHE {
        ways.extend(list_tags::ALL.map(|tags| cache.tagged(tags.iter().copied())));
    }
    ways
}

/// The tags of the API, whether anything depends on them yet or not, if these
/// are its caches.
pub(super) fn tags_of(caches: &[Cache]) -> &'static [&'static str] {
    match caches.iter().any(|cache| cache.name() == LISTS_CACHE) {
        true => list_tags::POSTS_AND_AUTHORS,
        false => &[],
    }
}
