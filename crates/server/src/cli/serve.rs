//! `corelane serve`: from settings to a running server, and to its end.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::args::ServeArgs;
use super::banner::{Banner, fallback_warning};
use super::console::Console;
use super::failure::Failure;
use super::{app, first_start, memory, output, settings, topology};
use crate::config::{Config, ConfigErrors, Loaded};
use crate::store::Database;
use corelane::internals::topology::{Pinning, Placement, confine_current_thread, cpu_quota};
use corelane::server::{
    ExitReport, Server, ServerHandle, ShutdownSignals, StartError, check_admin_listen, check_listen,
};

pub(super) fn run(args: &ServeArgs) -> Result<(), Failure> {
    let loaded = load(args)?;
    let placement = place(&loaded)?;
    app::check(&loaded)?;
    let mut config = loaded.config;
    // The admin listener's thread asks the store as well.
    let connecting = placement.shards.len() + usize::from(config.server.admin.is_some());
    config.store.shards = u32::try_from(connecting).unwrap_or(u32::MAX);
    if args.check {
        return report_check(&config, &placement);
    }
    // From here on this thread keeps house: what it starts inherits where it
    // may run. Only a wish, as on a machine where nothing may be pinned.
    if placement.pinning != Pinning::Off {
        let _ = confine_current_thread(&placement.housekeeping);
    }
    let console = Console::start()?;
    console.tell_panics();
    memory::give_back();
    // Before the store is made and filled for nothing.
    check_listen(config.server.listen).map_err(start_failure)?;
    if let Some(admin) = &config.server.admin {
        check_admin_listen(admin.listen).map_err(start_failure)?;
    }
    first_start::make_folders(&config)?;
    if args.no_wait {
        config.store.wait_ms = 0;
    }
    let database = open(&config, &console)?;
    first_start::fill(&config, &database, &console)?;
    let notes = placement.notes.clone();
    let signals = ShutdownSignals::install()
        .map_err(StartError::Thread)
        .map_err(start_failure)?;
    let server = start(&config, placement, &database)?;
    announce(&server, &config, &notes, database.warning(), &console);
    let report = signals.run(server);
    database.close();
    tell_of_cut_connections(&report, &console);
    Ok(())
}

/// What it says by a writer that ends with it: it was started where the shards
/// will run.
fn load(args: &ServeArgs) -> Result<Loaded, Failure> {
    let console = Console::start()?;
    settings::load_telling(&args.settings.sources(), |text| console.say(text))
}

fn place(loaded: &Loaded) -> Result<Placement, Failure> {
    let machine = topology::read_machine()?;
    if machine.is_synthetic {
        return Err(Failure::usage(
            "the machine is described by HWLOC_* variables, not this one",
            "unset them; `corelane topology` is for looking at other machines",
        ));
    }
    let placed = loaded.place(&machine);
    let mut placement = placed.map_err(|error| Failure::from(ConfigErrors(vec![error])))?;
    placement
        .notes
        .extend(quota_note(placement.shards.len(), cpu_quota()));
    Ok(placement)
}

/// A quota stops all shards together when it is used up.
fn quota_note(shards: usize, quota: Option<f64>) -> Option<String> {
    let quota = quota.filter(|quota| *quota < shards as f64)?;
    let fitting = (quota as usize).max(1);
    Some(format!(
        "the cgroup's CPU quota (cpu.max, CPUQuota=) is {quota:.2} CPUs, less than the {shards} \
         shards: under load all of them are stopped for a part of each period; raise it, or run \
         --shards {fitting}"
    ))
}

fn report_check(config: &Config, placement: &Placement) -> Result<(), Failure> {
    let shards = match placement.shards.len() {
        1 => "1 shard".to_owned(),
        count => format!("{count} shards"),
    };
    let admin = match config.admin.listen {
        Some(address) => format!("admin on {address}"),
        None => "admin off".to_owned(),
    };
    output::print(&format!(
        "the configuration is valid: {shards}, listening on {}, {admin}, store {}\n",
        config.server.listen, config.store.url
    ))
}

/// Waits, within `store.wait_ms`, for a store that may come by itself: what is
/// started beside it, such as its database server, need not be up before it.
fn open(config: &Config, console: &Console) -> Result<Arc<Database>, Failure> {
    let wait = Duration::from_millis(config.store.wait_ms);
    let begun = Instant::now();
    let mut pause = WAIT_FIRST;
    loop {
        match Database::open(&config.store) {
            Err(error) if error.is_transient() && begun.elapsed() + pause < wait => {
                if pause == WAIT_FIRST {
                    console.say(format!(
                        "corelane: note: waiting for the store, at most {} s (store.wait_ms, \
                         --no-wait): {error}",
                        config.store.wait_ms.div_ceil(1_000)
                    ));
                }
                std::thread::sleep(pause);
                pause = (pause * 2).min(WAIT_LONGEST);
            }
            opened => {
                return opened.map_err(|error| {
                    Failure::with_cure_inside("the store cannot be opened", error)
                });
            }
        }
    }
}

/// Pauses between two tries to open the store; they double.
const WAIT_FIRST: Duration = Duration::from_millis(100);
const WAIT_LONGEST: Duration = Duration::from_secs(1);

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
    server.start().map_err(start_failure)
}

fn start_failure(error: StartError) -> Failure {
    Failure::with_cure_inside("the server cannot start", error)
}

fn announce(
    server: &ServerHandle,
    config: &Config,
    notes: &[String],
    warning: Option<&str>,
    console: &Console,
) {
    for note in notes {
        console.say(format!("corelane: note: {note}"));
    }
    if let Some(warning) = warning {
        console.say(format!("corelane: warning: {warning}"));
    }
    if let Some(why) = server.fallback() {
        console.say(fallback_warning(why));
    }
    if let Some(why) = server.pinning_refused() {
        console.say(format!(
            "corelane: warning: the shards are not pinned to cores\n  {why}"
        ));
    }
    console.announce(Banner::new(server, config).render());
}

/// A drain that ran out of time is what its deadline is for, and no failure;
/// but it is said.
fn tell_of_cut_connections(report: &ExitReport, console: &Console) {
    if !report.drained {
        console.say(format!(
            "corelane: warning: the drain ran out of time, {} connections were cut\n  \
             cure: raise server.drain_timeout_ms if their requests may take that long",
            report.connections_cut
        ));
    }
}
