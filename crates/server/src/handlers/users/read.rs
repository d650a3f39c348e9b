//! Reading users: a page, one, a batch, those near a place. All of them out of
//! the API's caches; one user, if it is not in there, out of Redis.

use std::cell::Cell;
use std::rc::Rc;

use super::list_query::{ListRequest, NearRequest, parse_batch};
use super::representation::{
    push_partial_user, push_user, push_user_at_distance, user_date, user_etag,
};
use super::{USER, USERS, USERS_BATCH, USERS_NEAR, id_of, no_such_user, row};
use crate::handlers::cache_control::CacheControl;
use crate::handlers::cached::{Document, USERS_CACHE, answer_list, list_tags};
use crate::handlers::page;
use crate::handlers::store_fault::store_fault;
use crate::store::{Store, User};
use corelane::internals::app::SecondLevel;
use corelane::internals::clock;
use corelane::internals::l2::{RowCache, Sought};
use corelane::{CacheEntry, Ctx, Error, PreparedResponse, Response};

/// `GET /api/users`: a page of the asked columns.
pub(super) async fn list(ctx: Ctx) -> Result<Response, Error> {
    let request = ListRequest::parse(ctx.query_string())?;
    let store = ctx.state::<Store>();
    let load = move || async move {
        let found = store.users(&request.query).await.map_err(store_fault)?;
        let next = found.next.map(|cursor| request.next_link(&cursor));
        let body = page::envelope(&request.page, &found.rows, next.as_deref(), |out, user| {
            push_partial_user(out, user);
        });
        Ok(Document::of_body(body, next))
    };
    answer_list(&ctx, USERS, list_tags::USERS, load).await
}

/// `GET /api/users/{id}`. That there is none is kept too.
pub(super) async fn one(ctx: Ctx) -> Result<Response, Error> {
    let id = id_of(&ctx)?;
    let here = ctx
        .cache(USERS_CACHE)
        .find_here(itoa::Buffer::new().format(id))?;
    let (found, level) = match here {
        Some(found) => (found, None),
        // Boxed, so that a request that needs none of it does not carry it.
        None => Box::pin(find(&ctx, id)).await?,
    };
    let lookup = found.lookup();
    let response = match found {
        CacheEntry::Value(cached) => ctx.conclude(cached)?,
        CacheEntry::Nothing(lookup) => Response::from(no_such_user()).with_lookup(lookup),
    };
    Ok(match level {
        Some(level) => response.with_levels(lookup, level),
        None => response,
    })
}

/// A user's answer, out of the cache, Redis or the store; what came of asking
/// Redis, if it was.
pub(in crate::handlers) fn find(
    ctx: &Ctx,
    id: i64,
) -> impl Future<Output = Result<(CacheEntry<PreparedResponse>, Option<SecondLevel>), Error>> + use<>
{
    let (store, policies) = (ctx.state::<Store>(), ctx.state::<CacheControl>());
    let (rows, level) = (ctx.state::<RowCache>(), Rc::new(Cell::new(None)));
    let (tell, feed) = (level.clone(), ctx.feed().cloned());
    let load = move || async move {
        let looked_ms = clock::unix_ms();
        // While nobody tells of changes Redis may have old rows too.
        let user = match feed.is_some_and(|feed| !feed.is_running()) {
            true => store.user(id).await.map_err(store_fault)?,
            false => load_user(id, &store, &rows, &tell).await?,
        };
        let prepared = user.map(|user| document(&user, looked_ms).prepare(policies.of(USER)));
        prepared.transpose()
    };
    let users = ctx.cache(USERS_CACHE);
    async move {
        let key = itoa::Buffer::new().format(id).to_owned();
        let found = users.find_or_load(key, load).await?;
        Ok((found, level.get()))
    }
}

/// A user from Redis, else from the store, and then into Redis. That there is
/// none is not put there.
async fn load_user(
    id: i64,
    store: &Store,
    rows: &RowCache,
    level: &Cell<Option<SecondLevel>>,
) -> Result<Option<User>, Error> {
    let ticket = match rows.seek(id).await {
        Sought::Found(bytes, ticket) => match row::decode(id, &bytes) {
            Some(user) => {
                level.set(Some(SecondLevel::Hit));
                return Ok(Some(user));
            }
            None => {
                rows.note_garbage();
                level.set(Some(SecondLevel::Miss));
                Some(ticket)
            }
        },
        Sought::Missing(ticket) => {
            level.set(Some(SecondLevel::Miss));
            Some(ticket)
        }
        Sought::Bypass => {
            level.set(Some(SecondLevel::Bypass));
            None
        }
        Sought::Off => None,
    };
    let user = store.user(id).await.map_err(store_fault)?;
    if let (Some(ticket), Some(user)) = (ticket, &user) {
        rows.fill(ticket, id, user.version, row::encode(user));
    }
    Ok(user)
}

/// Of the user as read, which was begun at `looked_ms`.
fn document(user: &User, looked_ms: i64) -> Document {
    Document {
        body: user_json(user),
        etag: user_etag(user),
        last_modified: Some(user_date(user, looked_ms)),
        next: None,
    }
}

/// `GET /api/users/batch`: users by id, in the order asked, null where there
/// is none.
pub(super) async fn batch(ctx: Ctx) -> Result<Response, Error> {
    let ids = parse_batch(ctx.query_string())?;
    let store = ctx.state::<Store>();
    let load = move || async move {
        let users = store.users_by_ids(&ids).await.map_err(store_fault)?;
        let body = page::data(&users, |out, user| match user {
            Some(user) => push_user(out, user),
            None => out.extend_from_slice(b"null"),
        });
        Ok(Document::of_body(body, None))
    };
    answer_list(&ctx, USERS_BATCH, list_tags::USERS, load).await
}

/// `GET /api/users/near`: users around a place, nearest first.
pub(super) async fn near(ctx: Ctx) -> Result<Response, Error> {
    let NearRequest {
        center,
        radius_km,
        limit,
    } = NearRequest::parse(ctx.query_string())?;
    let store = ctx.state::<Store>();
    let load = move || async move {
        let found = store.users_near(center, radius_km, limit).await;
        let found = found.map_err(store_fault)?;
        let body = page::data(&found, |out, (user, distance_km)| {
            push_user_at_distance(out, user, *distance_km);
        });
        Ok(Document::of_body(body, None))
    };
    answer_list(&ctx, USERS_NEAR, list_tags::USERS, load).await
}

/// The JSON of one user.
pub(super) fn user_json(user: &User) -> Vec<u8> {
    let mut body = Vec::with_capacity(USER_JSON_BYTES);
    push_user(&mut body, user);
    body
}

/// First guess of a user's JSON; the buffer grows.
const USER_JSON_BYTES: usize = 256;
