//! From sources to a [`Config`]: the file, then the environment, then the
//! flags, each over the one before; then what must hold between knobs.
//!
//! All mistakes are collected, so that one run shows them all.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::PathBuf;

use super::core_map::ParsedCoreMap;
use super::error::{ConfigError, ConfigErrors, Origin};
use super::file::Document;
use super::knob::{Knob, PREFIX, Refusal, variable_of};
use super::loading::{CONFIG_FLAG, CORE_MAP_FLAG, Environment, Loading};
use super::{Config, check, core_map_source, knobs};
use crate::nearest::nearest;
use corelane::internals::topology::{self, Machine, Placement};

/// Where settings come from.
#[derive(Clone, Default)]
pub struct Sources {
    /// `--config`; without it `CORELANE_CONFIG`, without that no file.
    pub file: Option<PathBuf>,
    /// Variables; those that do not start with `CORELANE_` are ignored, but for
    /// two that platforms set, `DATABASE_URL` and `REDIS_URL`.
    pub environment: Vec<(OsString, OsString)>,
    /// Flags without dashes, and their values.
    pub flags: Vec<(&'static str, String)>,
}

/// Without the variables' values, which can be secrets of anybody's.
impl std::fmt::Debug for Sources {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let variables: Vec<_> = self.environment.iter().map(|(name, _)| name).collect();
        f.debug_struct("Sources")
            .field("file", &self.file)
            .field("environment", &variables)
            .field("flags", &self.flags)
            .finish()
    }
}

impl Sources {
    /// The environment of this process and nothing else.
    pub fn from_process() -> Self {
        Self {
            environment: std::env::vars_os().collect(),
            ..Self::default()
        }
    }
}

/// A configuration and how it came to be.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// The values in effect.
    pub config: Config,
    /// Who gave them, by knob; a knob that is not here has its default.
    pub origins: BTreeMap<&'static str, Origin>,
    /// The config file that was read.
    pub file: Option<PathBuf>,
    /// The core map as it was read, before flags and variables.
    pub(super) core_map: ParsedCoreMap,
    /// What is odd but no mistake, one line each.
    pub warnings: Vec<String>,
}

impl Loaded {
    /// Who gave a knob its value.
    pub fn origin(&self, knob: &str) -> Origin {
        self.origins.get(knob).cloned().unwrap_or(Origin::Default)
    }

    /// Places the shards of the core map on a machine.
    ///
    /// # Errors
    /// What does not fit, with who asked for it: a line, a variable or a flag.
    pub fn place(&self, machine: &Machine) -> Result<Placement, ConfigError> {
        topology::place(machine, &self.config.core_map).map_err(|error| {
            let knob = core_map_source::knob_of(&error.key).unwrap_or_default();
            let origin = match self.origin(knob) {
                Origin::File { path, line } => Origin::File {
                    path,
                    line: self.core_map.line_of(&error.key).or(line),
                },
                other => other,
            };
            ConfigError {
                origin,
                what: format!("{}: {}", error.key, error.what),
                cure: error.cure,
            }
        })
    }
}

/// Reads, checks and resolves a configuration.
///
/// # Errors
/// Everything that is wrong with it, in the order it was read.
pub fn load(sources: &Sources) -> Result<Loaded, ConfigErrors> {
    let mut loading = Loading::default();
    let environment = loading.environment(sources);
    let file = sources.file.clone().or_else(|| {
        environment
            .get(&variable_of(CONFIG_FLAG))
            .map(PathBuf::from)
    });
    let document = file.as_deref().and_then(|path| loading.read(path));
    if let Some(document) = &document {
        loading.apply_file(document);
    }
    core_map_source::apply(
        &mut loading,
        document.as_ref(),
        &environment,
        &sources.flags,
    );
    loading.apply_environment(&environment);
    loading.apply_flags(&sources.flags);
    loading.apply_conventional(sources);
    check::check(&mut loading);
    loading.finish(file)
}

/// Variables without our prefix by which platforms give the addresses of
/// services, and the knob each stands in for when nothing else gives it.
const CONVENTIONAL: &[(&str, &str)] = &[("DATABASE_URL", "store.url"), ("REDIS_URL", "redis.url")];

impl Loading {
    fn environment(&mut self, sources: &Sources) -> Environment {
        let mut ours = Environment::new();
        for (name, value) in &sources.environment {
            let Some(name) = name.to_str().filter(|name| name.starts_with(PREFIX)) else {
                continue;
            };
            match value.to_str() {
                Some(value) => drop(ours.insert(name.to_owned(), value.to_owned())),
                None => self.refuse(
                    Origin::Environment {
                        variable: name.to_owned(),
                    },
                    "is not UTF-8".to_owned(),
                    "write it in UTF-8, or give it in the config file".to_owned(),
                ),
            }
        }
        ours
    }

