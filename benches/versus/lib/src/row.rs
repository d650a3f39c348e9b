//! One cell in one round: what was measured, and its line of `raw.csv`.

use std::fmt::Write as _;

/// A server in a scenario in a round.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    pub scenario: String,
    pub server: String,
    pub round: usize,
    pub outcome: Outcome,
}

/// What came of it.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    Measured(Box<Figures>),
    /// It answered something else than it should; what. Not measured.
    Wrong(String),
    /// It did not start, or the load failed; why.
    Failed(String),
}

/// What was measured. Percentiles are in microseconds.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Figures {
    pub requests: u64,
    pub seconds: f64,
    pub closed: Percentiles,
    /// Connections refused or broken, and answers that did not come.
    pub socket_errors: u64,
    /// Answers with a status over 399.
    pub status_errors: u64,
    pub bytes: u64,
    /// CPU time of the server, all its threads and processes.
    pub server_cpu_ns: u64,
    /// Shares of the CPUs each of them has: 1 is all of them, all the time.
    /// PostgreSQL runs on the load's.
    pub server_busy: f64,
    pub load_busy: f64,
    pub database_busy: f64,
    pub rss_peak_bytes: u64,
    pub open: Option<OpenFigures>,
    /// What else there is to say.
    pub note: String,
}

/// Latencies, microseconds.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Percentiles {
    pub p50: f64,
    pub p90: f64,
    pub p99: f64,
    pub p999: f64,
}

/// Of the load at a rate.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct OpenFigures {
    /// Asked for, and had; requests per second.
    pub rate: f64,
    pub rate_had: f64,
    pub latency: Percentiles,
    pub errors: u64,
    pub load_busy: f64,
}

/// Who had no more to give.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Saturated {
    Server,
    Load,
    Database,
    Neither,
}

/// From this share on a CPU counts as busy all the time.
pub const SATURATED_SHARE: f64 = 0.9;
/// An open loop that has less than this of its rate says nothing.
const RATE_SHARE_MIN: f64 = 0.97;

impl Figures {
    pub fn requests_per_s(&self) -> f64 {
        self.requests as f64 / self.seconds
    }

    /// CPU time of the server, microseconds per request.
    pub fn cpu_us(&self) -> f64 {
        self.server_cpu_ns as f64 / 1e3 / self.requests as f64
    }

    pub fn bytes_per_s(&self) -> f64 {
        self.bytes as f64 / self.seconds
    }

    pub fn errors(&self) -> u64 {
        self.socket_errors + self.status_errors + self.open.map_or(0, |open| open.errors)
    }

    pub fn saturated(&self) -> Saturated {
        if self.server_busy >= SATURATED_SHARE {
            return Saturated::Server;
        }
        match self.load_busy + self.database_busy >= SATURATED_SHARE {
            true if self.database_busy > self.load_busy => Saturated::Database,
            true => Saturated::Load,
            false => Saturated::Neither,
        }
    }
}

impl OpenFigures {
    /// Whether its load generator kept up.
    pub fn is_sound(&self) -> bool {
        self.load_busy < SATURATED_SHARE
    }

    /// Whether the server kept up.
    pub fn is_met(&self) -> bool {
        self.rate_had >= self.rate * RATE_SHARE_MIN
    }
}

impl Saturated {
    pub fn name(self) -> &'static str {
        match self {
            Self::Server => "server",
            Self::Load => "load",
            Self::Database => "database",
            Self::Neither => "neither",
        }
    }
}

const COLUMNS: [&str; 31] = [
    "scenario",
    "server",
    "round",
    "outcome",
    "requests",
    "seconds",
    "requests_per_s",
    "p50_us",
    "p90_us",
    "p99_us",
    "p99.9_us",
    "socket_errors",
    "status_errors",
    "bytes_per_s",
    "cpu_us_per_request",
    "server_busy",
    "load_busy",
    "database_busy",
    "saturated",
    "rss_peak_bytes",
    "open_rate",
    "open_rate_had",
    "open_p50_us",
    "open_p90_us",
    "open_p99_us",
    "open_p99.9_us",
    "open_errors",
    "open_load_busy",
    "server_cpu_ns",
    "bytes",
    "note",
];

/// `raw.csv`.
pub fn to_csv(rows: &[Row]) -> String {
    let mut csv = COLUMNS.join(",");
    csv.push('\n');
    for row in rows {
        let head = format!("{},{},{}", row.scenario, row.server, row.round);
        let line = match &row.outcome {
            Outcome::Measured(figures) => format!("{head},measured,{}", figures.to_csv()),
            Outcome::Wrong(why) => format!("{head},wrong{},{}", ",".repeat(26), quote(why)),
            Outcome::Failed(why) => format!("{head},failed{},{}", ",".repeat(26), quote(why)),
        };
        csv.push_str(&line);
        csv.push('\n');
    }
    csv
}

impl Figures {
    fn to_csv(&self) -> String {
        let mut text = format!(
            "{},{:.3},{:.1}",
            self.requests,
            self.seconds,
            self.requests_per_s()
        );
        push_percentiles(&mut text, &self.closed);
        // Writing to a String cannot fail.
        let _ = write!(
            text,
            ",{},{},{:.0},{:.4},{:.4},{:.4},{:.4},{},{}",
            self.socket_errors,
            self.status_errors,
            self.bytes_per_s(),
            self.cpu_us(),
            self.server_busy,
            self.load_busy,
            self.database_busy,
            self.saturated().name(),
            self.rss_peak_bytes
        );
        match &self.open {
            Some(open) => {
                let _ = write!(text, ",{:.0},{:.1}", open.rate, open.rate_had);
                push_percentiles(&mut text, &open.latency);
                let _ = write!(text, ",{},{:.4}", open.errors, open.load_busy);
            }
            None => text.push_str(&",".repeat(8)),
        }
        let _ = write!(
            text,
            ",{},{},{}",
            self.server_cpu_ns,
            self.bytes,
            quote(&self.note)
        );
        text
    }
}

