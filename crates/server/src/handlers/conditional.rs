//! The last step of every GET of the API: validators, `Cache-Control`, and
//! whether the client's copy is still good.
//!
//! Glue between a request's headers and [`corelane::internals::semantics`]. What is made
//! anew for its request and has an entity tag goes through here; what is kept,
//! through [`Ctx::respond_conditionally`]. A 304 has the headers the 200 would have had,
//! without those that describe content. Writes read their conditions as well
//! and have them checked inside the transaction (`users/write.rs`).

use http::{HeaderName, HeaderValue, Method, header};

use super::cache_control::CacheControl;
use corelane::internals::app::{ConditionFields, precondition_failed};
use corelane::internals::semantics::{
    Conditions, ETag, LastModified, Validators, Verdict, evaluate,
};
use corelane::{Ctx, Error, Response};

/// Answers a GET or HEAD with a JSON body that is its own validator, and with
/// `Link: <next>; rel="next"` when there is a next page.
///
/// # Errors
/// 412 when `If-Match` or `If-Unmodified-Since` does not hold.
pub fn respond_json(ctx: &Ctx, body: Vec<u8>, next: Option<&str>) -> Result<Response, Error> {
    let etag = ETag::of_bytes(&body);
    let validators = Validators {
        etag: Some(&etag),
        last_modified: None,
    };
    let link = next.map(next_link_header).transpose()?;
    let cache = ctx.state::<CacheControl>();
    let fields = ConditionFields::of(ctx);
    conclude(
        ctx.method(),
        &fields.conditions(),
        validators,
        cache.of(ctx.route_pattern()),
        link.as_slice(),
        || Response::with_body("application/json", body),
    )
}

/// The `Cache-Control` of the request's route, for answers that have no
/// validators (a stream).
pub fn add_cache_control(ctx: &Ctx, response: &mut Response) {
    if let Some(value) = ctx.state::<CacheControl>().of(ctx.route_pattern()) {
        response.insert_header(header::CACHE_CONTROL, value.clone());
    }
}

/// Puts `ETag` and `Last-Modified` on a response.
pub fn add_validators(response: &mut Response, validators: Validators<'_>) {
    if let Some(etag) = validators.etag {
        response.insert_header(header::ETAG, etag.into());
    }
    if let Some(date) = validators
        .last_modified
        .and_then(LastModified::header_value)
    {
        response.insert_header(header::LAST_MODIFIED, date);
    }
}

/// The date of a row that was read from `looked_ms` of Unix time on. One that
/// was never changed has that of its second alone; what was changed within the
/// second it was made in is dated into the next.
pub(super) fn row_date(
    is_first: bool,
    created_ms: i64,
    updated_ms: i64,
    looked_ms: i64,
) -> LastModified {
    let created_s = created_ms.div_euclid(1_000);
    if is_first {
        LastModified::of_first(updated_ms, looked_ms)
    } else if updated_ms.div_euclid(1_000) == created_s {
        LastModified::of((created_s + 1) * 1_000, looked_ms)
    } else {
        LastModified::of(updated_ms, looked_ms)
    }
}

fn conclude(
    method: &Method,
    conditions: &Conditions<'_>,
    validators: Validators<'_>,
    policy: Option<&HeaderValue>,
    extra: &[(HeaderName, HeaderValue)],
    full: impl FnOnce() -> Response,
) -> Result<Response, Error> {
    let is_get_or_head = method == Method::GET || method == Method::HEAD;
    let mut response = match evaluate(is_get_or_head, conditions, Some(validators)) {
        Verdict::Proceed => full(),
        Verdict::NotModified => Response::not_modified(),
        Verdict::PreconditionFailed => return Err(precondition_failed(validators.etag)),
    };
    add_validators(&mut response, validators);
    if let Some(value) = policy {
        response.insert_header(header::CACHE_CONTROL, value.clone());
    }
    for (name, value) in extra {
        response.append_header(name.clone(), value.clone());
    }
    Ok(response)
}

pub(super) fn next_link_header(next: &str) -> Result<(HeaderName, HeaderValue), Error> {
    let value = HeaderValue::try_from(format!("<{next}>; rel=\"next\""))?;
    Ok((header::LINK, value))
}

#[cfg(test)]
mod tests {
    use http::StatusCode;

    use super::*;

    const SECOND: i64 = 783_459_811;
    const DATE: &[u8] = b"Sat, 29 Oct 1994 19:43:31 GMT";

    fn answer(conditions: Conditions<'_>) -> Result<Response, Error> {
        let etag = ETag::strong("u1-v1").unwrap();
        let validators = Validators {
            etag: Some(&etag),
            last_modified: Some(LastModified::of(SECOND * 1_000, SECOND * 1_000 + 5_000)),
        };
        let policy = HeaderValue::from_static("no-cache");
        let link = next_link_header("/x?after=1").unwrap();
        conclude(
            &Method::GET,
            &conditions,
            validators,
            Some(&policy),
            &[link],
            || Response::with_body("application/json", "{}"),
        )
    }

    fn header_names(response: &Response) -> Vec<&str> {
        response.headers().map(|(n, _)| n.as_str()).collect()
    }

    #[test]
    fn a_full_answer_has_validators_and_policy() {
        let response = answer(Conditions::default()).unwrap();
        assert_eq!(response.status(), StatusCode::OK);
        assert_eq!(
            header_names(&response),
            [
                "content-type",
                "etag",
                "last-modified",
                "cache-control",
                "link"
            ]
        );
        assert_eq!(
            response.header_value(&header::LAST_MODIFIED).unwrap(),
            std::str::from_utf8(DATE).unwrap()
        );
    }

    #[test]
    fn a_304_has_the_same_headers_without_content() {
        let by_tag = Conditions {
            if_none_match: Some(b"W/\"u1-v1\""),
            ..Default::default()
        };
        let by_date = Conditions {
            if_modified_since: Some(DATE),
            ..Default::default()
        };
        for conditions in [by_tag, by_date] {
            let response = answer(conditions).unwrap();
            assert_eq!(response.status(), StatusCode::NOT_MODIFIED);
            assert_eq!(response.body().length(), Some(0));
            assert_eq!(
                header_names(&response),
                ["etag", "last-modified", "cache-control", "link"]
            );
        }
    }

    #[test]
    fn a_failed_precondition_is_a_412_with_the_current_tag() {
        let conditions = Conditions {
            if_match: Some(b"\"u1-v2\""),
            ..Default::default()
        };
        let error = answer(conditions).unwrap_err();
        assert_eq!(error.status(), StatusCode::PRECONDITION_FAILED);
        assert_eq!(error.headers()[0].1, "\"u1-v1\"");
    }
}
