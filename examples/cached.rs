//! One cache for all shards in front of something slow, with tags.
//!
//! A list of a shop's prices depends on the tag of that shop, which every write of
//! one of its prices invalidates; a single price is its own key. Once a write is
//! answered no shard has the old value of either.
//!
//! ```text
//! cargo run --example cached
//! curl -i http://127.0.0.1:8080/shops/1/prices            # half a second
//! curl -i http://127.0.0.1:8080/shops/1/prices            # at once
//! curl -i -X PUT http://127.0.0.1:8080/shops/1/prices/tea/250
//! curl -i http://127.0.0.1:8080/shops/1/prices            # half a second, the new price
//! curl -i -X POST http://127.0.0.1:8080/shops/1/forget
//! ```

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use corelane::cache::CacheOptions;
use corelane::{App, Ctx, Error, Response, Server, engine};

/// Stands for a database: prices in cents by shop and ware.
#[derive(Clone, Default)]
struct Prices(Arc<Mutex<BTreeMap<(u32, String), u32>>>);

impl Prices {
    async fn list(&self, shop: u32) -> String {
        engine::sleep(Duration::from_millis(500)).await;
        let prices = self.0.lock().expect("no panic");
        let of_shop = prices.iter().filter(|((of, _), _)| *of == shop);
        of_shop
            .map(|((_, ware), cents)| format!("{ware} {cents}\n"))
            .collect()
    }

    async fn set(&self, shop: u32, ware: String, cents: u32) {
        let mut prices = self.0.lock().expect("no panic");
        prices.insert((shop, ware), cents);
    }
}

fn tag(shop: u32) -> String {
    format!("shop-{shop}")
}

async fn list(ctx: Ctx) -> Result<Response, Error> {
    let shop: u32 = ctx.param("shop")?;
    let prices = ctx.state::<Prices>();
    let lists = ctx.cache("lists").tagged([tag(shop)]);
    // Of all who ask at once one loads. The closure owns what it uses, because it
    // may go on when this request is gone.
    let list = lists.get_or_load(shop.to_string(), move || async move {
        Ok(prices.list(shop).await)
    });
    let list = list.await?;
    // How it was come by is told in `X-Cache` and `Cache-Status`.
    Ok(Response::text(list.to_string()).with_lookup(list.lookup()))
}

async fn set(ctx: Ctx) -> Result<Response, Error> {
    let (shop, ware): (u32, String) = (ctx.param("shop")?, ctx.param("ware")?);
    let cents: u32 = ctx.param("cents")?;
    let prices = ctx.state::<Prices>();
    let cache = ctx.cache("prices").invalidating([tag(shop)]);
    let key = format!("{shop}/{ware}");
    cache
        .write([key], move || async move {
            prices.set(shop, ware, cents).await;
            Ok(())
        })
        .await?;
    Ok(Response::no_content())
}

async fn forget(ctx: Ctx) -> Result<Response, Error> {
    ctx.invalidate_tag(&tag(ctx.param("shop")?)).await?;
    Ok(Response::no_content())
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let prices = Prices::default();
    let app = App::new()
        .cache(CacheOptions::new("lists").ttl_ms(60_000))
        .cache(CacheOptions::new("prices").ttl_ms(60_000))
        .state(move |_shard| {
            let prices = prices.clone();
            async move { Ok(prices) }
        })
        .get("/shops/{shop}/prices", list)
        .put("/shops/{shop}/prices/{ware}/{cents}", set)
        .post("/shops/{shop}/forget", forget);
    let listen = std::env::args().nth(1);
    let listen: SocketAddr = listen.as_deref().unwrap_or("127.0.0.1:8080").parse()?;
    Server::new(app).listen(listen).run()?;
    Ok(())
}
