//! corelane: a thread-per-core HTTP application server for Linux on io_uring.
//!
//! One **shard** per pinned CPU core owns a listener, its connections, its
//! per-shard state and its database connection. Shards share nothing mutable;
//! they exchange messages. Handlers are plain `async fn(Ctx)`; their futures
//! never leave their shard and need not be `Send`.
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
//! # State: shared by all shards, or a shard's own
//!
//! Which shard answers a request is decided by its connection, so what one
//! request leaves another must find on every shard: keep it in one place that
//! all have, here behind an `Arc`. The closure given to [`App::state`] runs on
//! every shard, on its own thread; what only that shard needs, such as a
//! counter, needs no lock and no `Send`.
//!
//! ```
//! use std::cell::Cell;
//! use std::collections::BTreeMap;
//! use std::sync::{Arc, Mutex, PoisonError};
//!
//! use corelane::http::StatusCode;
//! use corelane::{App, Ctx, Error, Response, Server};
//! use serde::{Deserialize, Serialize};
//!
//! #[derive(Clone, Deserialize, Serialize)]
//! struct Note {
//!     title: String,
//! }
//!
//! /// Of all shards. Locked for a moment, and never across an `await`.
//! #[derive(Clone, Default)]
//! struct Notes(Arc<Mutex<BTreeMap<u32, Note>>>);
//!
//! /// Of one shard.
//! #[derive(Default)]
//! struct Puts(Cell<u64>);
//!
//! async fn put_note(mut ctx: Ctx) -> Result<Response, Error> {
//!     let id: u32 = ctx.param("id")?;
//!     let note: Note = ctx.json().await?;
//!     let puts = ctx.state::<Puts>();
//!     puts.0.set(puts.0.get() + 1);
//!     let notes = ctx.state::<Notes>();
//!     let mut notes = notes.0.lock().unwrap_or_else(PoisonError::into_inner);
//!     let replaced = notes.insert(id, note.clone()).is_some();
//!     let status = if replaced { StatusCode::OK } else { StatusCode::CREATED };
//!     Ok(Response::json(&note)?.with_status(status))
//! }
//!
//! async fn read_note(ctx: Ctx) -> Result<Response, Error> {
//!     let id: u32 = ctx.param("id")?;
//!     let notes = ctx.state::<Notes>();
//!     let notes = notes.0.lock().unwrap_or_else(PoisonError::into_inner);
//!     let note = notes.get(&id).ok_or_else(|| Error::not_found("no such note"))?;
//!     Response::json(note)
//! }
//!
//! let notes = Notes::default();
//! let app = App::new()
//!     .state(move |_shard| {
//!         let notes = notes.clone();
//!         async { Ok(notes) }
//!     })
//!     .state(|_shard| async { Ok(Puts::default()) })
//!     .get("/notes/{id}", read_note)
//!     .put("/notes/{id}", put_note);
//! # let server = Server::new(app).listen(([127, 0, 0, 1], 0)).shards(1).unpinned().start()?;
//! # let answer = ask(server.local_addr(), "PUT", "{\"title\":\"x\"}");
//! # assert!(answer.starts_with("HTTP/1.1 201 Created\r\n"), "{answer}");
//! # assert!(answer.ends_with("{\"title\":\"x\"}"), "{answer}");
//! # assert!(ask(server.local_addr(), "GET", "").ends_with("{\"title\":\"x\"}"));
//! # assert!(ask(server.local_addr(), "PUT", "{\"title\":7}").starts_with("HTTP/1.1 422 "));
//! # assert!(ask(server.local_addr(), "PUT", "{").starts_with("HTTP/1.1 400 "));
//! # server.drain();
//! # server.wait();
//! # fn ask(to: std::net::SocketAddr, method: &str, body: &str) -> String {
//! #     use std::io::{Read, Write};
//! #     let mut stream = std::net::TcpStream::connect(to).unwrap();
//! #     let head = format!("{method} /notes/1 HTTP/1.1\r\nHost: t\r\nConnection: close\r\n");
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
//! use corelane::bytes::Bytes;
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
//!
//! # Features
//!
//! All but `hwloc` are on by default; without any, a service is 79 crates.
//!
//! | feature | what it brings |
//! |---|---|
//! | `compression` | [`Compression`] |
//! | `postgres` | [`postgres`], with TLS |
//! | `redis` | [`redis`], [`RedisCache`]; limits and sessions of several nodes |
//! | `sessions` | [`App::sessions`], [`password`] |
//! | `tokio` | [`Ctx::tokio`] |
//! | `hwloc` | the machine as libhwloc reads it, a C library, instead of /sys |
//!
//! # The house
//!
//! Floor by floor; a floor uses only floors below it:
//!
//! ```text
//! floor 6  outside    internals
//! floor 5  process    server
//! floor 4  app        app  middleware  shard  static_files
//! floor 3  resources  postgres  peers  caches  limiter  redis  l2  sessions
//! floor 2  machine    log_sink error_log process_stats engine
//! floor 1  thinking   password compression cache session metrics
//! floor 0  ground     error
//! ```
//!
//! Below them stand `corelane-engine`, the machine and the seam to its reactor,
//! and `corelane-proto`: protocols and rules without a socket, file, thread or
//! clock.
//!
//! # Words of the house
//!
//! - **shard**: one thread with a reactor, a listener, connections and state of
//!   its own; as a rule pinned to a **core**, a logical CPU of the machine.
//! - **engine**: the seam to the reactor; a **driver** is what stands behind it,
//!   io_uring or epoll.
//! - **peers**: the shards of a process to each other, and what they say;
//!   **mesh**: all lanes between them; **lane**: the queue from one to another.
//! - **node**: a whole machine; several may serve the same data.
//! - **home**: the shard that decides about a cache key, or a limit's;
//!   **holder**: a shard that has a copy of the key's value.
//! - **lease**: the home's leave to load a value, or to write it; a write is
//!   given one when no holder has a copy any more.
//! - **in doubt**: a key that was perhaps written, and nobody knows; until that
//!   is past nothing is kept under it.
//! - **era**: the time between two cuts of the feed of changes made elsewhere; a
//!   value is fresh only in the era in which its load began.
//! - **L1**: a shard's copies, in memory; **L2**: rows in Redis, behind the
//!   caches of all nodes; **store**: the application's database, behind both.
//! - **generation**: of a service, one process in its life; of L2, the name that
//!   its rows carry, which is changed to put all of them out of use at once.
//! - **tombstone**: what stands in L2 for a row while it is written, so that
//!   nobody puts an older one there.
//! - **keeper**: the process that owns the listening sockets and starts
//!   generations; systemd may be it.
//! - **upstream**: a server behind this one, to which it passes requests.
//! - **sweep**: the look, once a second, at everything that has a deadline.
//! - **park**: to sleep in the kernel because there is nothing to do.
//! - **drain**: the end of a server: no new connections, the open ones finish.

