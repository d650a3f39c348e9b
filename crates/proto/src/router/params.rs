//! Parameters of a matched path: reusable storage, spans instead of copies.
//!
//! The values stay in the path, which the caller hands in again to read them.

use std::borrow::Cow;

use percent_encoding::percent_decode_str;

/// Parameters of the last path given to [`super::Router::find`]. Reused from
/// request to request; allocates nothing once warm.
#[derive(Debug, Clone, Default)]
pub struct Params {
    /// The names, one after the other.
    names: String,
    spans: Vec<ParamSpan>,
}

/// One parameter: where its name ends in `names`, where its value stands in
/// the path. Paths are shorter than a head, which is under 4 GiB.
#[derive(Debug, Clone, Copy)]
struct ParamSpan {
    name_end: u32,
    start: u32,
    end: u32,
}

impl Params {
    /// Empty storage; allocates on first use.
    pub fn new() -> Self {
        Self::default()
    }

    /// Forgets the parameters, keeps the memory.
    pub fn clear(&mut self) {
        self.names.clear();
        self.spans.clear();
    }

    /// Number of parameters.
    pub fn count(&self) -> usize {
        self.spans.len()
    }

    /// The value of a parameter as sent. `path` must be the path that was
    /// given to `find`.
    pub fn name<'p>(&self, path: &'p str, name: &str) -> Option<&'p str> {
        self.iter(path)
            .find(|(known, _)| *known == name)
            .map(|(_, value)| value)
    }

    /// The value of a parameter, percent-decoded. `None` when there is no such
    /// parameter, and when the value is not valid: `%` without two hexadecimal
    /// digits, or bytes that are not UTF-8 (answer 400). May hold any
    /// character, `/` and NUL included.
    pub fn decoded<'p>(&self, path: &'p str, name: &str) -> Option<Cow<'p, str>> {
        let raw = self.name(path, name)?;
        if !raw.as_bytes().contains(&b'%') {
            return Some(Cow::Borrowed(raw));
        }
        let raw = is_well_encoded(raw.as_bytes()).then_some(raw)?;
        percent_decode_str(raw).decode_utf8().ok()
    }

    /// As [`decoded`](Self::decoded), of bytes that need not be UTF-8.
    pub fn decoded_bytes<'p>(&self, path: &'p str, name: &str) -> Option<Cow<'p, [u8]>> {
        let raw = self.name(path, name)?;
        is_well_encoded(raw.as_bytes()).then(|| percent_decode_str(raw).into())
    }

    /// Every parameter with its value as sent, in the order of the pattern.
    pub fn iter<'a, 'p: 'a>(&'a self, path: &'p str) -> impl Iterator<Item = (&'a str, &'p str)> {
        let mut name_start = 0;
        self.spans.iter().map(move |span| {
            let name = self
                .names
                .get(name_start..span.name_end as usize)
                .unwrap_or_default();
            name_start = span.name_end as usize;
            let value = path
                .get(span.start as usize..span.end as usize)
                .unwrap_or_default();
            (name, value)
        })
    }

    /// Adds a parameter; `value` is a slice of `path`.
    pub(super) fn push(&mut self, path: &str, name: &str, value: &str) {
        let start = (value.as_ptr() as usize).saturating_sub(path.as_ptr() as usize);
        self.names.push_str(name);
        self.spans.push(ParamSpan {
            name_end: self.names.len() as u32,
            start: start as u32,
            end: (start + value.len()) as u32,
        });
    }
}

/// Whether each `%` is followed by two hexadecimal digits.
fn is_well_encoded(raw: &[u8]) -> bool {
    memchr::memchr_iter(b'%', raw).all(|place| {
        raw.get(place + 1..place + 3)
            .is_some_and(|hex| hex.iter().all(u8::is_ascii_hexdigit))
    })
}
