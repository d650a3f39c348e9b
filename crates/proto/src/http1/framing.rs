//! What HTTP/1 says of a request beside its head: version, the framing of the
//! body, and what is to become of the connection.

/// Version of a request. HTTP/1.2 and above are answered as 1.1
/// (RFC 9110 section 2.5).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Version {
    /// HTTP/1.0: no chunked coding, closes unless keep-alive was asked for.
    Http10,
    /// HTTP/1.1.
    #[default]
    Http11,
}

impl Version {
    /// As it is written.
    pub fn name(self) -> &'static str {
        match self {
            Self::Http10 => "HTTP/1.0",
            Self::Http11 => "HTTP/1.1",
        }
    }
}

/// How a request's body is delimited.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum BodyFraming {
    /// No body: neither Content-Length nor Transfer-Encoding.
    #[default]
    None,
    /// Content-Length, bytes; may be zero.
    Length(u64),
    /// Transfer-Encoding: chunked.
    Chunked,
}

/// What a request says beside its head.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RequestFraming {
    /// The version of the request.
    pub version: Version,
    /// How the body is delimited.
    pub body: BodyFraming,
    /// Whether the client wants the connection kept: HTTP/1.1 unless it says
    /// `close`, HTTP/1.0 only when it says `keep-alive` and not `close`.
    pub keep_alive: bool,
    /// Whether the client waits for `100 Continue` before it sends the body.
    /// False without a body, and in HTTP/1.0, where it means nothing.
    pub expects_continue: bool,
}

/// What [`super::HeadParser::parse`] found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HeadStatus {
    /// The head has not ended yet; call again with more bytes.
    Partial,
    /// The head is in the `RequestHead`; the body starts `head_bytes` into the
    /// input.
    Complete {
        /// Bytes of the head, empty lines before it included.
        head_bytes: usize,
        /// What the head says about body and connection.
        framing: RequestFraming,
    },
}
