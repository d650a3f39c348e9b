//! What `GET /api/users`, `/batch` and `/near` were asked, parsed and checked.

use crate::handlers::cursor::{self, CursorOrder};
use crate::handlers::limits::{
    BATCH_IDS_MAX, NEAR_RADIUS_KM_MAX, PAGE_ROWS_DEFAULT, PAGE_ROWS_MAX,
};
use crate::handlers::list_key::ListKey;
use crate::handlers::page::PageRequest;
use crate::handlers::query::QueryPairs;
use crate::handlers::validate::Faults;
use crate::nearest::nearest;
use crate::store::limits::{USER_AGE_YEARS_MAX, USER_NAME_CHARS_MAX};
use crate::store::{Cursor, Location, UserField, UserQuery, UserSort};
use corelane::Error;

/// A users list as it was asked for.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct ListRequest {
    /// What the store is asked.
    pub(super) query: UserQuery,
    /// The page of it.
    pub(super) page: PageRequest,
}

impl ListRequest {
    /// Parses `page`, `limit`, `after`, `fields`, `sort`, `name`, `min_age`.
    ///
    /// # Errors
    /// 422 naming every parameter that is wrong or unknown.
    pub(super) fn parse(query: Option<&str>) -> Result<Self, Error> {
        let mut faults = Faults::new();
        let pairs = QueryPairs::parse(query, LIST_PARAMETERS, &mut faults);
        let fields = parse_fields(pairs.text("fields"), &mut faults);
        let sort = parse_sort(pairs.text("sort"), &mut faults);
        let name = pairs.text("name");
        if name.is_some_and(|name| name.chars().count() > USER_NAME_CHARS_MAX) {
            faults.add(
                "name",
                format!("must be at most {USER_NAME_CHARS_MAX} characters"),
            );
        }
        let min_age = pairs.integer("min_age", 0..=USER_AGE_YEARS_MAX, &mut faults);
        let order = sort.map(CursorOrder::Users);
        let page = PageRequest::parse(&pairs, order, &mut faults);
        let request = page.zip(sort).map(|(page, sort)| Self {
            query: UserQuery {
                fields,
                sort,
                name: name.map(str::to_owned),
                min_age,
                start: page.start.clone(),
                limit: page.limit,
            },
            page,
        });
        faults.unless_any(request)
    }

    /// What it is kept under.
    pub(super) fn key(&self) -> ListKey {
        let order = CursorOrder::Users(self.query.sort);
        self.with_filters(self.page.key(super::USERS, order))
    }

    /// The same list from `cursor` on, as a path and query.
    pub(super) fn next_link(&self, cursor: &Cursor) -> String {
        let link = ListKey::new(super::USERS).with("limit", &self.query.limit.to_string());
        let after = cursor::encode(CursorOrder::Users(self.query.sort), cursor);
        self.with_filters(link).with("after", &after).into_link()
    }

    /// Adds what says which users are listed, and how: one place for key and link,
    /// so that none can be left out of a key.
    fn with_filters(&self, list: ListKey) -> ListKey {
        let query = &self.query;
        let names = |fields: &[UserField]| {
            let names: Vec<&str> = fields.iter().map(|field| field.name()).collect();
            names.join(",")
        };
        let fields = (query.fields != UserField::ALL).then(|| names(&query.fields));
        let sort = (query.sort != UserSort::default()).then(|| sort_name(query.sort));
        list.with_some("fields", fields)
            .with_some("sort", sort)
            .with_some("name", query.name.as_ref())
            .with_some("min_age", query.min_age)
    }
}

const LIST_PARAMETERS: &[&str] = &[
    "page", "limit", "after", "fields", "sort", "name", "min_age",
];

/// The columns asked for, each once, in the order they are shown; all of them
/// when none is named.
fn parse_fields(text: Option<&str>, faults: &mut Faults) -> Vec<UserField> {
    let Some(text) = text else {
        return UserField::ALL.to_vec();
    };
    let known = UserField::ALL.map(UserField::name);
    let mut fields = Vec::new();
    for name in text.split(',').map(str::trim) {
        match UserField::ALL.into_iter().find(|f| f.name() == name) {
            Some(field) if !fields.contains(&field) => fields.push(field),
            Some(_) => {}
            None => {
                let known_list = known.join(", ");
                let message = match nearest(name, known.iter().copied()) {
                    Some(meant) => format!("; did you mean `{meant}`? Known are: {known_list}"),
                    None => format!("; known are: {known_list}"),
                };
                faults.add(
                    "fields",
                    format!("names a column that is not known{message}"),
                );
            }
        }
    }
    fields.sort_unstable();
    fields
}

const SORTS: [UserSort; 3] = [UserSort::Id, UserSort::IdDescending, UserSort::NameThenAge];

fn sort_name(sort: UserSort) -> &'static str {
    match sort {
        UserSort::Id => "id",
        UserSort::IdDescending => "-id",
        UserSort::NameThenAge => "name",
    }
}

