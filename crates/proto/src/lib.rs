//! What corelane thinks, apart from anything it does: protocols and rules as
//! bytes, events and `now` in, bytes and events out.
//!
//! No socket, file, thread, lock, async function or clock is in this crate, so
//! its simulation, model check and fuzz targets need nothing else, and each of
//! its modules can be read alone: on floor 1 none uses another.
//!
//! ```text
//! floor 1  thinking   http1 semantics router static_path metrics access_log
//!                     announce backoff coherence cache rate_limit session redis_codec
//! floor 0  ground     error limits clock ids http
//! ```
//!
//! It is a part of `corelane`, which says what of it users may build on.

pub mod clock;
pub mod error;
pub mod http;
pub mod ids;
pub mod limits;

pub mod access_log;
pub mod announce;
pub mod backoff;
pub mod cache;
pub mod coherence;
pub mod http1;
pub mod metrics;
pub mod rate_limit;
#[cfg(feature = "redis")]
pub mod redis_codec;
pub mod router;
pub mod semantics;
#[cfg(feature = "sessions")]
pub mod session;
pub mod static_path;

pub use error::Error;
