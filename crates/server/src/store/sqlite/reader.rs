//! One shard's reading connection: prepared statements and how rows become
//! users and posts. Every read is synchronous and short.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

use rusqlite::{CachedStatement, Connection, OptionalExtension, Row, params};

use super::queries::{Columns, Query};
use crate::store::limits;
use crate::store::{Location, PartialUser, Post, PostAuthor, PostPage, PostQuery, User, UserField};

/// A reading connection and the statement texts it has made.
#[derive(Debug)]
pub(super) struct Reader {
    connection: Connection,
    texts: RefCell<HashMap<(Query, Columns), Rc<str>>>,
}

impl Reader {
    pub(super) fn new(connection: Connection) -> Self {
        Self {
            connection,
            texts: RefCell::default(),
        }
    }

    pub(super) fn connection(&self) -> &Connection {
        &self.connection
    }

    /// A statement without asked-for columns.
    pub(super) fn prepare(&self, query: Query) -> rusqlite::Result<CachedStatement<'_>> {
        self.connection.prepare_cached(query.template())
    }

    /// A statement that reads `columns`.
    pub(super) fn prepare_columns(
        &self,
        query: Query,
        columns: Columns,
    ) -> rusqlite::Result<CachedStatement<'_>> {
        let known = self.texts.borrow().get(&(query, columns)).cloned();
        let text = known.unwrap_or_else(|| {
            let mut texts = self.texts.borrow_mut();
            if texts.len() >= limits::STORE_STATEMENT_TEXTS_MAX {
                texts.clear();
            }
            let text: Rc<str> = query.sql(columns).into();
            texts.insert((query, columns), Rc::clone(&text));
            text
        });
        self.connection.prepare_cached(&text)
    }

    /// Until it is dropped, all reads see the same state of the database. Not
    /// to be held across an await.
    pub(super) fn snapshot(&self) -> rusqlite::Result<Snapshot<'_>> {
        self.connection.prepare_cached("BEGIN")?.execute([])?;
        Ok(Snapshot {
            connection: &self.connection,
        })
    }

    pub(super) fn user(&self, id: i64) -> rusqlite::Result<Option<User>> {
        self.prepare(Query::UserById)?
            .query_row([id], user_from)
            .optional()
    }

    pub(super) fn users_by_ids(&self, ids: &[i64]) -> rusqlite::Result<Vec<Option<User>>> {
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let mut statement = self.prepare(Query::UsersByIds)?;
        let rows = statement.query_map([json_array(ids)], user_from)?;
        let found = rows.map(|user| user.map(|user| (user.id, user)));
        let found = found.collect::<rusqlite::Result<HashMap<i64, User>>>()?;
        Ok(ids.iter().map(|id| found.get(id).cloned()).collect())
    }

    pub(super) fn users_after(&self, id: i64, rows_max: usize) -> rusqlite::Result<Vec<User>> {
        let mut statement = self.prepare(Query::UsersAfter)?;
        statement
            .query_map(params![id, rows_max as i64], user_from)?
            .collect()
    }

    pub(super) fn post(&self, id: i64) -> rusqlite::Result<Option<Post>> {
        self.prepare(Query::PostById)?
            .query_row([id], |row| post_from(row, false))
            .optional()
    }

    pub(super) fn posts(&self, query: &PostQuery) -> rusqlite::Result<PostPage> {
        let after = query.after_id.unwrap_or(i64::MIN);
        let limit = i64::from(query.limit);
        let offset = i64::try_from(query.offset).unwrap_or(i64::MAX);
        let populate = query.populate_author;
        let mut statement = self.prepare(match (query.author_id, populate) {
            (None, false) => Query::Posts,
            (None, true) => Query::PostsAuthors,
            (Some(_), false) => Query::PostsOfAuthor,
            (Some(_), true) => Query::PostsOfAuthorAuthors,
        })?;
        let from = |row: &Row<'_>| post_from(row, populate);
        // One row more than asked for tells whether there is a next page.
        let rows = match query.author_id {
            None => statement.query_map(params![after, limit + 1, offset], from)?,
            Some(author) => statement.query_map(params![after, limit + 1, offset, author], from)?,
        };
        let mut rows = rows.collect::<rusqlite::Result<Vec<Post>>>()?;
        let has_more = rows.len() as i64 > limit;
        rows.truncate(query.limit as usize);
        let next_after_id = rows.last().filter(|_| has_more).map(|post| post.id);
        Ok(PostPage {
            rows,
            next_after_id,
        })
    }

    pub(super) fn ping(&self) -> rusqlite::Result<()> {
        self.prepare(Query::Ping)?.query_row([], |_| Ok(()))
    }
}

