//! `corelane config`: every setting with the value in effect.

use super::args::ConfigArgs;
use super::failure::Failure;
use super::{output, settings};
use crate::config::{Config, annotate};

pub(super) fn run(args: &ConfigArgs) -> Result<(), Failure> {
    if args.defaults {
        return output::print(&annotate(&Config::default(), None));
    }
    let loaded = settings::load(&args.settings.sources())?;
    output::print(&annotate(&loaded.config, Some(&loaded.origins)))
}
