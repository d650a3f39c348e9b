//! Profile crud: a list, single items out of a cache, creating and changing.
//!
//! The cache is corelane's, one for all shards: an item is loaded once for the
//! whole process and no shard has an old one after a write was answered. It
//! keeps finished answers for 200 ms; nothing loads them beforehand.

use std::rc::Rc;

use corelane::cache::CacheOptions;
use corelane::error::FieldError;
use corelane::postgres::{PostgresError, Sql, ToSql};
use corelane::{App, CacheEntry, Ctx, Error, PreparedResponse, Response};
use http::StatusCode;
use serde::{Deserialize, Serialize};

use crate::items::{Item, columns, database};

const CACHE: &str = "items";
/// How long an item may be served after it was read, milliseconds.
const TTL_MS: u64 = 200;
const PAGE_ITEMS_MAX: i64 = 50;

/// Below `/crud`.
pub(crate) fn app() -> App {
    let cache = CacheOptions::new(CACHE)
        .ttl_ms(TTL_MS)
        .negative_ttl_ms(TTL_MS);
    App::new()
        .cache(cache)
        .get("/items", list)
        .post("/items", create)
        .get("/items/{id}", read)
        .put("/items/{id}", update)
}

#[derive(Deserialize)]
#[serde(default)]
struct Page {
    category: String,
    page: i64,
    limit: i64,
}

impl Default for Page {
    fn default() -> Self {
        Self {
            category: "electronics".to_owned(),
            page: 1,
            limit: 10,
        }
    }
}

#[derive(Serialize)]
struct PageAnswer<'a> {
    items: Vec<Item<'a>>,
    total: usize,
    page: i64,
    limit: i64,
}

/// What a client may set of an item that is there.
#[derive(Deserialize)]
struct Change {
    name: String,
    price: i32,
    quantity: i32,
}

#[derive(Deserialize)]
struct NewItem {
    id: i32,
    category: String,
    #[serde(flatten)]
    change: Change,
}

const OF_CATEGORY: &str = concat!(
    "SELECT ",
    columns!(),
    " FROM items WHERE category = $1 ORDER BY id LIMIT $2 OFFSET $3"
);
const BY_ID: &str = concat!("SELECT ", columns!(), " FROM items WHERE id = $1");
const PUT_IN: &str = concat!(
    "INSERT INTO items (",
    columns!(),
    ") VALUES ($1, $2, $3, $4, $5, true, '[]', 0, 0)
     ON CONFLICT (id) DO UPDATE SET name = excluded.name, category = excluded.category,
     price = excluded.price, quantity = excluded.quantity RETURNING ",
    columns!()
);
const CHANGE: &str = concat!(
    "UPDATE items SET name = $2, price = $3, quantity = $4 WHERE id = $1 RETURNING ",
    columns!()
);

/// `GET /crud/items?category=electronics&page=1&limit=10`: one page by id;
/// `total` is how many items are on it.
async fn list(ctx: Ctx) -> Result<Response, Error> {
    let Page {
        category,
        page,
        limit,
    } = ctx.query()?;
    let limit = limit.clamp(1, PAGE_ITEMS_MAX);
    let offset = page.checked_sub(1).filter(|before| *before >= 0);
    let offset = offset.and_then(|before| before.checked_mul(limit));
    let offset = offset.ok_or_else(|| {
        Error::validation(vec![FieldError::new(
            "page",
            "1 for the first page, and on",
        )])
    })?;
    let database = database(&ctx)?;
    let rows = database
        .read(OF_CATEGORY, &[&category, &limit, &offset])
        .await;
    let rows = rows.map_err(judged)?;
    let items = Item::of_all(&rows)?;
    Response::json(&PageAnswer {
        total: items.len(),
        items,
        page,
        limit,
    })
}

/// `GET /crud/items/{id}`, with `X-Cache: HIT` or `MISS`. That there is none is
/// kept too.
async fn read(ctx: Ctx) -> Result<Response, Error> {
    let id: i32 = ctx.param("id")?;
    let database = database(&ctx)?;
    let items = ctx.cache(CACHE);
    let load = move || load(database, id);
    match items.find_or_load(id.to_string(), load).await? {
        CacheEntry::Value(answer) => ctx.respond_conditionally(answer),
        CacheEntry::Nothing(lookup) => Ok(Response::from(no_such_item()).with_lookup(lookup)),
    }
}

async fn load(database: Rc<Sql>, id: i32) -> Result<Option<PreparedResponse>, Error> {
    let Some(row) = database.read_opt(BY_ID, &[&id]).await? else {
        return Ok(None);
    };
    let answer = PreparedResponse::new(Response::json(&Item::of(&row)?)?);
    answer
        .map(Some)
        .map_err(|_| Error::internal("an answer without anything personal may be kept"))
}

/// `POST /crud/items`: adds an item, or changes the one that has the id.
async fn create(mut ctx: Ctx) -> Result<Response, Error> {
    let NewItem {
        id,
        category,
        change,
    } = ctx.json().await?;
    let database = database(&ctx)?;
    let write = move || async move {
        let Change {
            name,
            price,
            quantity,
        } = &change;
        let values: [&(dyn ToSql + Sync); 5] = [&id, name, &category, price, quantity];
        database.write(PUT_IN, &values).await.map_err(judged)
    };
    let rows = ctx.cache(CACHE).write([id.to_string()], write).await?;
    let row = rows
        .first()
        .ok_or_else(|| Error::internal("no row came back"))?;
    let answer = Response::json(&Item::of(row)?)?.with_status(StatusCode::CREATED);
    Ok(answer.header("location", &format!("/crud/items/{id}")))
}

/// `PUT /crud/items/{id}`: the item as it is now. From then on every shard reads
/// it anew.
async fn update(mut ctx: Ctx) -> Result<Response, Error> {
    let id: i32 = ctx.param("id")?;
    let Change {
        name,
        price,
        quantity,
    } = ctx.json().await?;
    let database = database(&ctx)?;
    let write = move || async move {
        let values: [&(dyn ToSql + Sync); 4] = [&id, &name, &price, &quantity];
        database.write(CHANGE, &values).await.map_err(judged)
    };
    let rows = ctx.cache(CACHE).write([id.to_string()], write).await?;
    let row = rows.first().ok_or_else(no_such_item)?;
    Response::json(&Item::of(row)?)
}

fn no_such_item() -> Error {
    Error::not_found("there is no such item")
}

/// Text that PostgreSQL cannot hold, a zero byte, is the client's fault
/// (SQLSTATE class 22); all else is not.
fn judged(error: PostgresError) -> Error {
    match error {
        PostgresError::Refused(refusal) if refusal.code.starts_with("22") => {
            Error::validation(vec![FieldError::new("name", "text without zero bytes")])
        }
        other => other.into(),
    }
}
