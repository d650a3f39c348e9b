//! Core maps as TOML: `core-map.toml`, and `[core_map]` in `server.toml`.
//!
//! [`parse`] reads a whole file; a larger file embeds [`CoreMapTable`] and
//! calls [`CoreMapTable::resolve`] with its own text, so that lines are those
//! of that file. Either gives a [`ParsedCoreMap`], which knows the line of
//! every key and names it when the map does not fit the machine.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;

use serde::Deserialize;
use toml::Spanned;

use crate::config::limits::CORE_MAP_BYTES_MAX;
use crate::nearest::nearest_of_few;
use corelane::internals::topology::{
    CoreMapOptions, CoreSelection, EngineKind, Machine, Placement, PlacementError, ShardPlacement,
    parse_core_list, place,
};

/// Reads a core map file. `file_name` is what errors call it.
///
/// # Errors
///
/// [`CoreMapError`] with the line when the text is too long, is not TOML, has
/// a key that core maps have not, or a value of the wrong kind.
///
/// ```
/// use corelane_server::config::core_map::parse;
/// let map = parse("cores = \"2-8,10\"\nhousekeeping = \"0-1\"\n", "core-map.toml")?;
/// assert_eq!(map.options.housekeeping, Some(vec![0, 1]));
/// let error = parse("corse = 4", "core-map.toml").unwrap_err();
/// assert_eq!(error.to_string(), "core-map.toml:1: unknown key `corse`; did you mean `cores`?");
/// # Ok::<(), corelane_server::config::core_map::CoreMapError>(())
/// ```
pub fn parse(text: &str, file_name: &str) -> Result<ParsedCoreMap, CoreMapError> {
    let source = Source { text, file_name };
    if text.len() > CORE_MAP_BYTES_MAX {
        return Err(CoreMapError {
            file_name: file_name.to_owned(),
            line: None,
            what: format!("the core map has {} bytes", text.len()),
            cure: format!("at most {CORE_MAP_BYTES_MAX} are read"),
        });
    }
    let table: CoreMapTable = toml::from_str(text).map_err(|error| source.toml_error(&error))?;
    table.resolve(text, file_name)
}

/// Reads the `[core_map]` section of a larger file whose other keys are not
/// looked at. Without the section: the default.
///
/// # Errors
///
/// As [`parse`], with the line in that file.
pub fn parse_section(text: &str, file_name: &str) -> Result<ParsedCoreMap, CoreMapError> {
    #[derive(Deserialize)]
    struct Embedded {
        #[serde(default)]
        core_map: CoreMapTable,
    }
    let source = Source { text, file_name };
    let embedded: Embedded = toml::from_str(text).map_err(|error| source.toml_error(&error))?;
    embedded.core_map.resolve(text, file_name)
}

/// A core map that makes sense, not yet held against a machine.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ParsedCoreMap {
    /// What it asks for. May be changed (by flags) before [`place`](Self::place).
    pub options: CoreMapOptions,
    file_name: String,
    /// Line, from 1, of each key that was given: `cores`, `shards[3].core`, ...
    lines: BTreeMap<String, usize>,
}

impl ParsedCoreMap {
    /// Places the shards on a machine.
    ///
    /// # Errors
    ///
    /// As [`corelane::internals::topology::place`], with the file and the line.
    pub fn place(&self, machine: &Machine) -> Result<Placement, CoreMapError> {
        place(machine, &self.options).map_err(|error| self.locate(error))
    }

    /// Line, from 1, of a key such as `cores` or `shards[3].core`; of the
    /// table around it where the key itself is left out.
    pub fn line_of(&self, key: &str) -> Option<usize> {
        let table = key.split_once('.').map(|(table, _)| table);
        let line = self.lines.get(key).or_else(|| self.lines.get(table?));
        line.copied()
    }

    fn locate(&self, error: PlacementError) -> CoreMapError {
        let line = self.line_of(&error.key);
        let what = match line {
            Some(_) => error.what,
            // Without a line the key is the best place there is.
            None => format!("{}: {}", error.key, error.what),
        };
        CoreMapError {
            file_name: self.file_name.clone(),
            line,
            what,
            cure: error.cure,
        }
    }
}

