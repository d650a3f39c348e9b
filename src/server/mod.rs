//! A process of shards (being written).

mod options;

pub use options::{RequestIdMode, ServerOptions};
