//! What one cache is made of: its options, its keys, what it keeps, and a map
//! bounded by bytes. Knows nothing of other shards; `coherence` does, and
//! `caches` joins the two.

mod bounded;
mod key;
mod options;
mod value;

pub use bounded::{Bounded, ByBytes};
pub use key::{CacheKey, KeyHasher, KeyRef};
pub use options::{CACHE_BYTES_MIN, CacheOptions, CacheOptionsError, Coherence};
pub use value::{CacheValue, Payload};
