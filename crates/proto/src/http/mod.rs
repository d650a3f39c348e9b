//! Heads of requests and responses, whatever version of HTTP carries them.
//!
//! Where it stands: a codec (`http1`) parses the bytes of a connection into a
//! [`RequestHead`] and writes a [`ResponseHead`]; everything above the codecs
//! knows these alone. What a version says beside them (how a body is delimited,
//! whether the connection goes on) stays with its codec.

mod fields;
mod members;
mod origin;
mod request;
mod response;

pub use fields::{FieldSpans, Fields, Span, encode_field_line, is_servers_own};
pub use members::has_member;
pub use origin::Origin;
pub use request::{HeadLimits, RequestHead};
pub use response::ResponseHead;
