//! What is asked of the servers: a TOML file each in `benches/versus/scenarios`.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Deserialize;

/// One scenario. Its name is that of its file.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scenario {
    #[serde(skip)]
    pub name: String,
    /// Where it stands in tables and pictures.
    pub position: u32,
    /// What is asked, in a few words.
    pub title: String,
    /// What a server must be able to do; see `rival.toml`.
    pub serves: String,
    /// What a server must keep the users in.
    #[serde(default)]
    pub store: Store,
    /// Why the comparison is fair, and where it is not. A sentence or two each.
    pub fair: String,
    pub unfair: String,
    /// Connections that load.
    pub connections: u32,
    /// In `benches/versus/wrk`, with what it is told: `name=value`.
    pub script: String,
    #[serde(default)]
    pub arguments: BTreeMap<String, toml::Value>,
    /// How long a server may keep an answer, milliseconds. Default an hour.
    #[serde(default = "one_hour_ms")]
    pub cache_ttl_ms: u64,
    /// Users 1 to this many are asked for once before anything is measured.
    #[serde(default)]
    pub warm_ids: u64,
    /// How long it is loaded before it is measured. Default 1.
    #[serde(default = "one")]
    pub warm_seconds: u32,
    /// Connections beside the load that say nothing.
    #[serde(default)]
    pub idle_connections: u32,
    /// The same rate for every server, if latency is measured so too.
    pub open_loop: Option<OpenLoop>,
    /// Pictures it is shown in.
    #[serde(default)]
    pub plots: Vec<Plot>,
    /// The server that the others are compared with.
    pub baseline: String,
}

/// Requests at a rate that does not wait for answers.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OpenLoop {
    /// Requests per second.
    pub rate: u32,
    /// Path and query; with `is_pattern` a regular expression that makes them.
    pub path: String,
    #[serde(default)]
    pub is_pattern: bool,
    /// A header line to send.
    pub header: Option<String>,
}

/// What the users are kept in.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Store {
    /// Whatever a server likes: they are read only, and cached.
    #[default]
    Any,
    Sqlite,
    Postgres,
}

impl Store {
    /// As `STORE` and `rival.toml` have it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Any => "",
            Self::Sqlite => "sqlite",
            Self::Postgres => "postgres",
        }
    }
}

/// A picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Plot {
    Throughput,
    Cpu,
    Latency,
}

impl Scenario {
    /// Reads one.
    ///
    /// # Errors
    /// What is wrong with it, with its name.
    pub fn parse(name: &str, text: &str) -> Result<Self, String> {
        let scenario = toml::from_str::<Self>(text).map_err(|e| format!("{name}: {e}"))?;
        let refuse = |why: &str| Err(format!("{name}: {why}"));
        if !CAPABILITIES.contains(&scenario.serves.as_str()) {
            return refuse(&format!("serves is one of {}", CAPABILITIES.join(", ")));
        }
        if (scenario.serves == "users-api") != (scenario.store != Store::Any) {
            return refuse("users-api goes with a store, and nothing else does");
        }
        if scenario.connections == 0 {
            return refuse("connections must be at least 1");
        }
        if scenario.plots.contains(&Plot::Latency) && scenario.open_loop.is_none() {
            return refuse("the picture of latencies needs an [open_loop]");
        }
        Ok(Self {
            name: name.to_owned(),
            ..scenario
        })
    }

    /// All in a folder, in their order.
    ///
    /// # Errors
    /// What is wrong with one of them, or with the folder.
    pub fn read_all(folder: &Path) -> Result<Vec<Self>, String> {
        let entries = std::fs::read_dir(folder);
        let entries = entries.map_err(|error| format!("{}: {error}", folder.display()))?;
        let mut scenarios = Vec::new();
        for entry in entries.flatten() {
            let path = entry.path();
            if path.extension().is_none_or(|extension| extension != "toml") {
                continue;
            }
            let name = path.file_stem().unwrap_or_default().to_string_lossy();
            let text = std::fs::read_to_string(&path).map_err(|e| format!("{name}: {e}"))?;
            scenarios.push(Self::parse(&name, &text)?);
        }
        scenarios.sort_by(|a, b| (a.position, &a.name).cmp(&(b.position, &b.name)));
        Ok(scenarios)
    }

    /// An argument of the script as text, if it has it.
    pub fn argument(&self, name: &str) -> Option<String> {
        Some(match self.arguments.get(name)? {
            toml::Value::String(text) => text.clone(),
            other => other.to_string(),
        })
    }
}

/// What `serves` may say.
pub const CAPABILITIES: [&str; 7] = [
    "constant",
    "pipelined",
    "user",
    "users-api",
    "json",
    "static",
    "conditional",
];

fn one_hour_ms() -> u64 {
    3_600_000
}

fn one() -> u32 {
    1
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEAST: &str = "position = 1\ntitle = 't'\nserves = 'constant'\nfair = 'f'\n\
                         unfair = 'u'\nconnections = 64\nscript = 'get.lua'\nbaseline = 'b'\n";

    #[test]
    fn the_least_one_may_say() {
        let scenario = Scenario::parse("small", LEAST).unwrap();
        assert_eq!(scenario.name, "small");
        assert_eq!(
            (scenario.cache_ttl_ms, scenario.warm_seconds),
            (3_600_000, 1)
        );
        assert_eq!(scenario.store, Store::Any);
    }

    #[test]
    fn arguments_become_text() {
        let text = format!("{LEAST}[arguments]\nids = 1000\npath = '/x'\n");
        let scenario = Scenario::parse("small", &text).unwrap();
        assert_eq!(scenario.argument("ids").unwrap(), "1000");
        assert_eq!(scenario.argument("path").unwrap(), "/x");
        assert_eq!(scenario.argument("other"), None);
    }

    #[test]
    fn what_cannot_be_meant_is_refused() {
        for (more, why) in [
            ("rounds = 3", "unknown field"),
            ("store = 'postgres'", "users-api goes with a store"),
            ("plots = ['latency']", "needs an [open_loop]"),
        ] {
            let error = Scenario::parse("small", &format!("{LEAST}{more}\n")).unwrap_err();
            assert!(error.contains(why) && error.contains("small"), "{error}");
        }
        let other = LEAST.replace("constant", "constants");
        assert!(
            Scenario::parse("small", &other)
                .unwrap_err()
                .contains("one of constant,")
        );
    }

    #[test]
    fn those_of_this_repository_can_be_read() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scenarios");
        let scenarios = Scenario::read_all(&folder).unwrap();
        assert!(scenarios.len() >= 17, "{}", scenarios.len());
        for scenario in &scenarios {
            let script = folder.join("../wrk").join(&scenario.script);
            assert!(script.exists(), "{}: {}", scenario.name, script.display());
        }
    }
}
