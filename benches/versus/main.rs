//! corelane and other servers, side by side: `cargo bench --bench versus --
//! [--rivals a,b] [--scenarios x,y] [--rounds N] [--seconds N]
//! [--cores server=0,load=1] [--out DIR] [--list] [--readme DIR]`.
//!
//! Each cell is a server started for it alone, its answers checked, loaded by
//! wrk and, where the scenario has a rate, by oha. What is measured and how it
//! is told is the crate in `lib`, where its tests run; here is what needs
//! corelane: its server (`app`) and its users (`data`).

mod app;
mod data;
mod prepare;
mod report;
#[path = "../support/mod.rs"]
mod support;

use std::path::{Path, PathBuf};

use versus::campaign;
use versus::cell::Ground;
use versus::cores::Cores;
use versus::names;
use versus::readme::About;
use versus::rival::Rival;
use versus::scenario::{Scenario, Store};

use prepare::Prepared;
use support::args;

const ROUNDS: usize = 3;
const SECONDS: u32 = 2;

fn main() {
    app::serve_if_asked();
    if let Err(why) = run() {
        eprintln!("versus: {why}");
        std::process::exit(1);
    }
}

fn run() -> Result<(), String> {
    let home = report::root().join("benches/versus");
    let scenarios = Scenario::read_all(&home.join("scenarios"))?;
    let program = std::env::current_exe().map_err(|error| error.to_string())?;
    let mut rivals = vec![
        Rival::corelane(
            &program,
            "io_uring",
            "corelane on io_uring, a shard per core",
        ),
        Rival::corelane(&program, "epoll", "corelane on epoll, a shard per core"),
    ];
    rivals.extend(Rival::read_all(&home.join("rivals"))?);
    let scenarios = chosen("scenario", "--scenarios", scenarios, |s| &s.name)?;
    if let Some(run) = args::text("--readme") {
        return report::write_readme(&run, &scenarios);
    }
    let rivals = chosen("rival", "--rivals", rivals, |rival| &rival.name)?;
    if std::env::args().any(|arg| arg == "--list") {
        list(&scenarios, &rivals);
        return Ok(());
    }
    let cores = cores()?;
    let rounds = args::number("--rounds").unwrap_or(ROUNDS);
    let seconds = args::number("--seconds").unwrap_or(SECONDS);
    if rounds == 0 || seconds == 0 {
        return Err("--rounds and --seconds are at least 1".to_owned());
    }
    // This program, and all it starts but the servers, runs beside the load.
    data::on_cpus(&cores.load.clone(), || {
        let needs_oha = scenarios
            .iter()
            .any(|scenario| scenario.open_loop.is_some());
        let Prepared {
            rivals,
            skipped,
            oha,
        } = prepare::prepare(rivals, needs_oha)?;
        let needs_postgres = scenarios.iter().any(|s| s.store == Store::Postgres);
        let mut data = data::Data::make(&cores, needs_postgres);
        let programs = programs(&rivals);
        let host = report::describe(oha.as_deref(), data.postgres_version(), &programs);
        let ground = ground(&home, cores, seconds, oha, &data)?;
        let rows = campaign::run(&ground, &scenarios, &rivals, rounds, &mut data)?;
        let about = About {
            host: &host,
            rivals: &rivals,
            skipped: &skipped,
            rounds,
            seconds,
            cores: &ground.cores,
        };
        report::write(&report::folder(), &home, &about, &rows, &scenarios)?;
        Ok(())
    })
}

/// What the rivals' programs are, of which versions are told.
fn programs(rivals: &[Rival]) -> Vec<String> {
    let all = rivals
        .iter()
        .flat_map(|rival| rival.sheet.requires.iter().cloned());
    let mut all: Vec<String> = all.collect();
    all.sort();
    all.dedup();
    all
}

/// Those of `all` that a flag names.
fn chosen<T>(
    kind: &str,
    flag: &str,
    all: Vec<T>,
    name: impl Fn(&T) -> &String,
) -> Result<Vec<T>, String> {
    let names: Vec<&str> = all.iter().map(|one| name(one).as_str()).collect();
    let chosen = names::choose(kind, args::text(flag).as_deref(), &names)?;
    let chosen: Vec<String> = chosen.into_iter().map(str::to_owned).collect();
    Ok(all
        .into_iter()
        .filter(|one| chosen.contains(name(one)))
        .collect())
}

fn list(scenarios: &[Scenario], rivals: &[Rival]) {
    println!("scenarios:");
    for scenario in scenarios {
        println!("  {:18} {}", scenario.name, scenario.title);
    }
    println!("rivals:");
    for rival in rivals {
        println!("  {:18} {}", rival.name, rival.sheet.about);
    }
}

fn cores() -> Result<Cores, String> {
    let allowed = rustix::thread::sched_getaffinity(None).map_err(|error| error.to_string())?;
    let allowed: Vec<usize> = (0..1_024).filter(|cpu| allowed.is_set(*cpu)).collect();
    match args::text("--cores") {
        Some(text) => Cores::parse(&text, &allowed),
        None => Cores::halves(&allowed),
    }
}

fn ground(
    home: &Path,
    cores: Cores,
    seconds: u32,
    oha: Option<PathBuf>,
    data: &data::Data,
) -> Result<Ground, String> {
    let users_file = data.folder().join("users.ndjson");
    let dataset_file = home.join("data/dataset.json");
    let list = prepare::write_users(data, &cores, &dataset_file, &users_file)?;
    let static_folder = data.static_folder();
    Ok(Ground {
        expected: versus::expected::Expected::read(
            &users_file,
            &dataset_file,
            &static_folder,
            &list,
        )?,
        cores,
        seconds,
        static_folder,
        users_file,
        dataset_file,
        scripts: home.join("wrk"),
        oha,
        temporary: data.folder().to_owned(),
    })
}
