//! The head of a request.
//!
//! [`RequestHead`] is storage: a connection keeps one and every request is
//! parsed into it, so a warm connection allocates nothing per request. It
//! owns a copy of the bytes, so the read buffer is free for the body.

use http::Method;

use super::fields::{Fields, Span};
use crate::limits::{HEAD_KEEP_BYTES, HttpLimits};

/// Bounds of one request head.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeadLimits {
    /// Target and headers together, as they are sent, bytes; in HTTP/1 from the
    /// request line to the blank line.
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

/// One parsed request head. Reused from request to request.
#[derive(Debug, Default)]
pub struct RequestHead {
    method: Method,
    target: String,
    /// Of the target, up to `?`.
    path_bytes: usize,
    host: Span,
    fields: Fields,
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
        self.target.shrink_to(HEAD_KEEP_BYTES);
        self.fields.shrink();
    }

    /// The method; an extension method is whatever token was sent.
    pub fn method(&self) -> &Method {
        &self.method
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
        std::str::from_utf8(self.fields.slice(self.host)).unwrap_or_default()
    }

    /// The first header of that name, in any case; white space around the
    /// value is gone. Bytes above 0x7f are possible.
    pub fn header(&self, name: &str) -> Option<&[u8]> {
        self.fields.first(name)
    }

    /// Every header of that name, in the order sent.
    pub fn header_all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a [u8]> + 'a {
        self.fields.all(name)
    }

    /// Every header: name as sent, value without white space around it.
    pub fn headers(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.fields.iter()
    }

    /// Whether a header's name starts with `prefix`, in any case.
    pub fn has_header_prefix(&self, prefix: &str) -> bool {
        self.fields.has_prefix(prefix)
    }

    /// Puts one header with this value in the place of every one of that name;
    /// without one nothing changes. For values that stand for the one sent.
    pub fn replace_header(&mut self, name: &str, value: &[u8]) {
        self.fields.replace(name, value);
    }

    /// Forgets the request, keeps the memory: what a codec begins with.
    pub fn reset(&mut self) {
        self.method = Method::GET;
        self.target.clear();
        self.path_bytes = 0;
        self.host = Span::default();
        self.fields.reset();
    }

    /// Sets the method.
    pub fn set_method(&mut self, method: Method) {
        self.method = method;
    }

    /// Sets path and query, of which the path is the first `path_bytes`. The
    /// root may be left out, as after an authority.
    pub fn set_target(&mut self, target: &str, path_bytes: usize) {
        self.target.clear();
        if !matches!(target.as_bytes(), [b'/' | b'*', ..]) {
            self.target.push('/');
        }
        self.path_bytes = self.target.len() + path_bytes;
        self.target.push_str(target);
    }

    /// Sets where among the bytes of the fields the host stands; it must be
    /// ASCII.
    pub fn set_host(&mut self, host: Span) {
        self.host = host;
    }

    /// The fields, for a codec to fill.
    pub fn fields_mut(&mut self) -> &mut Fields {
        &mut self.fields
    }

    /// How many headers there are so far.
    pub fn header_count(&self) -> usize {
        self.fields.count()
    }
}
