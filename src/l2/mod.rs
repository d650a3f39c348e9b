//! The second level: rows of the database that all nodes have together in
//! Redis, between each process's own cache and the database.
//!
//! A row is there in one version of it. What is newer is never overwritten by
//! what is older (`scripts`), and a write puts its version there before it is
//! acknowledged (`change`). Redis may be slow, away, or come back as it was
//! long ago (`session`); a write it could not be told of is remembered
//! (`pending_invalidations`) and tried again (`retry`), and until it has been told
//! this process does not believe it.

mod change;
mod pending_invalidations;
mod retry;
mod rows;
mod scripts;
mod session;

pub use change::RowChange;
pub use rows::{FillTicket, RowCache, RowCacheOptions, RowLookup, RowPlan};
