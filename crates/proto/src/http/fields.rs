//! Header fields: those of a request where they were received, and lines of
//! fields that are written once and sent often.

use http::HeaderName;
use http::header::{CONNECTION, CONTENT_LENGTH, DATE, SERVER, TRANSFER_ENCODING};

use crate::limits::HEAD_KEEP_BYTES;

/// The fields of one request. Storage: the bytes of the whole head in one
/// buffer, and where in it each name and value stands.
#[derive(Debug, Default)]
pub struct Fields {
    /// The head as received, then what was put in place of a value.
    bytes: Vec<u8>,
    spans: Vec<FieldSpans>,
}

/// Where one field stands in the bytes of its head.
#[derive(Debug, Clone, Copy)]
pub struct FieldSpans {
    /// A token.
    pub name: Span,
    /// Without white space around it.
    pub value: Span,
}

/// A range of the head's bytes.
#[derive(Debug, Clone, Copy, Default)]
pub struct Span {
    start: u32,
    end: u32,
}

impl Fields {
    /// The first field of that name, in any case.
    pub fn first(&self, name: &str) -> Option<&[u8]> {
        let mut spans = self.spans.iter();
        let found = spans.find(|field| self.is_named(field, name));
        found.map(|field| self.slice(field.value))
    }

    /// Every field of that name, in the order sent.
    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a [u8]> + 'a {
        let named = move |field: &&FieldSpans| self.is_named(field, name);
        let found = self.spans.iter().filter(named);
        found.map(|field| self.slice(field.value))
    }

    /// Every field: name as sent, value without white space around it.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.spans.iter().map(|field| {
            // Names are tokens, so this is always text.
            let name = std::str::from_utf8(self.slice(field.name)).unwrap_or_default();
            (name, self.slice(field.value))
        })
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.spans.len()
    }

    /// Whether a name starts with `prefix`, in any case.
    pub fn has_prefix(&self, prefix: &str) -> bool {
        self.spans.iter().any(|field| {
            let start = self.slice(field.name).get(..prefix.len());
            start.is_some_and(|start| start.eq_ignore_ascii_case(prefix.as_bytes()))
        })
    }

    /// Puts one field with this value in the place of every one of that name;
    /// without one nothing changes.
    pub fn replace(&mut self, name: &str, value: &[u8]) {
        let of_name: Vec<usize> = (0..self.spans.len())
            .filter(|index| self.is_named(&self.spans[*index], name))
            .collect();
        let Some((first, others)) = of_name.split_first() else {
            return;
        };
        let start = self.bytes.len();
        self.bytes.extend_from_slice(value);
        self.spans[*first].value = Span::new(start, self.bytes.len());
        for index in others.iter().rev() {
            self.spans.remove(*index);
        }
    }

    /// Adds a field; its bytes may come later, by [`set_bytes`](Self::set_bytes).
    pub fn push(&mut self, field: FieldSpans) {
        self.spans.push(field);
    }

    /// The bytes that every span is a range of: copied, so that the buffer they
    /// were received in is free for the body.
    pub fn set_bytes(&mut self, bytes: &[u8]) {
        self.bytes.clear();
        self.bytes.extend_from_slice(bytes);
    }

    /// Forgets all, keeps the memory.
    pub(super) fn reset(&mut self) {
        self.bytes.clear();
        self.spans.clear();
    }

    /// Gives back memory above a small keep.
    pub(super) fn shrink(&mut self) {
        self.bytes.shrink_to(HEAD_KEEP_BYTES);
        self.spans
            .shrink_to(HEAD_KEEP_BYTES / size_of::<FieldSpans>());
    }

    /// The bytes there; none for a span of other bytes.
    pub(super) fn slice(&self, span: Span) -> &[u8] {
        self.bytes
            .get(span.start as usize..span.end as usize)
            .unwrap_or_default()
    }

    fn is_named(&self, field: &FieldSpans, name: &str) -> bool {
        field.name.bytes() == name.len()
            && self.slice(field.name).eq_ignore_ascii_case(name.as_bytes())
    }
}

impl Span {
    /// The range; codecs keep heads under 4 GiB.
    pub fn new(start: usize, end: usize) -> Self {
        Self {
            start: start as u32,
            end: end as u32,
        }
    }

    fn bytes(self) -> usize {
        (self.end - self.start) as usize
    }
}

/// Appends one field line, `name: value` and its end. Neither name nor value is
/// looked at: both must be of a form that HTTP allows.
pub fn encode_field_line(out: &mut Vec<u8>, name: &str, value: &[u8]) {
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b": ");
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
}

/// Whether the server writes this field itself, whatever a handler says: who
/// and when, and what is about the connection.
pub fn is_servers_own(name: &HeaderName) -> bool {
    [DATE, SERVER, CONTENT_LENGTH, TRANSFER_ENCODING, CONNECTION].contains(name)
}
