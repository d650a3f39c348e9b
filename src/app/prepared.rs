//! Finished responses that are kept and sent again.
//!
//! What a cache holds: a response whose header lines are encoded once, so that
//! sending it is a copy. Immutable, so shards may share one by reference count.
//! A [`Response`] made of it is like any other to middleware; `shard` copies
//! its lines and body into the connection's output.
//!
//! The lines that a 304 has come first, so that its block is the beginning of
//! the whole one and costs no memory of its own.

use std::fmt;
use std::ops::Deref;
use std::rc::Rc;

use bytes::Bytes;
use corelane_proto::http::{encode_field_line, has_member, is_servers_own};
use http::{HeaderName, HeaderValue, StatusCode, header};

use super::Response;
use super::cache_line::{CacheLine, X_CACHE};
use crate::cache::CacheValue;
use crate::caches::Cached;
use crate::clock;
use crate::engine::SealedBytes;
use crate::semantics::{ETag, LastModified, Validators, parse_http_date};

/// A prepared response as a shard holds it: its own, or a cache's. Counted
/// without atomics.
#[derive(Debug, Clone)]
pub enum SharedResponse {
    /// Kept by the app, in its state for example.
    Own(Rc<PreparedResponse>),
    /// Out of a cache; the answer says how it was come by.
    Cached(Cached<PreparedResponse>),
}

impl Deref for SharedResponse {
    type Target = PreparedResponse;

    fn deref(&self) -> &PreparedResponse {
        match self {
            Self::Own(prepared) => prepared,
            Self::Cached(cached) => cached,
        }
    }
}

impl From<Rc<PreparedResponse>> for SharedResponse {
    fn from(prepared: Rc<PreparedResponse>) -> Self {
        Self::Own(prepared)
    }
}

impl From<Cached<PreparedResponse>> for SharedResponse {
    fn from(cached: Cached<PreparedResponse>) -> Self {
        Self::Cached(cached)
    }
}

impl CacheValue for PreparedResponse {
    fn weight_bytes(&self) -> usize {
        Self::weight_bytes(self)
    }
}

/// An immutable, finished response: status, encoded header lines, body, and
/// its validators as values.
///
/// [`Ctx::respond_conditionally`](crate::Ctx::respond_conditionally) answers a request with it, and the
/// conditions of the request too. Without the headers that are the server's
/// (`Date`, `Server`, the framing, `Connection`) or the cache's (`X-Cache`,
/// `Cache-Status`): those belong to each answer. Headers that a 304 has come
/// before those that describe content; otherwise their order stays.
///
/// ```
/// use corelane::{PreparedResponse, Response};
/// let response = Response::text("hello").header("ETag", "\"v1\"");
/// let prepared = PreparedResponse::new(response).expect("nothing against keeping it");
/// assert_eq!(prepared.body(), b"hello");
///
/// let personal = Response::text("hello").header("Set-Cookie", "id=7");
/// assert!(PreparedResponse::new(personal).is_err());
/// ```
pub struct PreparedResponse {
    status: StatusCode,
    /// The header block, then the body if it is not sealed. Values of `headers`
    /// and the tag are slices of it.
    bytes: Bytes,
    block_bytes: usize,
    /// A long body, in pages that are sent from where they are.
    sealed: Option<SealedBytes>,
    headers: Box<[(HeaderName, HeaderValue)]>,
    /// What of the block, and of the headers, a 304 has.
    fresh_block_bytes: usize,
    fresh_headers: usize,
    etag: Option<ETag>,
    last_modified: Option<LastModified>,
}

impl PreparedResponse {
    /// Encodes a response to be kept. Copies headers and body once.
    ///
    /// `Cache-Control: private` and `no-cache` do not keep it from being kept:
    /// they are about caches between this server and its client. What keeps a
    /// prepared response is part of the origin server, whose own business it
    /// is how it makes its answers (RFC 9111 section 1).
    ///
    /// # Errors
    /// Gives the response back when it must not be sent to others: its body is
    /// streamed, its status is 1xx, 206 or 304, or it has `Set-Cookie`,
    /// `Cache-Control: no-store` or `Vary: *`.
    // Whoever cannot keep it sends it, so it comes back as it is.
    #[allow(clippy::result_large_err)]
    pub fn new(response: Response) -> Result<Self, Response> {
        match response.body().as_bytes() {
            Some(body) if may_be_kept(&response) => Ok(Self::encode(&response, body)),
            _ => Err(response),
        }
    }

