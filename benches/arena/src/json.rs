//! Profiles json and json-comp: the first items of a dataset, with a total each,
//! serialised for each request.

use std::path::Path;
use std::sync::Arc;

use corelane::error::FieldError;
use corelane::{App, Compression, Ctx, Error, Response};
use serde::{Deserialize, Serialize};

use crate::items::Rating;

/// The items, read once; all shards share them.
#[derive(Clone)]
pub(crate) struct Dataset(Arc<[Item]>);

#[derive(Deserialize)]
struct Item {
    id: i64,
    name: String,
    category: String,
    price: i64,
    quantity: i64,
    active: bool,
    tags: Vec<String>,
    rating: Rating,
}

#[derive(Serialize)]
struct Answer<'a> {
    items: Vec<PricedItem<'a>>,
    count: usize,
}

#[derive(Serialize)]
struct PricedItem<'a> {
    id: i64,
    name: &'a str,
    category: &'a str,
    price: i64,
    quantity: i64,
    active: bool,
    tags: &'a [String],
    rating: Rating,
    total: i64,
}

#[derive(Deserialize)]
struct Multiplier {
    m: i64,
}

/// Below `/json`.
pub(crate) fn app(dataset: Dataset) -> App {
    let app = App::new().state(move |_shard| {
        let dataset = dataset.clone();
        async move { Ok(dataset) }
    });
    app.middleware(Compression::new())
        .get("/{count}", first_items)
}

/// `GET /json/{count}?m={multiplier}`.
async fn first_items(ctx: Ctx) -> Result<Response, Error> {
    let count: usize = ctx.param("count")?;
    let Multiplier { m } = ctx.query()?;
    let dataset = ctx.state::<Dataset>();
    let asked = dataset.0.get(..count).filter(|items| !items.is_empty());
    let asked = asked.ok_or_else(|| {
        let most = dataset.0.len();
        Error::not_found(format!("there are 1 to {most} items to ask for"))
    })?;
    let priced: Option<Vec<_>> = asked.iter().map(|item| item.priced(m)).collect();
    let items = priced
        .ok_or_else(|| Error::validation(vec![FieldError::new("m", "a total is over 64 bits")]))?;
    Response::json(&Answer { items, count })
}

impl Item {
    /// `None` when the total does not fit.
    fn priced(&self, m: i64) -> Option<PricedItem<'_>> {
        Some(PricedItem {
            id: self.id,
            name: &self.name,
            category: &self.category,
            price: self.price,
            quantity: self.quantity,
            active: self.active,
            tags: &self.tags,
            rating: self.rating,
            total: self.price.checked_mul(self.quantity)?.checked_mul(m)?,
        })
    }
}

impl Dataset {
    /// Reads a JSON array of items.
    pub(crate) fn read(path: &Path) -> Result<Self, String> {
        let text = std::fs::read(path).map_err(|error| error.to_string())?;
        let items: Vec<Item> = serde_json::from_slice(&text).map_err(|error| error.to_string())?;
        Ok(Self(items.into()))
    }
}
