//! Who is compared: each a folder in `benches/versus/rivals` with its own
//! package and a `rival.toml`, and corelane itself.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde::Deserialize;

use crate::scenario::{Scenario, Store};

/// A server that can be started.
#[derive(Debug, Clone, PartialEq)]
pub struct Rival {
    pub name: String,
    /// Its folder; the runner's executable has none.
    pub folder: PathBuf,
    pub sheet: Sheet,
    /// corelane: it keeps its change feed, and is told where users are kept
    /// even where a rival may have them from a file.
    pub is_corelane: bool,
    /// `{bin}` of its command, once it is built.
    pub program: Option<PathBuf>,
}

/// `rival.toml`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sheet {
    pub about: String,
    pub fair: String,
    pub unfair: String,
    pub build: Build,
    /// `{bin}`, `{dir}`, `{run}` and `{port}` are put in.
    pub command: Vec<String>,
    pub serves: Vec<String>,
    #[serde(default)]
    pub stores: Vec<String>,
    /// Programs that must be on PATH.
    #[serde(default)]
    pub requires: Vec<String>,
}

/// How a rival is built.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Build {
    Cargo,
    Npm,
    None,
}

impl Rival {
    /// All in a folder that have a `rival.toml`, by name.
    ///
    /// # Errors
    /// What is wrong with one of them, or with the folder.
    pub fn read_all(folder: &Path) -> Result<Vec<Self>, String> {
        let entries = std::fs::read_dir(folder);
        let entries = entries.map_err(|error| format!("{}: {error}", folder.display()))?;
        let mut rivals = Vec::new();
        for entry in entries.flatten() {
            let sheet = entry.path().join("rival.toml");
            let Ok(text) = std::fs::read_to_string(&sheet) else {
                continue;
            };
            let sheet = toml::from_str(&text).map_err(|e| format!("{}: {e}", sheet.display()))?;
            rivals.push(Self {
                name: entry.file_name().to_string_lossy().into_owned(),
                folder: entry.path(),
                sheet,
                is_corelane: false,
                program: None,
            });
        }
        rivals.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(rivals)
    }

    /// corelane, as `program --serve ENGINE`.
    pub fn corelane(program: &Path, engine: &str, about: &str) -> Self {
        let text = |parts: &[&str]| parts.iter().map(|part| (*part).to_owned()).collect();
        Self {
            name: format!("corelane-{engine}"),
            folder: PathBuf::new(),
            sheet: Sheet {
                about: about.to_owned(),
                fair: "the shipped application with its defaults, metrics and all".to_owned(),
                unfair: "it is the project's own; it was tuned on these scenarios".to_owned(),
                build: Build::None,
                command: text(&["{bin}", "--serve", engine]),
                serves: text(&crate::scenario::CAPABILITIES),
                stores: text(&["postgres", "sqlite"]),
                requires: Vec::new(),
            },
            is_corelane: true,
            program: Some(program.to_owned()),
        }
    }

    /// Whether it can take part in a scenario.
    pub fn serves(&self, scenario: &Scenario) -> bool {
        let has = |all: &[String], one: &str| all.iter().any(|each| each == one);
        let stores = &self.sheet.stores;
        has(&self.sheet.serves, &scenario.serves)
            && (scenario.store == Store::Any || has(stores, scenario.store.name()))
    }

    /// Builds it, and finds what it requires.
    ///
    /// # Errors
    /// What is missing, or that it does not build, and what to do.
    pub fn prepare(&mut self, target: &Path, log: &Path) -> Result<(), String> {
        for program in &self.sheet.requires {
            if !is_on_path(program) {
                let package = package_of(program);
                return Err(format!(
                    "{program} is not on PATH: apt-get install {package}"
                ));
            }
        }
        match self.sheet.build {
            Build::Cargo => {
                let name = self.package_name()?;
                let mut command = Command::new(env!("CARGO"));
                command
                    .args(["build", "--release", "--locked", "--manifest-path"])
                    .arg(self.folder.join("Cargo.toml"))
                    .arg("--target-dir")
                    .arg(target);
                run_logged(command, log)?;
                self.program = Some(target.join("release").join(name));
                Ok(())
            }
            Build::Npm => {
                let mut command = Command::new("npm");
                command
                    .args(["ci", "--omit=dev", "--no-audit", "--no-fund"])
                    .current_dir(&self.folder);
                run_logged(command, log)
            }
            Build::None => Ok(()),
        }
    }