// What only a feature's rooms use is unused without it; the build with all of
// them, which is what the tests check, finds what nobody uses.
#![cfg_attr(
    not(all(feature = "compression", feature = "redis", feature = "sessions")),
    allow(
        dead_code,
        unreachable_code,
        unused_imports,
        unused_mut,
        unused_variables
    )
)]

#[cfg(feature = "compression")]
pub(crate) mod compression;
#[cfg(feature = "sessions")]
pub mod password;

// What the rooms here call by its name alone.
pub(crate) use corelane_engine::{bridge, clock, topology};
#[cfg(feature = "redis")]
pub(crate) use corelane_proto::redis_codec;
pub(crate) use corelane_proto::{
    access_log, backoff, coherence, http1, ids, limits, rate_limit, router, semantics, static_path,
};

/// What an error says, and to whom.
pub mod error {
    pub use corelane_proto::error::{Blame, Error, FieldError};
}

/// Options of caches.
pub mod cache {
    pub(crate) use corelane_proto::cache::*;
    pub use corelane_proto::cache::{CacheOptions, CacheOptionsError, Coherence};
}

/// What state of an app counts.
pub mod metrics {
    pub(crate) use corelane_proto::metrics::*;
    pub use corelane_proto::metrics::{
        Family, FamilyKind, Label, MetricsSource, MetricsView, PROMETHEUS_CONTENT_TYPE,
        ProcessSnapshot, RecentFailures, RecentFaults, Sample, SampleValue, SecondLevelCounters,
        SecondLevelSnapshot, Unit, families, prometheus_text,
    };
}

/// Options of sessions, and what is kept of one.
#[cfg(feature = "sessions")]
pub mod session {
    pub(crate) use corelane_proto::session::*;
    pub use corelane_proto::session::{
        SameSite, SessionHash, SessionOptions, SessionOptionsError, SessionRecord,
    };
}

/// What a handler may do on its shard: sleep, start tasks, use files, and have
/// others compute or wait.
pub mod engine {
    pub(crate) use corelane_engine::*;
    pub use corelane_engine::{
        ClientStream, Elapsed, EngineKind, File, Input, PoolError, Receiver, Sender, Target,
        TcpStream, compute, connect, sleep, spawn_local, timeout, unblock, yield_now,
    };
}

pub(crate) mod error_log;
pub(crate) mod log_sink;
pub(crate) mod process_stats;

pub(crate) mod caches;
#[cfg(feature = "redis")]
pub(crate) mod l2;
pub(crate) mod limiter;
pub(crate) mod peers;
#[cfg(feature = "postgres")]
pub mod postgres;
#[cfg_attr(not(feature = "redis"), path = "redis/absent.rs")]
pub mod redis;
#[cfg(feature = "sessions")]
pub mod sessions;

pub(crate) mod app;
pub mod middleware;
pub(crate) mod shard;
pub mod static_files;

pub mod server;

#[doc(hidden)]
pub mod internals;

pub use ::{bytes, futures_core, http};

pub use app::{
    App, AppError, Background, Body, Ctx, Handler, Middleware, Next, PreparedResponse, RequestBody,
    Response, Route, ShardInfo, ShardsHealth,
};
#[cfg(feature = "tokio")]
pub use bridge::Bridge;
pub use caches::{Cache, CacheEntry, CacheLookup, Cached, Feed, HitKind};
pub use error::Error;
#[cfg(feature = "compression")]
pub use middleware::Compression;
#[cfg(feature = "redis")]
pub use middleware::RedisCache;
pub use middleware::{Cors, RateLimit, RateLimitKey, RateRules};
pub use server::{Server, ServerHandle};
#[cfg(feature = "sessions")]
pub use sessions::{BegunSession, Session};

// The examples of the README and of `docs`, compiled and run like every other.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
#[cfg(doctest)]
#[doc = include_str!("../docs/library.md")]
struct LibraryGuide;
#[cfg(doctest)]
#[doc = include_str!("../docs/static-files.md")]
struct StaticFilesPage;
