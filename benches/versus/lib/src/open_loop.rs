//! oha: requests at a rate, whether answers come or not, so that a server that
//! stops for a moment is charged for all who would have waited.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use serde_json::Value;

use crate::cores::{Cores, list};
use crate::row::{OpenFigures, Percentiles};
use crate::scenario::OpenLoop;

/// The version everything here is read from.
pub const VERSION: &str = "1.16.0";

/// Finds oha under `root`, and builds it there if it is not there: once, some
/// minutes.
///
/// # Errors
/// When it cannot be built.
pub fn install(root: &Path) -> Result<PathBuf, String> {
    let program = root.join("bin/oha");
    let said = Command::new(&program).arg("--version").output();
    let said = said.map_or(String::new(), |said| {
        String::from_utf8_lossy(&said.stdout).into()
    });
    if said.trim() == format!("oha {VERSION}") {
        return Ok(program);
    }
    eprintln!(
        "building oha {VERSION} into {}, once: some minutes",
        root.display()
    );
    // With its default feature, TLS: without, this version does not compile.
    let status = Command::new(env!("CARGO"))
        .args(["install", "oha", "--version", VERSION, "--locked"])
        .args(["--quiet", "--root"])
        .arg(root)
        .arg("--target-dir")
        .arg(root.join("build"))
        .status();
    match status {
        Ok(status) if status.success() => {
            // Needed no more, and a quarter of a gigabyte.
            let _ = std::fs::remove_dir_all(root.join("build"));
            Ok(program)
        }
        other => Err(format!(
            "oha {VERSION} could not be built ({other:?}); open loops need it: \
             cargo install oha --version {VERSION} --locked --root {}",
            root.display()
        )),
    }
}

/// Starts it on the load's CPUs. It writes to `output`.
///
/// # Errors
/// When it does not start.
pub fn start(
    program: &Path,
    open: &OpenLoop,
    connections: u32,
    cores: &Cores,
    port: u16,
    seconds: u32,
    output: &Path,
) -> Result<Child, String> {
    let file = std::fs::File::create(output).map_err(|e| format!("{}: {e}", output.display()))?;
    let mut command = Command::new("taskset");
    command
        .args(["-c", &list(&cores.load)])
        .arg(program)
        .args([
            "--no-tui",
            "--latency-correction",
            "--output-format",
            "json",
        ])
        .args(["-q", &open.rate.to_string(), "-c", &connections.to_string()])
        .args(["-z", &format!("{seconds}s"), "--disable-compression"]);
    if let Some(header) = &open.header {
        command.args(["-H", header]);
    }
    if open.is_pattern {
        command.arg("--rand-regex-url");
    }
    command
        .arg(format!("http://127.0.0.1:{port}{}", open.path))
        .stdin(Stdio::null())
        .stdout(file)
        .stderr(Stdio::null())
        .spawn()
        .map_err(|error| format!("{}: {error}", program.display()))
}

/// Reads what it said.
///
/// # Errors
/// When it is not what oha says, or nothing was answered.
pub fn parse(text: &str, rate: u32) -> Result<OpenFigures, String> {
    let said: Value = serde_json::from_str(text).map_err(|e| format!("oha said no JSON: {e}"))?;
    let number = |group: &str, name: &str| {
        let value = said
            .get(group)
            .and_then(|group| group.get(name))
            .and_then(Value::as_f64);
        value.ok_or_else(|| format!("oha did not say {group}.{name}"))
    };
    let micros = |name: &str| number("latencyPercentiles", name).map(|seconds| seconds * 1e6);
    let counts = |group: &str| {
        let counts = said
            .get(group)
            .and_then(Value::as_object)
            .cloned()
            .unwrap_or_default();
        counts
            .into_iter()
            .map(|(name, count)| (name, count.as_u64().unwrap_or(0)))
    };
    let bad = counts("statusCodeDistribution").filter(|(code, _)| code.as_str() >= "400");
    // Those in flight when the time is up are no errors.
    let broken = counts("errorDistribution").filter(|(name, _)| !name.contains("deadline"));
    let answered: u64 = counts("statusCodeDistribution")
        .map(|(_, count)| count)
        .sum();
    let seconds = number("summary", "total")?;
    Ok(OpenFigures {
        rate: f64::from(rate),
        rate_had: answered as f64 / seconds,
        latency: Percentiles {
            p50: micros("p50")?,
            p90: micros("p90")?,
            p99: micros("p99")?,
            p999: micros("p99.9")?,
        },
        errors: bad.map(|(_, count)| count).sum::<u64>() + broken.map(|(_, c)| c).sum::<u64>(),
        load_busy: 0.0,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAID: &str = r#"{
        "summary": {"successRate": 1.0, "total": 2.0, "requestsPerSec": 5000.0},
        "latencyPercentiles": {"p10": 0.0001, "p50": 0.0002, "p90": 0.0005, "p99": 0.001,
                               "p99.9": 0.002, "p99.99": 0.003},
        "statusCodeDistribution": {"200": 9990, "503": 4},
        "errorDistribution": {"aborted due to deadline": 6, "connection refused": 2}
    }"#;

    #[test]
    fn what_it_said_is_read() {
        let figures = parse(SAID, 5_000).unwrap();
        assert_eq!((figures.rate, figures.rate_had), (5_000.0, 4_997.0));
        assert_eq!(
            (figures.latency.p50, figures.latency.p999),
            (200.0, 2_000.0)
        );
        // Not those that were in flight at the end.
        assert_eq!(figures.errors, 6);
    }

    #[test]
    fn what_is_missing_is_said() {
        assert!(parse("", 1).unwrap_err().contains("no JSON"));
        let error = parse(&SAID.replace("p99.9\"", "p98\""), 1).unwrap_err();
        assert!(error.contains("latencyPercentiles.p99.9"), "{error}");
    }
}
