//! Profile async-db: the items of a range of prices.

use corelane::postgres::PostgresError;
use corelane::{Ctx, Error, Response};
use serde::{Deserialize, Serialize};

use crate::items::{Item, columns, database};

const ITEMS_MAX: i64 = 50;

#[derive(Deserialize)]
#[serde(default)]
struct Range {
    min: i32,
    max: i32,
    limit: i64,
}

impl Default for Range {
    fn default() -> Self {
        Self {
            min: 10,
            max: 50,
            limit: ITEMS_MAX,
        }
    }
}

#[derive(Serialize)]
struct Answer<'a> {
    items: Vec<Item<'a>>,
    count: usize,
}

const IN_RANGE: &str = concat!(
    "SELECT ",
    columns!(),
    " FROM items WHERE price BETWEEN $1 AND $2 LIMIT $3"
);

/// `GET /async-db?min=10&max=50&limit=20`. Without PostgreSQL there are no
/// items: the profile wants an empty list then, not an error.
pub(crate) async fn items(ctx: Ctx) -> Result<Response, Error> {
    let Range { min, max, limit } = ctx.query()?;
    let limit = limit.clamp(1, ITEMS_MAX);
    let rows = match database(&ctx) {
        Ok(database) => match database.read(IN_RANGE, &[&min, &max, &limit]).await {
            Err(PostgresError::Unavailable(_)) => Vec::new(),
            read => read?,
        },
        Err(_) => Vec::new(),
    };
    let items = Item::of_all(&rows)?;
    let count = items.len();
    Response::json(&Answer { items, count })
}
