//! The app of the protocol tests: one route for each thing a handler can do
//! with its request, its response, or badly.

use std::time::Duration;

use bytes::Bytes;
use corelane::{App, Body, Ctx, Error, Response, Route, engine};
use futures_util::StreamExt;
use futures_util::stream;
use http::Method;

/// All of it.
pub(crate) fn sample_app() -> App {
    App::new()
        .get("/health/live", async |_| Ok(Response::text("alive\n")))
        .get("/hello/{name}", hello)
        .get("/shard", shard)
        .get("/slow/{ms}", slow)
        .get("/bytes/{count}", bytes_of_count)
        .get("/stream/{count}", stream_of_lines)
        .get("/stream-of-length/{count}", stream_of_length)
        .get("/stream-fails", stream_that_fails)
        .get("/stream-too-short", stream_that_is_too_short)
        .get("/no-content", async |_| Ok(Response::no_content()))
        .get("/not-modified", async |_| {
            Ok(Response::not_modified().header("etag", "\"a\""))
        })
        .get("/own-framing", async |_| {
            Ok(Response::text("five\n").header("content-length", "99"))
        })
        .get("/refused", async |_| Err(Error::bad_request("as asked")))
        .get("/io-error", io_error)
        .get("/panic", async |_| panic!("as asked, at once"))
        .get("/panic-later", panic_later)
        .get("/panic-in-stream", panic_in_stream)
        .post("/echo", echo)
        .post("/echo-stream", echo_stream)
        .post("/count", count)
        .post("/ignore", async |_| Ok(Response::text("not read\n")))
        .post("/panic", async |_| panic!("as asked, with a body"))
        .put("/echo", echo)
        .route(Route::new(Method::POST, "/small", echo).body_bytes_max(16))
        .route(Route::new(Method::POST, "/large", count).body_bytes_max(64 << 20))
}

async fn hello(ctx: Ctx) -> Result<Response, Error> {
    let name: String = ctx.param("name")?;
    Ok(Response::text(format!("Hello, {name}!\n")))
}

/// Which shard, and which incarnation of it.
async fn shard(ctx: Ctx) -> Result<Response, Error> {
    let info = ctx.shard();
    Ok(Response::text(format!("{} {}", info.index, info.restarts)))
}

async fn slow(ctx: Ctx) -> Result<Response, Error> {
    let ms: u64 = ctx.param("ms")?;
    engine::sleep(Duration::from_millis(ms)).await;
    Ok(Response::text(format!("after {ms} ms\n")))
}

async fn bytes_of_count(ctx: Ctx) -> Result<Response, Error> {
    Ok(Response::with_body(
        "application/octet-stream",
        pattern(ctx.param("count")?),
    ))
}

/// Bytes that show a lost, repeated or swapped piece.
pub(crate) fn pattern(count: usize) -> Vec<u8> {
    (0..count)
        .map(|index| (index * 31 + index / 251 + index / 65_521) as u8)
        .collect()
}

async fn stream_of_lines(ctx: Ctx) -> Result<Response, Error> {
    let count: usize = ctx.param("count")?;
    let lines = (0..count).map(|index| Ok(Bytes::from(format!("line {index}\n"))));
    Ok(Response::stream(
        "text/plain; charset=utf-8",
        stream::iter(lines),
    ))
}

async fn stream_of_length(ctx: Ctx) -> Result<Response, Error> {
    let count: usize = ctx.param("count")?;
    let whole = Bytes::from(pattern(count));
    let pieces = (0..count)
        .step_by(10_000)
        .map(move |at| Ok(whole.slice(at..count.min(at + 10_000))));
    let body = Body::stream_of_length(count as u64, stream::iter(pieces));
    Ok(Response::with_body("application/octet-stream", body))
}

async fn stream_that_fails(_: Ctx) -> Result<Response, Error> {
    let pieces = [
        Ok(Bytes::from_static(b"first\n")),
        Err(Error::internal("as asked")),
    ];
    Ok(Response::stream(
        "text/plain; charset=utf-8",
        stream::iter(pieces),
    ))
}

async fn stream_that_is_too_short(_: Ctx) -> Result<Response, Error> {
    let body = Body::stream_of_length(100, stream::iter([Ok(Bytes::from_static(b"ten bytes\n"))]));
    Ok(Response::with_body("application/octet-stream", body))
}

async fn io_error(_: Ctx) -> Result<Response, Error> {
    Err(std::io::Error::other("disk sda1 is on fire"))?;
    Ok(Response::no_content())
}

async fn panic_later(_: Ctx) -> Result<Response, Error> {
    engine::sleep(Duration::from_millis(5)).await;
    panic!("as asked, after an await");
}

async fn panic_in_stream(_: Ctx) -> Result<Response, Error> {
    let pieces = stream::iter(0..3).map(|index| match index {
        0 => Ok(Bytes::from_static(b"first\n")),
        _ => panic!("as asked, in a stream"),
    });
    Ok(Response::stream("text/plain; charset=utf-8", pieces))
}

async fn echo(mut ctx: Ctx) -> Result<Response, Error> {
    let body = ctx.bytes().await?;
    Ok(Response::with_body("application/octet-stream", body))
}

/// Sends each piece back while the next is still to come.
async fn echo_stream(mut ctx: Ctx) -> Result<Response, Error> {
    let pieces = stream::unfold(ctx.take_body(), async |mut body| {
        let piece = body.chunk().await.transpose()?;
        Some((piece, body))
    });
    Ok(Response::stream("application/octet-stream", pieces))
}

async fn count(mut ctx: Ctx) -> Result<Response, Error> {
    let mut body = ctx.take_body();
    let mut bytes = 0;
    while let Some(chunk) = body.chunk().await? {
        bytes += chunk.len();
    }
    Ok(Response::text(bytes.to_string()))
}
