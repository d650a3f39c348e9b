//! The command line: what was asked, done by one file per subcommand.
//!
//! Exit codes: 0 done, 1 it failed while running, 2 the command line or the
//! configuration is wrong. Errors go to stderr in two lines: what, and the
//! cure.

mod app;
mod args;
mod banner;
mod config;
mod console;
mod explain;
mod failure;
mod first_start;
mod memory;
mod output;
mod password;
mod seed;
mod serve;
mod settings;
mod topology;

#[cfg(test)]
mod tests;

use std::process::ExitCode;

use args::Subcommand;
use console::Console;
use failure::Failure;

/// Runs corelane with the arguments of this process.
pub fn main() -> ExitCode {
    let subcommand = match args::parse(std::env::args_os()) {
        Ok(subcommand) => subcommand,
        // Help and version come this way too; clap knows stream and code.
        Err(error) => error.exit(),
    };
    match run(subcommand) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            match Console::start() {
                Ok(console) => console.say(failure.to_string()),
                Err(_) => eprintln!("{failure}"),
            }
            ExitCode::from(failure.exit_code)
        }
    }
}

fn run(subcommand: Option<Subcommand>) -> Result<(), Failure> {
    match subcommand {
        Some(Subcommand::Serve(args)) => serve::run(&args),
        Some(Subcommand::Seed(args)) => seed::run(&args),
        Some(Subcommand::Password(args)) => password::run(&args),
        Some(Subcommand::Explain(args)) => explain::run(&args),
        Some(Subcommand::Topology(args)) => topology::run(&args),
        Some(Subcommand::Config(args)) => config::run(&args),
        None => args::print_help(),
    }
}