fn parse_sort(text: Option<&str>, faults: &mut Faults) -> Option<UserSort> {
    let Some(text) = text else {
        return Some(UserSort::default());
    };
    let sort = SORTS.into_iter().find(|sort| sort_name(*sort) == text);
    if sort.is_none() {
        faults.add(
            "sort",
            "must be `id`, `-id` or `name` (then by age, oldest first)",
        );
    }
    sort
}

/// The ids of a batch, in the order asked, as often as asked.
///
/// # Errors
/// 422 when there is none, too many, or one is not an id.
pub(super) fn parse_batch(query: Option<&str>) -> Result<Vec<i64>, Error> {
    let mut faults = Faults::new();
    let pairs = QueryPairs::parse(query, &["ids"], &mut faults);
    let Some(text) = pairs.text("ids") else {
        if faults.is_empty() {
            faults.add(
                "ids",
                format!("is required: 1 to {BATCH_IDS_MAX} ids separated by commas"),
            );
        }
        return Err(faults.into_error());
    };
    let mut ids = Vec::new();
    for (index, member) in text.split(',').enumerate() {
        if index == BATCH_IDS_MAX {
            faults.add("ids", format!("must be at most {BATCH_IDS_MAX} ids"));
            break;
        }
        match parse_id(member) {
            Some(id) => ids.push(id),
            None => faults.add(
                "ids",
                format!(
                    "has no id at position {}: an id is a whole number from 1",
                    index + 1
                ),
            ),
        }
    }
    faults.unless_any(Some(ids))
}

/// What a batch is kept under.
pub(super) fn batch_key(ids: &[i64]) -> ListKey {
    let ids: Vec<String> = ids.iter().map(i64::to_string).collect();
    ListKey::new(super::USERS_BATCH).with("ids", &ids.join(","))
}

/// An id as it stands in a path: digits without sign or leading zero, so that
/// a resource has one URL.
pub fn parse_id(text: &str) -> Option<i64> {
    let canonical = text.bytes().all(|b| b.is_ascii_digit()) && !text.starts_with('0');
    text.parse().ok().filter(|_| canonical)
}

/// A search by place.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct NearRequest {
    /// Where to look around.
    pub(super) center: Location,
    /// How far, kilometres.
    pub(super) radius_km: f64,
    /// Rows wanted.
    pub(super) limit: u32,
}

impl NearRequest {
    /// Parses `lat`, `lon`, `radius_km`, `limit`.
    ///
    /// # Errors
    /// 422 naming every parameter that is wrong, missing or unknown.
    pub(super) fn parse(query: Option<&str>) -> Result<Self, Error> {
        let mut faults = Faults::new();
        let known = &["lat", "lon", "radius_km", "limit"];
        let pairs = QueryPairs::parse(query, known, &mut faults);
        let lat = pairs.required_number("lat", -90.0..=90.0, &mut faults);
        let lon = pairs.required_number("lon", -180.0..=180.0, &mut faults);
        let radius_km = pairs.required_number("radius_km", 0.0..=NEAR_RADIUS_KM_MAX, &mut faults);
        if radius_km == Some(0.0) {
            faults.add("radius_km", "must be more than 0");
        }
        let limit = pairs
            .integer("limit", 1..=i64::from(PAGE_ROWS_MAX), &mut faults)
            .map_or(PAGE_ROWS_DEFAULT, |limit| limit as u32);
        let request = lat
            .zip(lon)
            .zip(radius_km)
            .map(|((lat, lon), radius_km)| Self {
                // The zeros are one place.
                center: Location {
                    lat: lat + 0.0,
                    lon: lon + 0.0,
                },
                radius_km,
                limit,
            });
        faults.unless_any(request)
    }

