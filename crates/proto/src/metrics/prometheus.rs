//! Prometheus text format 0.0.4: families as lines.
//!
//! Written here because no crate writes it alone: `prometheus` brings a registry
//! of atomics and protobuf's types for the same lines, and `prometheus-client`
//! writes OpenMetrics only (its issue 51).

use std::fmt::{self, Write};

use super::family::{Family, FamilyKind, Label, SampleValue};
use super::{ProcessSnapshot, families};

/// `Content-Type` of [`prometheus_text`].
pub const PROMETHEUS_CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// The snapshot in Prometheus text format.
pub fn prometheus_text(snapshot: &ProcessSnapshot) -> String {
    let mut text = String::new();
    for family in families(snapshot) {
        write_family(&mut text, &family).expect("a String takes everything");
    }
    text
}

fn write_family(text: &mut String, family: &Family) -> fmt::Result {
    let name = family.name;
    let kind = match family.kind {
        FamilyKind::Counter => "counter",
        FamilyKind::Gauge => "gauge",
        FamilyKind::Histogram => "histogram",
    };
    write!(text, "# HELP {name} ")?;
    write_escaped(text, family.help, false);
    writeln!(text, "\n# TYPE {name} {kind}")?;
    for sample in &family.samples {
        let labels = &sample.labels;
        match &sample.value {
            SampleValue::Integer(value) => {
                write_sample(text, name, "", labels, None, *value as f64)?
            }
            SampleValue::Float(value) => write_sample(text, name, "", labels, None, *value)?,
            SampleValue::Distribution {
                cumulative,
                sum,
                count,
            } => {
                let bounds = cumulative.iter().copied();
                for (bound, at_most) in bounds.chain([(f64::INFINITY, *count)]) {
                    write_sample(text, name, "_bucket", labels, Some(bound), at_most as f64)?;
                }
                write_sample(text, name, "_sum", labels, None, *sum)?;
                write_sample(text, name, "_count", labels, None, *count as f64)?;
            }
        }
    }
    Ok(())
}

/// One line. To Prometheus every number is a float.
fn write_sample(
    text: &mut String,
    name: &str,
    suffix: &str,
    labels: &[Label],
    bound: Option<f64>,
    value: f64,
) -> fmt::Result {
    write!(text, "{name}{suffix}")?;
    let mut separator = '{';
    for (label, value) in labels {
        write!(text, "{separator}{label}=\"")?;
        write_escaped(text, value, true);
        text.push('"');
        separator = ',';
    }
    match bound {
        Some(f64::INFINITY) => write!(text, "{separator}le=\"+Inf\"}}")?,
        Some(bound) => write!(text, "{separator}le=\"{bound}\"}}")?,
        None if labels.is_empty() => {}
        None => text.push('}'),
    }
    writeln!(text, " {value}")
}

fn write_escaped(text: &mut String, plain: &str, in_quotes: bool) {
    for c in plain.chars() {
        match c {
            '\\' => text.push_str("\\\\"),
            '\n' => text.push_str("\\n"),
            '"' if in_quotes => text.push_str("\\\""),
            _ => text.push(c),
        }
    }
}

#[cfg(test)]
#[path = "prometheus_tests.rs"]
mod tests;
