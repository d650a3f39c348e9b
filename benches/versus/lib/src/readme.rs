//! Texts about a run: its own README, and the part of the project's README
//! that is copied from it, so that the two never disagree.

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

/// What stands between the markers of the project's README: the table of a
/// run, and its picture. `folder` is the run's, from the README.
pub fn excerpt(rows: &[Row], scenarios: &[Scenario], folder: &str) -> String {
    format!(
        "Requests/s and CPU microseconds per request, medians; `~` where the server was not \
         saturated. All of it, with what is fair and unfair: [{folder}]({folder}/summary.md).\n\n\
         {}\n![CPU per request]({folder}/cpu.svg)\n",
        summary::headline(rows, scenarios)
    )
}

/// Puts it there.
///
/// # Errors
/// When the markers are not there, once each and in order.
pub fn splice(readme: &str, excerpt: &str) -> Result<String, String> {
    let told = || format!("README.md needs one line {BEGIN} and after it one {END}");
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

    #[test]
    fn the_excerpt_replaces_what_is_between_the_markers() {
        let readme = "# a\n<!-- versus -->\nold\n<!-- /versus -->\n# b\n";
        let spliced = splice(readme, "new\n").unwrap();
        assert_eq!(
            spliced,
            "# a\n<!-- versus -->\nnew\n<!-- /versus -->\n# b\n"
        );
        assert_eq!(splice(&spliced, "new\n").unwrap(), spliced);
    }

    #[test]
    fn without_markers_nothing_is_written() {
        for readme in ["", "<!-- versus -->", "<!-- /versus --><!-- versus -->"] {
            assert!(
                splice(readme, "new")
                    .unwrap_err()
                    .contains("README.md needs"),
                "{readme}"
            );
        }
    }
}
