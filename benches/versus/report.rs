//! Run folders: `README.md`, `raw.csv`, `summary.md` and pictures; and the
//! tables of `docs/benchmarks.md` and the project's README, spliced from one.

use std::path::{Path, PathBuf};

use versus::goals::Goals;
use versus::plot;
use versus::readme::{self, About};
use versus::row::{Row, from_csv, to_csv};
use versus::scenario::{Plot, Scenario};
use versus::summary;

use crate::support::{args, describe_host, said};

/// The run's folder: what `--out` says, or one by date and machine.
pub(crate) fn folder() -> PathBuf {
    if let Some(out) = args::text("--out") {
        return PathBuf::from(out);
    }
    let today = jiff::Timestamp::now().to_string();
    let cpus = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let machine = match cpus.contains(" hypervisor") {
        true => "vm".to_owned(),
        false => said("hostname", &[]),
    };
    let count = cpus
        .lines()
        .filter(|line| line.starts_with("processor"))
        .count();
    let name = format!("{}-{count}core-{machine}", &today[..10]);
    root().join("benches/runs").join(name).join("versus")
}

/// Versions of programs, and the machine, a line each.
pub(crate) fn describe(
    oha: Option<&Path>,
    postgres: Option<String>,
    programs: &[String],
) -> String {
    let mut text = describe_host();
    let version = oha.map(|oha| said(&oha.display().to_string(), &["--version"]));
    text.push_str(&format!(
        "- {}\n",
        version.unwrap_or_else(|| "no oha".to_owned())
    ));
    if let Some(postgres) = postgres {
        text.push_str(&format!(
            "- PostgreSQL {postgres}: fsync and synchronous_commit on, shared_buffers 256 MB, \
             max_connections 200, no autovacuum, no checkpoint by time\n"
        ));
    }
    for program in programs {
        let flag = if program == "nginx" {
            "-v"
        } else {
            "--version"
        };
        let version = said(program, &[flag]);
        let version = version.lines().next().unwrap_or_default().to_owned();
        text.push_str(&format!("- {program}: {version}\n"));
    }
    text
}

/// Writes everything.
///
/// # Errors
/// When a file cannot be written, or the goals not be read.
pub(crate) fn write(
    folder: &Path,
    home: &Path,
    about: &About<'_>,
    rows: &[Row],
    scenarios: &[Scenario],
) -> Result<(), String> {
    let goals = std::fs::read_to_string(home.join("goals.toml"));
    let goals = Goals::parse(&goals.map_err(|error| format!("goals.toml: {error}"))?)?;
    let tables = summary::tables(rows, scenarios);
    let all = format!("# Summary\n\n{tables}{}", goals.table(rows));
    std::fs::create_dir_all(folder).map_err(|e| format!("{}: {e}", folder.display()))?;
    for (name, text) in [
        ("README.md", about.render()),
        ("raw.csv", to_csv(rows)),
        ("summary.md", all.clone()),
        (
            "throughput.svg",
            plot::bars(rows, scenarios, Plot::Throughput),
        ),
        ("cpu.svg", plot::bars(rows, scenarios, Plot::Cpu)),
        ("latency.svg", plot::latencies(rows, scenarios)),
    ] {
        let path = folder.join(name);
        std::fs::write(&path, text).map_err(|e| format!("{}: {e}", path.display()))?;
    }
    println!("{all}\nwritten to {}", folder.display());
    Ok(())
}

/// `--readme DIR`: writes that run's table into `docs/benchmarks.md`, and in
/// short into the project's README.
///
/// # Errors
/// When the run cannot be read, or one of them has no place for it.
pub(crate) fn write_readme(run: &str, scenarios: &[Scenario]) -> Result<(), String> {
    let folder = std::fs::canonicalize(run).map_err(|error| format!("{run}: {error}"))?;
    let inside = folder.strip_prefix(root());
    let inside = inside.map_err(|_| format!("{run} is not a folder of this repository"))?;
    let inside = inside.display().to_string();
    let csv = folder.join("raw.csv");
    let rows = std::fs::read_to_string(&csv).map_err(|e| format!("{}: {e}", csv.display()))?;
    let rows = from_csv(&rows)?;
    let short = readme::short_excerpt(&rows, scenarios, &inside);
    splice_into("README.md", &short)?;
    splice_into(
        "docs/benchmarks.md",
        &readme::excerpt(&rows, scenarios, &inside),
    )
}

/// Writes `excerpt` between the markers of a file of the repository.
fn splice_into(name: &str, excerpt: &str) -> Result<(), String> {
    let path = root().join(name);
    let told = |error: std::io::Error| format!("{name}: {error}");
    let text = std::fs::read_to_string(&path).map_err(told)?;
    let text = readme::splice(name, &text, excerpt)?;
    std::fs::write(&path, text).map_err(told)
}

/// The top folder of the repository.
pub(crate) fn root() -> &'static Path {
    let mut above = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors();
    above.nth(2).expect("a crate of the workspace")
}
