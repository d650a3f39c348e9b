//! `summary.md`: a table for each scenario, wins and losses alike.

use std::fmt::Write as _;

use crate::row::{Figures, Outcome, Row, Saturated};
use crate::scenario::Scenario;
use crate::statistics::{Spread, paired, spread};

/// Rows of one server in one scenario.
pub struct Cell<'a> {
    rows: Vec<&'a Row>,
}

/// A number of a row, if the row has it.
pub type Metric = fn(&Figures) -> Option<f64>;

impl<'a> Cell<'a> {
    /// Those of `rows`.
    pub fn of(rows: &'a [Row], scenario: &str, server: &str) -> Self {
        let own = rows
            .iter()
            .filter(|row| row.scenario == scenario && row.server == server);
        Self {
            rows: own.collect(),
        }
    }

    /// Whether nothing was tried.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    fn figures(&self) -> impl Iterator<Item = (usize, &'a Figures)> {
        self.rows.iter().filter_map(|row| match &row.outcome {
            Outcome::Measured(figures) => Some((row.round, figures.as_ref())),
            _ => None,
        })
    }

    /// Why some of it was not measured.
    pub fn trouble(&self) -> Option<String> {
        self.rows.iter().find_map(|row| match &row.outcome {
            Outcome::Measured(_) => None,
            Outcome::Wrong(why) => Some(format!("wrong answer: {why}")),
            Outcome::Failed(why) => Some(format!("failed: {why}")),
        })
    }

    /// Why there is no figure, in two words.
    pub fn why_none(&self) -> &'static str {
        let is_wrong = |row: &&Row| matches!(row.outcome, Outcome::Wrong(_));
        match self.rows.iter().any(is_wrong) {
            true => "wrong answer",
            false if self.is_empty() => "",
            false => "failed",
        }
    }

    fn values(&self, metric: Metric) -> Vec<(usize, f64)> {
        let each = self.figures();
        each.filter_map(|(round, figures)| Some((round, metric(figures)?)))
            .collect()
    }

    /// Over its rounds.
    pub fn spread(&self, metric: Metric) -> Option<Spread> {
        spread(self.values(metric).into_iter().map(|(_, value)| value))
    }

    /// Its share of another's, pair by pair.
    pub fn ratio(&self, base: &Cell<'_>, metric: Metric) -> Option<Spread> {
        paired(&self.values(metric), &base.values(metric))
    }

    /// Who was busy in most rounds.
    pub fn saturated(&self) -> Option<Saturated> {
        let mut all: Vec<Saturated> = self.figures().map(|(_, f)| f.saturated()).collect();
        all.sort_by_key(|one| one.name());
        all.get(all.len() / 2).copied()
    }

    /// Everything that did not come as it should, all rounds together.
    pub fn errors(&self) -> u64 {
        self.figures().map(|(_, figures)| figures.errors()).sum()
    }

    /// Whether a rate was asked for that it, or the load generator, did not
    /// keep up with.
    fn open_marks(&self) -> (bool, bool) {
        let open: Vec<_> = self
            .figures()
            .filter_map(|(_, figures)| figures.open)
            .collect();
        let is_late = open.iter().any(|open| !open.is_met());
        (is_late, open.iter().any(|open| !open.is_sound()))
    }
}

pub const REQUESTS_PER_S: Metric = |figures| Some(figures.requests_per_s());
pub const CPU_US: Metric = |figures| Some(figures.cpu_us());
pub const P50_US: Metric = |figures| told(figures.closed.p50);
pub const P90_US: Metric = |figures| told(figures.closed.p90);
pub const P99_US: Metric = |figures| told(figures.closed.p99);
pub const P999_US: Metric = |figures| told(figures.closed.p999);
pub const OPEN_P50_US: Metric = |figures| Some(figures.open?.latency.p50);
pub const OPEN_P90_US: Metric = |figures| Some(figures.open?.latency.p90);
pub const OPEN_P99_US: Metric = |figures| Some(figures.open?.latency.p99);
pub const OPEN_P999_US: Metric = |figures| Some(figures.open?.latency.p999);

/// 0 is no latency: where a percentile means nothing.
fn told(us: f64) -> Option<f64> {
    (us > 0.0).then_some(us)
}

/// Servers in the order of the rows, corelane first.
pub fn servers(rows: &[Row]) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for row in rows {
        if !names.contains(&row.server) {
            names.push(row.server.clone());
        }
    }
    names.sort_by_key(|name| (!name.starts_with("corelane"), name.clone()));
    names
}

