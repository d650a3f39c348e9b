//! Writes response heads and chunks to the end of a buffer.
//!
//! Every response carries Date and Server and says how its body is delimited.
//! Those fields are the server's: what a handler sets of them is dropped, so
//! it can contradict neither the framing nor the connection's state.

use http::StatusCode;

use crate::http::{ResponseHead, encode_field_line, is_servers_own};

use super::framing::Version;
use super::octets::is_value;

/// The interim answer to `Expect: 100-continue`.
pub const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

/// How a response's body is delimited.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ResponseFraming {
    /// Content-Length, bytes. For HEAD, of the body that GET would send.
    Length(u64),
    /// Transfer-Encoding: chunked; HTTP/1.1 only.
    Chunked,
    /// By the end of the connection; `Connection: close` is always said.
    UntilClose,
    /// No body and no Content-Length: 1xx, 204, 304.
    NoBody,
}

impl ResponseFraming {
    /// The framing of a body whose length is not known when it starts.
    pub fn of_stream(version: Version) -> Self {
        match version {
            Version::Http10 => Self::UntilClose,
            Version::Http11 => Self::Chunked,
        }
    }
}

/// The Connection header of a response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConnectionHeader {
    /// None: HTTP/1.1 that goes on, HTTP/1.0 that closes.
    Omit,
    /// The server closes after this response.
    Close,
    /// For an HTTP/1.0 client that asked.
    KeepAlive,
}

/// Appends status line, fields and blank line. The status line says HTTP/1.1
/// whatever the `version` of the request is (RFC 9110 section 6.2).
///
/// A caller that asks for chunks towards HTTP/1.0 gets `UntilClose` announced
/// and must not frame its body; [`ResponseFraming::of_stream`] chooses right.
/// A length is never written with 1xx and 204 (RFC 9110 section 8.6).
pub fn encode_head(
    out: &mut Vec<u8>,
    head: &ResponseHead<'_>,
    version: Version,
    framing: ResponseFraming,
    connection: ConnectionHeader,
) {
    encode_status_line(out, head.status);
    out.extend_from_slice(b"server: corelane\r\ndate: ");
    out.extend_from_slice(head.date);
    out.extend_from_slice(b"\r\n");
    for lines in head.lines {
        out.extend_from_slice(lines);
    }
    for (name, value) in head.headers {
        if !is_servers_own(name) {
            encode_field_line(out, name.as_str(), value.as_bytes());
        }
    }
    for (name, value) in head.extra {
        if value.bytes().all(is_value) {
            encode_field_line(out, name, value.as_bytes());
        }
    }
    let framing = announced(framing, head.status, version);
    match framing {
        ResponseFraming::Length(bytes) => {
            out.extend_from_slice(b"content-length: ");
            out.extend_from_slice(itoa::Buffer::new().format(bytes).as_bytes());
            out.extend_from_slice(b"\r\n");
        }
        ResponseFraming::Chunked => out.extend_from_slice(b"transfer-encoding: chunked\r\n"),
        ResponseFraming::UntilClose | ResponseFraming::NoBody => {}
    }
    out.extend_from_slice(match connection {
        _ if framing == ResponseFraming::UntilClose => b"connection: close\r\n\r\n",
        ConnectionHeader::Omit => b"\r\n",
        ConnectionHeader::Close => b"connection: close\r\n\r\n",
        ConnectionHeader::KeepAlive => b"connection: keep-alive\r\n\r\n",
    });
}

/// Appends one chunk. Empty data is nothing: an empty chunk would end the body.
pub fn encode_chunk(out: &mut Vec<u8>, data: &[u8]) {
    if data.is_empty() {
        return;
    }
    encode_chunk_start(out, data.len());
    out.extend_from_slice(data);
    encode_chunk_end(out);
}

/// Appends what stands before the data of a chunk of `bytes`. Never of an empty
/// one, which would end the body.
pub fn encode_chunk_start(out: &mut Vec<u8>, bytes: usize) {
    debug_assert!(bytes > 0, "an empty chunk ends the body");
    encode_hex(out, bytes);
    out.extend_from_slice(b"\r\n");
}

/// Appends what stands after the data of a chunk.
pub fn encode_chunk_end(out: &mut Vec<u8>) {
    out.extend_from_slice(b"\r\n");
}

/// Appends the last chunk and an empty trailer section.
pub fn encode_last_chunk(out: &mut Vec<u8>) {
    out.extend_from_slice(b"0\r\n\r\n");
}

fn encode_status_line(out: &mut Vec<u8>, status: StatusCode) {
    if status == StatusCode::OK {
        out.extend_from_slice(b"HTTP/1.1 200 OK\r\n");
        return;
    }
    out.extend_from_slice(b"HTTP/1.1 ");
    out.extend_from_slice(status.as_str().as_bytes());
    out.push(b' ');
    out.extend_from_slice(status.canonical_reason().unwrap_or_default().as_bytes());
    out.extend_from_slice(b"\r\n");
}

fn announced(framing: ResponseFraming, status: StatusCode, version: Version) -> ResponseFraming {
    if status.is_informational() || status == StatusCode::NO_CONTENT {
        return ResponseFraming::NoBody;
    }
    match framing {
        ResponseFraming::Chunked => ResponseFraming::of_stream(version),
        framing => framing,
    }
}

fn encode_hex(out: &mut Vec<u8>, number: usize) {
    let digits = (usize::BITS - number.leading_zeros()).div_ceil(4).max(1);
    for place in (0..digits).rev() {
        out.push(b"0123456789abcdef"[number >> (place * 4) & 0xf]);
    }
}
