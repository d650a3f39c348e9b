//! What corelane's tests and benchmarks run against: PostgreSQL, Redis, a
//! PgBouncer, and a proxy that delays, stops and resets connections. A test takes a database of
//! the run's servers ([`Database`], [`Keyspace`]); one that kills, freezes or
//! configures a server starts its own ([`Postgres`], [`Redis`]), on a free port
//! with a folder of its own and ended with the value that stands for it.

mod child;
mod pgbouncer;
mod postgres;
mod proxy;
mod redis;
mod run;

pub use pgbouncer::PgBouncer;
pub use postgres::{Database, Postgres, PostgresOptions};
pub use proxy::Proxy;
pub use redis::{Keyspace, Redis};
pub use run::with_both;
