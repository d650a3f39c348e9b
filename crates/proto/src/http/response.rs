//! The head of a response, as far as no version of HTTP decides it.

use http::{HeaderName, HeaderValue, StatusCode};

use crate::clock::DATE_BYTES;

/// Everything a response head is made of but what is about the connection,
/// which its codec adds.
#[derive(Debug)]
pub struct ResponseHead<'a> {
    /// Status of the response.
    pub status: StatusCode,
    /// Finished field lines, each written before by
    /// [`encode_field_line`](super::encode_field_line); they are copied, so none
    /// of the server's own may be among them.
    pub lines: &'a [&'a [u8]],
    /// The handler's fields. Those that are the server's own
    /// ([`is_servers_own`](super::is_servers_own)) are skipped.
    pub headers: &'a [(HeaderName, HeaderValue)],
    /// The current date as IMF-fixdate.
    pub date: &'a [u8; DATE_BYTES],
    /// Fields of the server itself, such as `x-request-id`. Names are written
    /// as they are; a field whose value holds a control byte is left out.
    pub extra: &'a [(&'static str, &'a str)],
}
