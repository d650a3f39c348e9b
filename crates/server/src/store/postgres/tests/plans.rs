//! The plans of all statements stay bounded on a table of 200,000 rows, with
//! statistics and without, and what breaks them is reported.

use serde_json::Value;

use super::super::queries::{Columns, Query};
use super::super::statements::RunsQueries;
use super::{connected, fill, postgres};
use crate::store::tests::{Fixture, Kind, filled};
use crate::store::{PageStart, UserField, UserQuery, UserSort};
use corelane::postgres::Connection;

const USERS: u64 = 200_000;

/// Every second is called Common; one in 5,000 is older than 60.
const COLUMNS: &str = "
    CASE n % 2 WHEN 0 THEN 'Common' ELSE 'Name ' || lpad((n / 4)::text, 6, '0') END,
    n || '@x', CASE n % 5000 WHEN 7 THEN 80 + n % 71 ELSE n * 7919 % 60 END,
    (n * 7919 % 18001) / 100.0 - 90, (n * 104729 % 36001) / 100.0 - 180";

fn big() -> Fixture {
    Fixture::on(filled("big", |database| {
        fill(database, USERS, COLUMNS);
        database.psql(
            "ALTER TABLE posts DISABLE TRIGGER USER;
             INSERT INTO posts (author_id, title, body, created_at_ms)
             SELECT 1 + n % 1000, 't', 'b', 5 FROM generate_series(1, 100000) AS n;
             ALTER TABLE posts ENABLE TRIGGER USER",
        );
    }))
}

/// What a plan touched: blocks of 8 KiB, and how often a row left its table
/// or index.
async fn touched(connection: &Connection, sql: &str, parameters: &str) -> (i64, i64) {
    let client = connection.client();
    client
        .batch_execute(&format!("PREPARE measured AS {sql}"))
        .await
        .unwrap();
    let explain =
        format!("EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) EXECUTE measured ({parameters})");
    let messages = client.simple_query(&explain).await.unwrap();
    client.batch_execute("DEALLOCATE measured").await.unwrap();
    let json = messages.iter().find_map(|message| match message {
        tokio_postgres::SimpleQueryMessage::Row(row) => row.get(0),
        _ => None,
    });
    let plan: Value = serde_json::from_str(json.unwrap()).unwrap();
    let plan = &plan[0]["Plan"];
    let blocks = |key: &str| plan[key].as_i64().unwrap();
    (
        blocks("Shared Hit Blocks") + blocks("Shared Read Blocks"),
        rows_of(plan),
    )
}

/// Rows out of scans, and those that a filter took away.
fn rows_of(plan: &Value) -> i64 {
    let number = |key: &str| plan[key].as_f64().unwrap_or(0.0);
    let is_scan = plan["Relation Name"].is_string();
    let each = number("Actual Rows") + number("Rows Removed by Filter");
    let own = if is_scan {
        each * number("Actual Loops")
    } else {
        0.0
    };
    let below = plan["Plans"].as_array().into_iter().flatten().map(rows_of);
    own as i64 + below.sum::<i64>()
}

/// Statements with parameters that are hard on them, and the rows they may
/// visit for pages of 20.
const HARD: &[(Query, &str, i64)] = &[
    (Query::UserById, "100000", 1),
    (Query::UsersByIds, "'{1,100000,200000,77}'", 4),
    (Query::PageUp, "100000, 21, 0", 21),
    (Query::PageDown, "100000, 21, 0", 21),
    (Query::PageUp, "0, 21, 10000", 10_021),
    (Query::LookUp, "0, 21, 0, 512, 140", 512),
    (Query::LookDown, "100000, 21, 0, 512, 140", 512),
    (Query::LookNameUp, "0, 21, 0, 512, 140, 'Common'", 542),
    (Query::LookNameDown, "100000, 21, 0, 512, 0, 'Common'", 542),
    // The merge reads one row of each age ahead.
    (Query::MergeUp, "0, 21, 0, 61", 200),
    (Query::MergeDown, "100000, 21, 0, 140", 200),
    (Query::MergeUp, "0, 21, 0, 0", 200),
    (Query::MergeUp, "0, 21, 10000, 20", 10_300),
    (Query::MergeNameUp, "0, 21, 0, 0, 'Common'", 200),
    (Query::MergeNameDown, "100000, 21, 0, 61, 'Common'", 200),
    (Query::LookNames, "21, 0, 512, 140", 512),
    (
        Query::LookNamesAfter,
        "'Common', 30, 100, 21, 512, 140",
        600,
    ),
    (Query::LookNamesAfter, "'Common', 30, 100, 21, 21, 0", 63),
    (Query::PageOfName, "'Common', 0, 21, 0", 21),
    (Query::PageOfName, "'Common', 61, 21, 0", 21),
    (Query::PageOfNameAfter, "'Common', 0, 30, 100, 21", 42),
    (Query::PageOfNameAfter, "'Common', 61, 100, 100, 21", 42),
    (Query::MergeNames, "'', -1, 0, 21, 0, 61", 151 * 21 + 21),
    (
        Query::MergeNames,
        "'Common', 30, 100, 21, 0, 0",
        2 * 151 * 21 + 21,
    ),
    (Query::Nearest, "48.0, 2.0, 28", 28),
    (Query::Nearest, "-90.0, 2.0, 28", 28),
    (Query::Posts, "50000, 21, 0", 21),
    (Query::PostsAuthors, "50000, 21, 0", 42),
    (Query::PostsOfAuthor, "50000, 21, 0, 77", 21),
    (Query::PostsOfAuthor, "0, 21, 0, 5000", 0),
    (Query::PostsOfAuthorAuthors, "50000, 21, 0, 77", 42),
    (
        Query::UserUpdate,
        "7, NULL, NULL, 4, NULL, NULL, false, 9, NULL, NULL, 'on'",
        4,
    ),
    (
        Query::UserReplace,
        "7, 'Name', '7@y', 4, NULL, NULL, 9, 'on'",
        2,
    ),
    (Query::UserDelete, "9, '{1}', NULL", 2),
    (Query::UserInsert, "'n', '12@X', 30, NULL, NULL, 5, ''", 1),
];

