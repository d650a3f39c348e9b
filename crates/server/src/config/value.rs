//! Types a knob can have: how each is read from TOML and shown as TOML.

use std::borrow::Cow;
use std::net::SocketAddr;
use std::path::PathBuf;

use toml::Spanned;
use toml::de::DeValue;

use super::valid::{Refusal, Valid};
use crate::handlers::redis_cache::RedisRoutes;

/// A type that can stand in the config file.
pub(crate) trait KnobValue: Sized {
    /// Whether the text of a variable or flag is the value itself, not TOML.
    const TEXTUAL: bool = false;

    /// Reads and checks a value.
    fn read(value: &Spanned<DeValue<'_>>, valid: &Valid) -> Result<Self, Refusal>;

    /// Words that stand for values in variables and flags, but not in a file.
    fn read_word(_text: &str) -> Option<Self> {
        None
    }

    /// The value as TOML.
    fn show(&self) -> String;
}

impl KnobValue for bool {
    fn read(value: &Spanned<DeValue<'_>>, _: &Valid) -> Result<Self, Refusal> {
        match value.get_ref() {
            DeValue::Boolean(truth) => Ok(*truth),
            _ => Err(wrong_type(value)),
        }
    }

    /// What shells and unit files call true and false.
    fn read_word(text: &str) -> Option<Self> {
        match text {
            "1" | "yes" | "on" => Some(true),
            "0" | "no" | "off" | "" => Some(false),
            _ => None,
        }
    }

    fn show(&self) -> String {
        self.to_string()
    }
}

macro_rules! whole_number {
    ($($number:ty),*) => {$(
        impl KnobValue for $number {
            fn read(value: &Spanned<DeValue<'_>>, valid: &Valid) -> Result<Self, Refusal> {
                let number = read_integer(value, valid)?;
                <$number>::try_from(number).map_err(|_| out_of_range(value))
            }

            fn show(&self) -> String {
                self.to_string()
            }
        }
    )*};
}
whole_number!(u8, u32, u64, usize);

fn read_integer(value: &Spanned<DeValue<'_>>, valid: &Valid) -> Result<u64, Refusal> {
    let DeValue::Integer(integer) = value.get_ref() else {
        return Err(wrong_type(value));
    };
    let digits = integer.as_str().replace('_', "");
    let number = u64::from_str_radix(&digits, integer.radix()).map_err(|_| out_of_range(value))?;
    match valid {
        Valid::Range(least, most) if !(*least..=*most).contains(&number) => {
            Err(out_of_range(value))
        }
        _ => Ok(number),
    }
}

impl KnobValue for String {
    const TEXTUAL: bool = true;

    fn read(value: &Spanned<DeValue<'_>>, valid: &Valid) -> Result<Self, Refusal> {
        let text = read_string(value)?;
        match valid {
            Valid::Words(words) if !words.contains(&text) => Err(not_valid(value)),
            _ => Ok(text.to_owned()),
        }
    }

    fn show(&self) -> String {
        quote(self)
    }
}

impl KnobValue for PathBuf {
    const TEXTUAL: bool = true;

    fn read(value: &Spanned<DeValue<'_>>, _: &Valid) -> Result<Self, Refusal> {
        match read_string(value)? {
            "" => Err(not_valid(value)),
            path => Ok(PathBuf::from(path)),
        }
    }

    fn show(&self) -> String {
        quote(&self.to_string_lossy())
    }
}

/// A table of texts, in the order written. Shown as the lines under its
/// heading.
impl KnobValue for Vec<(String, String)> {
    fn read(value: &Spanned<DeValue<'_>>, _: &Valid) -> Result<Self, Refusal> {
        read_table(value, |value| read_string(value).map(str::to_owned))
    }

