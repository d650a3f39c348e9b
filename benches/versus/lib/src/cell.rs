//! One cell: a server, started for it alone, in one scenario.

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::check;
use crate::cores::{Cores, list};
use crate::expected::Expected;
use crate::http::{Client, Question};
use crate::idle::IdleConnections;
use crate::load::{self, Counted};
use crate::meter::Metered;
use crate::open_loop;
use crate::procfs;
use crate::rival::Rival;
use crate::row::{Figures, OpenFigures, Outcome};
use crate::scenario::{Scenario, Store};
use crate::server::{Process, free_port};

/// Databases with the users in them.
pub trait Databases {
    /// A database of this kind that nobody has written to: its address. For
    /// corelane with everything its own has.
    ///
    /// # Errors
    /// When it cannot be made.
    fn fresh(&mut self, store: Store, is_corelane: bool, run: &Path) -> Result<String, String>;

    /// The first process of PostgreSQL, once it runs.
    fn postgres_pid(&self) -> Option<u32>;

    /// Drops what [`fresh`](Self::fresh) made, if it is not in its folder.
    fn drop_fresh(&mut self);
}

/// What all cells share.
pub struct Ground {
    pub cores: Cores,
    pub seconds: u32,
    /// `STATIC_DIR`, `USERS_FILE`, `DATASET_FILE`.
    pub static_folder: PathBuf,
    pub users_file: PathBuf,
    pub dataset_file: PathBuf,
    pub expected: Expected,
    /// Folder of the wrk scripts.
    pub scripts: PathBuf,
    /// oha, if it could be had.
    pub oha: Option<PathBuf>,
    /// Where each start gets a folder.
    pub temporary: PathBuf,
}

/// Connections of all workers to a database.
const DATABASE_CONNECTIONS: u32 = 16;
/// Longest beyond its time that a load may take.
const PATIENCE: Duration = Duration::from_secs(30);

impl Ground {
    /// Measures one cell. `unique` is another number for each.
    pub fn measure(
        &self,
        scenario: &Scenario,
        rival: &Rival,
        databases: &mut dyn Databases,
        unique: u64,
    ) -> Outcome {
        let folder = tempfile::Builder::new()
            .prefix("run-")
            .tempdir_in(&self.temporary);
        let folder = match folder {
            Ok(folder) => folder,
            Err(error) => return Outcome::Failed(format!("a folder for the run: {error}")),
        };
        open_to_all(folder.path());
        let mut cell = Cell {
            ground: self,
            scenario,
            rival,
            run: folder.path(),
            unique,
        };
        let outcome = cell.run(databases);
        databases.drop_fresh();
        outcome
    }
}

struct Cell<'a> {
    ground: &'a Ground,
    scenario: &'a Scenario,
    rival: &'a Rival,
    run: &'a Path,
    unique: u64,
}

