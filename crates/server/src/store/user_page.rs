//! The end of a page of users, the same for every store: a statement reads one
//! row more than asked for, and the columns of the cursor too.

use super::columns::Columns;
use super::{Cursor, PartialUser, UserField, UserPage, UserQuery, UserSort};

/// Takes the row too many off, makes it the cursor, and takes out of the rows
/// what was not asked for.
pub(super) fn finish(mut rows: Vec<PartialUser>, query: &UserQuery) -> UserPage {
    let limit = query.limit as usize;
    let has_more = rows.len() > limit;
    rows.truncate(limit);
    let next = rows.last().filter(|_| has_more).and_then(|row| {
        let name_age = match query.sort {
            UserSort::NameThenAge => Some((row.name.clone()?, row.age?)),
            UserSort::Id | UserSort::IdDescending => None,
        };
        Some(Cursor {
            id: row.id?,
            name_age,
        })
    });
    let asked = Columns::of(&query.fields);
    let rows = rows.into_iter().map(|row| only(row, asked)).collect();
    UserPage { rows, next }
}

fn only(row: PartialUser, asked: Columns) -> PartialUser {
    let has = |field| asked.contains(field);
    PartialUser {
        id: row.id.filter(|_| has(UserField::Id)),
        name: row.name.filter(|_| has(UserField::Name)),
        email: row.email.filter(|_| has(UserField::Email)),
        age: row.age.filter(|_| has(UserField::Age)),
        location: row.location.filter(|_| has(UserField::Location)),
        created_at_ms: row.created_at_ms.filter(|_| has(UserField::CreatedAt)),
        updated_at_ms: row.updated_at_ms.filter(|_| has(UserField::UpdatedAt)),
        version: row.version.filter(|_| has(UserField::Version)),
    }
}
