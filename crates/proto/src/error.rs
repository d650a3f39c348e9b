//! Errors by blame, each with two messages: `detail` goes to the client,
//! `log` stays inside.
//!
//! A handler returns `Result<Response, Error>`; the shard turns an `Error`
//! into `application/problem+json` (RFC 9457). Any `std::error::Error` becomes
//! a 500 through `?`, its text kept for the log and never sent; it is kept too,
//! so that whoever knows its type can make a better answer of it.

use std::error::Error as StdError;
use std::fmt;
use std::sync::Arc;

use http::{HeaderName, HeaderValue, StatusCode};

/// Who has to act for the error to go away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Blame {
    /// The request is wrong; 4xx.
    Client,
    /// Something this server depends on failed; 502, 503, 504.
    Upstream,
    /// The host ran out of something: memory, disk, descriptors.
    Host,
    /// corelane or a handler is wrong; 500.
    Bug,
}

impl Blame {
    /// As logs and metrics say it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::Upstream => "upstream",
            Self::Host => "host",
            Self::Bug => "bug",
        }
    }
}

/// One field of a request that failed validation.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct FieldError {
    /// Name of the field, as the client wrote it.
    pub field: String,
    /// What would be valid.
    pub message: String,
}

impl FieldError {
    /// A field and what would be valid for it.
    pub fn new(field: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            field: field.into(),
            message: message.into(),
        }
    }
}

/// What a handler returns instead of a response.
#[derive(Clone)]
pub struct Error(Box<ErrorParts>);

#[derive(Clone)]
struct ErrorParts {
    status: StatusCode,
    blame: Blame,
    detail: String,
    log: Option<String>,
    fields: Vec<FieldError>,
    headers: Vec<(HeaderName, HeaderValue)>,
    problem_type: Option<&'static str>,
    nothing_done: bool,
    /// What `?` made it of; counted, because an error may be given to many.
    cause: Option<Arc<dyn StdError + Send + Sync>>,
}

impl Error {
    /// An error with a status of your choice. `detail` is shown to the client.
    pub fn new(status: StatusCode, detail: impl Into<String>) -> Self {
        let blame = match status.as_u16() {
            400..=499 => Blame::Client,
            502..=504 => Blame::Upstream,
            507 => Blame::Host,
            _ => Blame::Bug,
        };
        Self(Box::new(ErrorParts {
            status,
            blame,
            detail: detail.into(),
            log: None,
            fields: Vec::new(),
            headers: Vec::new(),
            problem_type: None,
            nothing_done: blame == Blame::Client,
            cause: None,
        }))
    }

