//! Reads that are one statement each.

use std::collections::HashMap;

use super::groups::{NONE, POSTS, POSTS_AND_AUTHORS, USERS};
use super::queries::Query;
use super::rows::{post_from, user_from};
use super::statements::RunsQueries;
use crate::store::{Post, PostPage, PostQuery, StoreError, User};
use corelane::postgres::{Intent, Pool};

pub(super) async fn user(pool: &Pool, id: i64) -> Result<Option<User>, StoreError> {
    pool.shared_in(USERS, Intent::Read, async |connection| {
        let row = connection.query_opt(Query::UserById, &[&id]).await?;
        row.as_ref().map(user_from).transpose()
    })
    .await
    .map_err(StoreError::from)
}

pub(super) async fn users_by_ids(
    pool: &Pool,
    ids: &[i64],
) -> Result<Vec<Option<User>>, StoreError> {
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let found = pool
        .shared_in(USERS, Intent::Read, async |connection| {
            let rows = connection.query(Query::UsersByIds, &[&ids]).await?;
            let users = rows.iter().map(user_from);
            let found = users.map(|user| user.map(|user| (user.id, user)));
            found.collect::<Result<HashMap<i64, User>, _>>()
        })
        .await?;
    Ok(ids.iter().map(|id| found.get(id).cloned()).collect())
}

pub(super) async fn post(pool: &Pool, id: i64) -> Result<Option<Post>, StoreError> {
    pool.shared_in(POSTS, Intent::Read, async |connection| {
        let row = connection.query_opt(Query::PostById, &[&id]).await?;
        row.as_ref().map(|row| post_from(row, false)).transpose()
    })
    .await
    .map_err(StoreError::from)
}

pub(super) async fn posts(pool: &Pool, query: &PostQuery) -> Result<PostPage, StoreError> {
    let after = query.after_id.unwrap_or(i64::MIN);
    // One row more than asked for tells whether there is a next page.
    let wanted = i64::from(query.limit) + 1;
    let offset = i64::try_from(query.offset).unwrap_or(i64::MAX);
    let populate = query.populate_author;
    let group = if populate { POSTS_AND_AUTHORS } else { POSTS };
    let mut rows = pool
        .shared_in(group, Intent::Read, async |connection| {
            let rows = match (query.author_id, populate) {
                (None, populate) => {
                    let statement = if populate {
                        Query::PostsAuthors
                    } else {
                        Query::Posts
                    };
                    connection
                        .query(statement, &[&after, &wanted, &offset])
                        .await?
                }
                (Some(author), populate) => {
                    let statement = if populate {
                        Query::PostsOfAuthorAuthors
                    } else {
                        Query::PostsOfAuthor
                    };
                    let params = [&after, &wanted, &offset, &author];
                    connection
                        .query(statement, &params.map(|param| param as _))
                        .await?
                }
            };
            rows.iter()
                .map(|row| post_from(row, populate))
                .collect::<Result<Vec<Post>, _>>()
        })
        .await?;
    let has_more = rows.len() as i64 == wanted;
    rows.truncate(query.limit as usize);
    let next_after_id = rows.last().filter(|_| has_more).map(|post| post.id);
    Ok(PostPage {
        rows,
        next_after_id,
    })
}

/// Reads something that is always there.
pub(super) async fn ping(pool: &Pool) -> Result<(), StoreError> {
    pool.shared_in(NONE, Intent::Read, async |connection| {
        connection.query_opt(Query::Ping, &[]).await.map(drop)
    })
    .await
    .map_err(StoreError::from)
}
