//! Writing JSON straight into a byte buffer.
//!
//! The representations of the API are a handful of known members; writing
//! them in order costs no intermediate tree. Text and floating-point numbers
//! still go through `serde_json`, which knows how to escape and shorten them.

use jiff::Timestamp;
use jiff::fmt::temporal::DateTimePrinter;

/// An object being written, member by member.
pub struct ObjectWriter<'a> {
    out: &'a mut Vec<u8>,
    separator: u8,
}

impl<'a> ObjectWriter<'a> {
    /// Opens an object at the end of `out`.
    pub fn open(out: &'a mut Vec<u8>) -> Self {
        Self {
            out,
            separator: b'{',
        }
    }

    /// Writes a member's name; its value is to be written to what is returned.
    pub fn member(&mut self, name: &'static str) -> &mut Vec<u8> {
        self.out.push(self.separator);
        self.separator = b',';
        self.out.push(b'"');
        self.out.extend_from_slice(name.as_bytes());
        self.out.extend_from_slice(b"\":");
        self.out
    }

    /// A whole number.
    pub fn integer(&mut self, name: &'static str, value: i64) {
        push_integer(self.member(name), value);
    }

    /// A number; `null` when it is not finite, which JSON has no text for.
    pub fn number(&mut self, name: &'static str, value: f64) {
        serde_json::to_writer(self.member(name), &value).expect(MEMORY);
    }

    /// A string, escaped.
    pub fn text(&mut self, name: &'static str, value: &str) {
        serde_json::to_writer(self.member(name), value).expect(MEMORY);
    }

    /// A time as RFC 3339 UTC with milliseconds; `null` outside the years
    /// -9999 to 9999.
    pub fn time(&mut self, name: &'static str, unix_ms: i64) {
        let out = self.member(name);
        let Ok(time) = Timestamp::from_millisecond(unix_ms) else {
            out.extend_from_slice(b"null");
            return;
        };
        out.push(b'"');
        PRINTER
            .print_timestamp(&time, &mut *out)
            .expect("writing a time to memory cannot fail");
        out.push(b'"');
    }

    /// `null`.
    pub fn null(&mut self, name: &'static str) {
        self.member(name).extend_from_slice(b"null");
    }

    /// Closes the object.
    pub fn close(self) {
        if self.separator == b'{' {
            self.out.push(b'{');
        }
        self.out.push(b'}');
    }
}

/// Writes an array, `write` once for each item.
pub fn push_array<T>(
    out: &mut Vec<u8>,
    items: impl IntoIterator<Item = T>,
    mut write: impl FnMut(&mut Vec<u8>, T),
) {
    out.push(b'[');
    for (index, item) in items.into_iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        write(out, item);
    }
    out.push(b']');
}

/// Writes the decimal digits of a number.
pub fn push_integer(out: &mut Vec<u8>, value: i64) {
    out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
}

const MEMORY: &str = "writing a string or number to memory cannot fail";
static PRINTER: DateTimePrinter = DateTimePrinter::new().precision(Some(3));

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    fn written(write: impl FnOnce(&mut ObjectWriter<'_>)) -> String {
        let mut out = Vec::new();
        let mut object = ObjectWriter::open(&mut out);
        write(&mut object);
        object.close();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn members_are_written_in_order() {
        assert_eq!(written(|_| {}), "{}");
        let text = written(|o| {
            o.integer("a", i64::MIN);
            o.text("b", "\"\\\n\u{0}é\u{2028}");
            o.number("c", 48.0);
            o.number("d", f64::NAN);
            o.null("e");
            push_array(o.member("f"), [1, 2], push_integer);
            push_array(o.member("g"), [], push_integer);
        });
        assert_eq!(
            text,
            "{\"a\":-9223372036854775808,\"b\":\"\\\"\\\\\\n\\u0000é\u{2028}\",\
             \"c\":48.0,\"d\":null,\"e\":null,\"f\":[1,2],\"g\":[]}"
        );
    }

    #[test]
    fn times_are_utc_with_milliseconds() {
        for (unix_ms, text) in [
            (0, "\"1970-01-01T00:00:00.000Z\""),
            (1_709_210_096_007, "\"2024-02-29T12:34:56.007Z\""),
            (-1, "\"1969-12-31T23:59:59.999Z\""),
            (i64::MAX, "null"),
            (i64::MIN, "null"),
        ] {
            assert_eq!(
                written(|o| o.time("t", unix_ms)),
                format!("{{\"t\":{text}}}")
            );
        }
    }

    proptest! {
        #[test]
        fn what_is_written_reads_back(text in any::<String>(), integer in any::<i64>()) {
            let out = written(|o| {
                o.text("text", &text);
                o.integer("integer", integer);
            });
            let read: Value = serde_json::from_str(&out).unwrap();
            prop_assert_eq!(read, json!({"text": text, "integer": integer}));
        }
    }
}
