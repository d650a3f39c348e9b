//! Pages of a list, the same for users and posts: where one starts, how long
//! it is, its envelope, and the link to the next one.
//!
//! A page starts at a number (`page=`, which costs what it skips and is
//! therefore bounded) or after a cursor (`after=`, any depth at one cost).

use super::cursor::{self, CursorOrder};
use super::json::{ObjectWriter, push_array};
use super::list_key::ListKey;
use super::query::QueryPairs;
use super::validate::Faults;
use crate::handlers::limits::{PAGE_OFFSET_ROWS_MAX, PAGE_ROWS_DEFAULT, PAGE_ROWS_MAX};
use crate::store::PageStart;

/// The page a client asked for.
#[derive(Debug, Clone, PartialEq)]
pub struct PageRequest {
    /// Where it starts.
    pub start: PageStart,
    /// Its number, from 1, when it was asked for by number.
    pub number: Option<i64>,
    /// Rows wanted.
    pub limit: u32,
}

impl PageRequest {
    /// Reads `page`, `limit` and `after`; `None` when one is wrong. `order` is
    /// the order a cursor must be of; `None` when it is not known, because it
    /// was itself wrong.
    pub fn parse(
        pairs: &QueryPairs<'_>,
        order: Option<CursorOrder>,
        faults: &mut Faults,
    ) -> Option<Self> {
        let limit = match pairs.text("limit") {
            None => Some(PAGE_ROWS_DEFAULT),
            Some(_) => {
                let asked = pairs.integer("limit", 1..=i64::from(PAGE_ROWS_MAX), faults);
                asked.map(|limit| limit as u32)
            }
        };
        let number = match pairs.text("page") {
            None => Some(1),
            Some(_) => pairs.integer("page", 1..=i64::MAX, faults),
        };
        let Some(after) = pairs.text("after") else {
            let (limit, number) = (limit?, number?);
            let offset = (number as u64 - 1).saturating_mul(u64::from(limit));
            if offset > PAGE_OFFSET_ROWS_MAX {
                faults.add("page", TOO_DEEP);
                return None;
            }
            return Some(Self {
                start: PageStart::Offset(offset),
                number: Some(number),
                limit,
            });
        };
        if pairs.text("page").is_some() {
            faults.add("after", "cannot be combined with `page`; leave one out");
        }
        let cursor = cursor::decode(order?, after);
        if cursor.is_none() {
            faults.add("after", NOT_A_CURSOR);
        }
        Some(Self {
            start: PageStart::After(cursor?),
            number: None,
            limit: limit?,
        })
    }
}

impl PageRequest {
    /// The page's part of what a list is kept under.
    pub(super) fn key(&self, path: &str, order: CursorOrder) -> ListKey {
        let limit = (self.limit != PAGE_ROWS_DEFAULT).then_some(self.limit);
        let page = self.number.filter(|number| *number != 1);
        let after = match &self.start {
            PageStart::After(cursor) => Some(cursor::encode(order, cursor)),
            PageStart::Offset(_) => None,
        };
        ListKey::new(path)
            .with_some("limit", limit)
            .with_some("page", page)
            .with_some("after", after)
    }
}

const TOO_DEEP: &str = "lies too deep: at most 10000 rows can be skipped by number; \
                        follow `next`, whose `after=` goes to any depth";
const NOT_A_CURSOR: &str = "is not a cursor of this list in this order; \
                            take it from `next` as it is";
const _: () = assert!(
    PAGE_OFFSET_ROWS_MAX == 10_000,
    "the number is written in TOO_DEEP"
);

