//! A TOML file: read, and matched key by key with the knobs.

use std::ops::Range;
use std::path::{Path, PathBuf};

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::error::{ConfigError, Origin};
use super::knob::Knob;
use super::knobs;
use crate::config::limits::CONFIG_BYTES_MAX;
use crate::nearest::nearest;

/// A file's text, and how to name a place in it.
#[derive(Debug)]
pub(super) struct Document {
    path: PathBuf,
    text: String,
}

/// A key of the file that is a knob.
pub(super) struct Entry<'a> {
    pub(super) knob: &'static Knob,
    pub(super) value: &'a Spanned<DeValue<'a>>,
    pub(super) span: Range<usize>,
}

impl Document {
    /// Reads a file of at most [`CONFIG_BYTES_MAX`].
    pub(super) fn read(path: &Path) -> Result<Self, ConfigError> {
        let whole = |what: String, cure: &str| ConfigError {
            origin: Origin::File {
                path: path.to_owned(),
                line: None,
            },
            what,
            cure: cure.to_owned(),
        };
        let unreadable = |error: std::io::Error| {
            whole(
                format!("cannot be read: {error}"),
                "check the path and its permissions",
            )
        };
        let bytes = read_bounded(path).map_err(unreadable)?;
        if bytes.len() > CONFIG_BYTES_MAX {
            let what = format!("is longer than {CONFIG_BYTES_MAX} bytes");
            return Err(whole(what, "is it a configuration at all? shorten it"));
        }
        let text = String::from_utf8(bytes)
            .map_err(|_| whole("is not UTF-8".to_owned(), "TOML is UTF-8; save it as such"))?;
        Ok(Self::new(path, text))
    }

    pub(super) fn new(path: &Path, text: String) -> Self {
        Self {
            path: path.to_owned(),
            text,
        }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn text(&self) -> &str {
        &self.text
    }

    /// The line that holds a byte of the file.
    pub(super) fn origin(&self, byte: usize) -> Origin {
        let before = &self.text.as_bytes()[..byte.min(self.text.len())];
        let line = 1 + before.iter().filter(|byte| **byte == b'\n').count();
        Origin::File {
            path: self.path.clone(),
            line: Some(line),
        }
    }

    /// Parses the file; `None` and errors if it is not TOML.
    pub(super) fn root(&self, errors: &mut Vec<ConfigError>) -> Option<DeTable<'_>> {
        match DeTable::parse(&self.text) {
            Ok(root) => Some(root.into_inner()),
            Err(error) => {
                errors.push(ConfigError {
                    origin: self.origin(error.span().map_or(0, |span| span.start)),
                    what: format!("this is not TOML: {}", one_line(error.message())),
                    cure: "write `key = value` lines under [section] headings, text in quotes"
                        .to_owned(),
                });
                None
            }
        }
    }

    /// The knobs the file turns; what is no knob is an error.
    pub(super) fn entries<'a>(
        &self,
        root: &'a DeTable<'a>,
        errors: &mut Vec<ConfigError>,
    ) -> Vec<Entry<'a>> {
        let mut entries = Vec::new();
        self.walk("", root, &mut entries, errors);
        entries
    }

    fn walk<'a>(
        &self,
        section: &str,
        table: &'a DeTable<'a>,
        entries: &mut Vec<Entry<'a>>,
        errors: &mut Vec<ConfigError>,
    ) {
        for (key, value) in table {
            let name = join(section, key.get_ref());
            // Has its own reader: `core_map_source`.
            if name == knobs::CORE_MAP_SECTION {
                continue;
            }
            if let Some(knob) = knobs::all().find(|knob| knob.name == name) {
                entries.push(Entry {
                    knob,
                    value,
                    span: key.span(),
                });
                continue;
            }
            match value.get_ref() {
                DeValue::Table(inner) if is_section(&name) => {
                    self.walk(&name, inner, entries, errors);
                }
                _ => errors.push(self.unknown(&name, key.span())),
            }
        }
    }

    fn unknown(&self, name: &str, span: Range<usize>) -> ConfigError {
        let what = match is_section(name) {
            true => format!("`{name}` is a section, not a key"),
            false => format!("unknown key `{name}`"),
        };
        let known = knobs::all().map(|knob| knob.name).chain(sections());
        let cure = match nearest(name, known) {
            _ if is_section(name) => format!("write it as a heading: [{name}]"),
            Some(near) if is_section(near) => format!("did you mean the section [{near}]?"),
            Some(near) => format!("did you mean `{near}`? (section [{}])", section_of(near)),
            None => "take it out; `corelane config` lists every key".to_owned(),
        };
        ConfigError {
            origin: self.origin(span.start),
            what,
            cure,
        }
    }
}

/// The file, or its first [`CONFIG_BYTES_MAX`] + 1 bytes.
fn read_bounded(path: &Path) -> std::io::Result<Vec<u8>> {
    use std::io::Read;
    let mut bytes = Vec::new();
    std::fs::File::open(path)?
        .take(CONFIG_BYTES_MAX as u64 + 1)
        .read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn join(section: &str, key: &str) -> String {
    if section.is_empty() {
        key.to_owned()
    } else {
        format!("{section}.{key}")
    }
}

fn section_of(name: &str) -> &str {
    name.rsplit_once('.').map_or("", |(section, _)| section)
}

fn is_section(name: &str) -> bool {
    sections().any(|section| section == name)
}

fn sections() -> impl Iterator<Item = &'static str> {
    knobs::all()
        .map(Knob::section)
        .chain([knobs::CORE_MAP_SECTION])
}

/// Messages of the TOML parser can have several lines.
pub(super) fn one_line(message: &str) -> String {
    message.split_whitespace().collect::<Vec<_>>().join(" ")
}
