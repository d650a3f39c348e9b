//! Pages of users, one statement each, sometimes two. Whatever the order and
//! the filters, the work is bounded by the page and its offset:
//!
//! | sort | name | min_age | how                                             |
//! |------|------|---------|-------------------------------------------------|
//! | id   |      |         | the primary key, in order                       |
//! | id   | any combination else | a short look, else a merge over ages |
//! | name | any  | no      | index (name, age desc, id), in order            |
//! | name | yes  | yes     | one range of that index, in order               |
//! | name | no   | yes     | a short look, else the first of each age        |
//!
//! A look is at `STORE_LIST_WALK_ROWS_MAX` rows (or twice what the page and
//! offset need). Where it does not make the page, a second statement takes it
//! from at most 151 index ranges, one per age, each already in list order.

use std::cmp::Reverse;

use tokio_postgres::types::ToSql;

use super::groups::USERS;
use super::queries::{Columns, Query};
use super::rows::partial_user_from;
use super::statements::RunsQueries;
use crate::store::limits::STORE_LIST_WALK_ROWS_MAX as WALK_ROWS_MAX;
use crate::store::{Cursor, PageStart, PartialUser, StoreError, UserField, UserPage};
use crate::store::{UserQuery, UserSort, user_page};
use corelane::postgres::{Intent, Pool};

/// One page of users.
pub(super) async fn page(pool: &Pool, query: &UserQuery) -> Result<UserPage, StoreError> {
    let page = Page::new(pool, query)?;
    // PostgreSQL cannot store NUL, so nobody has such a name.
    let is_nobodys = |name: &String| name.contains('\0');
    let rows = if query.name.as_ref().is_some_and(is_nobodys) {
        Vec::new()
    } else if query.sort == UserSort::NameThenAge {
        page.by_name().await?
    } else {
        page.by_id().await?
    };
    Ok(user_page::finish(rows, query))
}

/// A page being read.
struct Page<'a> {
    pool: &'a Pool,
    query: &'a UserQuery,
    /// What is read: the asked columns and those of the cursor and filters.
    columns: Columns,
    min_age: i64,
    offset: i64,
    after: Option<&'a Cursor>,
    /// One row more than asked for tells whether there is a next page.
    wanted: i64,
    /// Rows to look at before turning to the ranges of the ages.
    look_rows: i64,
}

impl<'a> Page<'a> {
    fn new(pool: &'a Pool, query: &'a UserQuery) -> Result<Self, StoreError> {
        let (offset, after) = match &query.start {
            PageStart::Offset(offset) => (i64::try_from(*offset).unwrap_or(i64::MAX), None),
            PageStart::After(cursor) => (0, Some(cursor)),
        };
        let by_name = query.sort == UserSort::NameThenAge;
        if by_name && after.is_some_and(|cursor| cursor.name_age.is_none()) {
            return Err(StoreError::Failed(
                "the cursor belongs to another order".to_owned(),
            ));
        }
        let needed: &[UserField] = match (by_name, query.min_age) {
            (true, _) => &[UserField::Id, UserField::Name, UserField::Age],
            (false, Some(_)) => &[UserField::Id, UserField::Age],
            (false, None) => &[UserField::Id],
        };
        let wanted = i64::from(query.limit) + 1;
        let walk_rows = WALK_ROWS_MAX as i64;
        Ok(Self {
            pool,
            query,
            columns: Columns::of(&query.fields).and(needed),
            min_age: query.min_age.unwrap_or(AGE_MIN).max(AGE_MIN),
            offset: offset.min(i64::MAX / 4),
            after,
            wanted,
            look_rows: offset
                .saturating_add(wanted)
                .saturating_mul(2)
                .max(walk_rows),
        })
    }

