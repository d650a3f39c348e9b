//! `/api/session`: logging in, who is logged in, logging out.
//!
//! The id of a session is in its cookie and nowhere else. No answer may be
//! kept by anybody (`no-store`), errors included. Where sessions are kept and
//! what guards them is in [`corelane::internals::app`] and [`corelane::sessions`].

use http::{HeaderName, HeaderValue, Method, StatusCode, header};
use serde_json::Value;

use super::json::ObjectWriter;
use super::users;
use super::validate::Faults;
use crate::handlers::limits::SESSION_BODY_BYTES_MAX;
use crate::store::Store;
use corelane::internals::app::Route;
use corelane::session::SessionOptions;
use corelane::{App, CacheEntry, Ctx, Error, Next, Response, Session};

/// Pattern of the request's session.
pub const SESSION: &str = "/api/session";

/// Adds sessions and their routes, unless they are off. The app must have a
/// [`Store`] as state and the caches of
/// [`cached`](super::cached).
///
/// A session out of Redis is believed if the cache of users, or the store, has
/// its user; so a deleted user's sessions are over with the answer to the
/// deletion (with strict coherence), and `cache.ttl_ms` later at the latest where
/// it was another process's. The store deletes sessions with their user.
#[must_use]
pub fn install(app: App, options: &SessionOptions) -> App {
    if !options.enabled {
        return app;
    }
    let log_in = Route::new(Method::POST, SESSION, log_in)
        .body_bytes_max(SESSION_BODY_BYTES_MAX)
        .middleware(never_kept);
    app.sessions(options.clone())
        .session_backend::<Store>()
        .session_users(|ctx, id| {
            let (found, _) = users::find(ctx, id);
            async move { Ok(matches!(found.await?, CacheEntry::Value(_))) }
        })
        .route(log_in)
        .route(Route::new(Method::GET, SESSION, show).middleware(never_kept))
        .route(Route::new(Method::DELETE, SESSION, log_out).middleware(never_kept))
}

/// `POST /api/session`: 201 with a session and its cookie, or 401. The session
/// that the request came with is over.
async fn log_in(mut ctx: Ctx) -> Result<Response, Error> {
    ctx.check_origin()?;
    let (email, password) = parse_login(ctx.json().await?)?;
    let Some(begun) = ctx.log_in(&email, password).await? else {
        return Err(unauthorized("the email or the password is wrong"));
    };
    let mut response = shown(&begun.session).with_status(StatusCode::CREATED);
    response.insert_header(header::LOCATION, HeaderValue::from_static(SESSION));
    response.append_header(header::SET_COOKIE, begun.set_cookie);
    Ok(response)
}

/// `GET /api/session`: the session of this request, or 401.
async fn show(mut ctx: Ctx) -> Result<Response, Error> {
    match ctx.session().await? {
        Some(session) => Ok(shown(&session)),
        None => Err(unauthorized("log in first: POST email and password here")),
    }
}

/// `DELETE /api/session`: 204, whether there was one or not.
async fn log_out(mut ctx: Ctx) -> Result<Response, Error> {
    let mut response = Response::no_content();
    response.append_header(header::SET_COOKIE, ctx.end_session().await?);
    Ok(response)
}

/// Forbids every cache to keep the answer, whatever it is.
async fn never_kept(ctx: Ctx, next: Next) -> Result<Response, Error> {
    let no_store = HeaderValue::from_static("no-store");
    match next.run(ctx).await {
        Ok(mut response) => {
            response.insert_header(header::CACHE_CONTROL, no_store);
            Ok(response)
        }
        Err(error) => Err(error.with_header(header::CACHE_CONTROL, no_store)),
    }
}

fn shown(session: &Session) -> Response {
    let mut body = Vec::new();
    let mut object = ObjectWriter::open(&mut body);
    object.integer("user_id", session.user_id);
    object.time("created_at", session.created_at_ms);
    object.time("expires_at", session.expires_at_ms);
    object.close();
    Response::with_body("application/json", body)
}

/// No message repeats what was sent: one of the two is a password.
fn parse_login(json: Value) -> Result<(String, String), Error> {
    let mut faults = Faults::new();
    let Value::Object(mut object) = json else {
        faults.add("body", "is an object with `email` and `password`");
        return Err(faults.into_error());
    };
    let mut text = |name: &str| match object.remove(name) {
        Some(Value::String(text)) => Some(text),
        _ => {
            faults.add(name, "is required, and is text");
            None
        }
    };
    let login = text("email").zip(text("password"));
    for name in object.keys() {
        faults.add_unknown(name, &["email", "password"]);
    }
    faults.unless_any(login)
}

/// 401 with a challenge, which it must have (RFC 9110 section 15.5.2): there is
/// no registered scheme for cookies, and browsers ignore one they do not know.
fn unauthorized(detail: &str) -> Error {
    let error = Error::new(StatusCode::UNAUTHORIZED, detail);
    error.with_header(CHALLENGE.0, HeaderValue::from_static(CHALLENGE.1))
}

const CHALLENGE: (HeaderName, &str) = (header::WWW_AUTHENTICATE, "Cookie realm=\"corelane\"");

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_store_keeps_them_and_must_be_there() {
        let app = || install(App::new(), &SessionOptions::default());
        let error = app().check().unwrap_err().to_string();
        assert!(error.contains("store::Store"), "{error}");
        let store = async |_| -> Result<Store, Error> { Err(Error::internal("not asked for")) };
        assert_eq!(app().state(store).check(), Ok(()));
    }

    #[test]
    fn a_login_has_two_texts_and_its_faults_repeat_neither() {
        let login = parse_login(json!({"email": "a@b", "password": "p"})).unwrap();
        assert_eq!(login, ("a@b".to_owned(), "p".to_owned()));
        for (wrong, fields) in [
            (json!([]), &["body"][..]),
            (json!({}), &["email", "password"]),
            (json!({"email": "a@b", "password": 71077345}), &["password"]),
            (
                json!({"email": "a@b", "password": "71077345", "pasword": ""}),
                &["pasword"],
            ),
        ] {
            let error = parse_login(wrong.clone()).unwrap_err();
            let named: Vec<_> = error.fields().iter().map(|fault| &*fault.field).collect();
            assert_eq!(named, fields, "{wrong}");
            assert!(!format!("{error} {:?}", error.fields()).contains("71077345"));
        }
    }
}
