//! An item as the table `items` has it, as JSON.

use corelane::postgres::types::Json;
use corelane::postgres::{Row, Sql};
use corelane::{Ctx, Error};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use std::rc::Rc;

/// How an item is liked.
#[derive(Debug, Clone, Copy, Deserialize, Serialize)]
pub(crate) struct Rating {
    score: i64,
    count: i64,
}

/// A row, borrowed: what goes into an answer is written from where it came.
#[derive(Serialize)]
pub(crate) struct Item<'a> {
    id: i32,
    name: &'a str,
    category: &'a str,
    price: i32,
    quantity: i32,
    active: bool,
    tags: &'a RawValue,
    rating: Rating,
}

/// The columns of an [`Item`], in its order, as part of a statement.
macro_rules! columns {
    () => {
        "id, name, category, price, quantity, active, tags, rating_score, rating_count"
    };
}
pub(crate) use columns;

impl<'a> Item<'a> {
    /// Of a row with those columns.
    ///
    /// # Errors
    /// 500 when the table is another.
    pub(crate) fn of(row: &'a Row) -> Result<Self, Error> {
        let tags: Json<&RawValue> = row.try_get(6)?;
        Ok(Self {
            id: row.try_get(0)?,
            name: row.try_get(1)?,
            category: row.try_get(2)?,
            price: row.try_get(3)?,
            quantity: row.try_get(4)?,
            active: row.try_get(5)?,
            tags: tags.0,
            rating: Rating {
                score: row.try_get::<_, i32>(7)?.into(),
                count: row.try_get::<_, i32>(8)?.into(),
            },
        })
    }

    /// Of many.
    ///
    /// # Errors
    /// As [`of`](Self::of).
    pub(crate) fn of_all(rows: &'a [Row]) -> Result<Vec<Self>, Error> {
        rows.iter().map(Self::of).collect()
    }
}

/// The shard's connections.
///
/// # Errors
/// 503 when the process was started without a database.
pub(crate) fn database(ctx: &Ctx) -> Result<Rc<Sql>, Error> {
    ctx.find_state::<Sql>()
        .ok_or_else(|| Error::unavailable("there is no database; start with DATABASE_URL", 60))
}
