//! Why a command ends without having done what it was asked.

use std::fmt;

use crate::config::ConfigErrors;

/// An end with an exit code. Displays as what went wrong and, on a line of its
/// own, the cure.
#[derive(Debug)]
pub(super) struct Failure {
    pub(super) exit_code: u8,
    what: String,
    cure: String,
}

/// The command line or the configuration is wrong.
const EXIT_USAGE: u8 = 2;
/// Everything else.
const EXIT_RUNTIME: u8 = 1;

impl Failure {
    /// It failed while running.
    pub(super) fn runtime(what: impl fmt::Display, cure: impl fmt::Display) -> Self {
        Self {
            exit_code: EXIT_RUNTIME,
            what: what.to_string(),
            cure: cure.to_string(),
        }
    }

    /// It was asked wrongly.
    pub(super) fn usage(what: impl fmt::Display, cure: impl fmt::Display) -> Self {
        Self {
            exit_code: EXIT_USAGE,
            what: what.to_string(),
            cure: cure.to_string(),
        }
    }

    /// Of an error whose text names its own cure after a colon.
    pub(super) fn curing_itself(what: impl fmt::Display, error: impl fmt::Display) -> Self {
        Self::runtime(what, error)
    }
}

impl From<ConfigErrors> for Failure {
    fn from(errors: ConfigErrors) -> Self {
        let each: Vec<_> = errors.0.iter().map(ToString::to_string).collect();
        Self {
            exit_code: EXIT_USAGE,
            what: each.join("\ncorelane: "),
            cure: String::new(),
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "corelane: {}", self.what)?;
        if !self.cure.is_empty() {
            write!(f, "\n  cure: {}", self.cure)?;
        }
        Ok(())
    }
}