/// A read transaction; ends when dropped.
#[derive(Debug)]
pub(super) struct Snapshot<'a> {
    connection: &'a Connection,
}

impl Drop for Snapshot<'_> {
    fn drop(&mut self) {
        // A read transaction has nothing to lose; should COMMIT fail, the next
        // BEGIN does too and says why.
        let _ = self
            .connection
            .prepare_cached("COMMIT")
            .and_then(|mut end| end.execute([]));
    }
}

/// A user from a row of all columns.
pub(super) fn user_from(row: &Row<'_>) -> rusqlite::Result<User> {
    Ok(User {
        id: row.get(0)?,
        name: row.get(1)?,
        email: row.get(2)?,
        age: row.get(3)?,
        location: location_from(row, 4)?,
        created_at_ms: row.get(6)?,
        updated_at_ms: row.get(7)?,
        version: row.get(8)?,
    })
}

/// A user from a row of `columns`.
pub(super) fn partial_user_from(row: &Row<'_>, columns: Columns) -> rusqlite::Result<PartialUser> {
    let mut user = PartialUser::default();
    let mut index = 0;
    for field in UserField::ALL {
        if !columns.contains(field) {
            continue;
        }
        match field {
            UserField::Id => user.id = Some(row.get(index)?),
            UserField::Name => user.name = Some(row.get(index)?),
            UserField::Email => user.email = Some(row.get(index)?),
            UserField::Age => user.age = Some(row.get(index)?),
            UserField::Location => user.location = Some(location_from(row, index)?),
            UserField::CreatedAt => user.created_at_ms = Some(row.get(index)?),
            UserField::UpdatedAt => user.updated_at_ms = Some(row.get(index)?),
            UserField::Version => user.version = Some(row.get(index)?),
        }
        index += if field == UserField::Location { 2 } else { 1 };
    }
    Ok(user)
}

fn location_from(row: &Row<'_>, index: usize) -> rusqlite::Result<Option<Location>> {
    let lat: Option<f64> = row.get(index)?;
    let lon: Option<f64> = row.get(index + 1)?;
    Ok(lat.zip(lon).map(|(lat, lon)| Location { lat, lon }))
}

fn post_from(row: &Row<'_>, populate: bool) -> rusqlite::Result<Post> {
    let author_id = row.get(1)?;
    let author = if populate {
        Some(PostAuthor {
            id: author_id,
            name: row.get(6)?,
            email: row.get(7)?,
        })
    } else {
        None
    };
    Ok(Post {
        id: row.get(0)?,
        author_id,
        title: row.get(2)?,
        body: row.get(3)?,
        created_at_ms: row.get(4)?,
        updated_at_ms: row.get(5)?,
        author,
    })
}

fn json_array(ids: &[i64]) -> String {
    let mut text = String::with_capacity(ids.len() * 8 + 2);
    let mut digits = itoa::Buffer::new();
    for (index, id) in ids.iter().enumerate() {
        text.push(if index == 0 { '[' } else { ',' });
        text.push_str(digits.format(*id));
    }
    text.push(']');
    text
}