/// What is wrong with a core map: where, what, and the cure.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CoreMapError {
    /// The file, as it was named; empty for a map that came from no file.
    pub file_name: String,
    /// Line, from 1; none for the file as a whole or a value left out.
    pub line: Option<usize>,
    /// What is wrong, one line.
    pub what: String,
    /// What would be right, one line.
    pub cure: String,
}

impl fmt::Display for CoreMapError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.file_name.as_str(), self.line) {
            ("", _) => write!(f, "core map: ")?,
            (file, None) => write!(f, "{file}: ")?,
            (file, Some(line)) => write!(f, "{file}:{line}: ")?,
        }
        write!(f, "{}; {}", self.what, self.cure)
    }
}

impl std::error::Error for CoreMapError {}

/// The keys of a core map, as they stand in TOML. Embed it where a larger file
/// has a core map section.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CoreMapTable {
    /// `"all"`, a count, or a list such as `"2-8,10"`.
    pub cores: Option<Spanned<Scalar>>,
    /// Whether a count may be more than there are cores.
    pub oversubscribe: Option<Spanned<bool>>,
    /// `"auto"`, or a list such as `"0-1"`.
    pub housekeeping: Option<Spanned<Scalar>>,
    /// `"auto"`, `"io_uring"` or `"epoll"`.
    pub engine: Option<Spanned<Scalar>>,
    /// Submission entries of each ring.
    pub ring_entries: Option<Spanned<Scalar>>,
    /// Spinning before parking, microseconds.
    pub spin_us: Option<Spanned<Scalar>>,
    /// One table per shard, instead of `cores`.
    pub shards: Option<Vec<Spanned<ShardTable>>>,
}

/// One `[[shards]]` of a core map.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ShardTable {
    /// Linux CPU number; required.
    pub core: Option<Spanned<Scalar>>,
    /// As in [`CoreMapTable`], for this shard.
    pub engine: Option<Spanned<Scalar>>,
    /// As in [`CoreMapTable`], for this shard.
    pub ring_entries: Option<Spanned<Scalar>>,
    /// As in [`CoreMapTable`], for this shard.
    pub spin_us: Option<Spanned<Scalar>>,
}

/// A text or a whole number; which of them a key takes is judged by
/// [`CoreMapTable::resolve`], which knows what would be valid.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Scalar {
    /// In quotes.
    Text(String),
    /// Without.
    Number(i64),
}

impl CoreMapTable {
    /// Turns the table into options. `text` is the file it was read from, as a
    /// whole, and `file_name` what errors call it.
    ///
    /// # Errors
    ///
    /// [`CoreMapError`] when a value is of the wrong kind, a list is no list,
    /// both `cores` and `[[shards]]` are given, or a shard has no core.
    pub fn resolve(&self, text: &str, file_name: &str) -> Result<ParsedCoreMap, CoreMapError> {
        let source = Source { text, file_name };
        let mut map = ParsedCoreMap {
            file_name: file_name.to_owned(),
            ..Default::default()
        };
        self.note_lines(&source, &mut map.lines);
        let options = &mut map.options;
        if let Some(cores) = &self.cores {
            options.cores = source.selection(cores)?;
        }
        options.oversubscribe = self.oversubscribe.as_ref().is_some_and(|is| *is.get_ref());
        if let Some(housekeeping) = &self.housekeeping {
            options.housekeeping = source.housekeeping(housekeeping)?;
        }
        if let Some(engine) = &self.engine {
            options.engine = source.engine(engine)?;
        }
        if let Some(entries) = &self.ring_entries {
            options.ring_entries = source.number("ring_entries", entries)?;
        }
        if let Some(spin_us) = &self.spin_us {
            options.spin_us = source.number("spin_us", spin_us)?;
        }
        if let Some(shards) = &self.shards {
            if let (Some(cores), Some(first)) = (&self.cores, shards.first()) {
                let line = source.line(&cores.span());
                let what = format!("[[shards]] and `cores` (line {line}) both choose the cores");
                return Err(source.error(&first.span(), what, "keep one of them"));
            }
            let shards = shards
                .iter()
                .map(|shard| source.shard(shard, options.engine));
            options.cores = CoreSelection::Shards(shards.collect::<Result<_, _>>()?);
        }
        Ok(map)
    }

