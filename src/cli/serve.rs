//! `corelane serve`: from settings to a running server, and to its end.

use std::sync::Arc;

use super::args::ServeArgs;
use super::banner::{Banner, fallback_warning};
use super::failure::Failure;
use super::{app, first_start, output, settings, topology};
use crate::config::{Config, ConfigErrors, Loaded};
use crate::server::{Server, ServerHandle, StartError, run_until_signal};
use crate::store::Database;
use crate::topology::Placement;

pub(super) fn run(args: &ServeArgs) -> Result<(), Failure> {
    let loaded = settings::load(&args.settings.sources())?;
    let placement = place(&loaded)?;
    let config = loaded.config;
    if args.check {
        return report_check(&config, &placement);
    }
    first_start::make_folders(&config)?;
    let database = open(&config)?;
    first_start::fill(&config, &database)?;
    let server = start(&config, placement, &database)?;
    announce(&server, &config)?;
    let report = run_until_signal(server);
    database.close();
    if report.drained {
        return Ok(());
    }
    Err(Failure::runtime(
        format!(
            "{} connections were cut at the end of the drain",
            report.connections_cut
        ),
        "raise server.drain_timeout_ms if their requests may take that long",
    ))
}

fn place(loaded: &Loaded) -> Result<Placement, Failure> {
    let machine = topology::read_machine()?;
    if machine.is_synthetic {
        return Err(Failure::usage(
            "the machine is described by HWLOC_* variables, not this one",
            "unset them; `corelane topology` is for looking at other machines",
        ));
    }
    let placement = loaded
        .place(&machine)
        .map_err(|error| ConfigErrors(vec![error]))?;
    for note in &placement.notes {
        eprintln!("corelane: note: {note}");
    }
    Ok(placement)
}

fn report_check(config: &Config, placement: &Placement) -> Result<(), Failure> {
    // The default folder is made by the first start.
    if config.static_files.root.exists() || !first_start::makes_static(config) {
        app::check_static(config)?;
    }
    output::print(&format!(
        "the configuration is valid: {} shards, listening on {}, store {}\n",
        placement.shards.len(),
        config.server.listen,
        config.store.url
    ))
}

fn open(config: &Config) -> Result<Arc<Database>, Failure> {
    Database::open(&config.store)
        .map_err(|error| Failure::curing_itself("the store cannot be opened", error))
}

fn start(
    config: &Config,
    placement: Placement,
    database: &Arc<Database>,
) -> Result<ServerHandle, Failure> {
    let app = app::build(config, database.clone())?;
    let mut server = Server::new(app)
        .options(config.server.clone())
        .placement(placement);
    if let Some(format) = config.access_log.format {
        server = server.access_log(format, config.access_log.target.clone());
    }
    server
        .start()
        .map_err(|error: StartError| Failure::curing_itself("the server cannot start", error))
}

fn announce(server: &ServerHandle, config: &Config) -> Result<(), Failure> {
    if let Some(why) = server.fallback() {
        eprintln!("{}", fallback_warning(why));
    }
    output::print(&Banner::new(server, config).render())
}
