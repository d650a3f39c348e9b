//! A parsed request head and the terms it is described in.
//!
//! [`RequestHead`] is storage: a connection keeps one and every request is
//! parsed into it, so a warm connection allocates nothing per request. It
//! owns a copy of the bytes, so the read buffer is free for the body.

use http::Method;

use crate::limits::{HEAD_KEEP_BYTES, HttpLimits};

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

/// Bounds of one request head.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeadLimits {
    /// Request line, headers and blank line together, bytes.
    pub head_bytes_max: usize,
    /// Header fields.
    pub headers_max: usize,
}

impl From<&HttpLimits> for HeadLimits {
    fn from(limits: &HttpLimits) -> Self {
        Self {
            head_bytes_max: limits.head_bytes_max,
            headers_max: limits.headers_max,
        }
    }
}

impl Default for HeadLimits {
    fn default() -> Self {
        Self::from(&HttpLimits::default())
    }
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
    },
}

/// One parsed request head. Reused from request to request.
#[derive(Debug, Default)]
pub struct RequestHead {
    /// The head as received.
    pub(super) bytes: Vec<u8>,
    pub(super) target: String,
    /// Of the target, up to `?`.
    pub(super) path_bytes: usize,
    pub(super) host: Span,
    pub(super) fields: Vec<FieldSpans>,
    pub(super) method: Method,
    pub(super) version: Version,
    pub(super) framing: BodyFraming,
    pub(super) keep_alive: bool,
    pub(super) expects_continue: bool,
}

impl RequestHead {
    /// Empty storage; allocates on first use.
    pub fn new() -> Self {
        Self::default()
    }

    /// Forgets the request and gives back memory above a small keep, for a
    /// connection that goes idle. Parsing does not need it.
    pub fn clear(&mut self) {
        self.reset();
        self.bytes.shrink_to(HEAD_KEEP_BYTES);
        self.target.shrink_to(HEAD_KEEP_BYTES);
        self.fields
            .shrink_to(HEAD_KEEP_BYTES / size_of::<FieldSpans>());
    }

    /// The method; an extension method is whatever token was sent.
    pub fn method(&self) -> &Method {
        &self.method
    }

    /// The version of the request.
    pub fn version(&self) -> Version {
        self.version
    }

    /// Path and query as sent, starting with `/`; `*` for `OPTIONS *`.
    /// Of an absolute-form target, the part after the authority.
    pub fn target(&self) -> &str {
        &self.target
    }

    /// The path as sent: not decoded, dot segments kept.
    pub fn path(&self) -> &str {
        self.target.get(..self.path_bytes).unwrap_or_default()
    }

    /// What follows the first `?`, as sent.
    pub fn query(&self) -> Option<&str> {
        self.target().get(self.path_bytes + 1..)
    }

    /// `host[:port]`: the authority of an absolute-form target, else the Host
    /// header (RFC 9112 section 3.2.2). Empty for HTTP/1.0 without either.
    pub fn host(&self) -> &str {
        // It was checked to be ASCII; few ask for it, so it is no text of its own.
        std::str::from_utf8(self.slice(self.host)).unwrap_or_default()
    }

    /// The first header of that name, in any case; white space around the
    /// value is gone. Bytes above 0x7f are possible.
    pub fn header(&self, name: &str) -> Option<&[u8]> {
        self.fields
            .iter()
            .find(|field| self.is_named(field, name))
            .map(|f| self.slice(f.value))
    }

    /// Every header of that name, in the order sent.
    pub fn header_all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a [u8]> + 'a {
        self.fields
            .iter()
            .filter(move |field| self.is_named(field, name))
            .map(|f| self.slice(f.value))
    }

    /// Every header: name as sent, value without white space around it.
    pub fn headers(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.fields.iter().map(|field| {
            // Names are tokens, so this is always text.
            let name = std::str::from_utf8(self.slice(field.name)).unwrap_or_default();
            (name, self.slice(field.value))
        })
    }

    /// Whether a header's name starts with `prefix`, in any case.
    pub fn has_header_prefix(&self, prefix: &str) -> bool {
        self.fields.iter().any(|field| {
            let start = self.slice(field.name).get(..prefix.len());
            start.is_some_and(|start| start.eq_ignore_ascii_case(prefix.as_bytes()))
        })
    }

    /// Puts one header with this value in the place of every one of that name;
    /// without one nothing changes. For values that stand for the one sent.
    pub fn replace_header(&mut self, name: &str, value: &[u8]) {
        let of_name: Vec<usize> = (0..self.fields.len())
            .filter(|index| self.is_named(&self.fields[*index], name))
            .collect();
        let Some((first, others)) = of_name.split_first() else {
            return;
        };
        let start = self.bytes.len();
        self.bytes.extend_from_slice(value);
        self.fields[*first].value = Span::new(start, self.bytes.len());
        for index in others.iter().rev() {
            self.fields.remove(*index);
        }
    }

    /// How the body is delimited.
    pub fn framing(&self) -> BodyFraming {
        self.framing
    }

    /// Whether the client wants the connection kept: HTTP/1.1 unless it says
    /// `close`, HTTP/1.0 only when it says `keep-alive` and not `close`.
    pub fn keep_alive(&self) -> bool {
        self.keep_alive
    }

    /// Whether the client waits for `100 Continue` before it sends the body.
    /// False without a body, and in HTTP/1.0, where it means nothing.
    pub fn expects_continue(&self) -> bool {
        self.expects_continue
    }

    /// Forgets the request, keeps the memory.
    pub(super) fn reset(&mut self) {
        self.bytes.clear();
        self.target.clear();
        self.path_bytes = 0;
        self.host = Span::default();
        self.fields.clear();
        self.method = Method::GET;
        self.version = Version::default();
        self.framing = BodyFraming::None;
        self.keep_alive = false;
        self.expects_continue = false;
    }

    fn is_named(&self, field: &FieldSpans, name: &str) -> bool {
        field.name.bytes() == name.len()
            && self.slice(field.name).eq_ignore_ascii_case(name.as_bytes())
    }

    fn slice(&self, span: Span) -> &[u8] {
        self.bytes
            .get(span.start as usize..span.end as usize)
            .unwrap_or_default()
    }
}

/// Where one header stands in the head.
#[derive(Debug, Clone, Copy)]
pub(super) struct FieldSpans {
    pub(super) name: Span,
    pub(super) value: Span,
}

/// A range of the head's bytes.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Span {
    start: u32,
    end: u32,
}

impl Span {
    /// The range; the parser keeps heads under 4 GiB.
    pub(super) fn new(start: usize, end: usize) -> Self {
        Self {
            start: start as u32,
            end: end as u32,
        }
    }

    fn bytes(self) -> usize {
        (self.end - self.start) as usize
    }
}