impl Cell<'_> {
    fn run(&mut self, databases: &mut dyn Databases) -> Outcome {
        let mut server = match self.start(databases) {
            Ok(server) => server,
            Err(why) => return Outcome::Failed(why),
        };
        let port = server.1;
        let server = &mut server.0;
        let (scenario, rival, expected) = (self.scenario, self.rival, &self.ground.expected);
        let checked = check::answers(scenario, rival, port, expected);
        if let Err(why) = checked {
            let said = server.last_words();
            let said = if said.is_empty() {
                said
            } else {
                format!(" (it said: {said})")
            };
            return Outcome::Wrong(format!("{why}{said}"));
        }
        let mut figures = match self.load(server, port, databases.postgres_pid()) {
            Ok(figures) => figures,
            Err(why) => return Outcome::Failed(format!("{why} {}", server.last_words())),
        };
        if let Err(why) = server.check_owner() {
            return Outcome::Failed(why);
        }
        if let Err(why) = check::answers_after(scenario, rival, port, expected) {
            return Outcome::Wrong(format!("after the load: {why}"));
        }
        figures.rss_peak_bytes = procfs::peak_rss_bytes(&procfs::tree(server.id()));
        Outcome::Measured(Box::new(figures))
    }

    fn start(&self, databases: &mut dyn Databases) -> Result<(Ended, u16), String> {
        let port = free_port()?;
        let environment = self.environment(databases, port)?;
        let command = self.rival.command(self.run, port);
        let cpus = list(&self.ground.cores.server);
        let process = Process::start(&command, &environment, &cpus, port, self.run)?;
        Ok((Ended(Some(process)), port))
    }

    fn environment(
        &self,
        databases: &mut dyn Databases,
        port: u16,
    ) -> Result<Vec<(&'static str, String)>, String> {
        let (scenario, ground) = (self.scenario, self.ground);
        let is_corelane = self.rival.is_corelane;
        let url = match scenario.store {
            // corelane has no users but in a database.
            Store::Any if is_corelane => databases.fresh(Store::Sqlite, true, self.run)?,
            Store::Any => String::new(),
            store => databases.fresh(store, is_corelane, self.run)?,
        };
        let path = |path: &Path| path.display().to_string();
        Ok(vec![
            ("HOST", "127.0.0.1".to_owned()),
            ("PORT", port.to_string()),
            ("CORES", list(&ground.cores.server)),
            ("STORE", scenario.store.name().to_owned()),
            ("DATABASE_URL", url),
            ("DATABASE_MAX_CONN", DATABASE_CONNECTIONS.to_string()),
            ("REDIS_URL", String::new()),
            ("STATIC_DIR", path(&ground.static_folder)),
            ("CACHE_TTL_MS", scenario.cache_ttl_ms.to_string()),
            ("USERS_FILE", path(&ground.users_file)),
            ("DATASET_FILE", path(&ground.dataset_file)),
        ])
    }

    /// Warms it up, and loads it both ways.
    fn load(&self, server: &Process, port: u16, postgres: Option<u32>) -> Result<Figures, String> {
        let scenario = self.scenario;
        warm_users(port, scenario.warm_ids)?;
        let idle = match scenario.idle_connections {
            0 => None,
            count => Some(IdleConnections::open(port, count, "/constant")?),
        };
        if scenario.warm_seconds > 0 {
            let seconds = scenario.warm_seconds;
            let unique = self.unique * 2;
            let mut metered = Metered::default();
            let warmed = (server, port);
            // On a busy machine thousands of connections may not get an answer
            // in so little time; then the load that counts says so.
            let _ = self.closed_loop(&mut metered, warmed, None, seconds, unique);
        }
        let postgres = postgres.filter(|_| scenario.store == Store::Postgres);
        let mut metered = Metered::begin(server.id(), postgres);
        let seconds = self.ground.seconds;
        let unique = self.unique * 2 + 1;
        let counted = self.closed_loop(&mut metered, (server, port), postgres, seconds, unique)?;
        let mut figures = figures_of(&counted, &metered, &self.ground.cores);
        if let (Some(open), Some(oha)) = (&scenario.open_loop, &self.ground.oha) {
            figures.open = Some(self.open_loop(open, oha, (server, port))?);
        }
        if let Some(mut idle) = idle {
            let closed = idle.closed();
            if closed > 0 {
                figures.note = format!("{closed} idle connections were closed by the server");
            }
        }
        Ok(figures)
    }

    fn closed_loop(
        &self,
        metered: &mut Metered,
        (server, port): (&Process, u16),
        postgres: Option<u32>,
        seconds: u32,
        unique: u64,
    ) -> Result<Counted, String> {
        let ground = self.ground;
        let output = self.run.join("wrk.txt");
        let (scenario, scripts) = (self.scenario, &ground.scripts);
        let mut wrk = load::start(
            scenario,
            scripts,
            &ground.cores,
            port,
            seconds,
            unique,
            &output,
        )?;
        let patience = Duration::from_secs(u64::from(seconds)) + PATIENCE;
        metered.until_end_of(&mut wrk, server.id(), postgres, patience)?;
        load::parse(&std::fs::read_to_string(&output).unwrap_or_default())
    }

    fn open_loop(
        &self,
        open: &crate::scenario::OpenLoop,
        oha: &Path,
        (server, port): (&Process, u16),
    ) -> Result<OpenFigures, String> {
        let ground = self.ground;
        let output = self.run.join("oha.json");
        let connections = self.scenario.connections;
        let seconds = ground.seconds;
        let cores = &ground.cores;
        let mut child = open_loop::start(oha, open, connections, cores, port, seconds, &output)?;
        let mut metered = Metered::begin(server.id(), None);
        let patience = Duration::from_secs(u64::from(seconds)) + PATIENCE;
        metered.until_end_of(&mut child, server.id(), None, patience)?;
        let text = std::fs::read_to_string(&output).unwrap_or_default();
        let figures = open_loop::parse(&text, open.rate)?;
        let window = Duration::from_secs(u64::from(seconds));
        Ok(OpenFigures {
            load_busy: metered.load.busy(window) / cores.load.len() as f64,
            ..figures
        })
    }
}

fn figures_of(counted: &Counted, metered: &Metered, cores: &Cores) -> Figures {
    let window = Duration::from_secs_f64(counted.seconds);
    let load_cores = cores.load.len() as f64;
    let server_cpu_ns = metered.server.spent_ns();
    Figures {
        requests: counted.requests,
        seconds: counted.seconds,
        closed: counted.latency,
        socket_errors: counted.socket_errors,
        status_errors: counted.status_errors,
        bytes: counted.bytes,
        server_cpu_ns,
        server_busy: metered.server.busy(window) / cores.server.len() as f64,
        load_busy: metered.load.busy(window) / load_cores,
        database_busy: metered.database.busy(window) / load_cores,
        ..Figures::default()
    }
}

/// Asks for each once, so that it is kept.
fn warm_users(port: u16, ids: u64) -> Result<(), String> {
    const AT_ONCE: u64 = 32;
    if ids == 0 {
        return Ok(());
    }
    let mut client = Client::connect(port)?;
    let mut first = 1;
    while first <= ids {
        let paths: Vec<String> = (first..=ids.min(first + AT_ONCE - 1))
            .map(|id| format!("/api/users/{id}"))
            .collect();
        let question = |path| Question {
            path,
            ..Question::default()
        };
        let questions: Vec<Question<'_>> = paths.iter().map(|path| question(path)).collect();
        for answer in client.ask_all(&questions)? {
            if answer.status != 200 {
                return Err(format!(
                    "warming users from {first} on: status {}",
                    answer.status
                ));
            }
        }
        first += AT_ONCE;
    }
    Ok(())
}

/// A server that is stopped in good order when its cell ends; what went wrong
/// with that is said, and has no part in what was measured.
struct Ended(Option<Process>);

impl std::ops::Deref for Ended {
    type Target = Process;

    fn deref(&self) -> &Process {
        self.0.as_ref().expect("until it is dropped")
    }
}

impl std::ops::DerefMut for Ended {
    fn deref_mut(&mut self) -> &mut Process {
        self.0.as_mut().expect("until it is dropped")
    }
}

impl Drop for Ended {
    fn drop(&mut self) {
        if let Some(Err(why)) = self.0.take().map(Process::stop) {
            eprintln!("a server did not end well: {why}");
        }
    }
}

/// A server may run as another user.
fn open_to_all(folder: &Path) {
    use std::os::unix::fs::PermissionsExt;
    let _ = std::fs::set_permissions(folder, std::fs::Permissions::from_mode(0o777));
}