/// All tables.
pub fn tables(rows: &[Row], scenarios: &[Scenario]) -> String {
    let mut text = String::from(LEGEND);
    let servers = servers(rows);
    for scenario in scenarios {
        if rows.iter().any(|row| row.scenario == scenario.name) {
            push_table(&mut text, rows, scenario, &servers);
        }
    }
    text
}

const LEGEND: &str = "\
Medians over the rounds, (least..greatest). *x base* is the ratio to the scenario's baseline, of \
pairs of the same round. CPU is that of the server, all its threads and processes. p50 to p99.9 are of \
the closed loop (wrk, which sends again when it has an answer); *at rate* those of the open loop (oha), \
the same rate for all, where a server that stops is charged for all who would have waited.\n\n\
Marks: `~` the server was not saturated (under 90 % busy): its requests/s say little about it, its CPU \
still does; after it stands who was. `L` it did not keep the rate, so that latencies only say that. \
`G` the generator of the open loop was saturated.\n";

const HEADER: &str = "\
| server | requests/s | x base | CPU us/request | x base | p50 | p90 | p99 | p99.9 us | at rate: p50 \
| p99 | p99.9 us | errors | peak MiB | busy server/load/db | |\n\
|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---|\n";

fn push_table(text: &mut String, rows: &[Row], scenario: &Scenario, servers: &[String]) {
    // Writing to a String cannot fail.
    let _ = writeln!(text, "\n## {}: {}\n", scenario.name, scenario.title);
    let rate = match &scenario.open_loop {
        Some(open) => format!(" The open loop has {} requests/s.", open.rate),
        None => String::new(),
    };
    let _ = writeln!(
        text,
        "Fair: {}\n\nUnfair: {}\n\n{} connections; the baseline is {}.{rate}\n",
        line(&scenario.fair),
        line(&scenario.unfair),
        scenario.connections,
        scenario.baseline
    );
    text.push_str(HEADER);
    let base = Cell::of(rows, &scenario.name, &scenario.baseline);
    for server in servers {
        let cell = Cell::of(rows, &scenario.name, server);
        if !cell.is_empty() {
            push_line(text, server, &cell, &base);
        }
    }
}

/// A sentence that a file has on several lines.
fn line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn push_line(text: &mut String, server: &str, cell: &Cell<'_>, base: &Cell<'_>) {
    let whole = |metric| {
        cell.spread(metric)
            .map_or("-".to_owned(), |s| format!("{:.0}", s.median))
    };
    let ratio = |metric| {
        let ratio = cell.ratio(base, metric);
        ratio.map_or("-".to_owned(), |s| {
            format!("{:.2} ({:.2}..{:.2})", s.median, s.min, s.max)
        })
    };
    let rate = cell.spread(REQUESTS_PER_S).map_or("-".to_owned(), |s| {
        format!("{:.0} ({:.0}..{:.0})", s.median, s.min, s.max)
    });
    let cpu = cell.spread(CPU_US).map_or("-".to_owned(), |s| {
        format!("{:.2} ({:.2}..{:.2})", s.median, s.min, s.max)
    });
    let median = |metric: Metric| cell.spread(metric).map_or(0.0, |s| s.median);
    let _ = writeln!(
        text,
        "| {server} | {rate} | {} | {cpu} | {} | {} | {} | {} | {} | {} | {} | {} | {} | {:.0} | \
         {:.0}/{:.0}/{:.0} % | {} |",
        ratio(REQUESTS_PER_S),
        ratio(CPU_US),
        whole(P50_US),
        whole(P90_US),
        whole(P99_US),
        whole(P999_US),
        whole(OPEN_P50_US),
        whole(OPEN_P99_US),
        whole(OPEN_P999_US),
        cell.errors(),
        median(|f| Some(f.rss_peak_bytes as f64 / f64::from(1 << 20))),
        median(|f| Some(f.server_busy * 100.0)),
        median(|f| Some(f.load_busy * 100.0)),
        median(|f| Some(f.database_busy * 100.0)),
        marks(cell)
    );
}

