//! The configuration of a command, and what is said about it.

use super::failure::Failure;
use crate::config::{self, Loaded, Sources};

/// Loads a configuration; what is odd about it goes to stderr.
pub(super) fn load(sources: &Sources) -> Result<Loaded, Failure> {
    load_telling(sources, |text| eprintln!("{text}"))
}

/// As [`load`], for who does not wait until it is read.
pub(super) fn load_telling(sources: &Sources, say: impl Fn(String)) -> Result<Loaded, Failure> {
    let loaded = config::load(sources)?;
    for warning in &loaded.warnings {
        say(format!("corelane: warning: {warning}"));
    }
    Ok(loaded)
}
