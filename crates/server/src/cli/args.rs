//! Flags and subcommands. What a flag does, its default, its variable and its
//! key come from its [`Knob`], not from here.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Args, CommandFactory, FromArgMatches, Parser};

use super::failure::Failure;
use crate::config::{self, Config, Knob, Sources};

/// A thread-per-core HTTP application server on io_uring.
#[derive(Parser)]
#[command(name = "corelane", version, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    subcommand: Option<Subcommand>,
}

/// What corelane can be asked to do.
#[derive(clap::Subcommand)]
pub(super) enum Subcommand {
    /// Serve the users and posts API, static files and metrics
    Serve(ServeArgs),
    /// Fill a store with demo users and posts
    Seed(SeedArgs),
    /// Set the password of a user, read from stdin; their sessions end, except in Redis
    Password(PasswordArgs),
    /// Print the plan of every query of the store; fail if one scans a table
    Explain(ExplainArgs),
    /// Print the machine as a tree, with the shards of a core map in it
    Topology(TopologyArgs),
    /// Print every setting with the value in effect and who gave it
    Config(ConfigArgs),
}

#[derive(Args)]
pub(super) struct ServeArgs {
    #[command(flatten)]
    pub(super) settings: SettingArgs,
    /// Check the configuration and the core map against this machine, print a
    /// summary, and exit without serving
    #[arg(long)]
    pub(super) check: bool,
    /// Fail at once when the store is not there yet, instead of waiting store.wait_ms for it
    #[arg(long)]
    pub(super) no_wait: bool,
}

#[derive(Args)]
pub(super) struct SeedArgs {
    /// Users to add
    #[arg(long, value_name = "N", default_value_t = 1_000)]
    pub(super) users: u64,
    /// Posts to add, spread over the users
    #[arg(long, value_name = "M", default_value_t = 5_000)]
    pub(super) posts: u64,
    #[command(flatten)]
    pub(super) store: StoreArgs,
}

#[derive(Args)]
pub(super) struct PasswordArgs {
    /// Email of the user
    #[arg(value_name = "EMAIL")]
    pub(super) email: String,
    #[command(flatten)]
    pub(super) store: StoreArgs,
}

#[derive(Args)]
pub(super) struct ExplainArgs {
    #[command(flatten)]
    pub(super) store: StoreArgs,
}

#[derive(Args)]
pub(super) struct TopologyArgs {
    /// Config file whose core map is placed [env: CORELANE_CONFIG]
    #[arg(long, value_name = "FILE")]
    pub(super) config: Option<PathBuf>,
    #[arg(long, value_name = "FILE")]
    pub(super) core_map: Option<String>,
    #[arg(long, value_name = "N")]
    pub(super) shards: Option<String>,
    #[arg(long)]
    pub(super) oversubscribe: bool,
}

#[derive(Args)]
pub(super) struct ConfigArgs {
    #[command(flatten)]
    pub(super) settings: SettingArgs,
    /// Print the defaults, which is `tuning/server.toml`
    #[arg(long)]
    pub(super) defaults: bool,
}

/// Where the store is.
#[derive(Args, Default)]
pub(super) struct StoreArgs {
    /// Config file [env: CORELANE_CONFIG]
    #[arg(long, value_name = "FILE")]
    pub(super) config: Option<PathBuf>,
    #[arg(long, value_name = "DIR")]
    pub(super) data: Option<String>,
    #[arg(long, value_name = "URL")]
    pub(super) store: Option<String>,
}

/// Settings that have a flag.
#[derive(Args, Default)]
pub(super) struct SettingArgs {
    /// Config file; `tuning/server.toml` shows every key [env: CORELANE_CONFIG]
    #[arg(long, value_name = "FILE")]
    pub(super) config: Option<PathBuf>,
    #[arg(long, value_name = "ADDR:PORT")]
    pub(super) listen: Option<String>,
    #[arg(long, value_name = "ADDR:PORT|off")]
    pub(super) admin: Option<String>,
    #[arg(long, value_name = "DIR")]
    pub(super) data: Option<String>,
    #[arg(long, value_name = "URL")]
    pub(super) store: Option<String>,
    #[arg(long, value_name = "URL")]
    pub(super) redis: Option<String>,
    #[arg(long, value_name = "N")]
    pub(super) shards: Option<String>,
    #[arg(long)]
    pub(super) oversubscribe: bool,
    #[arg(long, value_name = "ENGINE")]
    pub(super) engine: Option<String>,
    #[arg(long, value_name = "FILE")]
    pub(super) core_map: Option<String>,
    #[arg(long = "static", value_name = "DIR")]
    pub(super) static_root: Option<String>,
    #[arg(long)]
    pub(super) no_demo: bool,
    #[arg(long, value_name = "FORMAT")]
    pub(super) access_log: Option<String>,
}

