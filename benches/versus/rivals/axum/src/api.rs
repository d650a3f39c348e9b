//! The routes. A user is read through moka, what is kept being the finished
//! body, so a hit serialises nothing; a list is read from the database each
//! time, as every write would have to forget it.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Path, Query, State};
use axum::http::header::{CONTENT_TYPE, ETAG, IF_NONE_MATCH, LOCATION};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use moka::future::Cache;
use serde::{Deserialize, Serialize};
use tower_http::CompressionLevel;
use tower_http::compression::CompressionLayer;
use tower_http::services::ServeDir;

use crate::settings::Settings;
use crate::store::{Redis, Store, StoreError};
use crate::user::{Finished, NewUser, User};

pub struct World {
    store: Store,
    users: Cache<i64, Finished, ahash::RandomState>,
    second_level: Option<Redis>,
    dataset: Vec<Item>,
    static_dir: std::path::PathBuf,
}

impl World {
    pub fn new(
        settings: &Settings,
        store: Store,
        second_level: Option<Redis>,
    ) -> Result<Self, String> {
        let dataset = match &settings.dataset_file {
            Some(path) => dataset(path).map_err(|why| format!("{}: {why}", path.display()))?,
            None => Vec::new(),
        };
        let users = Cache::builder()
            .max_capacity(CACHED_USERS_MAX)
            .time_to_live(settings.cache_ttl)
            .build_with_hasher(ahash::RandomState::new());
        let static_dir = settings.static_dir.clone();
        Ok(Self {
            store,
            users,
            second_level,
            dataset,
            static_dir,
        })
    }

    /// A user out of the database, or of Redis before it.
    async fn load(&self, id: i64) -> Result<Finished, StoreError> {
        let Some(redis) = &self.second_level else {
            return self.store.user(id).await;
        };
        if let Some(kept) = redis.find(id).await {
            return Ok(kept);
        }
        let loaded = self.store.user(id).await?;
        redis.keep(id, &loaded).await;
        Ok(loaded)
    }

    async fn forget(&self, id: i64) {
        if let Some(redis) = &self.second_level {
            redis.remove(id).await;
        }
        self.users.invalidate(&id).await;
    }
}

pub fn router(world: Arc<World>) -> Router {
    // CompressionLayer looks at every answer it is over: only over these.
    let compression = CompressionLayer::new().quality(CompressionLevel::Fastest);
    let static_files = ServeDir::new(&world.static_dir);
    Router::new()
        .route("/json/{count}", get(items))
        .route_layer(compression)
        .route("/constant", get(constant))
        .route("/api/users", get(list).post(create))
        .route("/api/users/{id}", get(user).put(replace))
        .nest_service("/static", static_files)
        .with_state(world)
}

async fn constant() -> &'static str {
    "Hello, World!"
}

async fn user(
    State(world): State<Arc<World>>,
    Path(id): Path<i64>,
    headers: HeaderMap,
) -> Response {
    let (found, x_cache) = match world.users.get(&id).await {
        Some(found) => (found, "HIT"),
        // One load for all that ask meanwhile.
        None => match world.users.try_get_with(id, world.load(id)).await {
            Ok(found) => (found, "MISS"),
            Err(why) => return StoreError::clone(&why).into_response(),
        },
    };
    let x_cache = HeaderValue::from_static(x_cache);
    let known = headers
        .get(IF_NONE_MATCH)
        .is_some_and(|known| *known == found.etag);
    if known {
        let head = [(ETAG, found.etag), (X_CACHE, x_cache)];
        return (StatusCode::NOT_MODIFIED, head).into_response();
    }
    let head = [(CONTENT_TYPE, JSON), (ETAG, found.etag), (X_CACHE, x_cache)];
    (head, Body::from(found.body)).into_response()
}

#[derive(Deserialize)]
struct PageQuery {
    limit: Option<i64>,
    after: Option<i64>,
}