fn push_percentiles(text: &mut String, of: &Percentiles) {
    let _ = write!(
        text,
        ",{:.0},{:.0},{:.0},{:.0}",
        of.p50, of.p90, of.p99, of.p999
    );
}

fn quote(text: &str) -> String {
    match text.contains([',', '"', '\n']) {
        true => format!("\"{}\"", text.replace('"', "'").replace('\n', " ")),
        false => text.to_owned(),
    }
}

/// Rows of `raw.csv`.
///
/// # Errors
/// Where it is none.
pub fn from_csv(text: &str) -> Result<Vec<Row>, String> {
    let mut lines = text.lines();
    if lines.next() != Some(COLUMNS.join(",").as_str()) {
        return Err("raw.csv has other columns than this program writes".to_owned());
    }
    let numbered = lines.enumerate();
    let parsed = numbered.map(|(index, line)| {
        let row = parse_row(line);
        row.map_err(|why| format!("raw.csv line {}: {why}", index + 2))
    });
    parsed.collect()
}

fn parse_row(line: &str) -> Result<Row, String> {
    let fields: Vec<&str> = line.splitn(COLUMNS.len(), ',').collect();
    if fields.len() != COLUMNS.len() {
        return Err(format!("{} fields, not {}", fields.len(), COLUMNS.len()));
    }
    let note = fields[30].trim_matches('"').to_owned();
    let outcome = match fields[3] {
        "wrong" => Outcome::Wrong(note),
        "failed" => Outcome::Failed(note),
        _ => Outcome::Measured(Box::new(parse_figures(&fields, note)?)),
    };
    Ok(Row {
        scenario: fields[0].to_owned(),
        server: fields[1].to_owned(),
        round: number(fields[2])? as usize,
        outcome,
    })
}

fn parse_figures(fields: &[&str], note: String) -> Result<Figures, String> {
    let at = |index: usize| number(fields[index]);
    let percentiles = |first: usize| {
        Ok::<_, String>(Percentiles {
            p50: at(first)?,
            p90: at(first + 1)?,
            p99: at(first + 2)?,
            p999: at(first + 3)?,
        })
    };
    let open = match fields[20].is_empty() {
        true => None,
        false => Some(OpenFigures {
            rate: at(20)?,
            rate_had: at(21)?,
            latency: percentiles(22)?,
            errors: at(26)? as u64,
            load_busy: at(27)?,
        }),
    };
    Ok(Figures {
        requests: at(4)? as u64,
        seconds: at(5)?,
        closed: percentiles(7)?,
        socket_errors: at(11)? as u64,
        status_errors: at(12)? as u64,
        bytes: at(29)? as u64,
        server_cpu_ns: at(28)? as u64,
        server_busy: at(15)?,
        load_busy: at(16)?,
        database_busy: at(17)?,
        rss_peak_bytes: at(19)? as u64,
        open,
        note,
    })
}

fn number(text: &str) -> Result<f64, String> {
    text.parse().map_err(|_| format!("a number, not {text:?}"))
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A row with this rate and CPU time, the server saturated.
    pub(crate) fn measured(
        scenario: &str,
        server: &str,
        round: usize,
        rate: f64,
        cpu_us: f64,
    ) -> Row {
        let figures = Figures {
            requests: (rate * 2.0) as u64,
            seconds: 2.0,
            closed: Percentiles {
                p50: 100.0,
                p90: 200.0,
                p99: 300.0,
                p999: 400.0,
            },
            server_cpu_ns: (cpu_us * rate * 2.0 * 1e3) as u64,
            server_busy: 0.99,
            load_busy: 0.5,
            bytes: 1_000,
            ..Figures::default()
        };
        Row {
            scenario: scenario.into(),
            server: server.into(),
            round,
            outcome: Outcome::Measured(Box::new(figures)),
        }
    }

    #[test]
    fn rows_are_read_as_they_were_written() {
        let mut rows = vec![measured("constant", "axum", 1, 50_000.0, 9.5)];
        let Outcome::Measured(figures) = &mut rows[0].outcome else {
            panic!("measured");
        };
        figures.open = Some(OpenFigures {
            rate: 5_000.0,
            rate_had: 4_999.5,
            ..OpenFigures::default()
        });
        figures.note = "one, two".into();
        rows.push(Row {
            scenario: "constant".into(),
            server: "node".into(),
            round: 0,
            outcome: Outcome::Wrong("no Date, and no Server".into()),
        });
        assert_eq!(from_csv(&to_csv(&rows)).unwrap(), rows);
        let error = from_csv(&to_csv(&rows).replace("100000", "many")).unwrap_err();
        assert!(error.contains("line 2: a number, not \"many\""), "{error}");
    }

    #[test]
    fn who_was_saturated() {
        let with = |server_busy, load_busy, database_busy| {
            let figures = Figures {
                server_busy,
                load_busy,
                database_busy,
                ..Figures::default()
            };
            figures.saturated()
        };
        assert_eq!(with(0.95, 0.99, 0.0), Saturated::Server);
        assert_eq!(with(0.5, 0.95, 0.0), Saturated::Load);
        assert_eq!(with(0.5, 0.3, 0.65), Saturated::Database);
        assert_eq!(with(0.5, 0.3, 0.3), Saturated::Neither);
    }
}