impl SettingArgs {
    /// These flags over the environment of this process.
    pub(super) fn sources(&self) -> Sources {
        let given = |set: bool| set.then(|| "true".to_owned());
        sources(
            &self.config,
            [
                ("listen", self.listen.clone()),
                ("admin", self.admin.clone()),
                ("data", self.data.clone()),
                ("store", self.store.clone()),
                ("redis", self.redis.clone()),
                ("shards", self.shards.clone()),
                ("oversubscribe", given(self.oversubscribe)),
                ("engine", self.engine.clone()),
                ("core-map", self.core_map.clone()),
                ("static", self.static_root.clone()),
                ("no-demo", given(self.no_demo)),
                ("access-log", self.access_log.clone()),
            ],
        )
    }
}

impl StoreArgs {
    /// These flags over the environment of this process.
    pub(super) fn sources(&self) -> Sources {
        sources(
            &self.config,
            [("data", self.data.clone()), ("store", self.store.clone())],
        )
    }
}

impl TopologyArgs {
    /// These flags over the environment of this process.
    pub(super) fn sources(&self) -> Sources {
        sources(
            &self.config,
            [
                ("core-map", self.core_map.clone()),
                ("shards", self.shards.clone()),
                (
                    "oversubscribe",
                    self.oversubscribe.then(|| "true".to_owned()),
                ),
            ],
        )
    }
}

fn sources<const N: usize>(
    file: &Option<PathBuf>,
    flags: [(&'static str, Option<String>); N],
) -> Sources {
    let given = flags
        .into_iter()
        .filter_map(|(flag, text)| Some((flag, text?)));
    Sources {
        file: file.clone(),
        flags: given.collect(),
        ..Sources::from_process()
    }
}

/// Parses a command line; `None` when no subcommand was given.
///
/// # Errors
/// Anything clap wants said: a mistake, help or the version.
pub(super) fn parse(
    arguments: impl IntoIterator<Item = OsString>,
) -> Result<Option<Subcommand>, clap::Error> {
    let matches = command().try_get_matches_from(arguments)?;
    Ok(Cli::from_arg_matches(&matches)?.subcommand)
}

/// Prints the help of corelane as a whole.
pub(super) fn print_help() -> Result<(), Failure> {
    let printed = command().print_help();
    printed.map_err(|error| Failure::runtime(format!("stdout: {error}"), "give it a reader"))
}

/// The command line, each flag explained by its knob.
pub(super) fn command() -> clap::Command {
    let defaults = Config::default();
    Cli::command()
        .after_help(AFTER_HELP)
        .mut_subcommands(|subcommand| {
            subcommand.mut_args(|arg| match arg.get_long().map(str::to_owned) {
                Some(flag) => explain(arg, &flag, &defaults),
                None => arg,
            })
        })
}

fn explain(arg: clap::Arg, flag: &str, defaults: &Config) -> clap::Arg {
    if flag == config::CORE_MAP_FLAG {
        return arg.help(CORE_MAP_HELP);
    }
    match config::knobs().find(|knob| knob.flag == Some(flag)) {
        Some(knob) => arg
            .help(short_help(knob, defaults))
            .long_help(long_help(knob, defaults)),
        None => arg,
    }
}

fn short_help(knob: &Knob, defaults: &Config) -> String {
    let what = knob.what.replace('\n', " ");
    let first = what.split_inclusive(['.', ';', ',']).next().unwrap_or("");
    let first = first.trim_end_matches(['.', ';', ',']);
    format!("{first}\n{}", places(knob, defaults))
}

fn long_help(knob: &Knob, defaults: &Config) -> String {
    let sentence = |text: &str| text.replace('\n', " ");
    format!(
        "{}\nValid: {}.\nCost: {}\nChange it {}\n{}",
        sentence(knob.what),
        knob.valid,
        sentence(knob.cost),
        sentence(knob.change),
        places(knob, defaults),
    )
}

fn places(knob: &Knob, defaults: &Config) -> String {
    let default = (knob.show)(defaults);
    format!(
        "[default: {default}] [env: {}] [key: {}]",
        knob.variable(),
        knob.name
    )
}

const CORE_MAP_HELP: &str = "\
Core map file: which cores get shards; `tuning/core-map.toml` shows every key
[default: one shard per physical core] [env: CORELANE_CORE_MAP] [key: core_map]";

const AFTER_HELP: &str = "\
Try `corelane serve`: it makes a database under ./data, fills it with demo data and
serves it on 127.0.0.1:3000.

Settings are looked for in this order: flag, CORELANE_* variable, --config FILE, default.
Signals: TERM and INT drain and exit 0, a second one exits at once; HUP and USR1 reopen logs.
Exit codes: 0 done, 1 failed while running, 2 wrong command line or configuration.";
