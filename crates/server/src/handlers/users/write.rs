//! Writing users: create, replace, patch, delete.
//!
//! Every write holds the lease of its user in the cache, so that nobody is
//! answered with the old row once it has been acknowledged. The answer leaves
//! after the store has made the write durable and Redis, where others read the
//! row, has been told or it is remembered that it was not. Conditions
//! are checked inside the writing transaction. The body is checked first: a
//! request that is wrong in itself is a 4xx of its own whether or not its
//! condition holds (RFC 9110 section 13.2.1).

use http::{HeaderName, HeaderValue, Method, StatusCode, header};

use super::input::{parse_merge_patch, parse_new_user};
use super::precondition::{WritePlan, plan_write};
use super::read::user_json;
use super::representation::{user_etag, user_validators};
use super::{USERS, id_of, no_such_user, row};
use crate::handlers::cached::{POSTS_TAG, USERS_CACHE};
use crate::handlers::conditional::add_validators;
use crate::handlers::limits::CONDITIONAL_WRITE_ATTEMPTS_MAX;
use crate::handlers::store_fault::store_fault;
use crate::store::limits::STORE_RETRY_AFTER_S;
use crate::store::{Store, StoreError, User, WriteCondition};
use corelane::internals::app::{ConditionFields, precondition_failed};
use corelane::internals::clock;
use corelane::internals::l2::{RowCache, RowChange};
use corelane::internals::semantics::{Verdict, evaluate};
use corelane::{Ctx, Error, Response};

/// `POST /api/users`: 201 with the user and where it is. Conditions are about
/// a selected representation, which a new user is not: they are ignored.
pub(super) async fn create(mut ctx: Ctx) -> Result<Response, Error> {
    check_media_type(&ctx, JSON)?;
    let user = parse_new_user(&ctx.bytes().await?)?;
    let (store, users) = (ctx.state::<Store>(), ctx.cache(USERS_CACHE));
    let cache = users.clone();
    let write = move || async move {
        let user = store.create_user(user).await.map_err(store_fault)?;
        // Somebody may have asked for this id before it was given.
        let forgotten = cache.del([user.id.to_string()]).await;
        forgotten.map_err(|error| {
            store_fault(StoreError::OutcomeUnknown(format!(
                "user {} was created, but the caches could not be told: {error}",
                user.id
            )))
        })?;
        let location = HeaderValue::try_from(format!("{USERS}/{}", user.id))?;
        let mut response = written(&user)?.with_status(StatusCode::CREATED);
        response.insert_header(header::LOCATION, location);
        Ok(response)
    };
    users.write([""; 0], write).await
}

/// `PUT /api/users/{id}`: replaces what a client may set; an absent location
/// is none. A user who is not there is not made: ids are the store's to give.
pub(super) async fn replace(mut ctx: Ctx) -> Result<Response, Error> {
    let id = id_of(&ctx)?;
    check_media_type(&ctx, JSON)?;
    if ctx.header_bytes(&header::CONTENT_RANGE).is_some() {
        // RFC 9110 section 14.5: else a part would replace the whole.
        return Err(Error::bad_request("a user cannot be written in parts"));
    }
    let new = parse_new_user(&ctx.bytes().await?)?;
    let users = ctx.cache(USERS_CACHE);
    let write = move || async move {
        let store = ctx.state::<Store>();
        let attempt = async |_: Option<&User>, condition| {
            let replaced = store.replace_user(id, new.clone(), condition).await;
            replaced.map_err(WriteFault::Store)
        };
        let change = ctx.state::<RowCache>().change(id);
        let outcome = write_conditionally(&ctx, &store, id, false, attempt).await;
        written(&told(change, outcome).await?)
    };
    users.write([id.to_string()], write).await
}

