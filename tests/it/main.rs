//! Integration tests: the real binary, or a library server in this process,
//! spoken to byte by byte over TCP. One test binary, one module per topic, one
//! behaviour per test; every response a test reads is checked by the harness.

#[macro_use]
mod harness;

mod access_log;
mod admin;
mod bodies;
mod bridge;
mod cache;
mod cache_admin;
mod cli;
mod compression;
mod conditional;
mod cors;
mod docs;
mod drain;
mod duplicates;
mod durability;
mod export;
mod feed;
mod hand_over;
mod hardened;
mod health;
mod keep_alive;
mod l2;
mod limits;
mod memory;
mod metrics;
mod middleware;
mod own_sql;
mod panics;
mod pipelining;
mod postgres_api;
mod postgres_between;
mod postgres_faults;
mod postgres_starts;
mod posts;
mod prepared;
mod proxies;
mod rate_limit;
mod redis;
mod routing;
mod session;
mod shard_death;
mod shared;
mod shutdown;
mod signals;
mod smuggling;
mod startup;
mod static_files;
mod users;
