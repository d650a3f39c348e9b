//! One knob: its name, its flag and variable, its unit, what it costs, when to
//! change it, and the field of [`Config`] it turns.
//!
//! Everything an operator sees of a knob comes from here: the annotated
//! `tuning/server.toml`, `--help`, the environment variables, the messages.

use toml::Spanned;
use toml::de::DeValue;

use super::Config;
use super::value::KnobValue;

pub(crate) use super::valid::{Refusal, Valid};

/// A setting of corelane.
#[derive(Clone, Copy)]
pub struct Knob {
    /// Key in the config file, with its section: `http.headers_max`.
    pub name: &'static str,
    /// Flag of `corelane serve`, without dashes.
    pub flag: Option<&'static str>,
    /// Whether its variable is named after the key although there is a flag.
    pub variable_by_key: bool,
    /// Whether it is a table of texts, with a heading of its own in the file.
    pub is_table: bool,
    /// Unit of the value, empty where it has none.
    pub unit: &'static str,
    /// What would be valid.
    pub valid: Valid,
    /// What it does.
    pub what: &'static str,
    /// What more of it costs.
    pub cost: &'static str,
    /// When to change it.
    pub change: &'static str,
    /// The value in effect, as it would stand in the file.
    pub(crate) show: fn(&Config) -> String,
    pub(crate) set: fn(&mut Config, &Spanned<DeValue<'_>>, &Valid) -> Result<(), Refusal>,
    pub(crate) set_text: fn(&mut Config, &str, &Valid) -> Result<(), Refusal>,
}

impl Knob {
    /// The variable that sets it: `CORELANE_LISTEN` for a knob with a flag,
    /// `CORELANE_HTTP_HEADERS_MAX` for one without.
    pub fn variable(&self) -> String {
        match self.flag {
            Some(flag) if !self.variable_by_key => variable_of(flag),
            _ => variable_of(self.name),
        }
    }

    /// Part before the last dot.
    pub fn section(&self) -> &'static str {
        self.name
            .rsplit_once('.')
            .map_or("", |(section, _)| section)
    }

    /// Part after the last dot.
    pub fn key(&self) -> &'static str {
        self.name.rsplit_once('.').map_or(self.name, |(_, key)| key)
    }

    pub(crate) const EMPTY: Self = Self {
        name: "",
        flag: None,
        variable_by_key: false,
        is_table: false,
        unit: "",
        valid: Valid::Says(""),
        what: "",
        cost: "",
        change: "",
        show: |_| String::new(),
        set: |_, _, _| Ok(()),
        set_text: |_, _, _| Ok(()),
    };
}

impl std::fmt::Debug for Knob {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name)
    }
}

/// `CORELANE_` and the name in capitals, `_` for what is neither letter nor
/// digit.
pub(crate) fn variable_of(name: &str) -> String {
    let upper = name.chars().map(|c| match c {
        'a'..='z' | '0'..='9' => c.to_ascii_uppercase(),
        _ => '_',
    });
    PREFIX.chars().chain(upper).collect()
}

/// What every variable of corelane starts with.
pub(crate) const PREFIX: &str = "CORELANE_";

/// Text from a variable or a flag as a value of the file: as it is for a knob
/// of text, else as TOML (`5`, `true`, `["a", "b"]`).
pub(crate) fn read_text<T: KnobValue>(text: &str, valid: &Valid) -> Result<T, Refusal> {
    let quoted = || Spanned::new(0..0, DeValue::String(text.into()));
    if T::TEXTUAL {
        return T::read(&quoted(), valid);
    }
    if let Some(value) = T::read_word(text.trim()) {
        return Ok(value);
    }
    match DeValue::parse(text.trim()) {
        Ok(value) => T::read(&value, valid),
        Err(_) => T::read(&quoted(), valid),
    }
}

/// The part of a [`Knob`] that turns one field of [`Config`].
macro_rules! turns {
    ($($field:ident).+) => {
        $crate::config::knob::Knob {
            show: |config| $crate::config::value::KnobValue::show(&config.$($field).+),
            set: |config, value, valid| {
                config.$($field).+ = $crate::config::value::KnobValue::read(value, valid)?;
                Ok(())
            },
            set_text: |config, text, valid| {
                config.$($field).+ = $crate::config::knob::read_text(text, valid)?;
                Ok(())
            },
            ..$crate::config::knob::Knob::EMPTY
        }
    };
}
pub(crate) use turns;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_follow_from_the_flag_else_from_the_key() {
        let with_flag = Knob {
            name: "server.no_demo",
            flag: Some("no-demo"),
            ..Knob::EMPTY
        };
        assert_eq!(with_flag.variable(), "CORELANE_NO_DEMO");
        let without = Knob {
            name: "http.headers_max",
            ..Knob::EMPTY
        };
        assert_eq!(without.variable(), "CORELANE_HTTP_HEADERS_MAX");
        let by_key = Knob {
            name: "admin.listen",
            flag: Some("admin"),
            variable_by_key: true,
            ..Knob::EMPTY
        };
        assert_eq!(by_key.variable(), "CORELANE_ADMIN_LISTEN");
    }

    #[test]
    fn what_is_valid_reads_as_a_sentence() {
        assert_eq!(Valid::Words(&["a"]).to_string(), "\"a\"");
        assert_eq!(
            Valid::Words(&["a", "b", "c"]).to_string(),
            "\"a\", \"b\" or \"c\""
        );
        assert_eq!(Valid::Range(1, 9).to_string(), "a whole number from 1 to 9");
    }
}