#[test]
fn no_parameters_make_a_statement_visit_more_than_its_page() {
    let fixture = big();
    connected(&fixture.server().url(), async |connection| {
        connection.set_up().await.unwrap();
        for analysed in [false, true] {
            if analysed {
                connection
                    .client()
                    .batch_execute("VACUUM ANALYZE")
                    .await
                    .unwrap();
            }
            for (query, parameters, rows_max) in HARD {
                let sql = query.sql(Columns::ALL);
                let (blocks, rows) = touched(connection, &sql, parameters).await;
                println!("{query:?} ({parameters}): {rows} rows, {blocks} blocks");
                assert!(rows <= *rows_max, "{query:?} ({parameters}): {rows} rows");
                // A row costs its own block and its share of the index's; an
                // age costs the way down its index.
                let blocks_max = 3 * rows_max + 4 * 151 + 50;
                assert!(blocks <= blocks_max, "{query:?} ({parameters}): {blocks}");
            }
        }
    });
}

#[test]
fn every_statement_has_a_bounded_plan_whatever_the_statistics() {
    let empty = Kind::Postgres.fixture();
    assert_eq!(problems(&empty), Vec::<String>::new());
    // Known to be empty, every index looks as good as another: that is noted.
    empty.server().psql("ANALYZE");
    assert_eq!(problems(&empty), Vec::<String>::new());
    // Columns that are all alike, and then not.
    let fixture = Kind::Postgres.fixture();
    fill(fixture.server(), 2_000, "'same', n || '@x', 30, 1, 1");
    fixture.server().psql("ANALYZE");
    assert_eq!(problems(&fixture), Vec::<String>::new());
    let fixture = big();
    assert_eq!(problems(&fixture), Vec::<String>::new());
    fixture.server().psql("VACUUM ANALYZE");
    assert_eq!(problems(&fixture), Vec::<String>::new());
}

#[test]
fn a_dropped_index_is_reported() {
    let fixture = big();
    // Even where nothing is big enough to be slow.
    let small = Kind::Postgres.fixture();
    small.server().psql("DROP INDEX posts_by_author");
    let missing = problems(&small);
    let named = missing
        .iter()
        .find(|text| text.contains("there is no index posts_by_author"));
    assert!(named.is_some(), "{missing:?}");
    for (index, named) in [
        ("users_by_name_age", "PageOfName"),
        ("users_by_age", "MergeUp"),
        ("users_by_age_name", "MergeNames"),
        ("users_by_place", "Nearest"),
        ("users_email_unique", "UserInsert"),
        ("posts_by_author", "PostsOfAuthor"),
    ] {
        fixture.server().psql(&format!("DROP INDEX {index}"));
        let problems = problems(&fixture);
        let found = problems.iter().find(|text| text.contains(named));
        assert!(found.is_some(), "{index}: {problems:?}");
    }
    let problems = problems(&fixture);
    let scan = problems
        .iter()
        .find(|text| text.contains("Seq Scan on users"));
    assert!(scan.is_some(), "{problems:?}");
}

fn problems(fixture: &Fixture) -> Vec<String> {
    let reports = postgres(fixture).explain().unwrap();
    assert!(reports.len() > Query::ALL.len());
    let bad = reports.into_iter().filter(|report| !report.is_ok());
    bad.map(|report| format!("{report:#?}")).collect()
}

#[test]
fn pages_of_rare_ages_are_quick_at_any_depth() {
    let fixture = big();
    fixture.on_shard(async |store| {
        for sort in [UserSort::Id, UserSort::IdDescending, UserSort::NameThenAge] {
            for name in [None, Some("Common".to_owned())] {
                let mut query = UserQuery {
                    fields: vec![UserField::Id, UserField::Age],
                    sort,
                    name: name.clone(),
                    min_age: Some(80),
                    start: PageStart::Offset(0),
                    limit: 7,
                };
                let mut seen = 0;
                loop {
                    let page = store.users(&query).await.unwrap();
                    assert!(page.rows.iter().all(|row| row.age >= Some(80)));
                    seen += page.rows.len();
                    let Some(cursor) = page.next else { break };
                    query.start = PageStart::After(cursor);
                }
                let expected = if name.is_none() { 40 } else { 0 };
                assert_eq!(seen, expected, "{sort:?} {name:?}");
            }
        }
    });
}
