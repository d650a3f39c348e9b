//! Judges the plan of every statement, as a shard's session would run it: what
//! walks an index range in list order up to a limit is fine, what visits a
//! whole big table or sorts it is not.

use std::collections::HashMap;
use std::fmt::Write;

use serde_json::Value;
use tokio_postgres::{Error, SimpleQueryMessage};

use super::fault::read_error;
use super::queries::{Columns, Query};
use super::statements::RunsQueries;
use crate::store::limits::STORE_SCAN_ROWS_MAX;
use crate::store::{PlanReport, StoreError, UserField};
use corelane::postgres::Connection;

/// A report per statement; those with asked-for columns twice, once for all of
/// them and once for the id alone.
///
/// # Errors
/// The database could not be read.
pub(super) async fn explain(connection: &Connection) -> Result<Vec<PlanReport>, StoreError> {
    // Says what is wrong with the database once, not once per statement.
    connection.set_up().await.map_err(read_error)?;
    let schema = Schema::read(connection).await.map_err(read_error)?;
    let mut reports = Vec::new();
    for query in Query::ALL.iter().copied() {
        let name = format!("{query:?}");
        reports.push(report(connection, &schema, name.clone(), query, Columns::ALL).await?);
        if query.has_columns() {
            let id = Columns::of(&[UserField::Id, UserField::Name, UserField::Age]);
            let name = format!("{name} (id, name, age)");
            reports.push(report(connection, &schema, name, query, id).await?);
        }
    }
    Ok(reports)
}

/// What the database says of its tables and indexes.
struct Schema {
    /// Tables too big to be read from end to end.
    big: Vec<String>,
    /// Indexes that can be used, and their tables.
    indexes: HashMap<String, String>,
}

impl Schema {
    async fn read(connection: &Connection) -> Result<Self, Error> {
        let client = connection.client();
        // A table that was never analysed has no count: its size tells.
        let sql = "SELECT relname::text FROM pg_class
            WHERE relkind = 'r' AND relnamespace = current_schema()::regnamespace
            AND greatest(reltuples, pg_relation_size(oid) / 256) > $1::bigint";
        let big = client.query(sql, &[&STORE_SCAN_ROWS_MAX]).await?;
        let sql = "SELECT i.relname::text, t.relname::text
            FROM pg_index x JOIN pg_class i ON i.oid = x.indexrelid
            JOIN pg_class t ON t.oid = x.indrelid
            WHERE i.relnamespace = current_schema()::regnamespace AND x.indisvalid";
        let indexes = client.query(sql, &[]).await?;
        Ok(Self {
            big: big.iter().map(|row| row.get(0)).collect(),
            indexes: indexes.iter().map(|row| (row.get(0), row.get(1))).collect(),
        })
    }

    fn is_big(&self, table: &str) -> bool {
        self.big.iter().any(|big| big == table)
    }

    /// What it means that a plan does not use an index: a problem, or only a
    /// note where the table is so small that another is as good.
    fn judge_missing(&self, names: &str) -> Result<String, String> {
        let tables = names.split('|').map(|name| self.indexes.get(name));
        let Some(tables) = tables.collect::<Option<Vec<_>>>() else {
            return Err(format!("there is no index {names}"));
        };
        if tables.iter().any(|table| self.is_big(table)) {
            return Err(format!("does not use the index {names}"));
        }
        Ok(format!(
            "note: does not use the index {names} while the table is small"
        ))
    }
}

async fn report(
    connection: &Connection,
    schema: &Schema,
    name: String,
    query: Query,
    columns: Columns,
) -> Result<PlanReport, StoreError> {
    let sql = query.sql(columns);
    let (plan, problem) = match plan_of(connection, &sql).await {
        Ok(plan) => {
            let mut judgement = Judgement::new(schema, query.indexes());
            judgement.visit(&plan, 0, query == Query::UsersAfter);
            judgement.finish()
        }
        Err(error) if error.as_db_error().is_some() => {
            (Vec::new(), Some(format!("cannot be prepared: {error}")))
        }
        Err(error) => return Err(read_error(error)),
    };
    let mut sql = sql.split_whitespace().collect::<Vec<_>>().join(" ");
    if sql.chars().count() > SQL_SHOWN_CHARS_MAX {
        sql = sql
            .chars()
            .take(SQL_SHOWN_CHARS_MAX)
            .chain("...".chars())
            .collect();
    }
    Ok(PlanReport {
        name,
        sql,
        plan,
        problem,
    })
}

/// A statement with a range per age is shown by its beginning.
const SQL_SHOWN_CHARS_MAX: usize = 1_000;

