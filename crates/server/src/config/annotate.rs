//! The config file as corelane writes it: every key with its value, its unit,
//! what is valid, what it costs and when to change it.
//!
//! `tuning/server.toml` is this text for the defaults, by test.

use std::collections::BTreeMap;
use std::fmt::Write;

use super::error::Origin;
use super::knob::Knob;
use super::{Config, knobs};

/// The annotated file of a configuration. With `origins` each key also says
/// who gave it its value.
pub fn annotate(config: &Config, origins: Option<&BTreeMap<&'static str, Origin>>) -> String {
    let defaults = Config::default();
    let mut text = String::from(HEAD);
    for section in knobs::SECTIONS {
        let _ = write!(text, "\n{RULE}\n");
        comment(&mut text, "# ", section.about);
        let _ = writeln!(text, "[{}]", section.name);
        for knob in section.knobs {
            text.push('\n');
            describe(&mut text, knob, &(knob.show)(&defaults));
            if let Some(origins) = origins {
                let origin = origins.get(knob.name).unwrap_or(&Origin::Default);
                let _ = writeln!(text, "# from: {origin}");
            }
            let value = (knob.show)(config);
            let _ = match (knob.is_table, value.as_str()) {
                (false, value) => writeln!(text, "{} = {value}", knob.key()),
                (true, "") => writeln!(text, "[{}]", knob.name),
                (true, lines) => writeln!(text, "[{}]\n{lines}", knob.name),
            };
        }
    }
    text
}

fn describe(text: &mut String, knob: &Knob, default: &str) {
    comment(text, "# ", knob.what);
    let unit = match knob.unit {
        "" => String::new(),
        unit => format!(" ({unit})"),
    };
    comment(text, "#   valid:   ", &format!("{}{unit}.", knob.valid));
    if !knob.is_table {
        comment(text, "#   default: ", default);
    }
    comment(text, "#   cost:    ", knob.cost);
    comment(text, "#   change:  ", knob.change);
    let flag = knob
        .flag
        .map(|flag| format!("--{flag}, "))
        .unwrap_or_default();
    comment(text, "#   also:    ", &format!("{flag}{}", knob.variable()));
}

/// Comment lines; those after the first are indented like the first.
fn comment(text: &mut String, start: &str, sentences: &str) {
    let indent = format!("#{}", " ".repeat(start.len() - 1));
    for (index, line) in sentences.lines().enumerate() {
        let lead = if index == 0 { start } else { &indent };
        let _ = writeln!(text, "{}", format!("{lead}{line}").trim_end());
    }
}

const RULE: &str =
    "# ------------------------------------------------------------------------------";

const HEAD: &str = "\
# Every setting of corelane, with its default. Give it to the server with
# `corelane serve --config FILE`; keep only the lines you change.
#
# A setting is looked for in this order: flag, environment variable, config
# file, default. A key corelane does not know, or a value it cannot take, is
# refused at start with its line. Relative paths are taken from the working
# directory. `corelane serve --check --config FILE` checks a file and starts
# nothing; `corelane config` prints this text with the values in effect.
#
# Written by `corelane config --defaults`; a test keeps it equal to the code.
";