    fn show(&self) -> String {
        let line = |(key, value): &(String, String)| format!("{} = {}", quote(key), quote(value));
        self.iter().map(line).collect::<Vec<_>>().join("\n")
    }
}

/// The same; a number is milliseconds.
impl KnobValue for RedisRoutes {
    fn read(value: &Spanned<DeValue<'_>>, _: &Valid) -> Result<Self, Refusal> {
        let text = |value: &Spanned<DeValue<'_>>| match value.get_ref() {
            DeValue::Integer(integer) => Ok(integer.as_str().replace('_', "")),
            _ => read_string(value).map(str::to_owned),
        };
        read_table(value, text).map(Self)
    }

    fn show(&self) -> String {
        self.0.show()
    }
}

impl KnobValue for SocketAddr {
    const TEXTUAL: bool = true;

    fn read(value: &Spanned<DeValue<'_>>, _: &Valid) -> Result<Self, Refusal> {
        read_string(value)?.parse().map_err(|_| not_valid(value))
    }

    fn show(&self) -> String {
        quote(&self.to_string())
    }
}

/// Keys and texts of a table, in the order written.
fn read_table(
    value: &Spanned<DeValue<'_>>,
    text_of: impl Fn(&Spanned<DeValue<'_>>) -> Result<String, Refusal>,
) -> Result<Vec<(String, String)>, Refusal> {
    let DeValue::Table(table) = value.get_ref() else {
        return Err(wrong_type(value));
    };
    let mut lines: Vec<_> = table.iter().collect();
    lines.sort_by_key(|(key, _)| key.span().start);
    let text = |(key, value): (&Spanned<_>, &Spanned<DeValue<'_>>)| {
        let key: &Cow<'_, str> = key.get_ref();
        let about = |refusal: Refusal| Refusal {
            what: format!(
                "has {} = {}",
                quote(key),
                refusal.what.trim_start_matches("is ")
            ),
            ..refusal
        };
        Ok((key.to_string(), text_of(value).map_err(about)?))
    };
    lines.into_iter().map(text).collect()
}

/// Implements [`KnobValue`] for an enum whose variants are words of the file.
macro_rules! words {
    ($enum:ty { $($word:literal => $variant:path),+ $(,)? }) => {
        impl $crate::config::value::KnobValue for $enum {
            const TEXTUAL: bool = true;

            fn read(
                value: &toml::Spanned<toml::de::DeValue<'_>>,
                _: &$crate::config::valid::Valid,
            ) -> Result<Self, $crate::config::valid::Refusal> {
                match $crate::config::value::read_string(value)? {
                    $($word => Ok($variant),)+
                    _ => Err($crate::config::value::not_valid(value)),
                }
            }

            fn show(&self) -> String {
                let word = match self { $($variant => $word,)+ };
                $crate::config::value::quote(word)
            }
        }
    };
}
pub(crate) use words;

/// The text of a value that must be a string.
pub(crate) fn read_string<'a>(value: &'a Spanned<DeValue<'_>>) -> Result<&'a str, Refusal> {
    value.get_ref().as_str().ok_or_else(|| wrong_type(value))
}

/// A TOML basic string.
pub(crate) fn quote(text: &str) -> String {
    let mut quoted = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            '\n' => quoted.push_str("\\n"),
            c if c.is_control() => quoted.push_str(&format!("\\u{:04X}", u32::from(c))),
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}

pub(crate) fn wrong_type(value: &Spanned<DeValue<'_>>) -> Refusal {
    let kind = match value.get_ref() {
        DeValue::String(_) => "a string",
        DeValue::Integer(_) => "a whole number",
        DeValue::Float(_) => "a fraction",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    };
    refuse(value, format!("is {}, {kind}", brief(value.get_ref())))
}

pub(crate) fn not_valid(value: &Spanned<DeValue<'_>>) -> Refusal {
    refuse(
        value,
        format!("is {}, which is not valid", brief(value.get_ref())),
    )
}

pub(crate) fn out_of_range(value: &Spanned<DeValue<'_>>) -> Refusal {
    refuse(
        value,
        format!("is {}, out of range", brief(value.get_ref())),
    )
}

pub(crate) fn refuse(value: &Spanned<DeValue<'_>>, what: String) -> Refusal {
    Refusal {
        span: value.span(),
        what,
        cure: None,
    }
}

/// The value as a message may repeat it.
fn brief(value: &DeValue<'_>) -> String {
    match value {
        DeValue::String(text) if text.chars().count() > SHOWN_CHARS => quote(&format!(
            "{}…",
            text.chars().take(SHOWN_CHARS).collect::<String>()
        )),
        DeValue::String(text) => quote(text),
        DeValue::Integer(integer) => integer.to_string(),
        DeValue::Float(float) => float.to_string(),
        DeValue::Boolean(truth) => truth.to_string(),
        DeValue::Datetime(date) => date.to_string(),
        DeValue::Array(items) => format!("[…] of {}", items.len()),
        DeValue::Table(_) => "{…}".to_owned(),
    }
}

const SHOWN_CHARS: usize = 60;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::knob::read_text;

    const ANY: Valid = Valid::Says("anything");

    fn read<T: KnobValue>(toml: &str, valid: Valid) -> Result<T, String> {
        let value = DeValue::parse(toml).unwrap();
        T::read(&value, &valid).map_err(|refusal| refusal.what)
    }

    #[test]
    fn numbers_keep_to_their_range_and_type() {
        let valid = Valid::Range(8, 1_000);
        assert_eq!(read::<usize>("8", valid), Ok(8));
        assert_eq!(read::<usize>("1_000", valid), Ok(1_000));
        assert_eq!(read::<usize>("0x10", valid), Ok(16));
        for (toml, what) in [
            ("7", "is 7, out of range"),
            ("1001", "is 1001, out of range"),
            ("-8", "is -8, out of range"),
            ("\"8\"", "is \"8\", a string"),
            ("8.5", "is 8.5, a fraction"),
            ("[8]", "is […] of 1, a list"),
            ("true", "is true, true or false"),
        ] {
            assert_eq!(read::<usize>(toml, valid), Err(what.to_owned()), "{toml}");
        }
        assert!(read::<bool>("1", ANY).is_err() && read::<bool>("\"on\"", ANY).is_err());
        assert!(read::<u32>("4294967296", ANY).is_err());
        assert!(read::<u64>("99999999999999999999", ANY).is_err());
    }

    #[test]
    fn text_of_variables_is_read_like_the_file() {
        assert_eq!(read_text::<usize>(" 12 ", &ANY), Ok(12));
        assert_eq!(read_text::<bool>("1", &ANY), Ok(true));
        assert_eq!(read_text::<bool>("off", &ANY), Ok(false));
        assert_eq!(read_text::<bool>("true", &ANY), Ok(true));
        assert!(read_text::<bool>("maybe", &ANY).is_err());
        assert_eq!(read_text::<String>("true", &ANY), Ok("true".to_owned()));
        assert_eq!(
            read_text::<PathBuf>("/a b", &ANY),
            Ok(PathBuf::from("/a b"))
        );
        assert!(read_text::<PathBuf>("", &ANY).is_err());
        assert_eq!(
            read_text::<SocketAddr>("[::1]:80", &ANY),
            Ok(SocketAddr::from(([0, 0, 0, 0, 0, 0, 0, 1], 80)))
        );
        assert!(read_text::<SocketAddr>("localhost:80", &ANY).is_err());
    }

    #[test]
    fn what_is_shown_reads_back() {
        for text in ["plain", "with \"quotes\"", "back\\slash", "new\nline", ""] {
            assert_eq!(
                read::<String>(&text.to_owned().show(), ANY),
                Ok(text.to_owned())
            );
        }
    }

    #[test]
    fn a_message_repeats_no_more_than_a_line_of_the_value() {
        let long = read::<usize>(&quote(&"x".repeat(10_000)), ANY).unwrap_err();
        assert!(long.len() < 120, "{long}");
    }
}