#[derive(Serialize)]
struct Page {
    data: Vec<User>,
    page: u32,
    limit: i64,
    next: Option<String>,
}

async fn list(State(world): State<Arc<World>>, Query(query): Query<PageQuery>) -> Response {
    let limit = query.limit.unwrap_or(20).clamp(1, 100);
    // One more, to know whether there is a next page.
    let mut data = match world.store.page(query.after.unwrap_or(0), limit + 1).await {
        Ok(data) => data,
        Err(why) => return why.into_response(),
    };
    let has_more = data.len() as i64 > limit;
    data.truncate(limit as usize);
    let last = data.last().filter(|_| has_more);
    let next = last.map(|last| format!("/api/users?limit={limit}&after={}", last.id));
    Json(Page {
        data,
        page: 1,
        limit,
        next,
    })
    .into_response()
}

async fn create(State(world): State<Arc<World>>, Json(new): Json<NewUser>) -> Response {
    if !new.is_valid() {
        return StatusCode::UNPROCESSABLE_ENTITY.into_response();
    }
    match world.store.create(new).await {
        Ok(user) => {
            let Finished { body, etag } = Finished::of(&user);
            let location = HeaderValue::try_from(format!("/api/users/{}", user.id));
            let location = location.expect("a path and digits are a header value");
            let head = [(CONTENT_TYPE, JSON), (ETAG, etag), (LOCATION, location)];
            (StatusCode::CREATED, head, Body::from(body)).into_response()
        }
        Err(why) => why.into_response(),
    }
}

async fn replace(
    State(world): State<Arc<World>>,
    Path(id): Path<i64>,
    Json(new): Json<NewUser>,
) -> Response {
    if !new.is_valid() {
        return StatusCode::UNPROCESSABLE_ENTITY.into_response();
    }
    match world.store.replace(id, new).await {
        Ok(user) => {
            world.forget(id).await;
            let Finished { body, etag } = Finished::of(&user);
            ([(CONTENT_TYPE, JSON), (ETAG, etag)], Body::from(body)).into_response()
        }
        Err(why) => why.into_response(),
    }
}

#[derive(Deserialize)]
struct Item {
    id: i64,
    name: String,
    category: String,
    price: f64,
    quantity: i64,
    active: bool,
    tags: Vec<String>,
    rating: Rating,
}

#[derive(Deserialize, Serialize)]
struct Rating {
    score: f64,
    count: i64,
}

#[derive(Serialize)]
struct Priced<'a> {
    id: i64,
    name: &'a str,
    category: &'a str,
    price: f64,
    quantity: i64,
    active: bool,
    tags: &'a [String],
    rating: &'a Rating,
    total: f64,
}

impl<'a> Priced<'a> {
    fn of(item: &'a Item) -> Self {
        Self {
            id: item.id,
            name: &item.name,
            category: &item.category,
            price: item.price,
            quantity: item.quantity,
            active: item.active,
            tags: &item.tags,
            rating: &item.rating,
            total: item.price * item.quantity as f64,
        }
    }
}

#[derive(Serialize)]
struct Items<'a> {
    items: Vec<Priced<'a>>,
    count: usize,
}

async fn items(State(world): State<Arc<World>>, Path(count): Path<usize>) -> Response {
    let count = count.min(world.dataset.len());
    let items = world.dataset[..count].iter().map(Priced::of);
    Json(Items {
        items: items.collect(),
        count,
    })
    .into_response()
}

fn dataset(path: &std::path::Path) -> Result<Vec<Item>, Box<dyn std::error::Error>> {
    Ok(serde_json::from_slice(&std::fs::read(path)?)?)
}

const JSON: HeaderValue = HeaderValue::from_static("application/json");
const X_CACHE: HeaderName = HeaderName::from_static("x-cache");

/// More than any scenario has users.
const CACHED_USERS_MAX: u64 = 200_000;
