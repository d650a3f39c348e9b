//! What can be wrong with a request's bytes, and what the client is told.
//!
//! Every variant is the client's to mend; the connection is closed after the
//! answer because the place of the next request is not known any more.

use std::fmt;

use http::StatusCode;

use crate::error::Error;

/// Why a request was refused. [`ParseError::status`] is the answer,
/// [`ParseError::detail`] a sentence for the client.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ParseError {
    /// The first bytes are a TLS handshake.
    TlsOnPlainPort,
    /// More empty lines before the request line than tolerated.
    EmptyLines,
    /// The request line is not `method SP target SP HTTP/1.x CRLF`.
    RequestLine,
    /// The method holds a byte that is not a token character.
    Method,
    /// The method is longer than any this server could know.
    MethodTooLong,
    /// CONNECT: this server is no proxy.
    Connect,
    /// The request target holds a byte that is not visible ASCII, or `#`.
    TargetByte,
    /// The request target is of no form that its method allows.
    TargetForm,
    /// The version is not `HTTP/` digit `.` digit.
    VersionSyntax,
    /// A well-formed version other than HTTP/1.x.
    VersionUnsupported,
    /// A CR that no LF follows.
    BareCr,
    /// An LF that no CR precedes.
    BareLf,
    /// A header line that starts with white space (RFC 9112 section 5.2).
    ObsFold,
    /// White space between a header name and its colon.
    SpaceBeforeColon,
    /// A header name that is empty or no token.
    HeaderName,
    /// A header line without a colon.
    MissingColon,
    /// A control byte in a header value.
    HeaderValue,
    /// HTTP/1.1 without a Host header.
    HostMissing,
    /// More than one Host header.
    HostRepeated,
    /// Host, or the authority of the target, is not `host[:port]`.
    HostInvalid,
    /// Content-Length is not one decimal number below 2^64.
    ContentLengthInvalid,
    /// More than one Content-Length header, equal or not.
    ContentLengthRepeated,
    /// Both Content-Length and Transfer-Encoding.
    LengthAndEncoding,
    /// Transfer-Encoding in HTTP/1.0.
    EncodingInHttp10,
    /// Transfer-Encoding that is no list of codings, or in which `chunked` is
    /// repeated or not last.
    EncodingInvalid,
    /// A transfer coding other than `chunked`.
    EncodingUnknown,
    /// An expectation other than `100-continue`.
    Expectation,
    /// The request line alone is over the head limit.
    RequestLineTooLong,
    /// The head is over its limit.
    HeadTooLong,
    /// More header fields than the limit.
    TooManyHeaders,
    /// The body is over its limit.
    BodyTooLarge,
    /// A chunk size that is no hexadecimal number of 1 to 16 digits.
    ChunkSize,
    /// A chunk extension that does not follow RFC 9112 section 7.1.1.
    ChunkExtension,
    /// Chunk extensions over their limit.
    ChunkExtensionTooLong,
    /// The data of a chunk is not followed by CRLF.
    ChunkEnd,
    /// The trailer section is over its limit.
    TrailersTooLong,
}

impl ParseError {
    /// Status of the answer: 400, 413, 414, 417, 431, 501 or 505.
    pub fn status(&self) -> StatusCode {
        match self {
            Self::BodyTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::RequestLineTooLong => StatusCode::URI_TOO_LONG,
            Self::Expectation => StatusCode::EXPECTATION_FAILED,
            Self::HeadTooLong | Self::TooManyHeaders | Self::TrailersTooLong => {
                StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE
            }
            Self::MethodTooLong | Self::Connect | Self::EncodingUnknown => {
                StatusCode::NOT_IMPLEMENTED
            }
            Self::VersionUnsupported => StatusCode::HTTP_VERSION_NOT_SUPPORTED,
            _ => StatusCode::BAD_REQUEST,
        }
    }

    /// A sentence for the client that names the cure. Holds nothing of the
    /// request, so it can be echoed anywhere.
    pub fn detail(&self) -> &'static str {
        match self {
            Self::TlsOnPlainPort => "this port speaks plain HTTP: use http:// instead of https://",
            Self::EmptyLines => "send the request line first: too many empty lines before it",
            Self::RequestLine => {
                "the request line must be `method SP target SP HTTP/1.1 CRLF` with single spaces"
            }
            Self::Method => "the method must consist of token characters only",
            Self::MethodTooLong => "the method is not one this server knows: use a standard one",
            Self::Connect => "this server is not a proxy: send the request without CONNECT",
            Self::TargetByte => {
                "the request target must be visible ASCII without `#`: percent-encode other bytes"
            }
            Self::TargetForm => {
                "the request target must be `/path`, `http://host/path`, or `*` with OPTIONS"
            }
            Self::VersionSyntax => "the version must be written as HTTP/1.1",
            Self::VersionUnsupported => "this server speaks HTTP/1.1 and HTTP/1.0: use one of them",
            Self::BareCr => "CR must be followed by LF: end each line with CRLF",
            Self::BareLf => "LF must follow CR: end each line with CRLF",
            Self::ObsFold => "put each header on one line: folded lines are not accepted",
            Self::SpaceBeforeColon => "remove the white space between header name and colon",
            Self::HeaderName => "a header name must be one or more token characters",
            Self::MissingColon => "each header line must be `name: value`",
            Self::HeaderValue => "remove the control characters from the header value",
            Self::HostMissing => "HTTP/1.1 requires a Host header: add one",
            Self::HostRepeated => "send exactly one Host header",
            Self::HostInvalid => "the host must be `host` or `host:port`",
            Self::ContentLengthInvalid => "Content-Length must be one decimal number",
            Self::ContentLengthRepeated => "send exactly one Content-Length header",
            Self::LengthAndEncoding => "send either Content-Length or Transfer-Encoding, not both",
            Self::EncodingInHttp10 => "HTTP/1.0 has no Transfer-Encoding: use HTTP/1.1",
            Self::EncodingInvalid => "Transfer-Encoding must be `chunked`, once and last",
            Self::EncodingUnknown => "the only transfer coding this server knows is `chunked`",
            Self::Expectation => "the only expectation this server can meet is `100-continue`",
            Self::RequestLineTooLong => "the request target is too long: shorten it",
            Self::HeadTooLong => "the request head is too long: send fewer or shorter headers",
            Self::TooManyHeaders => "too many headers: send fewer",
            Self::BodyTooLarge => "the request body is too large: send less at once",
            Self::ChunkSize => "a chunk size must be 1 to 16 hexadecimal digits ended by CRLF",
            Self::ChunkExtension => "a chunk extension must be `;name` or `;name=value`",
            Self::ChunkExtensionTooLong => "the chunk extensions are too long: leave them out",
            Self::ChunkEnd => "the data of a chunk must be followed by CRLF",
            Self::TrailersTooLong => "the trailer section is too long: send fewer trailers",
        }
    }
}

impl fmt::Display for ParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.detail())
    }
}

/// `?` in a handler that reads a body: the refusal's own status. `ParseError`
/// is no `std::error::Error`, because any of those becomes a 500.
impl From<ParseError> for Error {
    fn from(error: ParseError) -> Self {
        Self::new(error.status(), error.detail())
    }
}