/// Writes `{"data":[…],"page":…,"limit":…,"next":…}`. `page` is null on a page
/// that starts after a cursor, `next` on the last page.
pub fn envelope<T>(
    page: &PageRequest,
    rows: &[T],
    next: Option<&str>,
    mut push_row: impl FnMut(&mut Vec<u8>, &T),
) -> Vec<u8> {
    let mut out = Vec::with_capacity(ENVELOPE_BYTES + ROW_BYTES * rows.len());
    let mut object = ObjectWriter::open(&mut out);
    push_array(object.member("data"), rows, &mut push_row);
    match page.number {
        Some(number) => object.integer("page", number),
        None => object.null("page"),
    }
    object.integer("limit", i64::from(page.limit));
    match next {
        Some(next) => object.text("next", next),
        None => object.null("next"),
    }
    object.close();
    out
}

/// Writes `{"data":[…]}`, for lists that have no pages.
pub fn data<T>(rows: &[T], push_row: impl FnMut(&mut Vec<u8>, &T)) -> Vec<u8> {
    let mut out = Vec::with_capacity(ENVELOPE_BYTES + ROW_BYTES * rows.len());
    let mut object = ObjectWriter::open(&mut out);
    push_array(object.member("data"), rows, push_row);
    object.close();
    out
}

/// First guess of an envelope without its rows, and of a row; buffers grow.
const ENVELOPE_BYTES: usize = 256;
const ROW_BYTES: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::handlers::json::push_integer;
    use crate::store::Cursor;

    const KNOWN: &[&str] = &["page", "limit", "after"];

    fn parse(query: &str) -> Result<PageRequest, Vec<String>> {
        let mut faults = Faults::new();
        let pairs = QueryPairs::parse(Some(query), KNOWN, &mut faults);
        let page = PageRequest::parse(&pairs, Some(CursorOrder::Posts), &mut faults);
        faults
            .unless_any(page)
            .map_err(|e| e.fields().iter().map(|f| f.field.clone()).collect())
    }

    #[test]
    fn numbers_become_offsets() {
        let page = parse("").unwrap();
        assert_eq!(page.start, PageStart::Offset(0));
        assert_eq!((page.number, page.limit), (Some(1), 20));
        let page = parse("page=3&limit=7").unwrap();
        assert_eq!(page.start, PageStart::Offset(14));
        let deepest = parse("page=101&limit=100").unwrap();
        assert_eq!(deepest.start, PageStart::Offset(10_000));
    }

    #[test]
    fn what_cannot_be_a_page_is_named() {
        for (query, fields) in [
            ("page=0", &["page"][..]),
            ("page=1.5", &["page"]),
            ("page=102&limit=100", &["page"]),
            ("page=9223372036854775807", &["page"]),
            ("page=9223372036854775808", &["page"]),
            ("limit=0", &["limit"]),
            ("limit=101", &["limit"]),
            ("limit=-1&page=x", &["limit", "page"]),
            ("after=00", &["after"]),
        ] {
            assert_eq!(parse(query).unwrap_err(), fields, "{query}");
        }
    }

    #[test]
    fn a_cursor_excludes_a_number() {
        let cursor = Cursor {
            id: 9,
            name_age: None,
        };
        let text = cursor::encode(CursorOrder::Posts, &cursor);
        let page = parse(&format!("after={text}&limit=5")).unwrap();
        assert_eq!(page.start, PageStart::After(cursor));
        assert_eq!((page.number, page.limit), (None, 5));
        let both = parse(&format!("after={text}&page=1"));
        assert_eq!(both.unwrap_err(), ["after"]);
    }

    #[test]
    fn envelopes_are_written_byte_for_byte() {
        let numbered = parse("page=2&limit=2").unwrap();
        let push = |out: &mut Vec<u8>, n: &i64| push_integer(out, *n);
        assert_eq!(
            envelope(&numbered, &[3, 4], Some("/x?after=1"), push),
            br#"{"data":[3,4],"page":2,"limit":2,"next":"/x?after=1"}"#
        );
        let after = PageRequest {
            number: None,
            ..numbered
        };
        assert_eq!(
            envelope(&after, &[], None, push),
            br#"{"data":[],"page":null,"limit":2,"next":null}"#
        );
        assert_eq!(data(&[1], push), br#"{"data":[1]}"#);
    }
}
