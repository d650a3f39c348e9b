//! What every driver promises to the floors above, and what it asks of them. The
//! crate's tests in `tests/contract` hold every driver to it, one test per
//! promise, by name.
#![doc = include_str!("seam.md")]