/// The plan the session keeps for a statement whatever its parameters.
async fn plan_of(connection: &Connection, sql: &str) -> Result<Value, Error> {
    let client = connection.client();
    client
        .batch_execute(&format!("PREPARE corelane_explain AS {sql}"))
        .await?;
    let parameters = vec!["NULL"; parameters_of(sql)].join(", ");
    let call = if parameters.is_empty() {
        String::new()
    } else {
        format!("({parameters})")
    };
    let explain = format!("EXPLAIN (FORMAT JSON) EXECUTE corelane_explain{call}");
    let answer = client.simple_query(&explain).await;
    client.batch_execute("DEALLOCATE corelane_explain").await?;
    let json = answer?.into_iter().find_map(|message| match message {
        SimpleQueryMessage::Row(row) => row.get(0).map(str::to_owned),
        _ => None,
    });
    let json: Value = serde_json::from_str(&json.unwrap_or_default()).unwrap_or_default();
    Ok(json[0]["Plan"].clone())
}

/// The highest `$n` of a text.
fn parameters_of(sql: &str) -> usize {
    let numbers = sql.split('$').skip(1).map(|rest| {
        let digits = rest
            .find(|c: char| !c.is_ascii_digit())
            .unwrap_or(rest.len());
        rest[..digits].parse().unwrap_or(0)
    });
    numbers.max().unwrap_or(0)
}

/// What is found on the way through a plan.
struct Judgement<'a> {
    schema: &'a Schema,
    missing: Vec<&'a str>,
    lines: Vec<String>,
    problem: Option<String>,
}

impl<'a> Judgement<'a> {
    fn new(schema: &'a Schema, indexes: &[&'a str]) -> Self {
        Self {
            schema,
            missing: indexes.to_vec(),
            lines: Vec::new(),
            problem: None,
        }
    }

    /// `is_bounded`: what stands above takes only so many rows.
    fn visit(&mut self, node: &Value, depth: usize, is_bounded: bool) {
        let text = |key: &str| node[key].as_str().unwrap_or_default();
        let (kind, index, table) = (text("Node Type"), text("Index Name"), text("Relation Name"));
        self.missing
            .retain(|missing| missing.split('|').all(|either| either != index));
        let mut line = format!("{:depth$}{kind}", "");
        for (word, what) in [(" using ", index), (" on ", table)] {
            if !what.is_empty() {
                let _ = write!(line, "{word}{what}");
            }
        }
        for key in ["Index Cond", "Order By", "Filter", "One-Time Filter"] {
            if node[key].is_string() {
                let _ = write!(line, "; {}: {}", key.to_lowercase(), text(key));
            }
        }
        let searches = node["Index Cond"].is_string();
        let is_big = self.schema.is_big(table);
        match kind {
            "Seq Scan" | "Bitmap Heap Scan" if is_big => self.complain(&line),
            "Index Scan" | "Index Only Scan" if searches || is_bounded => {}
            "Index Scan" | "Index Only Scan" if is_big => self.complain(&line),
            "Seq Scan" | "Index Scan" | "Index Only Scan" => {
                line.push_str("; note: the table is small");
            }
            "Sort" | "Incremental Sort" if !takes_few(node) => self.complain(&line),
            _ => {}
        }
        // Long and alike: a range per age.
        if self.lines.len() < PLAN_LINES_MAX {
            self.lines.push(line);
        }
        // A LIMIT bounds what streams up to it, and so not what a sort reads.
        let is_bounded = match kind {
            "Limit" => true,
            "Sort" | "Aggregate" | "Hash" | "Materialize" => false,
            _ => is_bounded,
        };
        for child in children(node) {
            self.visit(child, depth + 2, is_bounded);
        }
    }

    fn complain(&mut self, line: &str) {
        let step = line.trim_start();
        let complaint = || format!("visits or sorts more rows than it should: {step}");
        self.problem.get_or_insert_with(complaint);
    }

    fn finish(mut self) -> (Vec<String>, Option<String>) {
        if self.lines.len() >= PLAN_LINES_MAX {
            self.lines.push("...".to_owned());
        }
        for missing in std::mem::take(&mut self.missing) {
            match self.schema.judge_missing(missing) {
                Ok(note) => self.lines.push(note),
                // The cause of what else is wrong.
                Err(problem) => self.problem = Some(problem),
            }
        }
        (self.lines, self.problem)
    }
}

/// Lines of a plan that are shown.
const PLAN_LINES_MAX: usize = 40;

fn children(node: &Value) -> impl Iterator<Item = &Value> {
    node["Plans"].as_array().into_iter().flatten()
}

/// Whether the rows of a node are few by its shape: under a LIMIT, the result
/// of a function or of another part of the statement, one of a key.
fn takes_few(node: &Value) -> bool {
    let kind = node["Node Type"].as_str().unwrap_or_default();
    let condition = node["Index Cond"].as_str().unwrap_or_default();
    match kind {
        "Limit" | "Function Scan" | "CTE Scan" | "Result" => true,
        "Index Scan" | "Index Only Scan" => condition.contains("= ANY"),
        "Seq Scan" => false,
        _ => children(node).count() > 0 && children(node).all(takes_few),
    }
}
