//! Why a command ends without having done what it was asked.

use std::fmt;

use crate::config::ConfigErrors;

/// An end with an exit code. Displays as what went wrong and, on a line of its
/// own, the cure.
#[derive(Debug)]
pub(super) struct Failure {
    pub(super) exit_code: u8,
    what: String,
    /// A line of its own, with its label; may be empty.
    second_line: String,
}

/// The command line or the configuration is wrong.
const EXIT_USAGE: u8 = 2;
/// Everything else.
const EXIT_RUNTIME: u8 = 1;

impl Failure {
    /// It failed while running.
    pub(super) fn runtime(what: impl fmt::Display, cure: impl fmt::Display) -> Self {
        let second_line = format!("cure: {cure}");
        Self {
            exit_code: EXIT_RUNTIME,
            what: what.to_string(),
            second_line,
        }
    }

    /// It was asked wrongly.
    pub(super) fn usage(what: impl fmt::Display, cure: impl fmt::Display) -> Self {
        Self {
            exit_code: EXIT_USAGE,
            ..Self::runtime(what, cure)
        }
    }

    /// It failed while running, by an error whose text ends with its cure.
    pub(super) fn with_cure_inside(what: impl fmt::Display, error: impl fmt::Display) -> Self {
        let second_line = error.to_string();
        Self {
            exit_code: EXIT_RUNTIME,
            what: what.to_string(),
            second_line,
        }
    }
}

impl From<ConfigErrors> for Failure {
    fn from(errors: ConfigErrors) -> Self {
        let each: Vec<_> = errors.0.iter().map(ToString::to_string).collect();
        Self {
            exit_code: EXIT_USAGE,
            what: each.join("\ncorelane: "),
            second_line: String::new(),
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "corelane: {}", self.what)?;
        match self.second_line.as_str() {
            "" => Ok(()),
            line => write!(f, "\n  {line}"),
        }
    }
}