    fn apply_file(&mut self, document: &Document) {
        let Some(root) = document.root(&mut self.errors) else {
            return;
        };
        for entry in document.entries(&root, &mut self.errors) {
            let origin = document.origin(entry.span.start);
            let refusal = (entry.knob.set)(&mut self.config, entry.value, &entry.knob.valid);
            let place = |refusal: &Refusal| document.origin(refusal.span.start);
            match refusal {
                Ok(()) => drop(self.origins.insert(entry.knob.name, origin)),
                Err(refusal) => self.push(complaint(entry.knob, place(&refusal), refusal)),
            }
        }
    }

    fn apply_environment(&mut self, environment: &Environment) {
        for (variable, text) in environment {
            let origin = Origin::Environment {
                variable: variable.clone(),
            };
            match knobs::all().find(|knob| knob.variable() == *variable) {
                Some(knob) => self.apply_text(knob, text, origin),
                None => self.warn_of_variable(variable),
            }
        }
    }

    /// A variable nobody knows is no mistake: Kubernetes gives a service named
    /// corelane a dozen of them.
    fn warn_of_variable(&mut self, variable: &str) {
        if [CONFIG_FLAG, CORE_MAP_FLAG]
            .iter()
            .any(|flag| variable_of(flag) == variable)
        {
            return;
        }
        if let Some(meant) = meant_variable(variable) {
            self.warnings.push(format!(
                "the variable {variable} is not one of corelane's and is ignored; \
                 did you mean {meant}?"
            ));
        }
    }

    fn apply_flags(&mut self, flags: &[(&'static str, String)]) {
        for (flag, text) in flags {
            if let Some(knob) = knobs::all().find(|knob| knob.flag == Some(flag)) {
                self.apply_text(
                    knob,
                    text,
                    Origin::Flag {
                        flag: format!("--{flag}"),
                    },
                );
            }
        }
    }

    /// What platforms give stands behind every way of ours to say it, mistaken
    /// ones included.
    fn apply_conventional(&mut self, sources: &Sources) {
        for (variable, knob) in CONVENTIONAL {
            let mut given = sources.environment.iter();
            let given = given.find(|(name, value)| name == variable && !value.is_empty());
            let (Some((_, value)), Some(knob)) = (given, knobs::find(knob)) else {
                continue;
            };
            let mut flags = sources.flags.iter();
            let is_given = self.origins.contains_key(knob.name)
                || flags.any(|(flag, _)| knob.flag == Some(*flag));
            if is_given {
                continue;
            }
            let origin = Origin::Environment {
                variable: (*variable).to_owned(),
            };
            match value.to_str() {
                Some(text) => self.apply_text(knob, text, origin),
                None => self.refuse(
                    origin,
                    "is not UTF-8".to_owned(),
                    format!("write it in UTF-8, or give {}", knob.name),
                ),
            }
        }
    }

    fn apply_text(&mut self, knob: &'static Knob, text: &str, origin: Origin) {
        match (knob.set_text)(&mut self.config, text, &knob.valid) {
            Ok(()) => drop(self.origins.insert(knob.name, origin)),
            Err(refusal) => self.push(complaint(knob, origin, refusal)),
        }
    }

    fn finish(mut self, file: Option<PathBuf>) -> Result<Loaded, ConfigErrors> {
        if !self.errors.is_empty() {
            return Err(ConfigErrors(self.errors));
        }
        self.config.resolve();
        Ok(Loaded {
            config: self.config,
            origins: self.origins,
            file,
            core_map: self.core_map,
            warnings: self.warnings,
        })
    }
}

/// What an unknown variable was probably meant to be. A key's name spelled out
/// is a sure case: a knob with a flag has its variable from the flag.
fn meant_variable(variable: &str) -> Option<String> {
    if let Some(knob) = knobs::all().find(|knob| variable_of(knob.name) == variable) {
        return Some(knob.variable());
    }
    // Without the prefix, which makes all variables look alike.
    let known: Vec<_> = knobs::all().map(Knob::variable).collect();
    let known = known.iter().filter_map(|name| name.strip_prefix(PREFIX));
    let given = variable.strip_prefix(PREFIX).unwrap_or(variable);
    nearest(given, known).map(|near| format!("{PREFIX}{near}"))
}

/// A value that is not taken, told with what would be.
fn complaint(knob: &Knob, origin: Origin, refusal: Refusal) -> ConfigError {
    let unit = match knob.unit {
        "" => String::new(),
        unit => format!(", in {unit}"),
    };
    ConfigError {
        origin,
        what: format!("{} {}", knob.name, refusal.what),
        cure: refusal
            .cure
            .unwrap_or_else(|| format!("give {}{unit}", knob.valid)),
    }
}
