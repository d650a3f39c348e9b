//! Round all cells: scenario by scenario, several rounds, every second one
//! backwards, so that what drifts hits all servers alike.

use crate::cell::{Databases, Ground};
use crate::idle;
use crate::progress::Progress;
use crate::rival::Rival;
use crate::row::{Outcome, Row};
use crate::scenario::Scenario;

/// Descriptors a server and wrk may need at most.
const DESCRIPTORS: u64 = 12_000;

/// Measures every server in every scenario it serves.
///
/// # Errors
/// When this process may not have as many open files as that needs.
pub fn run(
    ground: &Ground,
    scenarios: &[Scenario],
    rivals: &[Rival],
    rounds: usize,
    databases: &mut dyn Databases,
) -> Result<Vec<Row>, String> {
    let connections = |s: &Scenario| u64::from(s.connections + s.idle_connections);
    if scenarios.iter().map(connections).max() > Some(500) {
        idle::allow(DESCRIPTORS)?;
    }
    let takes_part = |s: &Scenario| rivals.iter().filter(|rival| rival.serves(s)).count();
    let cells: usize = scenarios.iter().map(takes_part).sum();
    let mut progress = Progress::new(cells * rounds);
    let mut rows = Vec::new();
    for scenario in scenarios {
        for round in 0..rounds {
            let mut order: Vec<&Rival> = rivals.iter().filter(|r| r.serves(scenario)).collect();
            if round % 2 == 1 {
                order.reverse();
            }
            for rival in order {
                progress.at(&format!("{} {}", scenario.name, rival.name));
                let unique = rows.len() as u64 + 1;
                let outcome = ground.measure(scenario, rival, databases, unique);
                progress.done(&line(scenario, rival, round, &outcome));
                rows.push(Row {
                    scenario: scenario.name.clone(),
                    server: rival.name.clone(),
                    round,
                    outcome,
                });
            }
        }
    }
    Ok(rows)
}

fn line(scenario: &Scenario, rival: &Rival, round: usize, outcome: &Outcome) -> String {
    let head = format!("{:16} {:18} round {round}", scenario.name, rival.name);
    match outcome {
        Outcome::Wrong(why) => format!("{head}  WRONG ANSWER: {why}"),
        Outcome::Failed(why) => format!("{head}  FAILED: {why}"),
        Outcome::Measured(figures) => {
            let open = figures.open.map_or(String::new(), |open| {
                format!(", at {:.0}/s p99 {:.0} us", open.rate_had, open.latency.p99)
            });
            format!(
                "{head} {:9.0} requests/s {:7.2} CPU us, p99 {:.0} us, {} errors{open}; busy: \
                 server {:.0} %, load {:.0} %, database {:.0} %",
                figures.requests_per_s(),
                figures.cpu_us(),
                figures.closed.p99,
                figures.errors(),
                figures.server_busy * 100.0,
                figures.load_busy * 100.0,
                figures.database_busy * 100.0
            )
        }
    }
}
