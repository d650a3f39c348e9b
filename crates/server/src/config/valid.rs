//! What would be a valid value of a knob, and why one is not.

use std::ops::Range;

/// What a knob accepts.
#[derive(Debug, Clone, Copy)]
pub enum Valid {
    /// A whole number, both ends included.
    Range(u64, u64),
    /// One of these words.
    Words(&'static [&'static str]),
    /// Whatever this sentence says.
    Says(&'static str),
}

/// Why a value is not taken: what is wrong, and where inside the value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refusal {
    /// Bytes of the file, where the value came from one.
    pub(crate) span: Range<usize>,
    /// Follows the knob's name in the message: `is "x", a string`.
    pub(crate) what: String,
    /// Overrides [`Valid`] as the cure.
    pub(crate) cure: Option<String>,
}

impl std::fmt::Display for Valid {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Range(least, most) => write!(f, "a whole number from {least} to {most}"),
            Self::Words(words) => {
                let quoted: Vec<_> = words.iter().map(|word| format!("\"{word}\"")).collect();
                match quoted.split_last() {
                    Some((last, rest)) if !rest.is_empty() => {
                        write!(f, "{} or {last}", rest.join(", "))
                    }
                    _ => f.write_str(&quoted.concat()),
                }
            }
            Self::Says(sentence) => f.write_str(sentence),
        }
    }
}
