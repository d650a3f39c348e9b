//! Pages of users. Whatever the order and the filters, the work is bounded by
//! the page and its offset:
//!
//! | sort | name | min_age | how                                             |
//! |------|------|---------|-------------------------------------------------|
//! | id   |      |         | the table, in order                             |
//! | id   | any combination else | a short look, else a merge over ages |
//! | name | any  | no      | index (name, age desc), in order                |
//! | name | yes  | yes     | one range of that index, in order               |
//! | name | no   | yes     | a short look, else a merge over ages            |
//!
//! A rare age in list order could mean walking a million rows. So after a look
//! at `STORE_LIST_WALK_ROWS_MAX` of them (or twice what the page and offset need) the page is merged from at most 151
//! index ranges, one per age, each already in list order. Only ids are read
//! until the page is known.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use rusqlite::{CachedStatement, Params, ToSql, params};

use super::queries::{Columns, Query};
use super::reader::{Reader, partial_user_from};
use crate::store::limits::STORE_LIST_WALK_ROWS_MAX as WALK_ROWS_MAX;
use crate::store::{Cursor, PageStart, PartialUser, StoreError, UserField, UserPage};
use crate::store::{UserQuery, UserSort, user_page};

/// One page of users.
pub(super) fn page(reader: &Reader, query: &UserQuery) -> Result<UserPage, StoreError> {
    let by_name = query.sort == UserSort::NameThenAge;
    if by_name
        && matches!(
            &query.start,
            PageStart::After(Cursor { name_age: None, .. })
        )
    {
        return Err(StoreError::Failed(
            "the cursor belongs to another order".to_owned(),
        ));
    }
    let page = Page::new(reader, query);
    let _snapshot = reader.snapshot().map_err(super::store_error)?;
    let rows = match (query.sort, &query.name, page.min_age) {
        (UserSort::NameThenAge, None, Some(min_age)) => page.merged_by_name(min_age),
        (UserSort::NameThenAge, _, _) => page.walked_by_name(),
        (_, None, None) => page.walked_by_id(),
        _ => page.merged_by_id(),
    };
    let rows = rows.map_err(super::store_error)?;
    Ok(user_page::finish(rows, query))
}

/// A page being read.
struct Page<'a> {
    reader: &'a Reader,
    query: &'a UserQuery,
    /// What is read: the asked columns and those of the cursor.
    columns: Columns,
    min_age: Option<i64>,
    offset: u64,
    after: Option<&'a Cursor>,
    /// One row more than asked for tells whether there is a next page.
    wanted: usize,
}

impl<'a> Page<'a> {
    fn new(reader: &'a Reader, query: &'a UserQuery) -> Self {
        let cursor: &[UserField] = match query.sort {
            UserSort::NameThenAge => &[UserField::Id, UserField::Name, UserField::Age],
            UserSort::Id | UserSort::IdDescending => &[UserField::Id],
        };
        let (offset, after) = match &query.start {
            PageStart::Offset(offset) => (*offset, None),
            PageStart::After(cursor) => (0, Some(cursor)),
        };
        Self {
            reader,
            query,
            columns: Columns::of(&query.fields).and(cursor),
            min_age: query.min_age.filter(|age| *age > AGE_MIN),
            offset,
            after,
            wanted: query.limit as usize + 1,
        }
    }

    /// `sort=id` and `sort=-id` without filters.
    fn walked_by_id(&self) -> rusqlite::Result<Vec<PartialUser>> {
        let query = if self.is_down() {
            Query::PageDown
        } else {
            Query::PageUp
        };
        self.read(
            query,
            params![self.start_id(), self.wanted as i64, self.offset()],
        )
    }

    /// `sort=name`: up to three index ranges, one after the other.
    fn walked_by_name(&self) -> rusqlite::Result<Vec<PartialUser>> {
        let name = self.query.name.as_deref();
        let min_age = self.min_age.unwrap_or(AGE_MIN);
        let Some((last_name, last_age, last_id)) = self.after_name_age() else {
            return match name {
                Some(name) => self.of_name(name, min_age, AGE_MAX, self.wanted),
                None => {
                    let params = params![NAME_LOWEST, self.wanted as i64, self.offset()];
                    self.read(Query::PageNames, params)
                }
            };
        };
        let mut rows = Vec::new();
        match name {
            Some(name) if name < last_name => return Ok(rows),
            Some(name) if name > last_name => {
                return self.of_name(name, min_age, AGE_MAX, self.wanted);
            }
            _ => {}
        }
        if last_age >= min_age {
            let params = params![last_name, last_age, last_id, self.wanted as i64];
            rows = self.read(Query::PageOfNameAge, params)?;
        }
        if rows.len() < self.wanted {
            let wanted = self.wanted - rows.len();
            rows.extend(self.of_name(last_name, min_age, last_age - 1, wanted)?);
        }
        if rows.len() < self.wanted && name.is_none() {
            let wanted = self.wanted - rows.len();
            rows.extend(self.read(Query::PageNames, params![last_name, wanted as i64, 0])?);
        }
        Ok(rows)
    }