    /// 400.
    pub fn bad_request(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, detail)
    }

    /// 404.
    pub fn not_found(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, detail)
    }

    /// 409.
    pub fn conflict(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, detail)
    }

    /// 412.
    pub fn precondition_failed(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::PRECONDITION_FAILED, detail)
    }

    /// 422 naming each field that is wrong.
    pub fn validation(fields: Vec<FieldError>) -> Self {
        let mut error = Self::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            "some fields are not valid",
        );
        error.0.fields = fields;
        error
    }

    /// 503 with `Retry-After`.
    pub fn unavailable(detail: impl Into<String>, retry_after_s: u32) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, detail)
            .with_header(http::header::RETRY_AFTER, HeaderValue::from(retry_after_s))
    }

    /// 503 of a write of which nobody knows whether it happened, and so without
    /// `Retry-After`: a repeated POST could create twice.
    pub fn outcome_unknown(log: impl fmt::Display) -> Self {
        Self::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "the write may or may not have happened; look before you repeat it",
        )
        .with_problem_type("urn:corelane:problem:outcome-unknown")
        .with_log(log)
    }

    /// 500; `log` is not shown to the client.
    pub fn internal(log: impl fmt::Display) -> Self {
        Self::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "the server could not answer this request",
        )
        .with_log(log)
    }

    /// Adds a response header.
    #[must_use]
    pub fn with_header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.add_header(name, value);
        self
    }

    /// Adds a header to the answer, as middleware does on the way out.
    pub fn add_header(&mut self, name: HeaderName, value: HeaderValue) {
        self.0.headers.push((name, value));
    }

    /// Adds the message for the log.
    #[must_use]
    pub fn with_log(mut self, log: impl fmt::Display) -> Self {
        self.0.log = Some(log.to_string());
        self
    }

    /// Sets the problem `type` URI (default `about:blank`).
    #[must_use]
    pub fn with_problem_type(mut self, uri: &'static str) -> Self {
        self.0.problem_type = Some(uri);
        self
    }

    /// Sets who is to blame, where the status does not tell.
    #[must_use]
    pub fn with_blame(mut self, blame: Blame) -> Self {
        self.0.blame = blame;
        self
    }

    /// Says that nothing was written, and never will be, by the request that
    /// failed. Errors that are the client's say so anyway.
    #[must_use]
    pub fn nothing_done(mut self) -> Self {
        self.0.nothing_done = true;
        self
    }

    /// Whether it is certain that nothing was written.
    pub fn is_nothing_done(&self) -> bool {
        self.0.nothing_done
    }

    /// Status of the response.
    pub fn status(&self) -> StatusCode {
        self.0.status
    }

    /// Who has to act.
    pub fn blame(&self) -> Blame {
        self.0.blame
    }

    /// What the client is told.
    pub fn detail(&self) -> &str {
        &self.0.detail
    }

    /// What only the log is told.
    pub fn log(&self) -> Option<&str> {
        self.0.log.as_deref()
    }

    /// The error that `?` made this one of, or one behind that, if it is an `E`.
    pub fn cause<E: StdError + 'static>(&self) -> Option<&E> {
        let mut next: Option<&(dyn StdError + 'static)> = Some(&**self.0.cause.as_ref()?);
        while let Some(cause) = next {
            if let Some(found) = cause.downcast_ref() {
                return Some(found);
            }
            next = cause.source();
        }
        None
    }

    /// The fields that failed validation.
    pub fn fields(&self) -> &[FieldError] {
        &self.0.fields
    }

    /// Extra response headers.
    pub fn headers(&self) -> &[(HeaderName, HeaderValue)] {
        &self.0.headers
    }

    /// The RFC 9457 body: `type`, `title`, `status`, `detail`, and `errors`
    /// where fields failed validation.
    pub fn problem_json(&self) -> Vec<u8> {
        #[derive(serde::Serialize)]
        struct Problem<'a> {
            r#type: &'a str,
            title: &'a str,
            status: u16,
            detail: &'a str,
            #[serde(skip_serializing_if = "<[_]>::is_empty")]
            errors: &'a [FieldError],
        }
        let inner = &*self.0;
        serde_json::to_vec(&Problem {
            r#type: inner.problem_type.unwrap_or("about:blank"),
            title: inner.status.canonical_reason().unwrap_or("Error"),
            status: inner.status.as_u16(),
            detail: &inner.detail,
            errors: &inner.fields,
        })
        .unwrap_or_default()
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.0.status, self.0.detail)?;
        if let Some(log) = &self.0.log {
            write!(f, " ({log})")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// `?` on any error, and on what becomes one, such as `anyhow::Error` or a text:
/// 500, its text and that of what is behind it for the log only.
impl<E: Into<Box<dyn StdError + Send + Sync>>> From<E> for Error {
    fn from(error: E) -> Self {
        let cause = error.into();
        let mut log = cause.to_string();
        let mut behind = cause.source();
        while let Some(error) = behind {
            let text = error.to_string();
            // Some say what is behind them themselves.
            if !log.ends_with(&text) {
                log = format!("{log}: {text}");
            }
            behind = error.source();
        }
        let mut error = Self::internal(log);
        error.0.cause = Some(cause.into());
        error
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn problem_json_names_each_field_and_keeps_the_log_inside() {
        let error = Error::validation(vec![FieldError::new("age", "0 to 150")]).with_log("secret");
        let json: serde_json::Value = serde_json::from_slice(&error.problem_json()).unwrap();
        assert_eq!(json["status"], 422);
        assert_eq!(json["errors"][0]["field"], "age");
        assert!(!json.to_string().contains("secret"));
    }

    #[test]
    fn question_mark_makes_a_500_that_tells_the_client_nothing() {
        fn fails() -> Result<(), Error> {
            Err(std::io::Error::other("disk /dev/sda is on fire"))?;
            Ok(())
        }
        let error = fails().unwrap_err();
        assert_eq!(error.status(), StatusCode::INTERNAL_SERVER_ERROR);
        assert!(!error.detail().contains("sda"));
        assert!(error.log().unwrap().contains("sda"));
    }

    /// Of two layers, the outer one's text without the inner one's.
    #[derive(Debug)]
    struct Outer(std::num::ParseIntError);

    impl fmt::Display for Outer {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("the page is no number")
        }
    }

    impl StdError for Outer {
        fn source(&self) -> Option<&(dyn StdError + 'static)> {
            Some(&self.0)
        }
    }

    #[test]
    fn what_an_error_was_made_of_is_logged_and_found_again() {
        let parsed = "x".parse::<u8>().map_err(Outer);
        let error = Error::from(parsed.unwrap_err());
        let log = "the page is no number: invalid digit found in string";
        assert_eq!(error.log(), Some(log));
        assert!(error.cause::<Outer>().is_some());
        assert!(error.clone().cause::<std::num::ParseIntError>().is_some());
        assert!(error.cause::<fmt::Error>().is_none());
        assert!(Error::internal("x").cause::<Outer>().is_none());
        assert_eq!(Error::from("a text").log(), Some("a text"));
    }
}
