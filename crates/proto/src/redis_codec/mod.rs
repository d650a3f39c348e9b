//! What corelane keeps in Redis, as bytes: keys of answers (`key`), which
//! answers may be kept and for whom (`rules`), how they are written (`answer`),
//! and what stands before a row of the database (`entry`).
//!
//! Whatever comes out of Redis may have been put there by anybody: bytes that
//! are not ours are `None`, never a panic.

mod answer;
mod entry;
mod key;
mod rules;

pub use answer::{KeptAnswer, StoredAnswer};
pub use entry::{EntryKind, GENERATION_BYTES, RedisEntry, VERSION_ABOVE_ALL, version_digits};
pub use key::{canonical_target, hashed_key, varied_key};
pub use rules::{AnswerRules, RequestRules, VaryNames, lifetime_ms};