    fn package_name(&self) -> Result<String, String> {
        let path = self.folder.join("Cargo.toml");
        let text = std::fs::read_to_string(&path);
        let text = text.map_err(|error| format!("{}: {error}", path.display()))?;
        let manifest: toml::Table =
            toml::from_str(&text).map_err(|error| format!("{}: {error}", path.display()))?;
        let name = manifest
            .get("package")
            .and_then(|package| package.get("name"));
        let name = name.and_then(|name| name.as_str());
        name.map(str::to_owned)
            .ok_or_else(|| format!("{}: no package.name", path.display()))
    }

    /// The command, with everything put in.
    pub fn command(&self, run: &Path, port: u16) -> Vec<String> {
        let program = self.program.as_deref().unwrap_or(Path::new(""));
        let put_in = |part: &String| {
            part.replace("{bin}", &program.display().to_string())
                .replace("{dir}", &self.folder.display().to_string())
                .replace("{run}", &run.display().to_string())
                .replace("{port}", &port.to_string())
        };
        self.sheet.command.iter().map(put_in).collect()
    }
}

/// Whether a program can be found as a shell finds it.
pub fn is_on_path(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let extra = [PathBuf::from("/usr/sbin"), PathBuf::from("/sbin")];
    let mut folders = std::env::split_paths(&path).chain(extra);
    folders.any(|folder| folder.join(program).is_file())
}

/// What Debian has a program in.
pub fn package_of(program: &str) -> &str {
    match program {
        "node" => "nodejs",
        "taskset" | "setpriv" => "util-linux",
        "psql" | "postgres" => "postgresql",
        other => other,
    }
}

fn run_logged(mut command: Command, log: &Path) -> Result<(), String> {
    let program = command.get_program().to_string_lossy().into_owned();
    let output = command
        .output()
        .map_err(|error| format!("{program}: {error}"))?;
    let text = [output.stdout, output.stderr].concat();
    let _ = std::fs::write(log, &text);
    if output.status.success() {
        return Ok(());
    }
    let text = String::from_utf8_lossy(&text);
    let last: Vec<&str> = text.lines().rev().take(5).collect();
    let last: Vec<&str> = last.into_iter().rev().collect();
    Err(format!(
        "{program} ended with {}: {}",
        output.status,
        last.join(" / ")
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHEET: &str = "about = 'a'\nfair = 'f'\nunfair = 'u'\nbuild = 'cargo'\n\
                         command = ['{bin}', '-p', '{run}/x', '{port}', '{dir}']\n\
                         serves = ['constant', 'users-api']\nstores = ['sqlite']\n";

    fn rival() -> Rival {
        Rival {
            name: "r".into(),
            folder: "/rivals/r".into(),
            sheet: toml::from_str(SHEET).unwrap(),
            is_corelane: false,
            program: Some("/bin/r".into()),
        }
    }

    #[test]
    fn its_command_is_put_together() {
        let command = rival().command(Path::new("/tmp/run"), 80);
        assert_eq!(command, ["/bin/r", "-p", "/tmp/run/x", "80", "/rivals/r"]);
    }

    #[test]
    fn it_takes_part_where_it_can() {
        let scenario = |serves: &str, store: &str| {
            let text = format!(
                "position = 1\ntitle = 't'\nserves = '{serves}'\nstore = '{store}'\nfair = 'f'\n\
                 unfair = 'u'\nconnections = 1\nscript = 's'\nbaseline = 'b'\n"
            );
            Scenario::parse("x", &text).unwrap()
        };
        assert!(rival().serves(&scenario("constant", "any")));
        assert!(!rival().serves(&scenario("static", "any")));
        assert!(rival().serves(&scenario("users-api", "sqlite")));
        assert!(!rival().serves(&scenario("users-api", "postgres")));
    }

    #[test]
    fn what_it_requires_and_is_not_there_is_said_with_a_cure() {
        let mut rival = rival();
        rival.sheet.requires = vec!["no-such-program".into()];
        let error = rival
            .prepare(Path::new("/nowhere"), Path::new("/dev/null"))
            .unwrap_err();
        assert!(error.contains("apt-get install no-such-program"), "{error}");
    }

    #[test]
    fn an_unknown_key_is_refused() {
        let error = toml::from_str::<Sheet>(&format!("{SHEET}port = 1\n")).unwrap_err();
        assert!(error.to_string().contains("unknown field"), "{error}");
    }
}
