//! Reading users: a page, one, a batch, those near a place.

use super::list_query::{ListRequest, NearRequest, parse_batch};
use super::representation::{
    push_partial_user, push_user, push_user_at_distance, user_etag, user_validators,
};
use super::{id_of, no_such_user};
use crate::handlers::conditional::{respond, respond_json};
use crate::handlers::page;
use crate::handlers::store_fault::store_fault;
use crate::store::{Store, User};
use crate::{Ctx, Error, Response};

/// `GET /api/users`: a page of the asked columns.
pub(super) async fn list(ctx: Ctx) -> Result<Response, Error> {
    let request = ListRequest::parse(ctx.query_string())?;
    let store = ctx.state::<Store>();
    let found = store.users(&request.query).await.map_err(store_fault)?;
    let next = found.next.map(|cursor| request.next_link(&cursor));
    let body = page::envelope(&request.page, &found.rows, next.as_deref(), |out, user| {
        push_partial_user(out, user);
    });
    respond_json(&ctx, body, next.as_deref())
}

/// `GET /api/users/{id}`.
pub(super) async fn one(ctx: Ctx) -> Result<Response, Error> {
    let user = load(&ctx, id_of(&ctx)?).await?;
    let etag = user_etag(&user);
    respond(&ctx, user_validators(&user, &etag), || {
        Response::with_body("application/json", user_json(&user))
    })
}

/// The user a request is about. The one place a cache in `Ctx` would stand in
/// front of the store.
async fn load(ctx: &Ctx, id: i64) -> Result<User, Error> {
    let store = ctx.state::<Store>();
    let user = store.user(id).await.map_err(store_fault)?;
    user.ok_or_else(no_such_user)
}

/// `GET /api/users/batch`: users by id, in the order asked, null where there
/// is none.
pub(super) async fn batch(ctx: Ctx) -> Result<Response, Error> {
    let ids = parse_batch(ctx.query_string())?;
    let store = ctx.state::<Store>();
    let users = store.users_by_ids(&ids).await.map_err(store_fault)?;
    let body = page::data(&users, |out, user| match user {
        Some(user) => push_user(out, user),
        None => out.extend_from_slice(b"null"),
    });
    respond_json(&ctx, body, None)
}

/// `GET /api/users/near`: users around a place, nearest first.
pub(super) async fn near(ctx: Ctx) -> Result<Response, Error> {
    let NearRequest {
        center,
        radius_km,
        limit,
    } = NearRequest::parse(ctx.query_string())?;
    let store = ctx.state::<Store>();
    let found = store
        .users_near(center, radius_km, limit)
        .await
        .map_err(store_fault)?;
    let body = page::data(&found, |out, (user, distance_km)| {
        push_user_at_distance(out, user, *distance_km);
    });
    respond_json(&ctx, body, None)
}

/// The JSON of one user.
pub(super) fn user_json(user: &User) -> Vec<u8> {
    let mut body = Vec::with_capacity(USER_JSON_BYTES);
    push_user(&mut body, user);
    body
}

/// First guess of a user's JSON; the buffer grows.
const USER_JSON_BYTES: usize = 256;