fn marks(cell: &Cell<'_>) -> String {
    let mut marks = Vec::new();
    match cell.saturated() {
        Some(Saturated::Server) | None => {}
        Some(other) => marks.push(format!("~ {}", other.name())),
    }
    let (is_late, is_unsound) = cell.open_marks();
    if is_late {
        marks.push("L".to_owned());
    }
    if is_unsound {
        marks.push("G".to_owned());
    }
    if let Some(trouble) = cell.trouble() {
        marks.push(format!(
            "**{}**",
            trouble.replace('|', "/").replace('\n', " ")
        ));
    }
    marks.join(" ")
}

/// The short table, for texts about the project: requests/s and CPU of every server.
pub fn headline(rows: &[Row], scenarios: &[Scenario]) -> String {
    let servers = servers(rows);
    let mut text = format!("| scenario | {} |\n", servers.join(" | "));
    let _ = writeln!(text, "|---|{}", "---:|".repeat(servers.len()));
    for scenario in scenarios {
        if !rows.iter().any(|row| row.scenario == scenario.name) {
            continue;
        }
        let _ = write!(text, "| {}, {} |", scenario.name, scenario.title);
        for server in &servers {
            let cell = Cell::of(rows, &scenario.name, server);
            let figures = cell.spread(REQUESTS_PER_S).zip(cell.spread(CPU_US));
            let told = figures.map(|(rate, cpu)| {
                let mark = match cell.saturated() {
                    Some(Saturated::Server) | None => "",
                    _ => "~",
                };
                format!("{mark}{} / {:.1}", thousands(rate.median), cpu.median)
            });
            let told = told.unwrap_or_else(|| cell.why_none().to_owned());
            let _ = write!(text, " {told} |");
        }
        text.push('\n');
    }
    text
}

/// `123k`, `4.5k`, `987`.
pub fn thousands(value: f64) -> String {
    match value {
        99_950.0.. => format!("{:.0}k", value / 1e3),
        1_000.0.. => format!("{:.1}k", value / 1e3),
        _ => format!("{value:.0}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::row::tests::measured;

    fn scenario() -> Scenario {
        let text = "position = 1\ntitle = 't'\nserves = 'constant'\nfair = 'f'\nunfair = 'u'\n\
                    connections = 64\nscript = 's'\nbaseline = 'raw-epoll'\n";
        Scenario::parse("constant", text).unwrap()
    }

    fn rows() -> Vec<Row> {
        let mut rows = vec![
            measured("constant", "raw-epoll", 0, 100_000.0, 10.0),
            measured("constant", "raw-epoll", 1, 50_000.0, 20.0),
            measured("constant", "corelane-epoll", 1, 50_000.0, 18.0),
            measured("constant", "corelane-epoll", 0, 90_000.0, 11.0),
        ];
        rows.push(Row {
            outcome: Outcome::Wrong("no date | header".into()),
            ..measured("constant", "node", 0, 1.0, 1.0)
        });
        rows
    }

    #[test]
    fn a_table_has_ratios_by_pairs_and_wrong_answers() {
        let text = tables(&rows(), &[scenario()]);
        let line = |server: &str| {
            let begin = format!("| {server} |");
            text.lines()
                .find(|line| line.starts_with(&begin))
                .unwrap()
                .to_owned()
        };
        let own = line("corelane-epoll");
        assert!(
            own.contains("| 70000 (50000..90000) | 0.95 (0.90..1.00) |"),
            "{own}"
        );
        assert!(
            own.contains("| 14.50 (11.00..18.00) | 1.00 (0.90..1.10) |"),
            "{own}"
        );
        let node = line("node");
        assert!(node.contains("| - | - |") && node.contains("**wrong answer: no date / header**"));
    }

    #[test]
    fn what_was_not_saturated_is_marked() {
        let mut rows = rows();
        let Outcome::Measured(figures) = &mut rows[0].outcome else {
            panic!("measured");
        };
        (figures.server_busy, figures.load_busy) = (0.4, 0.97);
        rows.remove(1);
        let cell = Cell::of(&rows, "constant", "raw-epoll");
        assert_eq!(marks(&cell), "~ load");
        let short = headline(&rows, &[scenario()]);
        assert!(short.contains("| ~100k / 10.0 |"), "{short}");
        assert!(short.contains("| wrong answer |"), "{short}");
    }

    #[test]
    fn corelane_comes_first() {
        assert_eq!(servers(&rows()), ["corelane-epoll", "node", "raw-epoll"]);
        assert_eq!(
            (thousands(987.0), thousands(4_540.0)),
            ("987".into(), "4.5k".into())
        );
    }
}
