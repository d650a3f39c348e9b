//! A response as handlers build it.

use bytes::Bytes;
use futures_core::Stream;
use http::{HeaderName, HeaderValue, StatusCode, header};

use super::cache_line::{CacheLine, SecondLevel};
use super::prepared::{PreparedHead, SharedResponse};
use super::{Body, BodyKind};
use crate::Error;
use crate::caches::HitKind;

/// Status, headers and body. The shard adds `Date`, `Server`, the framing and
/// the connection headers; a handler that sets one of those has it replaced.
///
/// ```
/// use corelane::Response;
/// let response = Response::text("hello").header("X-Answer", "42");
/// assert_eq!(response.status(), http::StatusCode::OK);
/// ```
#[derive(Debug)]
pub struct Response {
    head: HeadParts,
    body: Body,
}

/// All of a response but its body.
#[derive(Debug)]
pub(crate) struct HeadParts {
    pub(crate) status: StatusCode,
    /// Sent first; shared, so that changing one of them copies all.
    prepared: Option<PreparedHead>,
    /// Sent next.
    cache_line: Option<&'static CacheLine>,
    /// Sent last.
    pub(crate) headers: Vec<(HeaderName, HeaderValue)>,
}

impl HeadParts {
    /// The header lines that are encoded already, in the order to send them.
    pub(crate) fn lines(&self) -> [&[u8]; 2] {
        let prepared = self.prepared.as_ref().map_or(&b""[..], PreparedHead::lines);
        [prepared, self.cache_line.map_or(b"", |line| line.lines)]
    }

    /// The headers of `lines`.
    fn fixed(&self) -> impl Iterator<Item = (&HeaderName, &HeaderValue)> + Clone {
        let prepared = self
            .prepared
            .as_ref()
            .map_or(&[][..], PreparedHead::headers);
        let cache_line = self.cache_line.map_or(&[][..], |line| &line.headers);
        let both = prepared.iter().chain(cache_line);
        both.map(|(name, value)| (name, value))
    }

    fn all(&self) -> impl Iterator<Item = (&HeaderName, &HeaderValue)> + Clone {
        let own = self.headers.iter().map(|(name, value)| (name, value));
        self.fixed().chain(own)
    }

    /// Makes every header one of its own, so that it can be changed.
    fn thaw(&mut self) {
        let all = self
            .all()
            .map(|(name, value)| (name.clone(), value.clone()));
        self.headers = all.collect();
        (self.prepared, self.cache_line) = (None, None);
    }
}

impl Response {
    /// A response without body.
    pub fn new(status: StatusCode) -> Self {
        Self::of_parts(status, None, Vec::new(), Body::empty())
    }

    fn of_parts(
        status: StatusCode,
        prepared: Option<PreparedHead>,
        headers: Vec<(HeaderName, HeaderValue)>,
        body: Body,
    ) -> Self {
        let head = HeadParts {
            status,
            cache_line: prepared.as_ref().and_then(PreparedHead::cache_line),
            prepared,
            headers,
        };
        Self { head, body }
    }

    /// Sends a prepared response: a copy of its lines and body, or for a long
    /// body of a reference to it. Does not look at the request's conditions;
    /// [`Ctx::respond_conditionally`](crate::Ctx::respond_conditionally) does.
    ///
    /// One out of a cache says how it was come by, in `X-Cache` and
    /// `Cache-Status` (RFC 9211).
    pub fn prepared(prepared: impl Into<SharedResponse>) -> Self {
        let prepared = prepared.into();
        let body = match prepared.sealed_body() {
            Some(sealed) => Body::sealed(sealed.clone()),
            None => Body::of_kind(BodyKind::Prepared(prepared.clone())),
        };
        let head = PreparedHead {
            of: prepared,
            without_content: false,
        };
        Self::of_parts(head.of.status(), Some(head), Vec::new(), body)
    }

