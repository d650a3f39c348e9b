//! PostgreSQL (stand-in while the queries are written elsewhere).
#![allow(dead_code)]

mod budget;
mod connection;
mod dial;
mod fault;
mod line;
mod pool;
mod server;
mod stats;
mod tls;
mod url;

pub use url::{PostgresUrl, Secret, TlsMode};
