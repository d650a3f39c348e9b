//! corelane: a thread-per-core HTTP application server for Linux on io_uring.
//!
//! One **shard** per pinned CPU core owns a listener, its connections, its
//! per-shard state and its database connection. Shards share nothing mutable;
//! they exchange messages. Handlers are plain `async fn(Ctx)`; their futures
//! never leave their shard and need not be `Send`.
//!
//! The house, floor by floor (a floor uses only floors below it):
//!
//! ```text
//! floor 5  process    server
//! floor 4  app        app  middleware  shard  static_files
//! floor 3  resources  postgres  peers  caches  limiter  redis  l2  sessions
//! floor 2  machine    log_sink error_log process_stats
//! floor 1  thinking   password compression
//! ```
//!
//! Below them stand `corelane-engine`, the machine and the seam to its reactor,
//! and `corelane-proto`: protocols and rules without a socket, file, thread or
//! clock.
//!
//! # Hello
//!
//! ```
//! use corelane::{App, Ctx, Error, Response, Server};
//!
//! async fn hello(ctx: Ctx) -> Result<Response, Error> {
//!     let name: String = ctx.param("name")?;
//!     Ok(Response::text(format!("Hello, {name}!\n")))
//! }
//!
//! let app = App::new().get("/hello/{name}", hello);
//! # let server = Server::new(app).listen(([127, 0, 0, 1], 0)).shards(1).unpinned();
//! # /*
//! let server = Server::new(app);
//! # */
//! let server = server.start()?;
//! # let request = "GET /hello/Ada%20L HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n";
//! # let answer = ask(server.local_addr(), request);
//! # assert!(answer.ends_with("\r\n\r\nHello, Ada L!\n"), "{answer}");
//! # server.drain();
//! server.wait();
//! # fn ask(to: std::net::SocketAddr, request: &str) -> String {
//! #     use std::io::{Read, Write};
//! #     let mut stream = std::net::TcpStream::connect(to).unwrap();
//! #     stream.write_all(request.as_bytes()).unwrap();
//! #     let mut answer = String::new();
//! #     stream.read_to_string(&mut answer).unwrap();
//! #     answer
//! # }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # JSON with per-shard state
//!
//! The closure given to [`App::state`] runs on every shard, on its own thread
//! and reactor. The state is that shard's alone: no locks, and it need not be
//! `Send`.
//!
//! ```
//! use std::cell::RefCell;
//! use std::collections::BTreeMap;
//!
//! use corelane::{App, Ctx, Error, Response, Server};
//! use http::StatusCode;
//! use serde::{Deserialize, Serialize};
//!
//! #[derive(Clone, Deserialize, Serialize)]
//! struct Note {
//!     title: String,
//! }
//!
//! #[derive(Default)]
//! struct Notes(RefCell<BTreeMap<u32, Note>>);
//!
//! async fn put_note(mut ctx: Ctx) -> Result<Response, Error> {
//!     let id: u32 = ctx.param("id")?;
//!     let note: Note = ctx.json().await?;
//!     let notes = ctx.state::<Notes>();
//!     let replaced = notes.0.borrow_mut().insert(id, note.clone()).is_some();
//!     let status = if replaced { StatusCode::OK } else { StatusCode::CREATED };
//!     Ok(Response::json(&note)?.with_status(status))
//! }
//!
//! let app = App::new()
//!     .state(|_shard| async { Ok(Notes::default()) })
//!     .put("/notes/{id}", put_note);
//! # let server = Server::new(app).listen(([127, 0, 0, 1], 0)).shards(1).unpinned().start()?;
//! # let answer = ask(server.local_addr(), "{\"title\":\"x\"}");
//! # assert!(answer.starts_with("HTTP/1.1 201 Created\r\n"), "{answer}");
//! # assert!(answer.ends_with("{\"title\":\"x\"}"), "{answer}");
//! # assert!(ask(server.local_addr(), "{\"title\":7}").starts_with("HTTP/1.1 422 "));
//! # assert!(ask(server.local_addr(), "{").starts_with("HTTP/1.1 400 "));
//! # server.drain();
//! # server.wait();
//! # fn ask(to: std::net::SocketAddr, body: &str) -> String {
//! #     use std::io::{Read, Write};
//! #     let mut stream = std::net::TcpStream::connect(to).unwrap();
//! #     let head = "PUT /notes/1 HTTP/1.1\r\nHost: t\r\nConnection: close\r\n";
//! #     let json = "Content-Type: application/json\r\nContent-Length: ";
//! #     write!(stream, "{head}{json}{}\r\n\r\n{body}", body.len()).unwrap();
//! #     let mut answer = String::new();
//! #     stream.read_to_string(&mut answer).unwrap();
//! #     answer
//! # }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # One cache for all shards
//!
//! [`App::cache`] declares a cache, [`Ctx::cache`] reaches it from any shard. A
//! value is loaded once, whichever shards ask for it at once, and copied to the
//! shards that use it; a write calls all copies in before it begins, so that
//! nobody is answered with the old value once it has been acknowledged. There
//! is an example at [`Cache`].
//!
//! # PostgreSQL
//!
//! [`postgres`] runs your own SQL on connections of the shard's own reactor,
//! pipelined, within one budget for the process: there is an example at
//! [`SqlDatabase`](postgres::SqlDatabase).
//!
//! # Redis, and what needs tokio
//!
//! [`App::redis`] gives every shard a connection on its own reactor, which
//! [`Ctx::redis`] reaches: see [`Redis`](redis::Redis). [`Ctx::tokio`] runs a
//! future of a library that needs a tokio runtime on one thread beside the
//! shards.
//!
//! # Streaming, both ways
//!
//! A request body is read from the socket only as fast as it is asked for, a
//! response stream is polled only as fast as the client reads.
//!
//! ```
//! use bytes::Bytes;
//! use corelane::{App, Ctx, Error, Response, Server};
//! use futures_util::stream;
//!
//! /// Sends back what it gets, in upper case, while it is still coming.
//! async fn shout(mut ctx: Ctx) -> Result<Response, Error> {
//!     let loud = stream::unfold(ctx.take_body(), |mut body| async move {
//!         match body.chunk().await {
//!             Ok(Some(chunk)) => Some((Ok(Bytes::from(chunk.to_ascii_uppercase())), body)),
//!             Ok(None) => None,
//!             Err(error) => Some((Err(error), body)),
//!         }
//!     });
//!     Ok(Response::stream("text/plain; charset=utf-8", loud))
//! }
//!
//! let app = App::new().post("/shout", shout);
//! # let server = Server::new(app).listen(([127, 0, 0, 1], 0)).shards(1).unpinned().start()?;
//! # use std::io::{Read, Write};
//! # let mut stream = std::net::TcpStream::connect(server.local_addr())?;
//! # let head = "POST /shout HTTP/1.1\r\nHost: t\r\nConnection: close\r\n";
//! # write!(stream, "{head}Content-Length: 11\r\n\r\nhello ")?;
//! # let mut early = [0; 512];
//! # let mut seen = String::new();
//! # while !seen.contains("HELLO ") {
//! #     let n = stream.read(&mut early)?;
//! #     assert!(n > 0, "the first half comes back before the second is sent: {seen}");
//! #     seen.push_str(std::str::from_utf8(&early[..n])?);
//! # }
//! # stream.write_all(b"world")?;
//! # stream.read_to_string(&mut seen)?;
//! # assert!(seen.ends_with("5\r\nWORLD\r\n0\r\n\r\n"), "{seen}");
//! # server.drain();
//! # server.wait();
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