    /// The 304 of a prepared response: its headers without those that
    /// describe content.
    pub(crate) fn prepared_not_modified(prepared: SharedResponse) -> Self {
        let head = PreparedHead {
            of: prepared,
            without_content: true,
        };
        let status = StatusCode::NOT_MODIFIED;
        Self::of_parts(status, Some(head), Vec::new(), Body::empty())
    }

    /// Says how this answer was come by, in `X-Cache` and `Cache-Status`
    /// (RFC 9211); [`prepared`](Self::prepared) says it of what is out of a
    /// cache.
    #[must_use]
    pub fn with_lookup(mut self, lookup: HitKind) -> Self {
        self.head.cache_line = Some(CacheLine::of(lookup));
        self
    }

    /// [`with_lookup`](Self::with_lookup) of an answer that a cache in Redis
    /// was asked for too.
    #[must_use]
    pub fn with_levels(mut self, lookup: HitKind, second: SecondLevel) -> Self {
        self.head.cache_line = Some(CacheLine::of_levels(lookup, second));
        self
    }

    /// Says what the cache did, at the cost of a copy. Replaces what was said
    /// before.
    #[cfg(test)]
    #[must_use]
    pub(crate) fn with_cache_line(mut self, line: &'static CacheLine) -> Self {
        self.head.cache_line = Some(line);
        self
    }

    /// 200 with any body and its `Content-Type`.
    pub fn with_body(content_type: &'static str, body: impl Into<Body>) -> Self {
        let mut headers = Vec::with_capacity(4);
        headers.push((header::CONTENT_TYPE, HeaderValue::from_static(content_type)));
        Self::of_parts(StatusCode::OK, None, headers, body.into())
    }

    /// 200 `text/plain; charset=utf-8`.
    pub fn text(body: impl Into<Body>) -> Self {
        Self::with_body("text/plain; charset=utf-8", body)
    }

    /// 200 `text/html; charset=utf-8`.
    pub fn html(body: impl Into<Body>) -> Self {
        Self::with_body("text/html; charset=utf-8", body)
    }

    /// 200 `application/json`.
    ///
    /// # Errors
    /// 500 when `value` cannot be serialised.
    pub fn json<T: serde::Serialize + ?Sized>(value: &T) -> Result<Self, Error> {
        Ok(Self::with_body(
            "application/json",
            serde_json::to_vec(value)?,
        ))
    }

    /// 200 with a streamed body, sent chunked (or, to HTTP/1.0, until close).
    /// The stream is polled only as fast as the client reads.
    pub fn stream(
        content_type: &'static str,
        stream: impl Stream<Item = Result<Bytes, Error>> + 'static,
    ) -> Self {
        Self::with_body(content_type, Body::stream(stream))
    }

    /// 204.
    pub fn no_content() -> Self {
        Self::new(StatusCode::NO_CONTENT)
    }

    /// 304 with these headers still to be added: `ETag`, `Cache-Control`, …
    pub fn not_modified() -> Self {
        Self::new(StatusCode::NOT_MODIFIED)
    }

    /// 303: the client goes on with a GET of `location`, as after a form.
    ///
    /// # Errors
    /// 500 when `location` has a character that no header may have, such as a
    /// line break; percent-encode what comes from outside.
    ///
    /// ```
    /// use corelane::Response;
    /// let response = Response::redirect("/users/7").unwrap();
    /// assert_eq!(response.status(), http::StatusCode::SEE_OTHER);
    /// assert!(Response::redirect("/\r\nset-cookie: a=b").is_err());
    /// ```
    pub fn redirect(location: &str) -> Result<Self, Error> {
        Self::redirect_as(StatusCode::SEE_OTHER, location)
    }

    /// A redirect with a status of your choice: 307 repeats the same request
    /// at `location`, 308 does so for ever.
    ///
    /// # Errors
    /// As [`redirect`](Self::redirect).
    pub fn redirect_as(status: StatusCode, location: &str) -> Result<Self, Error> {
        let mut response = Self::new(status);
        response.insert_header(header::LOCATION, HeaderValue::from_str(location)?);
        Ok(response)
    }

