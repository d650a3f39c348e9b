//! The command line: what help says, and what is taken from flags.

use std::ffi::OsString;

use super::args::{self, Subcommand};
use crate::config::{Config, knobs};

fn parse(line: &str) -> Result<Option<Subcommand>, clap::Error> {
    args::parse(line.split(' ').map(OsString::from))
}

fn serve_flags(line: &str) -> Vec<(&'static str, String)> {
    match parse(line) {
        Ok(Some(Subcommand::Serve(args))) => args.settings.sources().flags,
        Ok(_) => panic!("{line} is not serve"),
        Err(error) => panic!("{error}"),
    }
}

#[test]
fn the_command_line_is_consistent() {
    args::command().debug_assert();
}

#[test]
fn help_names_the_default_the_variable_and_the_key_of_every_flag() {
    let mut command = args::command();
    let serve = command.find_subcommand_mut("serve").unwrap();
    for help in [
        serve.render_help().to_string(),
        serve.render_long_help().to_string(),
    ] {
        // Wrapped lines are put together again.
        let help = help.split_whitespace().collect::<Vec<_>>().join(" ");
        for knob in knobs().filter(|knob| knob.flag.is_some()) {
            let flag = format!("--{}", knob.flag.unwrap());
            assert!(help.contains(&flag), "{flag} is not in\n{help}");
            let default = (knob.show)(&Config::default());
            let places = format!(
                "[default: {default}] [env: {}] [key: {}]",
                knob.variable(),
                knob.name
            );
            assert!(help.contains(&places), "{places} is not in\n{help}");
        }
        assert!(help.contains("[env: CORELANE_CONFIG]"), "{help}");
        assert!(
            help.contains("[env: CORELANE_CORE_MAP] [key: core_map]"),
            "{help}"
        );
    }
}

#[test]
fn every_flag_with_a_value_reaches_the_settings() {
    let flags = serve_flags(
        "corelane serve --listen 127.0.0.1:0 --admin off --data d --store sqlite:x --redis redis://h \
         --shards 2 --oversubscribe --engine epoll --core-map m.toml --static s --no-demo --access-log json",
    );
    let names: Vec<_> = flags.iter().map(|(name, _)| *name).collect();
    for knob in knobs() {
        if let Some(flag) = knob.flag {
            assert!(names.contains(&flag), "--{flag} is lost");
        }
    }
    assert!(names.contains(&"core-map"));
    assert!(flags.contains(&("no-demo", "true".to_owned())));
    assert!(flags.contains(&("shards", "2".to_owned())));
}

#[test]
fn flags_that_are_not_given_are_left_to_the_other_sources() {
    assert_eq!(serve_flags("corelane serve"), []);
}

#[test]
fn mistakes_and_help_have_their_exit_codes() {
    let code = |line: &str| parse(line).err().map(|error| error.exit_code());
    assert_eq!(code("corelane serve --lisen 1"), Some(2));
    assert_eq!(code("corelane sreve"), Some(2));
    assert_eq!(code("corelane seed --users many"), Some(2));
    assert_eq!(code("corelane --version"), Some(0));
    assert_eq!(code("corelane serve --help"), Some(0));
    assert!(matches!(parse("corelane"), Ok(None)));
}

#[test]
fn version_is_that_of_the_package() {
    let text = parse("corelane --version").err().unwrap().to_string();
    assert_eq!(text.trim(), concat!("corelane ", env!("CARGO_PKG_VERSION")));
}

#[test]
fn a_cache_that_cannot_be_made_is_told_by_its_knob() {
    let sources = crate::config::Sources::default();
    let mut loaded = crate::config::load(&sources).unwrap();
    // What no file can say: knobs have ranges.
    loaded.config.api.cache.lists_bytes_max = 1;
    let failure = super::app::check(&loaded).unwrap_err();
    assert_eq!(failure.exit_code, 2);
    let text = failure.to_string();
    for words in ["cache.lists_bytes_max cannot be used", "at least 4096"] {
        assert!(text.contains(words), "{text}");
    }
}
