//! What the server `corelane`, the benchmarks and the tests use of the library
//! beside its API. No part of the API: it changes without notice.

pub use corelane_engine::{self as engine, bridge, clock, topology};
#[cfg(feature = "redis")]
pub use corelane_proto::redis_codec;
#[cfg(feature = "sessions")]
pub use corelane_proto::session;
pub use corelane_proto::{
    access_log, announce, backoff, cache, coherence, error, http, http1, ids, limits, metrics,
    rate_limit, router, semantics, static_path,
};

/// Answers, and what is said of them.
pub mod app {
    pub use crate::app::*;
}

/// The gzip encoder.
#[cfg(feature = "compression")]
pub mod compression {
    pub use crate::compression::*;
}

/// The error log.
pub mod error_log {
    pub use crate::error_log::*;
}

/// The second level.
#[cfg(feature = "redis")]
pub mod l2 {
    pub use crate::l2::*;
}

/// The limiter's options.
pub mod limiter {
    pub use crate::limiter::*;
}

/// The access log.
pub mod log_sink {
    pub use crate::log_sink::*;
}

/// The lanes between shards.
pub mod peers {
    pub use crate::peers::*;
}