    /// Sets the status.
    #[must_use]
    pub fn with_status(mut self, status: StatusCode) -> Self {
        self.head.status = status;
        self
    }

    /// Sets a header, replacing every one of the same name, whatever its case.
    ///
    /// # Panics
    /// When `name` is not a header name or `value` is not a header value; use
    /// [`insert_header`](Self::insert_header) for text from outside.
    #[must_use]
    pub fn header(mut self, name: &'static str, value: &str) -> Self {
        let name = HeaderName::from_bytes(name.as_bytes()).expect("a header name");
        let value = HeaderValue::from_str(value).expect("a valid header value");
        self.insert_header(name, value);
        self
    }

    /// Sets a header, replacing every one of the same name.
    pub fn insert_header(&mut self, name: HeaderName, value: HeaderValue) {
        if self.head.fixed().any(|(n, _)| *n == name) {
            self.head.thaw();
        }
        self.head.headers.retain(|(n, _)| *n != name);
        self.head.headers.push((name, value));
    }

    /// Adds a header beside others of the same name (`Set-Cookie`, `Vary`).
    pub fn append_header(&mut self, name: HeaderName, value: HeaderValue) {
        self.head.headers.push((name, value));
    }

    /// Removes every header of that name.
    pub fn remove_header(&mut self, name: &HeaderName) {
        if self.head.fixed().any(|(n, _)| n == name) {
            self.head.thaw();
        }
        self.head.headers.retain(|(n, _)| n != name);
    }

    /// The first header of that name.
    pub fn header_value(&self, name: &HeaderName) -> Option<&HeaderValue> {
        let mut named = self.headers().filter(|(n, _)| *n == name);
        named.next().map(|(_, value)| value)
    }

    /// All headers in the order they will be sent.
    pub fn headers(&self) -> impl Iterator<Item = (&HeaderName, &HeaderValue)> + Clone {
        self.head.all()
    }

    /// The status.
    pub fn status(&self) -> StatusCode {
        self.head.status
    }

    /// The body.
    pub fn body(&self) -> &Body {
        &self.body
    }

    /// Replaces the body, keeping status and headers.
    #[must_use]
    pub fn replace_body(mut self, body: impl Into<Body>) -> Self {
        self.body = body.into();
        self
    }

    pub(crate) fn take_body(&mut self) -> Body {
        std::mem::take(&mut self.body)
    }

    /// What its first headers were prepared as.
    pub(crate) fn prepared_head(&self) -> Option<&PreparedHead> {
        self.head.prepared.as_ref()
    }

    /// The headers that what it was prepared as does not have, and that are not
    /// the cache's.
    pub(crate) fn own_headers(&self) -> &[(HeaderName, HeaderValue)] {
        &self.head.headers
    }

    /// The prepared response of which it has the head and the body.
    pub(crate) fn prepared_body(&self) -> Option<&SharedResponse> {
        let head = self.head.prepared.as_ref();
        let whole = head.filter(|head| !head.without_content && self.body.is_prepared());
        whole.map(|head| &head.of)
    }

    /// Puts another prepared response in the place of the one it was made of;
    /// what was added and what the cache said stay.
    pub(crate) fn replace_prepared(mut self, prepared: SharedResponse) -> Self {
        self.body = Body::of_kind(BodyKind::Prepared(prepared.clone()));
        self.head.prepared = Some(PreparedHead {
            of: prepared,
            without_content: false,
        });
        self
    }

    pub(crate) fn head(&self) -> &HeadParts {
        &self.head
    }

    pub(crate) fn into_parts(self) -> (HeadParts, Body) {
        (self.head, self.body)
    }
}

impl From<Error> for Response {
    /// The problem+json form of an error.
    fn from(error: Error) -> Self {
        let mut response = Self::with_body("application/problem+json", error.problem_json())
            .with_status(error.status());
        for (name, value) in error.headers() {
            response.append_header(name.clone(), value.clone());
        }
        response
    }
}
