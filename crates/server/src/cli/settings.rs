//! The configuration of a command, and what is said about it.

use super::failure::Failure;
use crate::config::{self, Loaded, Sources};

/// Loads a configuration; what is odd about it goes to stderr.
pub(super) fn load(sources: &Sources) -> Result<Loaded, Failure> {
    let loaded = config::load(sources)?;
    for warning in &loaded.warnings {
        eprintln!("corelane: warning: {warning}");
    }
    Ok(loaded)
}
