//! Texts about a run: its own README, and the parts of the project's README and
//! of `docs/benchmarks.md` that are copied from it, so that they never disagree.

use std::fmt::Write as _;

use crate::rival::Rival;
use crate::row::Row;
use crate::scenario::Scenario;
use crate::summary;

/// What a run's README says beside its rows.
pub struct About<'a> {
    /// Lines about the machine and the programs.
    pub host: &'a str,
    pub rivals: &'a [Rival],
    /// Names and reasons.
    pub skipped: &'a [(String, String)],
    pub rounds: usize,
    pub seconds: u32,
    pub cores: &'a crate::cores::Cores,
}

impl About<'_> {
    /// The README of the run's folder.
    pub fn render(&self) -> String {
        let mut text = String::from("# corelane and other servers\n\n");
        // Writing to a String cannot fail.
        let _ = writeln!(
            text,
            "`cargo bench --bench versus -- ARGUMENTS`; what came of it is in \
             [summary.md](summary.md), every row in `raw.csv`.\n\n{}",
            self.host.trim_end()
        );
        let cores = |cpus: &[usize]| crate::cores::list(cpus);
        let _ = writeln!(
            text,
            "- CPUs: servers on {}; the load generators, this program and PostgreSQL on {}; \
             everything over loopback\n- {} rounds, every second one backwards; {} s for each load",
            cores(&self.cores.server),
            cores(&self.cores.load),
            self.rounds,
            self.seconds
        );
        if !self.skipped.is_empty() {
            text.push_str("\n## Not measured\n\n");
            for (name, why) in self.skipped {
                let _ = writeln!(text, "- **{name}**: {}", why.replace('\n', " "));
            }
        }
        text.push_str(
            "\n## Servers\n\n| server | what it is | fair | unfair |\n|---|---|---|---|\n",
        );
        for rival in self.rivals {
            let sheet = &rival.sheet;
            let cells = [&sheet.about, &sheet.fair, &sheet.unfair];
            let cells = cells.map(|cell| cell.trim().replace('\n', " ").replace('|', "/"));
            let _ = writeln!(text, "| {} | {} |", rival.name, cells.join(" | "));
        }
        let pictures = [
            ("throughput", "Requests per second"),
            ("cpu", "CPU per request"),
            ("latency", "Latency at a rate"),
        ];
        for (file, title) in pictures {
            let _ = write!(text, "\n![{title}]({file}.svg)\n");
        }
        text
    }
}

const BEGIN: &str = "<!-- versus -->";
const END: &str = "<!-- /versus -->";

/// The scenarios that the project's README shows; `docs/benchmarks.md` has all.
const IN_SHORT: &[&str] = &[
    "constant",
    "pipelined-16",
    "user-uniform",
    "crud-postgres",
    "static-64k",
    "json-gzip",
];

/// What stands between the markers of `docs/benchmarks.md`: the table of a run,
/// and its picture. `folder` is the run's, from the top of the repository.
pub fn excerpt(rows: &[Row], scenarios: &[Scenario], folder: &str) -> String {
    let table = introduced(rows, scenarios, folder, "../");
    format!("{table}\n![CPU per request](../{folder}/cpu.svg)\n")
}

/// What stands between those of the project's README: the first of it.
pub fn short_excerpt(rows: &[Row], scenarios: &[Scenario], folder: &str) -> String {
    let is_shown = |scenario: &&Scenario| IN_SHORT.contains(&scenario.name.as_str());
    let shown: Vec<Scenario> = scenarios.iter().filter(is_shown).cloned().collect();
    introduced(rows, &shown, folder, "")
}

/// The table, and what its figures are. `up` leads to the top of the repository.
fn introduced(rows: &[Row], scenarios: &[Scenario], folder: &str, up: &str) -> String {
    format!(
        "Requests/s and CPU microseconds per request, medians; `~` where the server was not \
         saturated. All of it, with what is fair and unfair: [{folder}]({up}{folder}/summary.md).\n\n\
         {}",
        summary::headline(rows, scenarios)
    )
}

/// Puts it there; `name` is the text's, for the error.
///
/// # Errors
/// When the markers are not there, once each and in order.
pub fn splice(name: &str, readme: &str, excerpt: &str) -> Result<String, String> {
    let told = || format!("{name} needs one line {BEGIN} and after it one {END}");
    let once = |marker| readme.matches(marker).count() == 1;
    if !once(BEGIN) || !once(END) {
        return Err(told());
    }
    let (before, rest) = readme.split_once(BEGIN).ok_or_else(told)?;
    let (_, after) = rest.split_once(END).ok_or_else(told)?;
    Ok(format!("{before}{BEGIN}\n{excerpt}{END}{after}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::row::tests::measured;

    #[test]
    fn the_excerpt_replaces_what_is_between_the_markers() {
        let readme = "# a\n<!-- versus -->\nold\n<!-- /versus -->\n# b\n";
        let spliced = splice("README.md", readme, "new\n").unwrap();
        assert_eq!(
            spliced,
            "# a\n<!-- versus -->\nnew\n<!-- /versus -->\n# b\n"
        );
        assert_eq!(splice("README.md", &spliced, "new\n").unwrap(), spliced);
    }

    #[test]
    fn the_short_one_has_a_few_scenarios_and_links_from_the_top() {
        let named = |name: &str| {
            let text = "position = 1\ntitle = 't'\nserves = 'constant'\nfair = 'f'\nunfair = 'u'\n\
                        connections = 64\nscript = 's'\nbaseline = 'raw-epoll'\n";
            Scenario::parse(name, text).unwrap()
        };
        let scenarios = [named("constant"), named("churn")];
        let rows = [
            measured("constant", "raw-epoll", 0, 100_000.0, 10.0),
            measured("churn", "raw-epoll", 0, 100_000.0, 10.0),
        ];
        let short = short_excerpt(&rows, &scenarios, "benches/runs/x");
        assert!(short.contains("| constant, t | 100k / 10.0 |"), "{short}");
        assert!(!short.contains("churn"), "{short}");
        assert!(short.contains("](benches/runs/x/summary.md)"), "{short}");
        let all = excerpt(&rows, &scenarios, "benches/runs/x");
        assert!(all.contains("| churn, t | 100k / 10.0 |"), "{all}");
        assert!(all.contains("](../benches/runs/x/summary.md)"), "{all}");
        assert!(all.ends_with("](../benches/runs/x/cpu.svg)\n"), "{all}");
    }

    #[test]
    fn without_markers_nothing_is_written() {
        for readme in ["", "<!-- versus -->", "<!-- /versus --><!-- versus -->"] {
            assert!(
                splice("README.md", readme, "new")
                    .unwrap_err()
                    .contains("README.md needs"),
                "{readme}"
            );
        }
    }
}
