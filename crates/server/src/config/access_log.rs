//! The access log as an operator asks for it.

use std::path::PathBuf;

use toml::Spanned;
use toml::de::DeValue;

use super::knob::{Refusal, Valid};
use super::value::{KnobValue, not_valid, quote, read_string};
use corelane::internals::access_log::LogFormat;
use corelane::internals::log_sink::LogTarget;

/// Whether requests are logged, how and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccessLogOptions {
    /// Shape of the lines; `None` is no log.
    pub format: Option<LogFormat>,
    /// Where lines go.
    pub target: LogTarget,
}

impl Default for AccessLogOptions {
    fn default() -> Self {
        Self {
            format: None,
            target: LogTarget::Stdout,
        }
    }
}

impl KnobValue for Option<LogFormat> {
    const TEXTUAL: bool = true;

    fn read(value: &Spanned<DeValue<'_>>, _: &Valid) -> Result<Self, Refusal> {
        match read_string(value)? {
            "off" => Ok(None),
            "text" => Ok(Some(LogFormat::Text)),
            "json" => Ok(Some(LogFormat::Json)),
            _ => Err(not_valid(value)),
        }
    }

    fn show(&self) -> String {
        quote(match self {
            None => "off",
            Some(LogFormat::Text) => "text",
            Some(LogFormat::Json) => "json",
        })
    }
}

impl KnobValue for LogTarget {
    const TEXTUAL: bool = true;

    fn read(value: &Spanned<DeValue<'_>>, _: &Valid) -> Result<Self, Refusal> {
        match read_string(value)? {
            "" => Err(not_valid(value)),
            "stdout" => Ok(Self::Stdout),
            "stderr" => Ok(Self::Stderr),
            path => Ok(Self::File(PathBuf::from(path))),
        }
    }

    fn show(&self) -> String {
        match self {
            Self::Stdout => quote("stdout"),
            Self::Stderr => quote("stderr"),
            Self::File(path) => quote(&path.to_string_lossy()),
        }
    }
}