    /// What it is kept under.
    pub(super) fn key(&self) -> ListKey {
        let limit = (self.limit != PAGE_ROWS_DEFAULT).then_some(self.limit);
        ListKey::new(super::USERS_NEAR)
            .with_some("lat", Some(self.center.lat))
            .with_some("lon", Some(self.center.lon))
            .with_some("radius_km", Some(self.radius_km))
            .with_some("limit", limit)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::store::PageStart;

    fn wrong<T: std::fmt::Debug>(result: Result<T, Error>) -> Vec<String> {
        let error = result.unwrap_err();
        assert_eq!(error.status(), 422);
        error.fields().iter().map(|f| f.field.clone()).collect()
    }

    #[test]
    fn an_empty_query_is_the_first_page_of_everything() {
        for query in [
            None,
            Some(""),
            Some("page=&limit=&fields=&sort=&name=&min_age="),
        ] {
            let request = ListRequest::parse(query).unwrap();
            assert_eq!(request.query.fields, UserField::ALL);
            assert_eq!(request.query.sort, UserSort::Id);
            assert_eq!(request.query.start, PageStart::Offset(0));
            assert_eq!(request.query.limit, 20);
            assert_eq!(request.query.name, None);
        }
    }

    #[test]
    fn columns_are_asked_once_in_the_order_shown() {
        let request = ListRequest::parse(Some("fields=email,id,email,%20name")).unwrap();
        use UserField::{Email, Id, Name};
        assert_eq!(request.query.fields, [Id, Name, Email]);
    }

    #[test]
    fn every_wrong_parameter_is_named_at_once() {
        let query = "page=0&limit=1000&fields=id,emial&sort=age&min_age=-1&pgae=2";
        let error = ListRequest::parse(Some(query)).unwrap_err();
        let fields: Vec<&str> = error.fields().iter().map(|f| f.field.as_str()).collect();
        assert_eq!(
            fields,
            ["pgae", "fields", "sort", "min_age", "limit", "page"]
        );
        assert!(error.fields()[0].message.contains("did you mean `page`?"));
        let columns = error.fields()[1].message.as_str();
        assert!(columns.contains("is not known; did you mean `email`? Known are: id,"));
        let long = format!("name={}", "x".repeat(101));
        assert_eq!(wrong(ListRequest::parse(Some(&long))), ["name"]);
    }

    #[test]
    fn a_cursor_belongs_to_its_sort() {
        let cursor = Cursor {
            id: 7,
            name_age: None,
        };
        let text = cursor::encode(CursorOrder::Users(UserSort::Id), &cursor);
        let of = |sort| ListRequest::parse(Some(&format!("after={text}&sort={sort}")));
        assert_eq!(of("id").unwrap().query.start, PageStart::After(cursor));
        assert_eq!(wrong(of("-id")), ["after"]);
        assert_eq!(wrong(of("name")), ["after"]);
        assert_eq!(wrong(of("x")), ["sort"]);
    }

    #[test]
    fn the_next_link_is_spelled_out() {
        let query = "sort=name&fields=id,name&limit=2&min_age=18&name=A%26B+%C3%A9&page=3";
        let request = ListRequest::parse(Some(query)).unwrap();
        let cursor = Cursor {
            id: 7,
            name_age: Some(("A&B é".into(), 36)),
        };
        let link = request.next_link(&cursor);
        let start = "/api/users?limit=2&fields=id,name&sort=name\
                     &name=A%26B%20%C3%A9&min_age=18&after=";
        assert!(link.starts_with(start), "{link}");
    }

    #[test]
    fn a_batch_keeps_order_and_duplicates() {
        assert_eq!(parse_batch(Some("ids=3,1,3")).unwrap(), [3, 1, 3]);
        let most = ["1"; BATCH_IDS_MAX].join(",");
        assert_eq!(
            parse_batch(Some(&format!("ids={most}"))).unwrap().len(),
            100
        );
        for query in [
            "",
            "ids=",
            "ids=,",
            "ids=0",
            "ids=01",
            "ids=+1",
            "ids=1.0",
            "ids=-1",
            "ids=9223372036854775808",
            &format!("ids={most},1"),
        ] {
            assert!(
                wrong(parse_batch(Some(query))).iter().all(|f| f == "ids"),
                "{query}"
            );
        }
        assert_eq!(wrong(parse_batch(Some("id=1"))), ["id"]);
    }

    #[test]
    fn a_search_by_place_needs_a_place() {
        let near = NearRequest::parse(Some("lat=51.5&lon=-0.1&radius_km=20038")).unwrap();
        assert_eq!((near.center.lat, near.limit), (51.5, 20));
        assert_eq!(wrong(NearRequest::parse(None)), ["lat", "lon", "radius_km"]);
        let query = "lat=90.1&lon=inf&radius_km=0&limit=0";
        assert_eq!(
            wrong(NearRequest::parse(Some(query))),
            ["lat", "lon", "radius_km", "limit"]
        );
        let far = "lat=0&lon=0&radius_km=20038.1";
        assert_eq!(wrong(NearRequest::parse(Some(far))), ["radius_km"]);
    }

    proptest! {
        #[test]
        fn following_next_asks_for_the_same_list(
            limit in 1..=100_u32,
            sort in 0..3_usize,
            name in prop::option::of("\\PC{1,20}"),
            min_age in prop::option::of(0..=150_i64),
            columns in prop::sample::subsequence(&UserField::ALL[..], 1..=8),
            id in 1..=i64::MAX,
        ) {
            let sort = SORTS[sort];
            let name_age = (sort == UserSort::NameThenAge).then(|| ("Ada".to_owned(), 36));
            let cursor = Cursor { id, name_age };
            let start = PageStart::After(cursor.clone());
            let page = PageRequest { start: start.clone(), number: None, limit };
            let query = UserQuery { fields: columns, sort, name, min_age, start, limit };
            let request = ListRequest { query, page };
            let link = request.next_link(&cursor);
            let query = link.strip_prefix("/api/users?").unwrap();
            prop_assert_eq!(ListRequest::parse(Some(query)).unwrap(), request);
        }

        #[test]
        fn no_query_panics(query in "(page|limit|after|fields|sort|ids|lat)=[0-9a-z,.%+-]{0,20}") {
            let _ = ListRequest::parse(Some(&query));
            let _ = parse_batch(Some(&query));
            let _ = NearRequest::parse(Some(&query));
        }
    }
}