    fn of_name(
        &self,
        name: &str,
        min_age: i64,
        max_age: i64,
        wanted: usize,
    ) -> rusqlite::Result<Vec<PartialUser>> {
        let params = params![name, min_age, max_age, wanted as i64, self.offset()];
        self.read(Query::PageOfName, params)
    }

    /// `sort=id` and `sort=-id` with filters.
    fn merged_by_id(&self) -> rusqlite::Result<Vec<PartialUser>> {
        let min_age = self.min_age.unwrap_or(AGE_MIN);
        let seen = match &self.query.name {
            Some(name) => self.look_at_name(name, min_age)?,
            None => self.look_in_order(min_age)?,
        };
        let ids = match seen {
            Some(ids) => ids,
            None => self.merge_ids(min_age)?,
        };
        self.rows(ids.into_iter())
    }

    /// The first ids of all ages from `min_age` on.
    fn merge_ids(&self, min_age: i64) -> rusqlite::Result<Vec<i64>> {
        let name = self.query.name.as_ref();
        let query = match (name.is_some(), self.is_down()) {
            (false, false) => Query::IdsOfAgeUp,
            (false, true) => Query::IdsOfAgeDown,
            (true, false) => Query::IdsOfAgeNameUp,
            (true, true) => Query::IdsOfAgeNameDown,
        };
        let start = self.start_id();
        let mut first = First::new(self.keep());
        for age in min_age..=AGE_MAX {
            let mut params: Vec<&dyn ToSql> = vec![&age, &start];
            params.extend(name.map(|name| name as &dyn ToSql));
            let statement = self.reader.prepare(query)?;
            first.merge(statement, params.as_slice(), |row| {
                Ok(self.id_key(row.get(0)?))
            })?;
        }
        Ok(first
            .into_sorted()
            .into_iter()
            .map(|key| self.id_key(key))
            .collect())
    }

    /// The first rows in list order, those old enough; `None` when they do not
    /// make the page.
    fn look_in_order(&self, min_age: i64) -> rusqlite::Result<Option<Vec<i64>>> {
        let query = if self.is_down() {
            Query::WalkDown
        } else {
            Query::WalkUp
        };
        let mut statement = self.reader.prepare(query)?;
        let mut rows = statement.query(params![self.start_id(), self.look_rows()])?;
        let (mut ids, mut looked_at) = (Vec::new(), 0);
        while let Some(row) = rows.next()? {
            looked_at += 1;
            if row.get::<_, i64>(1)? >= min_age {
                ids.push(row.get(0)?);
                if ids.len() == self.keep() {
                    return Ok(Some(ids));
                }
            }
        }
        Ok((looked_at < self.look_rows()).then_some(ids))
    }

    /// All ids of a name that few have; `None` when many do.
    fn look_at_name(&self, name: &str, min_age: i64) -> rusqlite::Result<Option<Vec<i64>>> {
        let mut statement = self.reader.prepare(Query::IdsOfName)?;
        let rows = statement.query_map(params![name, min_age, self.look_rows()], |row| row.get(0));
        let mut ids = rows?.collect::<rusqlite::Result<Vec<i64>>>()?;
        if ids.len() as i64 == self.look_rows() {
            return Ok(None);
        }
        if let Some(cursor) = self.after {
            ids.retain(|id| self.id_key(*id) > self.id_key(cursor.id));
        }
        ids.sort_unstable_by_key(|id| self.id_key(*id));
        ids.truncate(self.keep());
        Ok(Some(ids))
    }

    /// `sort=name` with `min_age` and any name.
    fn merged_by_name(&self, min_age: i64) -> rusqlite::Result<Vec<PartialUser>> {
        if let Some(ids) = self.look_by_name(min_age)? {
            return self.rows(ids.into_iter());
        }
        let mut first = First::new(self.keep());
        for age in min_age..=AGE_MAX {
            self.merge_names_of_age(age, &mut first)?;
        }
        self.rows(first.into_sorted().into_iter().map(|(_, _, id)| id))
    }

    /// As [`Self::look_in_order`].
    fn look_by_name(&self, min_age: i64) -> rusqlite::Result<Option<Vec<i64>>> {
        let after = self
            .after_name_age()
            .map(|(name, age, id)| (name, Reverse(age), id));
        let from = after.map_or(NAME_LOWEST, |(name, ..)| name);
        let mut statement = self.reader.prepare(Query::WalkNames)?;
        let mut rows = statement.query(params![from, self.look_rows()])?;
        let (mut ids, mut looked_at) = (Vec::new(), 0);
        while let Some(row) = rows.next()? {
            looked_at += 1;
            let (age, id): (i64, i64) = (row.get(1)?, row.get(2)?);
            if age < min_age {
                continue;
            }
            if let Some(after) = after
                && (row.get_ref(0)?.as_str()?, Reverse(age), id) <= after
            {
                continue;
            }
            ids.push(id);
            if ids.len() == self.keep() {
                return Ok(Some(ids));
            }
        }
        Ok((looked_at < self.look_rows()).then_some(ids))
    }

