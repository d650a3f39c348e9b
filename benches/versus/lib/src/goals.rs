//! What corelane wants to reach, and whether it did: `benches/versus/goals.toml`.

use std::fmt::Write as _;

use serde::Deserialize;

use crate::row::Row;
use crate::summary::{self, Cell, Metric};

/// All goals.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Goals {
    pub goal: Vec<Goal>,
}

/// One: corelane's figure over another's, in one scenario.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Goal {
    pub scenario: String,
    /// Whose figure corelane's is divided by.
    pub against: String,
    pub figure: Figure,
    pub relation: Relation,
    pub ratio: f64,
    /// Goals of one group are one goal, reached when any of them is.
    pub any_of: Option<String>,
}

/// What is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Figure {
    RequestsPerS,
    CpuUs,
    P99Us,
    OpenP99Us,
}

/// How the ratio must be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub enum Relation {
    #[serde(rename = "<=")]
    AtMost,
    #[serde(rename = "<")]
    Less,
    #[serde(rename = ">=")]
    AtLeast,
}

impl Figure {
    fn metric(self) -> Metric {
        match self {
            Self::RequestsPerS => summary::REQUESTS_PER_S,
            Self::CpuUs => summary::CPU_US,
            Self::P99Us => summary::P99_US,
            Self::OpenP99Us => summary::OPEN_P99_US,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::RequestsPerS => "requests/s",
            Self::CpuUs => "CPU/request",
            Self::P99Us => "p99, closed loop",
            Self::OpenP99Us => "p99 at a rate",
        }
    }
}

impl Relation {
    fn holds(self, value: f64, limit: f64) -> bool {
        match self {
            Self::AtMost => value <= limit,
            Self::Less => value < limit,
            Self::AtLeast => value >= limit,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::AtMost => "<=",
            Self::Less => "<",
            Self::AtLeast => ">=",
        }
    }
}

/// The engines corelane is judged with.
const OWN: [&str; 2] = ["corelane-io_uring", "corelane-epoll"];

impl Goals {
    /// Reads them.
    ///
    /// # Errors
    /// What is wrong with them.
    pub fn parse(text: &str) -> Result<Self, String> {
        toml::from_str(text).map_err(|error| format!("goals.toml: {error}"))
    }

    /// The table: each goal, and what either engine has of it.
    pub fn table(&self, rows: &[Row]) -> String {
        let mut text = String::from(
            "\n## Goals\n\nMedian of the ratios pair by pair, (least..greatest). *Reached* is by the \
             median.\n\n| goal | io_uring | | epoll | |\n|---|---:|---|---:|---|\n",
        );
        for goal in &self.goal {
            let group = match &goal.any_of {
                Some(group) => format!(" (any of: {group})"),
                None => String::new(),
            };
            // Writing to a String cannot fail.
            let _ = write!(
                text,
                "| {}: {} {} {:.2} x {}{group} |",
                goal.scenario,
                goal.figure.name(),
                goal.relation.name(),
                goal.ratio,
                goal.against
            );
            for own in OWN {
                let (value, verdict) = self.judge(goal, rows, own);
                let _ = write!(text, " {value} | {verdict} |");
            }
            text.push('\n');
        }
        text
    }

    fn judge(&self, goal: &Goal, rows: &[Row], own: &str) -> (String, &'static str) {
        let Some(ratio) = goal.ratio_of(rows, own) else {
            return ("-".to_owned(), "not measured");
        };
        let value = format!("{:.2} ({:.2}..{:.2})", ratio.median, ratio.min, ratio.max);
        let holds = |goal: &Goal| {
            let ratio = goal.ratio_of(rows, own);
            ratio.is_some_and(|ratio| goal.relation.holds(ratio.median, goal.ratio))
        };
        let verdict = match holds(goal) {
            true => "reached",
            false if goal.any_of.is_some() => {
                let mut group = self.goal.iter().filter(|other| other.any_of == goal.any_of);
                if group.any(holds) {
                    "missed; reached by the other"
                } else {
                    "**missed**"
                }
            }
            false => "**missed**",
        };
        (value, verdict)
    }
}

impl Goal {
    fn ratio_of(&self, rows: &[Row], own: &str) -> Option<crate::statistics::Spread> {
        let base = Cell::of(rows, &self.scenario, &self.against);
        Cell::of(rows, &self.scenario, own).ratio(&base, self.figure.metric())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::row::tests::measured;

    const GOALS: &str = "[[goal]]\nscenario = 'churn'\nagainst = 'raw-epoll'\n\
                         figure = 'requests_per_s'\nrelation = '>='\nratio = 0.95\n\
                         any_of = 'churn'\n\
                         [[goal]]\nscenario = 'churn'\nagainst = 'raw-epoll'\n\
                         figure = 'cpu_us'\nrelation = '<='\nratio = 1.05\nany_of = 'churn'\n\
                         [[goal]]\nscenario = 'churn'\nagainst = 'hyper'\n\
                         figure = 'cpu_us'\nrelation = '<'\nratio = 1\n";

    #[test]
    fn reached_missed_and_not_measured() {
        let rows = [
            measured("churn", "raw-epoll", 0, 1_000.0, 10.0),
            measured("churn", "corelane-epoll", 0, 900.0, 10.0),
            measured("churn", "hyper", 0, 900.0, 10.0),
        ];
        let table = Goals::parse(GOALS).unwrap().table(&rows);
        let lines: Vec<&str> = table
            .lines()
            .filter(|line| line.starts_with("| churn"))
            .collect();
        assert!(
            lines[0].ends_with(
                "| - | not measured | 0.90 (0.90..0.90) | missed; reached by the other |"
            )
        );
        assert!(
            lines[1].ends_with("| 1.00 (1.00..1.00) | reached |"),
            "{}",
            lines[1]
        );
        assert!(
            lines[2].ends_with("| 1.00 (1.00..1.00) | **missed** |"),
            "{}",
            lines[2]
        );
    }

    #[test]
    fn those_of_this_repository_can_be_read() {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let text = std::fs::read_to_string(folder.join("goals.toml")).unwrap();
        let goals = Goals::parse(&text).unwrap();
        let scenarios = crate::scenario::Scenario::read_all(&folder.join("scenarios")).unwrap();
        for goal in &goals.goal {
            let known = scenarios
                .iter()
                .any(|scenario| scenario.name == goal.scenario);
            assert!(known, "a goal in {}", goal.scenario);
        }
    }
}
