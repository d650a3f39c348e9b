//! How rows become users and posts.

use tokio_postgres::{Error, Row};

use super::queries::Columns;
use crate::store::{Location, PartialUser, Post, PostAuthor, User, UserField};

/// A user from a row of all columns, and perhaps others behind them.
pub(super) fn user_from(row: &Row) -> Result<User, Error> {
    Ok(User {
        id: row.try_get(0)?,
        name: row.try_get(1)?,
        email: row.try_get(2)?,
        age: row.try_get(3)?,
        location: location_from(row, 4)?,
        created_at_ms: row.try_get(6)?,
        updated_at_ms: row.try_get(7)?,
        version: row.try_get(8)?,
    })
}

/// A user from a row of `columns`.
pub(super) fn partial_user_from(row: &Row, columns: Columns) -> Result<PartialUser, Error> {
    let mut user = PartialUser::default();
    let mut index = 0;
    for field in UserField::ALL {
        if !columns.contains(field) {
            continue;
        }
        match field {
            UserField::Id => user.id = Some(row.try_get(index)?),
            UserField::Name => user.name = Some(row.try_get(index)?),
            UserField::Email => user.email = Some(row.try_get(index)?),
            UserField::Age => user.age = Some(row.try_get(index)?),
            UserField::Location => user.location = Some(location_from(row, index)?),
            UserField::CreatedAt => user.created_at_ms = Some(row.try_get(index)?),
            UserField::UpdatedAt => user.updated_at_ms = Some(row.try_get(index)?),
            UserField::Version => user.version = Some(row.try_get(index)?),
        }
        index += if field == UserField::Location { 2 } else { 1 };
    }
    Ok(user)
}

fn location_from(row: &Row, index: usize) -> Result<Option<Location>, Error> {
    let lat: Option<f64> = row.try_get(index)?;
    let lon: Option<f64> = row.try_get(index + 1)?;
    Ok(lat.zip(lon).map(|(lat, lon)| Location { lat, lon }))
}

/// A post, with its author when `populate`.
pub(super) fn post_from(row: &Row, populate: bool) -> Result<Post, Error> {
    let author_id = row.try_get(1)?;
    let author = if populate {
        Some(PostAuthor {
            id: author_id,
            name: row.try_get(6)?,
            email: row.try_get(7)?,
        })
    } else {
        None
    };
    Ok(Post {
        id: row.try_get(0)?,
        author_id,
        title: row.try_get(2)?,
        body: row.try_get(3)?,
        created_at_ms: row.try_get(4)?,
        updated_at_ms: row.try_get(5)?,
        author,
    })
}
