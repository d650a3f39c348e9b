//! The server that is shipped: users and posts over SQLite or PostgreSQL, its
//! configuration and its commands, on the public API of `corelane`.
//!
//! ```text
//! floor 5  process    cli  config
//! floor 4  app        handlers
//! floor 3  resources  store  nearest
//! ```

pub mod cli;
pub mod config;
pub mod handlers;
mod nearest;
pub mod store;