    /// Remembers the line of every key that is given.
    fn note_lines(&self, source: &Source<'_>, lines: &mut BTreeMap<String, usize>) {
        if let Some(value) = &self.oversubscribe {
            lines.insert("oversubscribe".to_owned(), source.line(&value.span()));
        }
        let mut note = |key: String, value: &Option<Spanned<Scalar>>| {
            if let Some(value) = value {
                lines.insert(key, source.line(&value.span()));
            }
        };
        let given = CORE_MAP_KEYS
            .into_iter()
            .filter(|key| *key != "oversubscribe");
        for (key, value) in given.zip([
            &self.cores,
            &self.housekeeping,
            &self.engine,
            &self.ring_entries,
            &self.spin_us,
        ]) {
            note(key.to_owned(), value);
        }
        for (index, shard) in self.shards.iter().flatten().enumerate() {
            let table = shard.get_ref();
            let values = [
                &table.core,
                &table.engine,
                &table.ring_entries,
                &table.spin_us,
            ];
            for (key, value) in SHARD_KEYS.into_iter().zip(values) {
                note(format!("shards[{index}].{key}"), value);
            }
        }
        for (index, shard) in self.shards.iter().flatten().enumerate() {
            lines.insert(format!("shards[{index}]"), source.line(&shard.span()));
        }
    }
}

/// Keys of a core map.
pub const CORE_MAP_KEYS: [&str; 7] = [
    "cores",
    "oversubscribe",
    "housekeeping",
    "engine",
    "ring_entries",
    "spin_us",
    "shards",
];
/// Keys of each of its `[[shards]]`.
pub const SHARD_KEYS: [&str; 4] = ["core", "engine", "ring_entries", "spin_us"];

/// The file a value stands in.
struct Source<'a> {
    text: &'a str,
    file_name: &'a str,
}

