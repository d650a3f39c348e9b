//! The usual Rust stack with the users API: axum on tokio's multi-thread
//! runtime, moka, deadpool-postgres or deadpool-sqlite, bb8-redis, serde.
//!
//! Tuned as for a benchmark: mimalloc, ahash in moka, hyper's `pipeline_flush`,
//! zlib-rs under gzip; what is cached is the finished body and the finished
//! entity tag, not the row. Fair: the same rows and columns, statements prepared
//! once a connection, as many connections as corelane. Unfair to corelane: no
//! limits, deadlines, metrics or validation beyond the schema's, fewer headers.
//! Unfair to axum: a write is a transaction of its own on SQLite too, where
//! corelane commits in groups. Its cache promises less: after a write a load
//! that had begun before it may put the old row back until the TTL ends it.

mod api;
mod settings;
mod store;
mod user;

use std::sync::Arc;

use axum::http::HeaderValue;
use axum::http::header::SERVER;
use hyper::server::conn::http1;
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpSocket};
use tower::Layer;
use tower_http::set_header::SetResponseHeaderLayer;

use crate::settings::Settings;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() {
    if let Err(why) = run() {
        eprintln!("axum-rival: {why}");
        std::process::exit(1);
    }
}

fn run() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let settings = Settings::from_environment()?;
    // Before any thread is made: all of them keep to these cores.
    let mut cpus = rustix::thread::CpuSet::new();
    for cpu in &settings.cores {
        cpus.set(*cpu);
    }
    rustix::thread::sched_setaffinity(None, &cpus)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(settings.cores.len())
        .enable_all()
        .build()?;
    runtime.block_on(async {
        // On a worker: the thread of `block_on` would be one more.
        tokio::spawn(serve(settings)).await?
    })
}

async fn serve(settings: Settings) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let (address, redis_url) = (settings.address, settings.redis_url.clone());
    let second_level = match redis_url.as_str() {
        "" => None,
        url => Some(store::Redis::connect(url, &settings).await?),
    };
    let store = store::Store::open(&settings).await?;
    let app = api::router(Arc::new(api::World::new(&settings, store, second_level)?));
    let named = SetResponseHeaderLayer::overriding(SERVER, HeaderValue::from_static("axum"));
    let service = TowerToHyperService::new(named.layer(app));
    let listener = listen(address)?;
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            // Out of descriptors, or the peer is gone: the next may do.
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
            continue;
        };
        let service = service.clone();
        tokio::spawn(async move {
            let _ = stream.set_nodelay(true);
            let mut server = http1::Builder::new();
            server.pipeline_flush(true);
            // An error is the peer's: it went away or sent no HTTP.
            let _ = server.serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

fn listen(address: std::net::SocketAddr) -> std::io::Result<TcpListener> {
    let socket = match address {
        std::net::SocketAddr::V4(_) => TcpSocket::new_v4()?,
        std::net::SocketAddr::V6(_) => TcpSocket::new_v6()?,
    };
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG_CONNECTIONS)
}

/// Connections that wait to be accepted; the kernel caps it at somaxconn.
const BACKLOG_CONNECTIONS: u32 = 4_096;
