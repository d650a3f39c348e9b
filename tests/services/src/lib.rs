//! What corelane's tests and benchmarks run against: a private PostgreSQL, a
//! private Redis, each on a free port with a folder of its own and ended with
//! the value that stands for it, and a proxy that delays, stops and resets
//! connections.

mod child;
mod postgres;
mod proxy;
mod redis;

pub use postgres::{Postgres, PostgresOptions};
pub use proxy::Proxy;
pub use redis::Redis;
