//! Which media types are compressed.

use std::fmt;

/// A list of media types: `application/json`, or with a `*` for what may stand
/// at the end (`text/*`) or at the beginning (`*json`, which is `application/json`
/// and everything with the suffix `+json`). Case does not matter.
///
/// ```
/// use corelane::internals::compression::MediaTypes;
/// let types = MediaTypes::default();
/// assert!(types.contains(b"application/problem+json; charset=utf-8"));
/// assert!(!types.contains(b"image/png"));
/// assert!(MediaTypes::new(["json"]).is_err() && MediaTypes::new(["*json"]).is_ok());
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MediaTypes(Vec<Pattern>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Pattern {
    /// `text/*`, kept as `text/`.
    Within(Box<[u8]>),
    /// `*json`, kept as `json`.
    Ending(Box<[u8]>),
    Exactly(Box<[u8]>),
}

/// Neither a media type nor `type/*` or `*ending`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InvalidMediaType(pub String);

impl MediaTypes {
    /// What is text, or compresses like it. Images, films, fonts (woff2) and
    /// archives are compressed already.
    pub const DEFAULT: &[&str] = &[
        "text/*",
        "*json",
        "*xml",
        "*/javascript",
        "application/wasm",
    ];

    /// These media types.
    ///
    /// # Errors
    /// [`InvalidMediaType`]: the first that is none.
    pub fn new<T: AsRef<str>>(
        types: impl IntoIterator<Item = T>,
    ) -> Result<Self, InvalidMediaType> {
        let patterns = types.into_iter().map(|text| Pattern::parse(text.as_ref()));
        patterns.collect::<Result<_, _>>().map(Self)
    }

    /// Whether the media type of this `Content-Type` is one of them.
    pub fn contains(&self, content_type: &[u8]) -> bool {
        let mut parts = content_type.split(|byte| *byte == b';');
        let essence = parts.next().unwrap_or_default().trim_ascii();
        essence.contains(&b'/') && self.0.iter().any(|pattern| pattern.matches(essence))
    }
}

impl Default for MediaTypes {
    fn default() -> Self {
        Self::new(Self::DEFAULT).expect("checked by a test")
    }
}

impl Pattern {
    fn parse(text: &str) -> Result<Self, InvalidMediaType> {
        let kept = |text: &str| text.as_bytes().into();
        let pattern = match (text.strip_prefix('*'), text.split_once('/')) {
            (Some(end), _) => {
                let names = end.strip_prefix('/').unwrap_or(end);
                is_name(names).then(|| Self::Ending(kept(end)))
            }
            (None, Some((top, "*"))) if is_name(top) => {
                Some(Self::Within(kept(&text[..text.len() - 1])))
            }
            (None, Some((top, sub))) if is_name(top) && is_name(sub) => {
                Some(Self::Exactly(kept(text)))
            }
            _ => None,
        };
        pattern.ok_or_else(|| InvalidMediaType(text.to_owned()))
    }

    fn matches(&self, essence: &[u8]) -> bool {
        let length = essence.len();
        let (part, wanted) = match self {
            Self::Within(start) => (essence.get(..start.len()), start),
            Self::Ending(end) => {
                let start = length.saturating_sub(end.len());
                (essence.get(start..), end)
            }
            Self::Exactly(all) => (Some(essence), all),
        };
        part.is_some_and(|part| part.eq_ignore_ascii_case(wanted))
    }
}

/// A name of RFC 6838 section 4.2, which is a token without its odder signs.
fn is_name(text: &str) -> bool {
    let is_allowed = |b: u8| b.is_ascii_alphanumeric() || b"!#$&-^_.+".contains(&b);
    !text.is_empty() && text.bytes().all(is_allowed)
}

impl fmt::Display for InvalidMediaType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:?} is no media type; give one like application/json, text/* or *json",
            self.0
        )
    }
}

impl std::error::Error for InvalidMediaType {}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn text_is_compressed_and_what_is_compressed_already_is_not() {
        let types = MediaTypes::default();
        for text in [
            "text/html; charset=utf-8",
            "TEXT/plain",
            "text/event-stream",
            "application/json",
            "application/json;charset=utf-8",
            " application/JSON ; a=b",
            "application/problem+json",
            "application/vnd.api+Json",
            "image/svg+xml",
            "application/wasm",
            "application/x-ndjson",
            "application/javascript",
            "application/xml",
        ] {
            assert!(types.contains(text.as_bytes()), "{text}");
        }
        for text in [
            "",
            ";",
            "text",
            "image/png",
            "application/octet-stream",
            "application/jsonp",
            "application/gzip",
            "multipart/byteranges; boundary=text/html",
            "font/woff2",
            "json",
        ] {
            assert!(!types.contains(text.as_bytes()), "{text}");
        }
    }

    #[test]
    fn what_is_no_media_type_is_refused() {
        for text in [
            "", "json", "*", "*/*", "/", "text/", "/json", "*/", "*/a/b", "**", "*a b", "a b/c",
            "a/b;c", "text/*/*",
        ] {
            let refused = MediaTypes::new([text]);
            assert_eq!(refused, Err(InvalidMediaType(text.to_owned())), "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_panic(value in proptest::collection::vec(any::<u8>(), 0..40)) {
            MediaTypes::default().contains(&value);
            let _ = MediaTypes::new([String::from_utf8_lossy(&value)]);
        }
    }
}