    /// Users of one age: first the rest of the cursor's name, then later names.
    fn merge_names_of_age(&self, age: i64, first: &mut First<NameKey>) -> rusqlite::Result<()> {
        let key = |row: &rusqlite::Row<'_>| Ok((row.get(1)?, Reverse(age), row.get(0)?));
        let mut from = NAME_LOWEST;
        if let Some((name, last_age, last_id)) = self.after_name_age() {
            from = name;
            if age <= last_age {
                let after_id = if age == last_age { last_id } else { i64::MIN };
                let statement = self.reader.prepare(Query::IdsOfAgeNameUp)?;
                if !first.merge(statement, params![age, after_id, name], key)? {
                    return Ok(());
                }
            }
        }
        let statement = self.reader.prepare(Query::NamesOfAge)?;
        first.merge(statement, params![age, from], key)?;
        Ok(())
    }

    /// The rows of these ids, without those skipped by the offset.
    fn rows(&self, ids: impl Iterator<Item = i64>) -> rusqlite::Result<Vec<PartialUser>> {
        let skip = usize::try_from(self.offset).unwrap_or(usize::MAX);
        let mut rows = Vec::new();
        for id in ids.skip(skip) {
            rows.extend(self.read(Query::PageRow, [id])?);
        }
        Ok(rows)
    }

    fn read(&self, query: Query, params: impl Params) -> rusqlite::Result<Vec<PartialUser>> {
        let mut statement = self.reader.prepare_columns(query, self.columns)?;
        statement
            .query_map(params, |row| partial_user_from(row, self.columns))?
            .collect()
    }

    fn is_down(&self) -> bool {
        self.query.sort == UserSort::IdDescending
    }

    /// Ids in list order: themselves, or their bitwise complements, whose order
    /// is the reverse. Its own inverse.
    fn id_key(&self, id: i64) -> i64 {
        if self.is_down() { !id } else { id }
    }

    /// The id beyond which the page starts, in its direction.
    fn start_id(&self) -> i64 {
        let lowest = if self.is_down() { i64::MAX } else { i64::MIN };
        self.after.map_or(lowest, |cursor| cursor.id)
    }

    fn after_name_age(&self) -> Option<(&'a str, i64, i64)> {
        let cursor = self.after?;
        let (name, age) = cursor.name_age.as_ref()?;
        Some((name, *age, cursor.id))
    }

    fn offset(&self) -> i64 {
        i64::try_from(self.offset).unwrap_or(i64::MAX)
    }

    /// Rows to look at before turning to the indexes by age.
    fn look_rows(&self) -> i64 {
        i64::try_from(self.keep().saturating_mul(2).max(WALK_ROWS_MAX)).unwrap_or(i64::MAX)
    }

    /// Keys to find before the page is known.
    fn keep(&self) -> usize {
        usize::try_from(self.offset)
            .unwrap_or(usize::MAX)
            .saturating_add(self.wanted)
    }
}

/// The order of `sort=name`.
type NameKey = (String, Reverse<i64>, i64);

/// The first `keep` keys of those offered.
struct First<K> {
    heap: BinaryHeap<K>,
    keep: usize,
}

impl<K: Ord> First<K> {
    fn new(keep: usize) -> Self {
        Self {
            heap: BinaryHeap::new(),
            keep,
        }
    }

    /// Whether the key is among the first so far. If not, no later one is.
    fn offer(&mut self, key: K) -> bool {
        if !self.is_full() {
            self.heap.push(key);
            return true;
        }
        match self.heap.peek_mut() {
            Some(mut last) if key < *last => {
                *last = key;
                true
            }
            _ => false,
        }
    }

    /// Offers the keys of a statement's rows, which come in order, until one
    /// is refused; then false.
    fn merge(
        &mut self,
        mut statement: CachedStatement<'_>,
        params: impl Params,
        key: impl Fn(&rusqlite::Row<'_>) -> rusqlite::Result<K>,
    ) -> rusqlite::Result<bool> {
        let mut rows = statement.query(params)?;
        while let Some(row) = rows.next()? {
            if !self.offer(key(row)?) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn is_full(&self) -> bool {
        self.heap.len() >= self.keep
    }

    fn into_sorted(self) -> Vec<K> {
        self.heap.into_sorted_vec()
    }
}

/// Ages the schema allows.
const AGE_MIN: i64 = 0;
/// See [`AGE_MIN`].
const AGE_MAX: i64 = 150;
/// Before every name; the schema allows no empty one.
const NAME_LOWEST: &str = "";
