//! The endpoints corelane comes with, written on the public API like any
//! user's.

pub mod health;
pub mod index;
pub mod metrics;