    /// `sort=id` and `sort=-id`.
    async fn by_id(&self) -> Result<Vec<PartialUser>, StoreError> {
        let (start, wanted, offset) = (self.start_id(), self.wanted, self.offset);
        let (min_age, look) = (self.min_age, self.look_rows);
        let down = self.query.sort == UserSort::IdDescending;
        let either = |up, is_down| if down { is_down } else { up };
        match &self.query.name {
            None if min_age == AGE_MIN => {
                let page = either(Query::PageUp, Query::PageDown);
                self.read(page, &[&start, &wanted, &offset]).await
            }
            None => {
                let looking = either(Query::LookUp, Query::LookDown);
                let params: [&(dyn ToSql + Sync); 5] = [&start, &wanted, &offset, &look, &min_age];
                let rows = self.read(looking, &params).await?;
                if rows.len() as i64 == wanted {
                    return Ok(rows);
                }
                let merge = either(Query::MergeUp, Query::MergeDown);
                self.read(merge, &[&start, &wanted, &offset, &min_age])
                    .await
            }
            Some(name) => {
                let looking = either(Query::LookNameUp, Query::LookNameDown);
                let params: [&(dyn ToSql + Sync); 6] =
                    [&start, &wanted, &offset, &look, &min_age, name];
                let rows = self.read(looking, &params).await?;
                // None: of nobody, or of too many.
                if !rows.is_empty() {
                    return Ok(rows);
                }
                let merge = either(Query::MergeNameUp, Query::MergeNameDown);
                self.read(merge, &[&start, &wanted, &offset, &min_age, name])
                    .await
            }
        }
    }

    /// `sort=name`.
    async fn by_name(&self) -> Result<Vec<PartialUser>, StoreError> {
        let (wanted, offset, min_age) = (self.wanted, self.offset, self.min_age);
        let after = self.after_name_age();
        if let Some(name) = &self.query.name {
            let Some((last_name, last_age, last_id)) = after else {
                let params: [&(dyn ToSql + Sync); 4] = [name, &min_age, &wanted, &offset];
                return self.read(Query::PageOfName, &params).await;
            };
            let (age, id) = match name.as_str().cmp(last_name) {
                std::cmp::Ordering::Less => return Ok(Vec::new()),
                std::cmp::Ordering::Equal => (last_age, last_id),
                std::cmp::Ordering::Greater => (i64::MAX, i64::MAX),
            };
            let params: [&(dyn ToSql + Sync); 5] = [name, &min_age, &age, &id, &wanted];
            return self.read(Query::PageOfNameAfter, &params).await;
        }
        let look = if min_age == AGE_MIN {
            wanted + offset
        } else {
            self.look_rows
        };
        let (last_name, last_age, last_id) = after.unwrap_or((NAME_LOWEST, AGE_MIN - 1, 0));
        let rows = if after.is_some() {
            let params: [&(dyn ToSql + Sync); 6] =
                [&last_name, &last_age, &last_id, &wanted, &look, &min_age];
            self.read(Query::LookNamesAfter, &params).await?
        } else {
            let params: [&(dyn ToSql + Sync); 4] = [&wanted, &offset, &look, &min_age];
            self.read(Query::LookNames, &params).await?
        };
        if rows.len() as i64 == wanted || min_age == AGE_MIN {
            return Ok(rows);
        }
        let params: [&(dyn ToSql + Sync); 6] =
            [&last_name, &last_age, &last_id, &wanted, &offset, &min_age];
        let mut rows = self.read(Query::MergeNames, &params).await?;
        // Sorted here: what the planner would do to have them sorted is worse.
        rows.sort_by(|a, b| {
            let key = |row: &PartialUser| (row.age.map(Reverse), row.id);
            a.name.cmp(&b.name).then(key(a).cmp(&key(b)))
        });
        Ok(rows)
    }

    async fn read(
        &self,
        query: Query,
        params: &[&(dyn ToSql + Sync)],
    ) -> Result<Vec<PartialUser>, StoreError> {
        self.pool
            .shared_in(USERS, Intent::Read, async |connection| {
                let (statement, columns) = connection.statement(query, self.columns).await?;
                let rows = connection.client().query(&statement, params).await?;
                rows.iter()
                    .map(|row| partial_user_from(row, columns))
                    .collect()
            })
            .await
            .map_err(StoreError::from)
    }

    /// The id beyond which the page starts, in its direction.
    fn start_id(&self) -> i64 {
        let lowest = match self.query.sort {
            UserSort::IdDescending => i64::MAX,
            UserSort::Id | UserSort::NameThenAge => i64::MIN,
        };
        self.after.map_or(lowest, |cursor| cursor.id)
    }

    fn after_name_age(&self) -> Option<(&'a str, i64, i64)> {
        let cursor = self.after?;
        let (name, age) = cursor.name_age.as_ref()?;
        // Nobody's name has a NUL: what comes after such a name comes after
        // everybody of the name before the NUL.
        Some(match name.split_once('\0') {
            Some((name, _)) => (name, AGE_MIN - 1, i64::MAX),
            None => (name, *age, cursor.id),
        })
    }
}

/// The lowest age the schema allows.
const AGE_MIN: i64 = 0;
/// Before every name; the schema allows no empty one.
const NAME_LOWEST: &str = "";
