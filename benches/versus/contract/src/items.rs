//! The items of `/json/{count}`: read once at start, serialised for each request.

use std::path::Path;

use serde::{Deserialize, Serialize};

/// A line of the data set.
#[derive(Deserialize)]
pub struct Item {
    id: u64,
    name: String,
    category: String,
    price: f64,
    quantity: u64,
    active: bool,
    tags: Vec<String>,
    rating: Rating,
}

#[derive(Deserialize, Serialize)]
struct Rating {
    score: f64,
    count: u64,
}

/// The answer: `{"items":[…],"count":N}`, each item with its `total`.
#[derive(Serialize)]
pub struct ItemsBody<'a> {
    items: Vec<Totalled<'a>>,
    count: usize,
}

#[derive(Serialize)]
struct Totalled<'a> {
    id: u64,
    name: &'a str,
    category: &'a str,
    price: f64,
    quantity: u64,
    active: bool,
    tags: &'a [String],
    rating: &'a Rating,
    total: f64,
}

impl<'a> From<&'a Item> for Totalled<'a> {
    fn from(item: &'a Item) -> Self {
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

impl<'a> ItemsBody<'a> {
    /// The first `count` items; all of them when there are fewer.
    pub fn first(items: &'a [Item], count: usize) -> Self {
        let items: Vec<_> = items.iter().take(count).map(Totalled::from).collect();
        let count = items.len();
        Self { items, count }
    }
}

pub(crate) fn read(path: &Path) -> Vec<Item> {
    let text = std::fs::read_to_string(path);
    let text = text.unwrap_or_else(|e| panic!("DATASET_FILE {}: {e}", path.display()));
    serde_json::from_str(&text).unwrap_or_else(|e| panic!("DATASET_FILE {}: {e}", path.display()))
}
