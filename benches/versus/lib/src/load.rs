//! wrk: as many requests as the connections can have answered.

use std::path::Path;
use std::process::{Child, Command, Stdio};

use crate::cores::{Cores, list};
use crate::row::Percentiles;
use crate::scenario::Scenario;

/// What wrk counted.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Counted {
    pub requests: u64,
    pub seconds: f64,
    pub bytes: u64,
    pub socket_errors: u64,
    pub status_errors: u64,
    pub latency: Percentiles,
}

/// Starts wrk on the load's CPUs; `unique` is different for every start
/// against the same data, for scripts that create. It writes to `output`.
///
/// # Errors
/// When it is not there.
pub fn start(
    scenario: &Scenario,
    scripts: &Path,
    cores: &Cores,
    port: u16,
    seconds: u32,
    unique: u64,
    output: &Path,
) -> Result<Child, String> {
    let threads = cores.load.len().min(scenario.connections as usize);
    let file = std::fs::File::create(output).map_err(|e| format!("{}: {e}", output.display()))?;
    let mut command = Command::new("taskset");
    command
        .args(["-c", &list(&cores.load), "wrk"])
        .args([
            format!("-t{threads}"),
            format!("-c{}", scenario.connections),
        ])
        .args([
            format!("-d{seconds}s"),
            "--timeout=10s".to_owned(),
            "-s".to_owned(),
        ])
        .arg(scripts.join(&scenario.script))
        .arg(format!("http://127.0.0.1:{port}/"))
        .arg("--");
    for name in scenario.arguments.keys() {
        let value = scenario.argument(name).unwrap_or_default();
        command.arg(format!("{name}={value}"));
    }
    command
        .arg(format!("unique={unique}"))
        .stdin(Stdio::null())
        .stdout(file)
        .stderr(Stdio::null())
        .spawn()
        .map_err(|error| format!("wrk and taskset (apt-get install wrk util-linux): {error}"))
}

/// Reads the line of `report.lua`.
///
/// # Errors
/// When there is none, or nothing was answered.
pub fn parse(text: &str) -> Result<Counted, String> {
    let line = text.lines().find_map(|line| line.strip_prefix("counted "));
    let line = line.ok_or_else(|| format!("wrk counted nothing: {}", text.trim()))?;
    let number = |name: &str| {
        let mut pairs = line
            .split_whitespace()
            .filter_map(|pair| pair.split_once('='));
        let value = pairs
            .find(|(n, _)| *n == name)
            .and_then(|(_, value)| value.parse::<f64>().ok());
        value.ok_or_else(|| format!("wrk did not say {name}: {line}"))
    };
    let counted = Counted {
        requests: number("requests")? as u64,
        seconds: number("duration_us")? / 1e6,
        bytes: number("bytes")? as u64,
        socket_errors: (number("connect")?
            + number("read")?
            + number("write")?
            + number("timeout")?) as u64,
        status_errors: number("status")? as u64,
        latency: Percentiles {
            p50: number("p50")?,
            p90: number("p90")?,
            p99: number("p99")?,
            p999: number("p99.9")?,
        },
    };
    match counted.requests > 0 && counted.seconds > 0.0 {
        true => Ok(counted),
        false => Err(format!("nothing was answered: {}", line.trim_end())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINE: &str = "Running 2s test\ncounted requests=1000 duration_us=2000000 bytes=5000 \
                        connect=1 read=2 write=3 timeout=4 status=5 p50=100 p90=200.5 p99=300 \
                        p99.9=400\n";

    #[test]
    fn the_line_of_the_script_is_read() {
        let counted = parse(LINE).unwrap();
        assert_eq!((counted.requests, counted.seconds), (1_000, 2.0));
        assert_eq!((counted.socket_errors, counted.status_errors), (10, 5));
        assert_eq!((counted.latency.p90, counted.latency.p999), (200.5, 400.0));
    }

    #[test]
    fn what_is_missing_is_said() {
        assert!(
            parse("Running")
                .unwrap_err()
                .contains("wrk counted nothing: Running")
        );
        let error = parse(&LINE.replace("p99=", "p98=")).unwrap_err();
        assert!(error.contains("did not say p99:"), "{error}");
        let error = parse(&LINE.replace("requests=1000", "requests=0")).unwrap_err();
        assert!(error.contains("nothing was answered"), "{error}");
    }
}
