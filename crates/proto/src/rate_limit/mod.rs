//! How often something may happen: the generic cell rate algorithm (ITU-T
//! I.371) and the keys it is counted by.
//!
//! Sans-IO: a key and `now` in, a verdict out. Stands behind the limiter, on a
//! key's home shard, before anything else is done for a request.
//!
//! Invariants: arithmetic is in whole numbers, so nothing drifts; whatever the
//! clock and the numbers say nothing overflows; memory is bounded by the number
//! of keys.

mod keys;
mod quota;
mod rule;
#[cfg(test)]
mod tests;

pub use keys::{KeyHash, KeyStore};
pub use quota::{InvalidQuota, Quota, QuotaVerdict, Tat};
pub use rule::{InvalidRule, PathPattern, QuotaText, parse_window};