/// `PATCH /api/users/{id}`: a merge patch (RFC 7396).
pub(super) async fn patch(mut ctx: Ctx) -> Result<Response, Error> {
    let id = id_of(&ctx)?;
    check_media_type(&ctx, MERGE_PATCH)?;
    let patch = parse_merge_patch(&ctx.bytes().await?)?;
    let users = ctx.cache(USERS_CACHE);
    let write = move || async move {
        let store = ctx.state::<Store>();
        let attempt = async |current: Option<&User>, condition| {
            let location = current.and_then(|user| user.location);
            let columns = patch.resolve(location).map_err(WriteFault::Answer)?;
            let updated = store.update_user(id, columns, condition).await;
            updated.map_err(WriteFault::Store)
        };
        let needs_current = patch.needs_current();
        let change = ctx.state::<RowCache>().change(id);
        let outcome = write_conditionally(&ctx, &store, id, needs_current, attempt).await;
        written(&told(change, outcome).await?)
    };
    users.write([id.to_string()], write).await
}

/// `DELETE /api/users/{id}`: 204. Their posts go with them.
pub(super) async fn delete(ctx: Ctx) -> Result<Response, Error> {
    let id = id_of(&ctx)?;
    let users = ctx.cache(USERS_CACHE).invalidating([POSTS_TAG]);
    let write = move || async move {
        let store = ctx.state::<Store>();
        let attempt = async |_: Option<&User>, condition| {
            let deleted = store.delete_user(id, condition).await;
            deleted.map_err(WriteFault::Store)
        };
        let change = ctx.state::<RowCache>().change(id);
        let outcome = write_conditionally(&ctx, &store, id, false, attempt).await;
        match outcome {
            Ok(()) => change.deleted().await,
            Err(error) => return Err(not_told(change, error).await),
        }
        Ok(Response::no_content())
    };
    users.write([id.to_string()], write).await
}

/// Has Redis told what became of a write, before anybody else is.
async fn told(change: RowChange, outcome: Result<User, Error>) -> Result<User, Error> {
    match outcome {
        Ok(user) => {
            change.written(user.version, &row::encode(&user)).await;
            Ok(user)
        }
        Err(error) => Err(not_told(change, error).await),
    }
}

async fn not_told(change: RowChange, error: Error) -> Error {
    match error.is_nothing_done() {
        true => change.nothing_done(),
        false => change.in_doubt().await,
    }
    error
}

/// Why one attempt of a write did not happen.
enum WriteFault {
    Store(StoreError),
    Answer(Error),
}

impl From<WriteFault> for Error {
    fn from(fault: WriteFault) -> Self {
        match fault {
            WriteFault::Store(StoreError::NotFound) => no_such_user(),
            WriteFault::Store(error) => store_fault(error),
            WriteFault::Answer(error) => error,
        }
    }
}

/// Writes under the request's conditions. Where the row must be known first,
/// for a condition or because the write `needs_current`, it is read, judged,
/// and written only if it is still the same version; else once more.
async fn write_conditionally<T>(
    ctx: &Ctx,
    store: &Store,
    id: i64,
    needs_current: bool,
    attempt: impl AsyncFn(Option<&User>, WriteCondition) -> Result<T, WriteFault>,
) -> Result<T, Error> {
    let fields = ConditionFields::of(ctx);
    let conditions = fields.conditions();
    if let WritePlan::Direct(condition) = plan_write(id, &conditions)
        && !needs_current
    {
        return Ok(attempt(None, condition).await?);
    }
    for _ in 0..CONDITIONAL_WRITE_ATTEMPTS_MAX {
        let looked_ms = clock::unix_ms();
        let user = store.user(id).await.map_err(store_fault)?;
        let user = user.ok_or_else(no_such_user)?;
        let etag = user_etag(&user);
        let validators = user_validators(&user, &etag, looked_ms);
        if evaluate(false, &conditions, Some(validators)) != Verdict::Proceed {
            return Err(precondition_failed(Some(&etag)));
        }
        let same_version = WriteCondition::VersionIn(vec![user.version]);
        match attempt(Some(&user), same_version).await {
            // Somebody wrote in between: look again.
            Err(WriteFault::Store(StoreError::ConditionFailed)) => {}
            outcome => return Ok(outcome?),
        }
    }
    let busy = Error::unavailable(
        "others kept changing this user; nothing was written, try again",
        STORE_RETRY_AFTER_S,
    );
    Err(busy.nothing_done())
}

