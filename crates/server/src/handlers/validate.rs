//! What is wrong with a request, collected so that all of it is told at once.
//!
//! Query strings and bodies are checked field by field; each fault is added
//! here and the handler answers 422 when there is any. What is sent back is
//! bounded, however much was wrong: the rest is counted, and names that came
//! from the client are cut.

use crate::handlers::limits::{FIELD_ERRORS_MAX, FIELD_NAME_SHOWN_CHARS_MAX};
use crate::nearest::nearest;
use corelane::Error;
use corelane::error::FieldError;

/// The fields of a request that failed validation, in the order found.
#[derive(Debug, Default)]
pub struct Faults {
    shown: Vec<FieldError>,
    hidden_count: usize,
}

impl Faults {
    /// None so far.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a field and what would be valid for it.
    pub fn add(&mut self, field: &str, message: impl Into<String>) {
        if self.shown.len() < FIELD_ERRORS_MAX {
            self.shown.push(FieldError::new(shortened(field), message));
        } else {
            self.hidden_count += 1;
        }
    }

    /// Adds a field nobody knows, with the nearest one of `known`.
    pub fn add_unknown(&mut self, field: &str, known: &[&str]) {
        if self.shown.len() >= FIELD_ERRORS_MAX {
            self.hidden_count += 1;
            return;
        }
        let known_list = known.join(", ");
        let message = match nearest(field, known.iter().copied()) {
            Some(name) => format!("is not known; did you mean `{name}`? Known are: {known_list}"),
            None => format!("is not known; known are: {known_list}"),
        };
        self.add(field, message);
    }

    /// Whether nothing is wrong.
    pub fn is_empty(&self) -> bool {
        self.shown.is_empty()
    }

    /// `value` when nothing was wrong.
    ///
    /// # Errors
    /// 422 with every fault found; 500 when there is neither a fault nor a
    /// value, which is a mistake of the caller.
    pub fn unless_any<T>(self, value: Option<T>) -> Result<T, Error> {
        match value {
            Some(value) if self.is_empty() => Ok(value),
            None if self.is_empty() => Err(Error::internal("a check failed without a fault")),
            _ => Err(self.into_error()),
        }
    }

    /// The 422 that tells every fault.
    pub fn into_error(mut self) -> Error {
        if self.hidden_count > 0 {
            let message = format!("and {} more that are not listed", self.hidden_count);
            self.shown.push(FieldError::new("…", message));
        }
        Error::validation(self.shown)
    }
}

/// Whether a character shows by itself. Not so are white space and control
/// characters, what only says how others are written (joiners, directions,
/// variants, tags), fillers, and marks that stand on another character.
pub fn is_visible(c: char) -> bool {
    let is_hidden = INVISIBLE.iter().any(|range| range.contains(&(c as u32)));
    !c.is_whitespace() && !c.is_control() && !is_hidden
}

/// Of Unicode 16: Default_Ignorable_Code_Point, the format characters beside
/// them that have no glyph, the combining marks of all scripts, and the blanks
/// that are no white space.
const INVISIBLE: &[std::ops::RangeInclusive<u32>] = &[
    0x00AD..=0x00AD,
    0x0300..=0x036F,
    0x0483..=0x0489,
    0x061C..=0x061C,
    0x070F..=0x070F,
    0x115F..=0x1160,
    0x17B4..=0x17B5,
    0x180B..=0x180F,
    0x1AB0..=0x1AFF,
    0x1DC0..=0x1DFF,
    0x200B..=0x200F,
    0x202A..=0x202E,
    0x2060..=0x206F,
    0x20D0..=0x20FF,
    0x2800..=0x2800,
    0x3164..=0x3164,
    0xFE00..=0xFE0F,
    0xFE20..=0xFE2F,
    0xFEFF..=0xFEFF,
    0xFFA0..=0xFFA0,
    0xFFF0..=0xFFFB,
    0xFFFE..=0xFFFF,
    0x1_BCA0..=0x1_BCA3,
    0x1_D159..=0x1_D159,
    0x1_D173..=0x1_D17A,
    0xE_0000..=0xE_0FFF,
];

/// The 422 of a single field.
pub fn fault(field: &str, message: impl Into<String>) -> Error {
    let mut faults = Faults::new();
    faults.add(field, message);
    faults.into_error()
}

fn shortened(name: &str) -> String {
    let mut chars = name.chars();
    let mut short: String = chars.by_ref().take(FIELD_NAME_SHOWN_CHARS_MAX).collect();
    if chars.next().is_some() {
        short.push('…');
    }
    short
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_shows_by_itself_is_visible() {
        for visible in "aÉ漢字ايनあ-_.1😀ꙮ".chars() {
            assert!(is_visible(visible), "{visible}");
        }
        for hidden in "\u{200B}\u{FEFF}\u{202E}\u{200D}\u{2060}\u{AD}\u{34F}\u{301}\u{3164}\u{2800}\
                       \u{115F}\u{FE0F}\u{E0041}\u{A0}\u{3000}\u{85}\u{2066}\u{180E}\u{FFA0} \t"
            .chars()
        {
            assert!(!is_visible(hidden), "U+{:04X}", hidden as u32);
        }
    }

    #[test]
    fn however_much_is_wrong_the_answer_stays_short() {
        let mut faults = Faults::new();
        for _ in 0..1_000 {
            faults.add_unknown(&"é".repeat(10_000), &["name"]);
        }
        let error = faults.into_error();
        assert_eq!(error.fields().len(), FIELD_ERRORS_MAX + 1);
        assert_eq!(
            error.fields()[FIELD_ERRORS_MAX].message,
            "and 968 more that are not listed"
        );
        assert!(error.problem_json().len() < 16 * 1024);
    }

    #[test]
    fn a_value_is_given_out_only_when_nothing_is_wrong() {
        assert_eq!(Faults::new().unless_any(Some(1)).unwrap(), 1);
        let mut faults = Faults::new();
        faults.add("age", "0 to 150");
        assert_eq!(faults.unless_any(Some(1)).unwrap_err().status(), 422);
        let neither = Faults::new().unless_any(None::<()>).unwrap_err();
        assert_eq!(neither.status(), 500);
    }
}