impl Source<'_> {
    fn selection(&self, value: &Spanned<Scalar>) -> Result<CoreSelection, CoreMapError> {
        match value.get_ref() {
            Scalar::Text(text) => text.parse().map_err(|error| {
                self.error(
                    &value.span(),
                    format!("cores: {error}"),
                    "valid are \"all\", a count such as 4, or a list such as \"2-8,10\"",
                )
            }),
            Scalar::Number(_) => Ok(CoreSelection::Count(self.number("cores", value)?)),
        }
    }

    fn housekeeping(&self, value: &Spanned<Scalar>) -> Result<Option<Vec<usize>>, CoreMapError> {
        let cure = "valid are \"auto\" or a list such as \"0-1\"";
        match value.get_ref() {
            Scalar::Text(text) if text == AUTO => Ok(None),
            Scalar::Text(text) => parse_core_list(text)
                .map(Some)
                .map_err(|error| self.error(&value.span(), format!("housekeeping: {error}"), cure)),
            // It could be meant as a core or as a count.
            Scalar::Number(number) => {
                let what = format!("housekeeping = {number} is a number, not a list of cores");
                let cure = format!("write \"{number}\" for core {number}; {cure}");
                Err(self.error(&value.span(), what, cure))
            }
        }
    }

    fn engine(&self, value: &Spanned<Scalar>) -> Result<Option<EngineKind>, CoreMapError> {
        let name = match value.get_ref() {
            Scalar::Text(text) => text.clone(),
            Scalar::Number(number) => number.to_string(),
        };
        if name == AUTO {
            return Ok(None);
        }
        let found = EngineKind::from_name(&name).map(Some);
        found.ok_or_else(|| {
            let near = nearest_of_few(&name, ENGINE_NAMES.into_iter());
            let near = near
                .map(|near| format!("; did you mean \"{near}\"?"))
                .unwrap_or_default();
            let cure = format!("valid are \"auto\", \"io_uring\" and \"epoll\"{near}");
            self.error(&value.span(), format!("unknown engine \"{name}\""), cure)
        })
    }

    fn number<T: TryFrom<i64>>(
        &self,
        key: &str,
        value: &Spanned<Scalar>,
    ) -> Result<T, CoreMapError> {
        match value.get_ref() {
            Scalar::Number(number) => T::try_from(*number).map_err(|_| {
                let what = format!("{key} = {number} is out of range");
                self.error(
                    &value.span(),
                    what,
                    "write a whole number that is not negative",
                )
            }),
            Scalar::Text(text) => {
                let what = format!("{key} = \"{text}\" is a text");
                Err(self.error(&value.span(), what, "write a whole number, without quotes"))
            }
        }
    }

    /// `map_engine` is what a shard that says `"auto"` would fall back to; an
    /// explicit "auto" under a map-wide engine would silently be that engine.
    fn shard(
        &self,
        shard: &Spanned<ShardTable>,
        map_engine: Option<EngineKind>,
    ) -> Result<ShardPlacement, CoreMapError> {
        let table = shard.get_ref();
        let Some(core) = &table.core else {
            let what = "this shard has no `core`".to_owned();
            return Err(self.error(&shard.span(), what, "add, for instance, core = 2"));
        };
        let engine = match &table.engine {
            Some(engine) => match (self.engine(engine)?, map_engine) {
                (None, Some(kind)) => {
                    let what =
                        format!("a shard cannot go back to \"auto\" under engine = \"{kind}\"");
                    return Err(self.error(
                        &engine.span(),
                        what,
                        "name its engine, or leave it out",
                    ));
                }
                (engine, _) => engine,
            },
            None => None,
        };
        let number = |key, value: &Option<_>| {
            value
                .as_ref()
                .map(|value| self.number(key, value))
                .transpose()
        };
        Ok(ShardPlacement {
            core: self.number("core", core)?,
            engine,
            ring_entries: number("ring_entries", &table.ring_entries)?,
            spin_us: number("spin_us", &table.spin_us)?,
        })
    }

    /// What the TOML reader refused, in an operator's words.
    fn toml_error(&self, error: &toml::de::Error) -> CoreMapError {
        let (what, cure) = match unknown_key(error.message()) {
            // The heading of `server.toml`, in a file of its own.
            Some((SECTION, _)) => (
                format!("a core map file has no section [{SECTION}]"),
                "write its keys without the heading".to_owned(),
            ),
            Some((key, known)) => {
                let cure = match nearest_of_few(key, known.iter().copied()) {
                    Some(near) => format!("did you mean `{near}`?"),
                    None => format!("valid are {}", known.join(", ")),
                };
                (format!("unknown key `{key}`"), cure)
            }
            None => {
                let message: Vec<_> = error.message().split_whitespace().collect();
                let cure = "write `key = value` lines, texts and core lists in quotes";
                (message.join(" "), cure.to_owned())
            }
        };
        self.error(&error.span().unwrap_or_default(), what, cure)
    }

    fn error(&self, span: &Range<usize>, what: String, cure: impl Into<String>) -> CoreMapError {
        CoreMapError {
            file_name: self.file_name.to_owned(),
            line: Some(self.line(span)),
            what,
            cure: cure.into(),
        }
    }

    fn line(&self, span: &Range<usize>) -> usize {
        let before = &self.text.as_bytes()[..span.start.min(self.text.len())];
        1 + before.iter().filter(|&&byte| byte == b'\n').count()
    }
}

/// The key serde does not know and the ones it does, from its message
/// "unknown field `a`, expected one of `b`, `c`".
fn unknown_key(message: &str) -> Option<(&str, Vec<&str>)> {
    let rest = message.strip_prefix("unknown field ")?;
    let mut names = rest.split('`').skip(1).step_by(2);
    Some((names.next()?, names.collect()))
}

impl<'de> Deserialize<'de> for Scalar {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;

        impl serde::de::Visitor<'_> for Visitor {
            type Value = Scalar;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a whole number or a text in quotes")
            }

            fn visit_i64<E>(self, number: i64) -> Result<Scalar, E> {
                Ok(Scalar::Number(number))
            }

            fn visit_str<E>(self, text: &str) -> Result<Scalar, E> {
                Ok(Scalar::Text(text.to_owned()))
            }
        }

        deserializer.deserialize_any(Visitor)
    }
}

/// Of `housekeeping`: what the shards leave over. Of `engine`: io_uring, and
/// epoll where the kernel refuses it.
const AUTO: &str = "auto";
const ENGINE_NAMES: [&str; 3] = [AUTO, "io_uring", "epoll"];
/// Heading of a core map inside `server.toml`.
const SECTION: &str = "core_map";

#[cfg(test)]
mod tests;