    /// [`new`](Self::new) of a body without anybody's state, with these header
    /// fields, whatever they tell caches on the way to the client; without
    /// `Set-Cookie`, which is always somebody's.
    pub fn of_content(
        content_type: HeaderValue,
        body: &[u8],
        headers: impl IntoIterator<Item = (HeaderName, HeaderValue)>,
    ) -> Self {
        Self::encode(&head_of_content(content_type, headers), body)
    }

    /// [`of_content`](Self::of_content) in sealed pages, which it shares.
    pub(crate) fn of_sealed(
        content_type: HeaderValue,
        body: SealedBytes,
        headers: impl IntoIterator<Item = (HeaderName, HeaderValue)>,
    ) -> Self {
        let mut prepared = Self::encode(&head_of_content(content_type, headers), b"");
        prepared.sealed = Some(body);
        prepared
    }

    /// The head of one response before another's body.
    pub(crate) fn encode(response: &Response, body: &[u8]) -> Self {
        let kept = || response.headers().filter(|(name, _)| !is_of_answer(name));
        let fresh = kept().filter(|(name, _)| !describes_content(name));
        let content = kept().filter(|(name, _)| describes_content(name));
        let fresh_headers = fresh.clone().count();
        let line_bytes = |(name, value): (&HeaderName, &HeaderValue)| {
            name.as_str().len() + value.len() + ": \r\n".len()
        };
        let total = kept().map(line_bytes).sum::<usize>() + body.len();

        let mut bytes = Vec::with_capacity(total);
        let (mut names, mut values) = (Vec::new(), Vec::new());
        let mut fresh_block_bytes = 0;
        for (index, (name, value)) in fresh.chain(content).enumerate() {
            encode_field_line(&mut bytes, name.as_str(), value.as_bytes());
            let end = bytes.len() - "\r\n".len();
            values.push((end - value.len()..end, value.is_sensitive()));
            names.push(name.clone());
            if index < fresh_headers {
                fresh_block_bytes = bytes.len();
            }
        }
        let block_bytes = bytes.len();
        bytes.extend_from_slice(body);
        let bytes = Bytes::from(bytes);

        let values = values.into_iter().map(|(place, is_sensitive)| {
            let slice = bytes.slice(place);
            let mut value = HeaderValue::from_maybe_shared(slice).expect("it was one before");
            value.set_sensitive(is_sensitive);
            value
        });
        let headers: Box<[_]> = names.into_iter().zip(values).collect();
        let first = |wanted: HeaderName| find(&headers, &wanted);
        Self {
            status: response.status(),
            block_bytes,
            fresh_block_bytes,
            fresh_headers,
            etag: first(header::ETAG).and_then(|value| ETag::try_from(value.clone()).ok()),
            last_modified: match response.prepared_head() {
                Some(head) => head.of.last_modified,
                None => date_of(&headers, clock::unix_ms()),
            },
            headers,
            bytes,
            sealed: None,
        }
    }

    /// The same, whose `Last-Modified` is this. Without it the date stands for
    /// the response from two seconds after it on: two changes of one second
    /// have one date, and who asks with it must not be taken to have the later
    /// ([`LastModified`]).
    #[must_use]
    pub fn dated(mut self, last_modified: Option<LastModified>) -> Self {
        self.last_modified = last_modified;
        self
    }

    /// The same as it was kept from `kept_ms` of Unix time on.
    #[cfg(feature = "redis")]
    pub(crate) fn kept_since(mut self, kept_ms: i64) -> Self {
        self.last_modified = date_of(&self.headers, kept_ms);
        self
    }

    /// The status.
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// All headers in the order they are sent.
    pub fn headers(&self) -> &[(HeaderName, HeaderValue)] {
        &self.headers
    }

    /// The first header of that name.
    pub fn header_value(&self, name: &HeaderName) -> Option<&HeaderValue> {
        find(&self.headers, name)
    }

    /// The body.
    pub fn body(&self) -> &[u8] {
        match &self.sealed {
            Some(sealed) => sealed.as_ref(),
            None => &self.bytes[self.block_bytes..],
        }
    }

