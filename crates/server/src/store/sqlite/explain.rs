//! Judges the plan of every statement: what walks an index range in list order
//! up to a limit is fine, what visits a whole table or sorts is not.

use rusqlite::Connection;

use super::queries::{Columns, Query};
use crate::store::{PlanReport, UserField};

/// A report per statement; those with `{columns}` twice, once for all columns
/// and once for the id alone, which an index may cover.
pub(super) fn explain(connection: &Connection) -> Vec<PlanReport> {
    let mut reports = Vec::new();
    for query in Query::ALL.iter().copied() {
        let all = query.sql(Columns::of(&UserField::ALL));
        let id = query.sql(Columns::of(&[UserField::Id]));
        reports.push(report(
            connection,
            format!("{query:?}"),
            &all,
            query.searches(),
        ));
        if id != all {
            reports.push(report(
                connection,
                format!("{query:?} (id)"),
                &id,
                query.searches(),
            ));
        }
    }
    reports
}

fn report(connection: &Connection, name: String, sql: &str, searches: &[&str]) -> PlanReport {
    let (plan, problem) = match plan_of(connection, sql) {
        Ok(plan) => {
            let problem = judge(&plan, searches);
            (plan, problem)
        }
        Err(error) => (Vec::new(), Some(format!("cannot be prepared: {error}"))),
    };
    let sql = sql.split_whitespace().collect::<Vec<_>>().join(" ");
    PlanReport {
        name,
        sql,
        plan,
        problem,
    }
}

fn plan_of(connection: &Connection, sql: &str) -> rusqlite::Result<Vec<String>> {
    let mut statement = connection.prepare(&format!("EXPLAIN QUERY PLAN {sql}"))?;
    // Parameters stay unbound: a plan does not depend on them.
    let mut rows = statement.raw_query();
    let mut plan = Vec::new();
    while let Some(row) = rows.next()? {
        plan.push(row.get(3)?);
    }
    Ok(plan)
}

/// What is wrong with a plan, if anything.
fn judge(plan: &[String], searches: &[&str]) -> Option<String> {
    if let Some(step) = plan.iter().find(|step| is_unbounded(step)) {
        return Some(format!("visits or sorts more rows than it should: {step}"));
    }
    let missing = searches
        .iter()
        .find(|search| !plan.iter().any(|step| step.contains(**search)));
    missing.map(|search| format!("does not search {search}"))
}

fn is_unbounded(step: &str) -> bool {
    if let Some(table) = step.strip_prefix("SCAN ") {
        // Index 1 of json_each is its argument: as many rows as were asked for.
        // Index 2 of an R*Tree is a search, by the constraints that follow.
        let bounded = table.starts_with("json_each VIRTUAL TABLE INDEX 1:")
            || table
                .split_once("VIRTUAL TABLE INDEX 2:")
                .is_some_and(|(_, by)| !by.is_empty());
        return !bounded;
    }
    step.contains("TEMP B-TREE") || step.contains("AUTOMATIC")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::sqlite::migrations::{MIGRATIONS, migrate};

    fn database() -> Connection {
        let mut connection = Connection::open_in_memory().unwrap();
        migrate(&mut connection, "/d/c.db".as_ref(), MIGRATIONS).unwrap();
        connection
    }

    fn problems(connection: &Connection) -> Vec<String> {
        let reports = explain(connection).into_iter();
        reports
            .filter(|report| !report.is_ok())
            .map(|report| format!("{report:#?}"))
            .collect()
    }

    #[test]
    fn every_statement_has_a_bounded_plan() {
        let connection = database();
        assert_eq!(problems(&connection), Vec::<String>::new());
        assert!(explain(&connection).len() > Query::ALL.len());
    }

    #[test]
    fn statistics_do_not_change_the_verdict() {
        let connection = database();
        connection
            .execute_batch(
                "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 2000)
                 INSERT INTO users SELECT i, 'same', i || '@example.com', 30, 1, 1, 0, 0, 1 FROM n;
                 INSERT INTO posts SELECT id, 1, '', '', 0, NULL FROM users;
                 ANALYZE;",
            )
            .unwrap();
        assert_eq!(problems(&connection), Vec::<String>::new());
    }

    #[test]
    fn a_dropped_index_is_reported() {
        for (index, named) in [
            ("users_by_name_age", "PageNames"),
            ("users_by_age", "IdsOfAgeUp"),
            ("users_by_age_name", "NamesOfAge"),
            ("posts_by_author", "PostsOfAuthor"),
            ("sessions_by_user", "SessionsOfUserDelete"),
            ("sessions_by_expiry", "SessionsExpiredDelete"),
        ] {
            let connection = database();
            connection
                .execute_batch(&format!("DROP INDEX {index}"))
                .unwrap();
            let problems = problems(&connection);
            assert!(
                problems.iter().any(|text| text.contains(named)),
                "{index}: {problems:?}"
            );
        }
    }

    #[test]
    fn scans_sorts_and_half_used_indexes_are_reported() {
        let connection = database();
        let problem =
            |sql, searches: &[&str]| report(&connection, String::new(), sql, searches).problem;
        for sql in [
            "SELECT id FROM users WHERE version > 3",
            "SELECT count(*) FROM users",
            "SELECT id FROM users WHERE id > 0 ORDER BY created_at_ms LIMIT 1",
            "SELECT id FROM users_location LIMIT 1",
            "SELECT p.id FROM posts p JOIN users u ON u.updated_at_ms = p.created_at_ms",
        ] {
            assert!(problem(sql, &[]).is_some(), "{sql}");
        }
        let walks_all = "SELECT id FROM users WHERE id > 0 AND age = 150 ORDER BY +id LIMIT 1";
        assert!(problem(walks_all, &["users_by_age (age=? AND rowid>?)"]).is_some());
        assert_eq!(
            problem("SELECT 1 FROM users WHERE id = 1", &["(rowid=?)"]),
            None
        );
    }
}
