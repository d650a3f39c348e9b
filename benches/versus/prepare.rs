//! What has to be there before the first cell: rivals that are built, tools,
//! and the users as a file.

use std::path::{Path, PathBuf};

use versus::cores::{Cores, list};
use versus::http::{Answer, Client, Question};
use versus::open_loop;
use versus::rival::{Rival, is_on_path, package_of};
use versus::server::{Process, free_port};

use crate::data::Data;

/// Rivals that can be started, and why others cannot.
pub(crate) struct Prepared {
    pub(crate) rivals: Vec<Rival>,
    /// Names and reasons.
    pub(crate) skipped: Vec<(String, String)>,
    /// Where there is none, nothing is measured at a rate.
    pub(crate) oha: Option<PathBuf>,
}

/// Builds what has to be built. A rival that cannot be had is told, loudly.
///
/// # Errors
/// When a tool is missing that nothing can be measured without.
pub(crate) fn prepare(rivals: Vec<Rival>, needs_oha: bool) -> Result<Prepared, String> {
    for program in ["wrk", "taskset", "setpriv"] {
        if !is_on_path(program) {
            let package = package_of(program);
            return Err(format!(
                "{program} is not on PATH: apt-get install {package}"
            ));
        }
    }
    let target = crate::report::root().join("target");
    let rival_target = target.join("rivals");
    std::fs::create_dir_all(&rival_target).map_err(|error| error.to_string())?;
    let mut prepared = Prepared {
        rivals: Vec::new(),
        skipped: Vec::new(),
        oha: None,
    };
    for mut rival in rivals {
        eprintln!("preparing {}", rival.name);
        let log = rival_target.join(format!("{}.log", rival.name));
        match rival.prepare(&rival_target, &log) {
            Ok(()) => prepared.rivals.push(rival),
            Err(why) => prepared.skip(rival.name, why),
        }
    }
    if needs_oha {
        match open_loop::install(&target.join("tools")) {
            Ok(program) => prepared.oha = Some(program),
            Err(why) => prepared.skip("latency at a rate".to_owned(), why),
        }
    }
    match prepared.rivals.is_empty() {
        true => Err("no server is left to measure".to_owned()),
        false => Ok(prepared),
    }
}

impl Prepared {
    fn skip(&mut self, name: String, why: String) {
        eprintln!("\n!!! SKIPPED {name}: {why}\n");
        self.skipped.push((name, why));
    }
}

/// Asks corelane for every user, and writes them as `USERS_FILE`; the first
/// page of users as it answers it.
pub(crate) fn write_users(
    data: &Data,
    cores: &Cores,
    dataset: &Path,
    path: &Path,
) -> Result<Vec<u8>, String> {
    let program = std::env::current_exe().map_err(|error| error.to_string())?;
    let command = [
        program.display().to_string(),
        "--serve".into(),
        "epoll".into(),
    ];
    let port = free_port()?;
    let environment = [
        ("HOST", "127.0.0.1".to_owned()),
        ("PORT", port.to_string()),
        ("CORES", list(&cores.server)),
        (
            "DATABASE_URL",
            format!("sqlite:{}", data.folder().join("users.db").display()),
        ),
        ("DATABASE_MAX_CONN", "16".to_owned()),
        ("STATIC_DIR", data.static_folder().display().to_string()),
        ("CACHE_TTL_MS", "0".to_owned()),
        ("DATASET_FILE", dataset.display().to_string()),
    ];
    let run = tempfile::tempdir_in(data.folder()).map_err(|error| error.to_string())?;
    let cpus = list(&cores.server);
    let server = Process::start(&command, &environment, &cpus, port, run.path())?;
    let mut client = Client::connect(port)?;
    let export = get(&mut client, "/api/users/export")?;
    std::fs::write(path, &export.body).map_err(|e| format!("{}: {e}", path.display()))?;
    let page = get(&mut client, "/api/users?limit=20")?;
    drop(client);
    server.stop()?;
    Ok(page.body)
}

fn get(client: &mut Client, path: &str) -> Result<Answer, String> {
    let answer = client.ask(&Question {
        path,
        ..Question::default()
    })?;
    match answer.status {
        200 => Ok(answer),
        status => Err(format!("{path}: status {status}")),
    }
}
