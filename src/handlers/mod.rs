//! The endpoints corelane ships, written on the public API like any user's.

pub mod static_files;