/// 200 with the user as written. `Content-Location` says that the body is the
/// user and no report about the write, and so whose the validators are.
fn written(user: &User) -> Result<Response, Error> {
    let etag = user_etag(user);
    let mut response = Response::with_body("application/json", user_json(user));
    add_validators(
        &mut response,
        user_validators(user, &etag, clock::unix_ms()),
    );
    let location = HeaderValue::try_from(format!("{USERS}/{}", user.id))?;
    response.insert_header(header::CONTENT_LOCATION, location);
    Ok(response)
}

const JSON: &[&str] = &["application/json"];
const MERGE_PATCH: &[&str] = &["application/merge-patch+json", "application/json"];

/// 415 unless the body is of one of these types, not compressed.
fn check_media_type(ctx: &Ctx, allowed: &[&str]) -> Result<(), Error> {
    let coding = ctx.header_bytes(&header::CONTENT_ENCODING);
    if coding.is_some_and(|coding| !coding.eq_ignore_ascii_case(b"identity")) {
        let error = unsupported("send the body without a content coding");
        let identity = HeaderValue::from_static("identity");
        return Err(error.with_header(header::ACCEPT_ENCODING, identity));
    }
    if is_media_type(ctx.header(&header::CONTENT_TYPE), allowed) {
        return Ok(());
    }
    let list = allowed.join(", ");
    let name = accept_header(ctx.method());
    let error = unsupported(&format!(
        "send the body with `Content-Type: {}`",
        allowed[0]
    ));
    Err(error.with_header(name, HeaderValue::try_from(list)?))
}

fn unsupported(detail: &str) -> Error {
    Error::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, detail)
}

/// Where a 415 says what would be accepted: RFC 5789 section 3.1, RFC 9110
/// section 15.5.16.
fn accept_header(method: &Method) -> HeaderName {
    match *method {
        Method::PATCH => HeaderName::from_static("accept-patch"),
        _ => header::ACCEPT,
    }
}

fn is_media_type(content_type: Option<&str>, allowed: &[&str]) -> bool {
    let essence = content_type.and_then(|value| value.split(';').next());
    essence.is_some_and(|essence| {
        allowed
            .iter()
            .any(|name| essence.trim().eq_ignore_ascii_case(name))
    })
}

#[cfg(test)]
mod tests {
    use super::super::representation::tests::ada;
    use super::*;

    #[test]
    fn media_types_are_compared_without_case_and_parameters() {
        for good in [
            "application/json",
            "Application/JSON; charset=utf-8",
            " application/json ;x",
        ] {
            assert!(is_media_type(Some(good), JSON), "{good}");
        }
        for bad in [
            None,
            Some(""),
            Some("text/plain"),
            Some("application/jsonx"),
            Some("application/problem+json"),
            Some("application/merge-patch+json"),
        ] {
            assert!(!is_media_type(bad, JSON), "{bad:?}");
        }
        assert!(is_media_type(
            Some("application/merge-patch+json"),
            MERGE_PATCH
        ));
        assert_eq!(accept_header(&Method::PATCH), "accept-patch");
        assert_eq!(accept_header(&Method::PUT), header::ACCEPT);
    }

    #[test]
    fn what_was_written_is_shown_with_its_validators() {
        // Made in another second than it was changed in.
        let ada = || User {
            created_at_ms: 0,
            ..ada()
        };
        let response = written(&ada()).unwrap();
        let value = |name: &HeaderName| response.header_value(name).unwrap();
        assert_eq!(value(&header::ETAG), "\"u42-v3\"");
        assert_eq!(
            value(&header::LAST_MODIFIED),
            "Thu, 29 Feb 2024 12:34:56 GMT"
        );
        assert_eq!(value(&header::CONTENT_LOCATION), "/api/users/42");
        assert_eq!(response.body().as_bytes().unwrap(), user_json(&ada()));
    }

    #[test]
    fn a_missing_user_is_a_404_that_says_so() {
        let error = Error::from(WriteFault::Store(StoreError::NotFound));
        assert_eq!(error.status(), StatusCode::NOT_FOUND);
        assert!(error.detail().contains("user"));
        let error = Error::from(WriteFault::Store(StoreError::ConditionFailed));
        assert_eq!(error.status(), StatusCode::PRECONDITION_FAILED);
    }
}
