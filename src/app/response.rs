//! A response as handlers build it.

use bytes::Bytes;
use futures_core::Stream;
use http::{HeaderName, HeaderValue, StatusCode, header};

use super::Body;
use crate::Error;

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
    status: StatusCode,
    headers: Vec<(HeaderName, HeaderValue)>,
    body: Body,
}

impl Response {
    /// A response without body.
    pub fn new(status: StatusCode) -> Self {
        Self {
            status,
            headers: Vec::new(),
            body: Body::empty(),
        }
    }

    /// 200 with any body and its `Content-Type`.
    pub fn with_body(content_type: &'static str, body: impl Into<Body>) -> Self {
        let mut headers = Vec::with_capacity(4);
        headers.push((header::CONTENT_TYPE, HeaderValue::from_static(content_type)));
        Self {
            status: StatusCode::OK,
            headers,
            body: body.into(),
        }
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
        self.status = status;
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
        self.headers.retain(|(n, _)| *n != name);
        self.headers.push((name, value));
    }

    /// Adds a header beside others of the same name (`Set-Cookie`, `Vary`).
    pub fn append_header(&mut self, name: HeaderName, value: HeaderValue) {
        self.headers.push((name, value));
    }

    /// The first header of that name.
    pub fn header_value(&self, name: &HeaderName) -> Option<&HeaderValue> {
        self.headers
            .iter()
            .find(|(n, _)| n == name)
            .map(|(_, value)| value)
    }

    /// All headers in the order they will be sent.
    pub fn headers(&self) -> &[(HeaderName, HeaderValue)] {
        &self.headers
    }

    /// The status.
    pub fn status(&self) -> StatusCode {
        self.status
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

    pub(crate) fn into_parts(self) -> (StatusCode, Vec<(HeaderName, HeaderValue)>, Body) {
        (self.status, self.headers, self.body)
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
