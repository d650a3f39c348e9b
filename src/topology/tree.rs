//! (being written)
use super::{Machine, Placement};
/// x
pub fn render_tree(machine: &Machine, placement: Option<&Placement>) -> String { let _ = (machine, placement); String::new() }
