//! What compressing an answer takes, apart from any answer: the gzip encoder
//! (RFC 1952), and which media types are worth it.
//!
//! Sans-IO: bytes in, bytes out. Which requests want it is in `semantics`, what
//! becomes of a response in `app`.

mod gzip;
mod media_types;

pub use gzip::{GzipEncoder, GzipError};
pub use media_types::{InvalidMediaType, MediaTypes};
