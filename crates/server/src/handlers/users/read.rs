//! Reading users: a page, one, a batch, those near a place. All of them out of
//! the API's caches; one user, if it is not in there, out of Redis.

use std::cell::Cell;
use std::rc::Rc;

use super::list_query::{ListRequest, NearRequest, batch_key, parse_batch};
use super::representation::{
    push_partial_user, push_user, push_user_at_distance, user_date, user_etag,
};
use super::{USER, USERS, USERS_BATCH, USERS_NEAR, id_of, no_such_user, row};
use crate::handlers::cache_control::CacheControl;
use crate::handlers::cached::{Document, USERS_CACHE, answer_list, list_tags};
use crate::handlers::list_key::ListKey;
use crate::handlers::page;
use crate::handlers::store_fault::store_fault;
use crate::store::{Store, User};
use corelane::internals::app::SecondLevel;
use corelane::internals::clock;
use corelane::internals::l2::{RowCache, RowLookup};
use corelane::{CacheEntry, CacheLookup, Ctx, Error, PreparedResponse, Response};

/// `GET /api/users`: a page of the asked columns.
pub(super) async fn list(ctx: Ctx) -> Result<Response, Error> {
    let request = ListRequest::parse(ctx.query_string())?;
    let key = request.key();
    let store = ctx.state::<Store>();
    let load = move || async move {
        let found = store.users(&request.query).await.map_err(store_fault)?;
        let next = found.next.map(|cursor| request.next_link(&cursor));
        let body = page::envelope(&request.page, &found.rows, next.as_deref(), |out, user| {
            push_partial_user(out, user);
        });
        Ok(Document::of_body(body, next))
    };
    answer_list(&ctx, USERS, key, list_tags::USERS, load).await
}

/// `GET /api/users/{id}`. That there is none is kept too.
pub(super) async fn one(ctx: Ctx) -> Result<Response, Error> {
    let id = id_of(&ctx)?;
    let (found, level) = find(&ctx, id);
    let found = found.await?;
    let lookup = found.lookup();
    let response = match found {
        CacheEntry::Value(cached) => ctx.respond_conditionally(cached)?,
        CacheEntry::Nothing(lookup) => Response::from(no_such_user()).with_lookup(lookup),
    };
    Ok(match level.and_then(|level| level.get()) {
        Some(level) => response.with_levels(lookup, level),
        None => response,
    })
}

/// A user's answer, out of the cache, Redis or the store; and, if it was not
/// there at once, where it stands afterwards what came of asking Redis.
pub(in crate::handlers) fn find(ctx: &Ctx, id: i64) -> (UserLookup, Option<RedisLevel>) {
    let mut level = None;
    let load = || {
        let (store, policies) = (ctx.state::<Store>(), ctx.state::<CacheControl>());
        let (rows, feed) = (ctx.state::<RowCache>(), ctx.feed().cloned());
        let level = level.insert(RedisLevel::default()).clone();
        async move {
            let looked_ms = clock::unix_ms();
            // While nobody tells of changes Redis may have old rows too.
            let user = match feed.is_some_and(|feed| !feed.is_running()) {
                true => store.user(id).await.map_err(store_fault)?,
                false => load_user(id, &store, &rows, &level).await?,
            };
            let prepared = user.map(|user| document(&user, looked_ms).prepare(policies.of(USER)));
            prepared.transpose()
        }
    };
    let mut key = itoa::Buffer::new();
    let found = ctx.cache(USERS_CACHE).find_or_load(key.format(id), load);
    (found, level)
}

type UserLookup = CacheLookup<CacheEntry<PreparedResponse>>;

/// What came of asking Redis, if it was asked.
type RedisLevel = Rc<Cell<Option<SecondLevel>>>;

/// A user from Redis, else from the store, and then into Redis. That there is
/// none is not put there.
async fn load_user(
    id: i64,
    store: &Store,
    rows: &RowCache,
    level: &Cell<Option<SecondLevel>>,
) -> Result<Option<User>, Error> {
    let ticket = match rows.seek(id).await {
        RowLookup::Found(bytes, ticket) => match row::decode(id, &bytes) {
            Some(user) => {
                level.set(Some(SecondLevel::Hit));
                return Ok(Some(user));
            }
            None => {
                rows.note_undecodable();
                level.set(Some(SecondLevel::Miss));
                Some(ticket)
            }
        },
        RowLookup::Missing(ticket) => {
            level.set(Some(SecondLevel::Miss));
            Some(ticket)
        }
        RowLookup::Bypass => {
            level.set(Some(SecondLevel::Bypass));
            None
        }
        RowLookup::Off => None,
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
    let key = batch_key(&ids);
    let store = ctx.state::<Store>();
    let load = move || async move {
        let users = store.users_by_ids(&ids).await.map_err(store_fault)?;
        let body = page::data(&users, |out, user| match user {
            Some(user) => push_user(out, user),
            None => out.extend_from_slice(b"null"),
        });
        Ok(Document::of_body(body, None))
    };
    answer_list(&ctx, USERS_BATCH, key, list_tags::USERS, load).await
}

/// `GET /api/users/near`: users around a place, nearest first.
pub(super) async fn near(ctx: Ctx) -> Result<Response, Error> {
    let request = NearRequest::parse(ctx.query_string())?;
    let key = request.key();
    let NearRequest {
        center,
        radius_km,
        limit,
    } = request;
    let store = ctx.state::<Store>();
    let load = move || async move {
        let found = store.users_near(center, radius_km, limit).await;
        let found = found.map_err(store_fault)?;
        let body = page::data(&found, |out, (user, distance_km)| {
            push_user_at_distance(out, user, *distance_km);
        });
        Ok(Document::of_body(body, None))
    };
    answer_list(&ctx, USERS_NEAR, key, list_tags::USERS, load).await
}

/// What a list of users is kept under that is asked for by this path and query.
pub(in crate::handlers) fn list_key(path: &str, query: Option<&str>) -> Option<ListKey> {
    match path {
        USERS => ListRequest::parse(query).ok().map(|request| request.key()),
        USERS_BATCH => parse_batch(query).ok().map(|ids| batch_key(&ids)),
        USERS_NEAR => NearRequest::parse(query).ok().map(|request| request.key()),
        _ => None,
    }
}

/// The JSON of one user.
pub(super) fn user_json(user: &User) -> Vec<u8> {
    let mut body = Vec::with_capacity(USER_JSON_BYTES);
    push_user(&mut body, user);
    body
}

/// First guess of a user's JSON; the buffer grows.
const USER_JSON_BYTES: usize = 256;
