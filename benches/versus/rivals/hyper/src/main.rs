//! hyper 1.x as its users would write it for speed: one current-thread tokio
//! runtime per core, each with its own listener.
//!
//! Fair: pinned, SO_REUSEPORT, NODELAY, `pipeline_flush`; users are shared
//! bytes with a header value made at start; JSON is serialised for each request
//! and compressed at level 1. Files are read with `tokio::fs` and streamed, as
//! in hyper's example `send_file`: not kept in memory. Unfair to corelane: a
//! match instead of a router, no cache, limits, deadlines, metrics or log.

use std::convert::Infallible;
use std::io::Write;
use std::path::PathBuf;

use bytes::Bytes;
use contract::{Item, ItemsBody, Start};
use flate2::Compression;
use flate2::write::GzEncoder;
use futures_util::TryStreamExt;
use futures_util::stream::MapOk;
use http_body_util::{Either, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::header::{self, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::fs::File;
use tokio::net::TcpListener;
use tokio_util::io::ReaderStream;

type FileFrames = MapOk<ReaderStream<File>, fn(Bytes) -> Frame<Bytes>>;
type Answer = Response<Either<Full<Bytes>, StreamBody<FileFrames>>>;

const SERVER: HeaderValue = HeaderValue::from_static("hyper");
const TEXT: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");
const JSON: HeaderValue = HeaderValue::from_static("application/json");
const BINARY: HeaderValue = HeaderValue::from_static("application/octet-stream");
const FILE_CHUNK_BYTES: usize = 64 * 1024;

/// What the connections of all cores read.
struct World {
    users: Vec<(Bytes, HeaderValue)>,
    items: Vec<Item>,
    static_dir: Option<PathBuf>,
}

fn main() {
    let start = Start::from_environment();
    let users = start.users();
    let users = users.iter().map(|user| {
        let etag = HeaderValue::from_str(&user.etag).expect("an ETag is a header value");
        (Bytes::from(user.body.clone()), etag)
    });
    // Lives as long as the process: no count of references per request.
    let world: &World = Box::leak(Box::new(World {
        users: users.collect(),
        items: start.items(),
        static_dir: start.static_dir.clone(),
    }));
    start.run(|| {
        move |listener| {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_io()
                .build()
                .expect("a runtime");
            runtime.block_on(accept(listener, world));
        }
    });
}

async fn accept(listener: std::net::TcpListener, world: &'static World) {
    let listener = TcpListener::from_std(listener).expect("nonblocking");
    loop {
        // Refused by the limit of open files, or gone before it was accepted.
        let Ok((stream, _)) = listener.accept().await else {
            tokio::task::yield_now().await;
            continue;
        };
        tokio::spawn(async move {
            let service = service_fn(move |request| answer(world, request));
            let connection = http1::Builder::new()
                .pipeline_flush(true)
                .serve_connection(TokioIo::new(stream), service);
            // A client that goes away is no news.
            let _ = connection.await;
        });
    }
}

async fn answer(world: &World, request: Request<Incoming>) -> Result<Answer, Infallible> {
    let path = request.uri().path();
    if request.method() != Method::GET {
        return Ok(plain(StatusCode::METHOD_NOT_ALLOWED, "method not allowed"));
    }
    if path == "/constant" {
        return Ok(plain(StatusCode::OK, "Hello, World!"));
    }
    let answer = if let Some(id) = path.strip_prefix("/api/users/") {
        user(world, id, &request)
    } else if let Some(count) = path.strip_prefix("/json/") {
        json(world, count, &request)
    } else if let Some(file) = path.strip_prefix("/static/") {
        file_of(world, file).await
    } else {
        None
    };
    Ok(answer.unwrap_or_else(|| plain(StatusCode::NOT_FOUND, "not found")))
}

fn plain(status: StatusCode, body: &'static str) -> Answer {
    let mut answer = whole(Bytes::from_static(body.as_bytes()), TEXT);
    *answer.status_mut() = status;
    answer
}

/// A 200 whose length hyper adds, as it adds the date.
fn whole(body: Bytes, content_type: HeaderValue) -> Answer {
    let mut answer = Response::new(Either::Left(Full::new(body)));
    let headers = answer.headers_mut();
    headers.insert(header::SERVER, SERVER);
    headers.insert(header::CONTENT_TYPE, content_type);
    answer
}

fn user(world: &World, id: &str, request: &Request<Incoming>) -> Option<Answer> {
    let id: usize = id.parse().ok()?;
    let (body, etag) = world.users.get(id.checked_sub(1)?)?;
    let known = request.headers().get(header::IF_NONE_MATCH);
    let mut answer = if known.is_some_and(|known| names(known, etag)) {
        let mut answer = Response::new(Either::Left(Full::default()));
        *answer.status_mut() = StatusCode::NOT_MODIFIED;
        answer.headers_mut().insert(header::SERVER, SERVER);
        answer
    } else {
        whole(body.clone(), JSON)
    };
    answer.headers_mut().insert(header::ETAG, etag.clone());
    Some(answer)
}

/// Whether If-None-Match has this ETag, compared weakly.
fn names(known: &HeaderValue, etag: &HeaderValue) -> bool {
    known.as_bytes().split(|byte| *byte == b',').any(|known| {
        let known = known.trim_ascii();
        known == b"*" || known.strip_prefix(b"W/").unwrap_or(known) == etag.as_bytes()
    })
}

fn json(world: &World, count: &str, request: &Request<Incoming>) -> Option<Answer> {
    let items = ItemsBody::first(&world.items, count.parse().ok()?);
    let accepted = request.headers().get(header::ACCEPT_ENCODING);
    let accepted = accepted.and_then(|value| value.to_str().ok());
    let body = serde_json::to_vec(&items).expect("items are JSON");
    if !accepted.is_some_and(|accepted| accepted.contains("gzip")) {
        return Some(whole(body.into(), JSON));
    }
    let mut encoder = GzEncoder::new(Vec::with_capacity(body.len() / 2), Compression::fast());
    encoder.write_all(&body).expect("memory has room");
    let body = encoder.finish().expect("memory has room");
    let mut answer = whole(body.into(), JSON);
    let headers = answer.headers_mut();
    let gzip = HeaderValue::from_static("gzip");
    headers.insert(header::CONTENT_ENCODING, gzip);
    let vary = HeaderValue::from_static("accept-encoding");
    headers.insert(header::VARY, vary);
    Some(answer)
}

async fn file_of(world: &World, name: &str) -> Option<Answer> {
    // A name, not a path: nothing above the folder can be asked for.
    if name.contains('/') || name.starts_with('.') {
        return None;
    }
    let file = File::open(world.static_dir.as_ref()?.join(name))
        .await
        .ok()?;
    let metadata = file.metadata().await.ok()?;
    if !metadata.is_file() {
        return None;
    }
    let frames: FileFrames =
        ReaderStream::with_capacity(file, FILE_CHUNK_BYTES).map_ok(Frame::data as fn(_) -> _);
    let mut answer = Response::new(Either::Right(StreamBody::new(frames)));
    let headers = answer.headers_mut();
    headers.insert(header::SERVER, SERVER);
    headers.insert(header::CONTENT_TYPE, BINARY);
    headers.insert(header::CONTENT_LENGTH, metadata.len().into());
    if let Ok(modified) = metadata.modified() {
        let modified = httpdate::fmt_http_date(modified);
        let modified = HeaderValue::from_str(&modified).expect("a date is a header value");
        headers.insert(header::LAST_MODIFIED, modified);
    }
    Some(answer)
}
