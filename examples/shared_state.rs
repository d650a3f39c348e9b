//! State of each shard, and state that all shards share.
//!
//! A counter of the shard needs neither lock nor atomic; the board is one for the
//! process, so that a message put through one connection is found through every
//! other. It is lost with the process.
//!
//! ```text
//! cargo run --example shared_state
//! curl -X PUT -d 'gone fishing' http://127.0.0.1:8080/board/door
//! curl http://127.0.0.1:8080/board/door
//! curl http://127.0.0.1:8080/
//! ```

use std::cell::Cell;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Mutex;

use corelane::{App, Ctx, Error, Response, Server};

/// Requests of this shard.
#[derive(Default)]
struct Requests(Cell<u64>);

/// Texts by their place. Locked for a moment, never across an await.
#[derive(Default)]
struct Board(Mutex<BTreeMap<String, String>>);

impl Board {
    fn put(&self, place: String, text: String) {
        self.0.lock().expect("no panic").insert(place, text);
    }

    fn find(&self, place: &str) -> Option<String> {
        self.0.lock().expect("no panic").get(place).cloned()
    }
}

async fn put(mut ctx: Ctx) -> Result<Response, Error> {
    let place: String = ctx.param("place")?;
    let text = String::from_utf8(ctx.bytes().await?.to_vec());
    let text = text.map_err(|_| Error::bad_request("the text is not UTF-8"))?;
    ctx.shared::<Board>().put(place, text);
    Ok(Response::no_content())
}

async fn read(ctx: Ctx) -> Result<Response, Error> {
    let place: String = ctx.param("place")?;
    let text = ctx.shared::<Board>().find(&place);
    let text = text.ok_or_else(|| Error::not_found("nothing is there"))?;
    Ok(Response::text(format!("{text}\n")))
}

async fn count(ctx: Ctx) -> Result<Response, Error> {
    let requests = ctx.state::<Requests>();
    requests.0.set(requests.0.get() + 1);
    let (shard, count) = (ctx.shard().index, requests.0.get());
    Ok(Response::text(format!(
        "request {count} of shard {shard}\n"
    )))
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let app = App::new()
        .state(|_shard| async { Ok(Requests::default()) })
        .shared(Board::default())
        .get("/", count)
        .get("/board/{place}", read)
        .put("/board/{place}", put);
    let listen = std::env::args().nth(1);
    let listen: SocketAddr = listen.as_deref().unwrap_or("127.0.0.1:8080").parse()?;
    Server::new(app).listen(listen).run()?;
    Ok(())
}
