//! `corelane explain`: the plan of every query of the store.

use std::fmt::Write;

use super::args::ExplainArgs;
use super::failure::Failure;
use super::{output, settings};
use crate::config::Config;
use crate::store::{Database, PlanReport, StoreUrl};

pub(super) fn run(args: &ExplainArgs) -> Result<(), Failure> {
    let config = settings::load(&args.store.sources())?.config;
    refuse_what_is_not_there(&config)?;
    let database = Database::open(&config.store)
        .map_err(|error| Failure::with_cure_inside("the store cannot be opened", error))?;
    let reports = database
        .explain()
        .map_err(|error| Failure::runtime(format!("the plans cannot be read: {error}"), CURE))?;
    output::print(&render(&reports))?;
    let wrong = reports.iter().filter(|report| !report.is_ok()).count();
    if wrong > 0 {
        return Err(Failure::runtime(
            format!(
                "{wrong} of {} queries scan what they should not",
                reports.len()
            ),
            "see PROBLEM above; an index is missing, or the query was changed",
        ));
    }
    Ok(())
}

/// Looking at a store must not make one.
fn refuse_what_is_not_there(config: &Config) -> Result<(), Failure> {
    let path = match &config.store.url {
        StoreUrl::Sqlite { path } if !path.exists() => path,
        _ => return Ok(()),
    };
    Err(Failure::runtime(
        format!("there is no database {}", path.display()),
        "make one with `corelane seed` or `corelane serve`, or name another with --data or --store",
    ))
}

fn render(reports: &[PlanReport]) -> String {
    let mut text = String::new();
    for report in reports {
        let sql = report.sql.split_whitespace().collect::<Vec<_>>().join(" ");
        let _ = writeln!(text, "{}\n  {sql}", report.name);
        for step in &report.plan {
            let _ = writeln!(text, "    {step}");
        }
        if let Some(problem) = &report.problem {
            let _ = writeln!(text, "  PROBLEM: {problem}");
        }
        text.push('\n');
    }
    let well = reports.iter().filter(|report| report.is_ok()).count();
    let _ = writeln!(
        text,
        "{well} of {} queries are as they should be",
        reports.len()
    );
    text
}

const CURE: &str = "check the disk and the file's permissions";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_is_told_under_its_query() {
        let report = |name: &str, problem: Option<&str>| PlanReport {
            name: name.to_owned(),
            sql: "SELECT *\n  FROM users".to_owned(),
            plan: vec!["SCAN users".to_owned()],
            problem: problem.map(str::to_owned),
        };
        let text = render(&[report("a", None), report("b", Some("scans users"))]);
        assert!(
            text.starts_with("a\n  SELECT * FROM users\n    SCAN users\n\nb\n"),
            "{text}"
        );
        assert!(
            text.contains("  PROBLEM: scans users\n\n1 of 2 queries"),
            "{text}"
        );
    }
}
