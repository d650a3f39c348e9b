//! `/api/users`: lists, one user, batches, searches by place, the export, and
//! writes.
//!
//! A request is parsed and checked in full (`list_query`, `input`), asks the
//! store once, and is shown by `representation`. Ids are whole numbers from 1
//! without sign or leading zero; a path with anything else names no resource:
//! 404.

mod export;
mod input;
mod list_query;
mod precondition;
mod read;
mod representation;
mod row;
mod write;

use std::borrow::Cow;

pub use list_query::parse_id;
pub(super) use read::{find, list_key};

use corelane::{App, Ctx, Error};

/// Pattern of the collection.
pub const USERS: &str = "/api/users";
/// Pattern of one user.
pub const USER: &str = "/api/users/{id}";
/// Pattern of users by their ids.
pub const USERS_BATCH: &str = "/api/users/batch";
/// Pattern of users by place.
pub const USERS_NEAR: &str = "/api/users/near";
/// Pattern of the whole table.
pub const USERS_EXPORT: &str = "/api/users/export";

/// Default `Cache-Control` by pattern. Users change at any time and an
/// acknowledged write must be seen: copies are kept, and asked about.
pub const CACHE_CONTROL: &[(&str, &str)] = &[
    (USERS, "private, no-cache"),
    (USER, "private, no-cache"),
    (USERS_BATCH, "private, no-cache"),
    (USERS_NEAR, "private, no-cache"),
    (USERS_EXPORT, "no-store"),
];

/// Adds the routes.
pub fn install(app: App) -> App {
    app.get(USERS, read::list)
        .post(USERS, write::create)
        .get(USERS_BATCH, read::batch)
        .get(USERS_NEAR, read::near)
        .get(USERS_EXPORT, export::export)
        .get(USER, read::one)
        .put(USER, write::replace)
        .patch(USER, write::patch)
        .delete(USER, write::delete)
}

/// The id in the path.
fn id_of(ctx: &Ctx) -> Result<i64, Error> {
    let text = ctx.param_str("id").unwrap_or(Cow::Borrowed(""));
    parse_id(&text).ok_or_else(no_such_user)
}

fn no_such_user() -> Error {
    Error::not_found("there is no user with this id")
}