// What only a feature's rooms use is unused without it; the build with all of
// them, which is what the tests check, finds what nobody uses.
#![cfg_attr(
    not(all(feature = "compression", feature = "redis", feature = "sessions")),
    allow(dead_code, unused_imports, unused_mut, unused_variables)
)]

#[cfg(feature = "compression")]
pub mod compression;
#[cfg(feature = "sessions")]
pub mod password;

#[cfg(feature = "redis")]
pub use corelane_proto::redis_codec;
#[cfg(feature = "sessions")]
pub use corelane_proto::session;
pub use corelane_proto::{
    access_log, backoff, cache, coherence, error, http1, limits, metrics, rate_limit, router,
    semantics, static_path,
};

pub use corelane_engine::{self as engine, bridge, clock, topology};

pub use corelane_proto::ids;

pub mod error_log;
pub mod log_sink;
pub(crate) mod process_stats;

pub(crate) mod caches;
#[cfg(feature = "redis")]
pub mod l2;
pub mod limiter;
// Public for `benches/micro.rs`, which measures the lanes; not part of the API.
#[doc(hidden)]
pub mod peers;
#[cfg(feature = "postgres")]
pub mod postgres;
#[cfg_attr(not(feature = "redis"), path = "redis/absent.rs")]
pub mod redis;
#[cfg(feature = "sessions")]
pub mod sessions;

pub mod app;
pub mod middleware;
pub(crate) mod shard;
pub mod static_files;

pub mod server;

pub use app::{
    App, AppError, Background, Body, Ctx, Handler, Middleware, Next, PreparedResponse, RequestBody,
    Response, Route, ShardInfo,
};
#[cfg(feature = "tokio")]
pub use bridge::Bridge;
pub use caches::{Cache, CacheEntry, Cached, Feed, HitKind};
pub use error::Error;
#[cfg(feature = "compression")]
pub use middleware::Compression;
#[cfg(feature = "redis")]
pub use middleware::RedisCache;
pub use middleware::{RateLimit, RateLimitKey, RateRules};
pub use server::{Server, ServerHandle};
#[cfg(feature = "sessions")]
pub use sessions::{BegunSession, Session};

/// The README's example, compiled and run like every other one.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
