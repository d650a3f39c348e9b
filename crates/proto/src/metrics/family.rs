//! Metrics as families of samples, whatever they are sent as: the Prometheus
//! text is one encoding of them, and names no other type of this room.

use std::borrow::Cow;

/// Samples that mean the same, told apart by their labels.
#[derive(Debug, Clone, PartialEq)]
pub struct Family {
    /// Unique, with the unit and, for a counter, `_total` at its end.
    pub name: &'static str,
    /// What is counted or measured, for people.
    pub help: &'static str,
    /// How its numbers behave.
    pub kind: FamilyKind,
    /// All with the same names of labels, in the same order.
    pub samples: Vec<Sample>,
}

/// How the numbers of a family behave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FamilyKind {
    /// Only grows while the process lives.
    Counter,
    /// Goes up and down.
    Gauge,
    /// How many observations were at most so large; each count only grows.
    Histogram,
}

/// What the numbers of a family measure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// Things: requests, connections, threads.
    Count,
    /// Bytes.
    Bytes,
    /// Seconds.
    Seconds,
}

/// One number, or one distribution.
#[derive(Debug, Clone, PartialEq)]
pub struct Sample {
    /// Names and values.
    pub labels: Vec<Label>,
    /// The number.
    pub value: SampleValue,
}

/// Name and value of a label.
pub type Label = (&'static str, Cow<'static, str>);

/// What a sample says.
#[derive(Debug, Clone, PartialEq)]
pub enum SampleValue {
    /// Of a counter or a gauge.
    Integer(u64),
    /// Of a counter or a gauge.
    Float(f64),
    /// Of a histogram.
    Distribution {
        /// Upper bounds, ascending, and how many observations were at most that.
        cumulative: Vec<(f64, u64)>,
        /// Sum of the observations.
        sum: f64,
        /// All observations, those above the last bound included.
        count: u64,
    },
}

impl Family {
    pub(super) fn counter(name: &'static str, help: &'static str, samples: Vec<Sample>) -> Self {
        Self {
            name,
            help,
            kind: FamilyKind::Counter,
            samples,
        }
    }

    pub(super) fn gauge(name: &'static str, help: &'static str, samples: Vec<Sample>) -> Self {
        Self {
            kind: FamilyKind::Gauge,
            ..Self::counter(name, help, samples)
        }
    }

    /// The unit that the name ends in.
    pub fn unit(&self) -> Unit {
        let name = self.name.strip_suffix("_total").unwrap_or(self.name);
        match name.rsplit('_').next() {
            Some("bytes") => Unit::Bytes,
            Some("seconds") => Unit::Seconds,
            _ => Unit::Count,
        }
    }
}

impl Sample {
    pub(super) fn new(labels: Vec<Label>, value: impl Into<SampleValue>) -> Self {
        Self {
            labels,
            value: value.into(),
        }
    }

    /// The only one of its family, without labels.
    pub(super) fn alone(value: impl Into<SampleValue>) -> Vec<Self> {
        vec![Self::new(Vec::new(), value)]
    }
}

impl From<u64> for SampleValue {
    fn from(value: u64) -> Self {
        Self::Integer(value)
    }
}

impl From<f64> for SampleValue {
    fn from(value: f64) -> Self {
        Self::Float(value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_unit_is_the_end_of_the_name() {
        let unit = |name| Family::gauge(name, "", Vec::new()).unit();
        assert_eq!(unit("corelane_compression_plain_bytes_total"), Unit::Bytes);
        assert_eq!(unit("corelane_cache_copy_bytes"), Unit::Bytes);
        assert_eq!(unit("process_cpu_seconds_total"), Unit::Seconds);
        assert_eq!(unit("process_threads"), Unit::Count);
    }
}
