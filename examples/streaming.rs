//! Bodies as streams: an upload that is never held as a whole, a download that is
//! made as fast as the client reads, and events that are sent as they happen.
//!
//! ```text
//! cargo run --example streaming
//! head -c 100000000 /dev/zero | curl -T - -X POST http://127.0.0.1:8080/count
//! curl 'http://127.0.0.1:8080/numbers?to=1000000' | tail -n 1
//! curl -N http://127.0.0.1:8080/ticks
//! ```

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use corelane::{App, Ctx, Error, Response, Route, Server, engine};
use futures_util::stream;
use http::Method;

/// Reads from the socket only what it asks for.
async fn count(mut ctx: Ctx) -> Result<Response, Error> {
    let mut body = ctx.take_body();
    let (mut bytes, mut chunks) = (0, 0);
    while let Some(chunk) = body.chunk().await? {
        bytes += chunk.len();
        chunks += 1;
    }
    Ok(Response::text(format!(
        "{bytes} bytes in {chunks} chunks\n"
    )))
}

#[derive(serde::Deserialize)]
struct Range {
    to: u64,
}

/// Lines by the thousand, so that a chunk is worth its header.
async fn numbers(ctx: Ctx) -> Result<Response, Error> {
    let Range { to } = ctx.query()?;
    let chunks = (1..=to).step_by(1_000).map(move |first| {
        let last = to.min(first + 999);
        let lines: String = (first..=last).map(|number| format!("{number}\n")).collect();
        Ok(Bytes::from(lines))
    });
    Ok(Response::stream(
        "text/plain; charset=utf-8",
        stream::iter(chunks),
    ))
}

/// Server-sent events: five of them, unless the server shuts down meanwhile. One that
/// goes on for ever should end by itself then, or it is cut when the drain times out.
async fn ticks(ctx: Ctx) -> Result<Response, Error> {
    let events = stream::unfold((ctx, 1), |(ctx, number)| async move {
        if number > 5 || ctx.is_draining() {
            return None;
        }
        engine::sleep(Duration::from_millis(200)).await;
        let event = Bytes::from(format!("event: tick\ndata: {number}\n\n"));
        Some((Ok(event), (ctx, number + 1)))
    });
    let response = Response::stream("text/event-stream", events);
    Ok(response.header("cache-control", "no-store"))
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let app = App::new()
        .route(Route::new(Method::POST, "/count", count).body_bytes_max(1 << 40))
        .get("/numbers", numbers)
        .get("/ticks", ticks);
    let listen = std::env::args().nth(1);
    let listen: SocketAddr = listen.as_deref().unwrap_or("127.0.0.1:8080").parse()?;
    Server::new(app).listen(listen).run()?;
    Ok(())
}
