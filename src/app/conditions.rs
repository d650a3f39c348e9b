//! The conditions of a request, and the answer from a prepared response that
//! they allow.
//!
//! Glue between a request's headers and [`crate::semantics`]. The common
//! request has no condition, which one look over its header names tells.

use std::borrow::Cow;

use http::{HeaderName, Method, header};

use super::prepared::SharedResponse;
use super::{Ctx, PreparedResponse, Response};
use crate::Error;
use crate::semantics::{Conditions, ETag, Verdict, evaluate, join_lines};

impl Ctx {
    /// Answers with a prepared response: the whole of it, or 304 with its
    /// headers but those that describe content when the client's copy is still
    /// good. As any other [`Response`], the answer may be changed further.
    ///
    /// A prepared response that is not a 2xx is sent whatever the conditions
    /// (RFC 9110 section 13.2.1).
    ///
    /// # Errors
    /// 412 with the `ETag` when `If-Match` or `If-Unmodified-Since` does not
    /// hold, or, for other methods than GET and HEAD, `If-None-Match`.
    ///
    /// ```
    /// use std::rc::Rc;
    ///
    /// use corelane::{App, Ctx, Error, PreparedResponse, Response};
    ///
    /// struct Welcome(Rc<PreparedResponse>);
    ///
    /// async fn welcome(ctx: Ctx) -> Result<Response, Error> {
    ///     ctx.respond_conditionally(ctx.state::<Welcome>().0.clone())
    /// }
    ///
    /// let app = App::new()
    ///     .state(|_shard| async {
    ///         let response = Response::text("welcome\n").header("ETag", "\"v1\"");
    ///         let prepared = PreparedResponse::new(response).expect("it may be kept");
    ///         Ok(Welcome(Rc::new(prepared)))
    ///     })
    ///     .get("/", welcome);
    /// # let _ = app;
    /// ```
    pub fn respond_conditionally(
        &self,
        prepared: impl Into<SharedResponse>,
    ) -> Result<Response, Error> {
        let prepared = prepared.into();
        if !self.head().has_header_prefix("if-") {
            return Ok(Response::prepared(prepared));
        }
        match self.judge(&prepared) {
            Verdict::Proceed => Ok(Response::prepared(prepared)),
            Verdict::NotModified => Ok(Response::prepared_not_modified(prepared)),
            Verdict::PreconditionFailed => Err(precondition_failed(prepared.validators().etag)),
        }
    }

    fn judge(&self, prepared: &PreparedResponse) -> Verdict {
        let has_conditions = match *self.method() {
            Method::CONNECT | Method::OPTIONS | Method::TRACE => false,
            _ => prepared.status().is_success(),
        };
        if !has_conditions {
            return Verdict::Proceed;
        }
        let is_get_or_head = matches!(*self.method(), Method::GET | Method::HEAD);
        let fields = ConditionFields::of(self);
        let current = prepared.validators();
        evaluate(is_get_or_head, &fields.conditions(), Some(current))
    }
}

/// A 412 that tells the client the validator it would have to name.
pub fn precondition_failed(current: Option<&ETag>) -> Error {
    let error = Error::precondition_failed("the resource is not in the state the request asks for");
    match current {
        Some(etag) => error.with_header(header::ETAG, etag.into()),
        None => error,
    }
}

/// The condition fields of a request, each joined to one value.
#[derive(Debug)]
pub struct ConditionFields<'a> {
    if_match: Option<Cow<'a, [u8]>>,
    if_none_match: Option<Cow<'a, [u8]>>,
    if_modified_since: Option<Cow<'a, [u8]>>,
    if_unmodified_since: Option<Cow<'a, [u8]>>,
}

impl<'a> ConditionFields<'a> {
    /// Those of this request.
    pub fn of(ctx: &'a Ctx) -> Self {
        Self::of_lines(|name| ctx.header_all(name))
    }

    /// Those of the request with these lines of each name.
    pub(crate) fn of_lines<I: Iterator<Item = &'a [u8]>>(
        lines: impl Fn(&'static HeaderName) -> I,
    ) -> Self {
        let joined = |name: &'static HeaderName| join_lines(lines(name));
        Self {
            if_match: joined(&header::IF_MATCH),
            if_none_match: joined(&header::IF_NONE_MATCH),
            if_modified_since: joined(&header::IF_MODIFIED_SINCE),
            if_unmodified_since: joined(&header::IF_UNMODIFIED_SINCE),
        }
    }

    /// As [`evaluate`] wants them.
    pub fn conditions(&self) -> Conditions<'_> {
        Conditions {
            if_match: self.if_match.as_deref(),
            if_none_match: self.if_none_match.as_deref(),
            if_modified_since: self.if_modified_since.as_deref(),
            if_unmodified_since: self.if_unmodified_since.as_deref(),
        }
    }
}