    /// The validators that its headers name, as far as they can be read.
    pub fn validators(&self) -> Validators<'_> {
        Validators {
            etag: self.etag.as_ref(),
            last_modified: self.last_modified,
        }
    }

    /// Memory it takes, bytes: the struct and what it has on the heap, without
    /// the reference counts around it and rounding by the allocator. Never
    /// less than what is there: a name counts whether or not it is a constant.
    pub fn weight_bytes(&self) -> usize {
        let names = self.headers.iter().map(|(name, _)| name.as_str().len());
        let sealed = self
            .sealed
            .as_ref()
            .map_or(0, |sealed| sealed.as_ref().len());
        size_of::<Self>()
            + self.bytes.len()
            + sealed
            + BYTES_SHARED_BYTES
            + size_of_val(&*self.headers)
            + names.sum::<usize>()
    }

    /// The body without a copy.
    pub(crate) fn body_bytes(&self) -> Bytes {
        match &self.sealed {
            Some(sealed) => Bytes::from_owner(sealed.clone()),
            None => self.bytes.slice(self.block_bytes..),
        }
    }

    /// The body where it is in sealed pages.
    pub(super) fn sealed_body(&self) -> Option<&SealedBytes> {
        self.sealed.as_ref()
    }
}

fn head_of_content(
    content_type: HeaderValue,
    headers: impl IntoIterator<Item = (HeaderName, HeaderValue)>,
) -> Response {
    let mut response = Response::new(StatusCode::OK);
    response.insert_header(header::CONTENT_TYPE, content_type);
    let kept = |(name, _): &(HeaderName, HeaderValue)| *name != header::SET_COOKIE;
    for (name, value) in headers.into_iter().filter(kept) {
        response.append_header(name, value);
    }
    response
}

/// What `Bytes` allocates beside its content once it is shared.
const BYTES_SHARED_BYTES: usize = 4 * size_of::<usize>();

impl fmt::Debug for PreparedResponse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PreparedResponse")
            .field("status", &self.status)
            .field("headers", &self.headers)
            .field("body_bytes", &self.body().len())
            .finish_non_exhaustive()
    }
}

/// The headers that an answer takes from a prepared response.
#[derive(Debug)]
pub(crate) struct PreparedHead {
    pub(crate) of: SharedResponse,
    /// Only those that do not describe content, for a 304.
    pub(super) without_content: bool,
}

impl PreparedHead {
    pub(super) fn lines(&self) -> &[u8] {
        let end = match self.without_content {
            true => self.of.fresh_block_bytes,
            false => self.of.block_bytes,
        };
        &self.of.bytes[..end]
    }

    /// What a cache says of it.
    pub(super) fn cache_line(&self) -> Option<&'static CacheLine> {
        match &self.of {
            SharedResponse::Own(_) => None,
            SharedResponse::Cached(cached) => Some(CacheLine::of(cached.lookup())),
        }
    }

    pub(super) fn headers(&self) -> &[(HeaderName, HeaderValue)] {
        match self.without_content {
            true => &self.of.headers[..self.of.fresh_headers],
            false => &self.of.headers,
        }
    }
}

fn find<'a>(
    headers: &'a [(HeaderName, HeaderValue)],
    name: &HeaderName,
) -> Option<&'a HeaderValue> {
    let mut named = headers.iter().filter(|(n, _)| n == name);
    named.next().map(|(_, value)| value)
}

fn date_of(headers: &[(HeaderName, HeaderValue)], looked_ms: i64) -> Option<LastModified> {
    let value = find(headers, &header::LAST_MODIFIED)?;
    let second = parse_http_date(value.as_bytes())?;
    Some(LastModified::of_header(second, looked_ms))
}

fn may_be_kept(response: &Response) -> bool {
    let status = response.status();
    let is_partial = status.is_informational()
        || status == StatusCode::PARTIAL_CONTENT
        || status == StatusCode::NOT_MODIFIED;
    let forbids = |(name, value): (&HeaderName, &HeaderValue)| {
        *name == header::SET_COOKIE
            || *name == header::CACHE_CONTROL && has_member(value.as_bytes(), b"no-store")
            || *name == header::VARY && has_member(value.as_bytes(), b"*")
    };
    !is_partial && !response.headers().any(forbids)
}

/// Written anew with each answer: by the server, or by the cache.
pub(crate) fn is_of_answer(name: &HeaderName) -> bool {
    is_servers_own(name) || *name == X_CACHE || *name == header::CACHE_STATUS
}

/// Metadata of the content, which a 304 leaves out (RFC 9110 section 15.4.5).
/// `Content-Location` must be sent, and `Content-Security-Policy` is about the
/// whole response.
fn describes_content(name: &HeaderName) -> bool {
    let name = name.as_str();
    match name.strip_prefix("content-") {
        Some(rest) => rest != "location" && !rest.starts_with("security-policy"),
        None => name == "repr-digest" || name == "digest",
    }
}

#[cfg(test)]
mod tests;
