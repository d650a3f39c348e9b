//! Entity tags (RFC 9110 section 8.8.3) and the lists of them in `If-Match`
//! and `If-None-Match`.
//!
//! A tag is kept as the header value that is sent, so that sending it costs a
//! reference count and comparing it touches no heap. Lists from clients are
//! read in place by [`TagList`], without allocating.

use std::fmt;

use http::HeaderValue;

/// An entity tag: strong `"opaque"` or weak `W/"opaque"`.
///
/// ```
/// use corelane_proto::semantics::ETag;
/// let tag = ETag::strong("v7").unwrap();
/// assert_eq!(tag.to_string(), "\"v7\"");
/// assert!(tag.strong_eq(&ETag::parse(b"\"v7\"").unwrap()));
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ETag {
    value: HeaderValue,
    weak: bool,
}

/// The text is not an entity tag, or its opaque part has a character no tag
/// may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InvalidETag;

impl ETag {
    /// A strong tag of these opaque characters (without quotes).
    ///
    /// # Errors
    /// When `opaque` has a double quote, a space, a control or a DEL.
    pub fn strong(opaque: &str) -> Result<Self, InvalidETag> {
        Self::build(opaque.as_bytes(), false)
    }

    /// A weak tag of these opaque characters (without quotes).
    ///
    /// # Errors
    /// As [`ETag::strong`].
    pub fn weak(opaque: &str) -> Result<Self, InvalidETag> {
        Self::build(opaque.as_bytes(), true)
    }

    /// The strong tag of a content: its 128-bit XXH3 hash in hexadecimal. The
    /// same on every machine and run. Not collision-proof against whoever
    /// chooses the content, who could only confuse caches of their own bytes.
    pub fn of_bytes(content: &[u8]) -> Self {
        let hash = xxhash_rust::xxh3::xxh3_128(content);
        let text = format!("\"{hash:032x}\"");
        let value = HeaderValue::try_from(text).expect("quotes and hex digits are a header value");
        Self { value, weak: false }
    }

    /// Reads one entity tag and nothing else.
    ///
    /// # Errors
    /// When `text` is anything but one tag.
    pub fn parse(text: &[u8]) -> Result<Self, InvalidETag> {
        match TagRef::split(text) {
            Some((tag, [])) => Self::build(tag.opaque, tag.weak),
            _ => Err(InvalidETag),
        }
    }

    fn build(opaque: &[u8], weak: bool) -> Result<Self, InvalidETag> {
        if !opaque.iter().all(|b| is_etagc(*b)) {
            return Err(InvalidETag);
        }
        let mut text = Vec::with_capacity(opaque.len() + 4);
        text.extend_from_slice(if weak { b"W/\"" } else { b"\"" });
        text.extend_from_slice(opaque);
        text.push(b'"');
        let value = HeaderValue::try_from(text).map_err(|_| InvalidETag)?;
        Ok(Self { value, weak })
    }

    /// Whether it is weak: equal tags then mean equivalent content, not equal
    /// bytes.
    pub fn is_weak(&self) -> bool {
        self.weak
    }

    /// The characters between the quotes.
    pub fn opaque(&self) -> &[u8] {
        self.as_tag_ref().opaque
    }

    /// The header value to send; cloning it copies nothing.
    pub fn header_value(&self) -> &HeaderValue {
        &self.value
    }

    /// A view to compare with tags read from a request.
    pub fn as_tag_ref(&self) -> TagRef<'_> {
        let bytes = self.value.as_bytes();
        let start = if self.weak { 3 } else { 1 };
        TagRef {
            weak: self.weak,
            opaque: &bytes[start..bytes.len() - 1],
        }
    }

    /// Strong comparison (section 8.8.3.2): both strong and the same.
    pub fn strong_eq(&self, other: &ETag) -> bool {
        self.as_tag_ref().strong_eq(other.as_tag_ref())
    }

    /// Weak comparison (section 8.8.3.2): the same opaque part.
    pub fn weak_eq(&self, other: &ETag) -> bool {
        self.as_tag_ref().weak_eq(other.as_tag_ref())
    }
}

impl fmt::Display for ETag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&String::from_utf8_lossy(self.value.as_bytes()))
    }
}

/// Reads the one tag that a value is, and keeps the value.
impl TryFrom<HeaderValue> for ETag {
    type Error = InvalidETag;

    fn try_from(value: HeaderValue) -> Result<Self, InvalidETag> {
        match TagRef::split(value.as_bytes()) {
            Some((TagRef { weak, .. }, [])) => Ok(Self { value, weak }),
            _ => Err(InvalidETag),
        }
    }
}

impl From<ETag> for HeaderValue {
    fn from(tag: ETag) -> Self {
        tag.value
    }
}

impl From<&ETag> for HeaderValue {
    fn from(tag: &ETag) -> Self {
        tag.value.clone()
    }
}

impl fmt::Display for InvalidETag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not an entity tag: \"…\" or W/\"…\" without quotes, spaces or controls inside")
    }
}

impl std::error::Error for InvalidETag {}

/// An entity tag inside a field value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TagRef<'a> {
    /// Whether it was prefixed by `W/`.
    pub weak: bool,
    /// The characters between the quotes.
    pub opaque: &'a [u8],
}

impl<'a> TagRef<'a> {
    /// Both strong and the same.
    pub fn strong_eq(self, other: TagRef<'_>) -> bool {
        !self.weak && !other.weak && self.opaque == other.opaque
    }

    /// The same opaque part.
    pub fn weak_eq(self, other: TagRef<'_>) -> bool {
        self.opaque == other.opaque
    }

    /// The tag `text` begins with, and what follows it.
    fn split(text: &'a [u8]) -> Option<(Self, &'a [u8])> {
        // `W/` is case-sensitive by the grammar.
        let (weak, quoted) = match text.strip_prefix(b"W/") {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        let inner = quoted.strip_prefix(b"\"")?;
        let length = inner.iter().position(|b| !is_etagc(*b))?;
        let rest = inner[length..].strip_prefix(b"\"")?;
        Some((
            Self {
                weak,
                opaque: &inner[..length],
            },
            rest,
        ))
    }
}

/// The value of `If-Match` or `If-None-Match`: `*` or a list of tags.
///
/// Reading stops at the first member that is not an entity tag; the members
/// before it count. RFC 9110 leaves malformed lists open; what each condition
/// makes of one is said at [`evaluate`](super::evaluate).
#[derive(Debug, Clone, Copy)]
pub struct TagList<'a>(&'a [u8]);

impl<'a> TagList<'a> {
    /// The list in a field value. Several lines of the field must have been
    /// joined with commas: [`join_lines`](super::join_lines).
    pub fn new(value: &'a [u8]) -> Self {
        Self(value.trim_ascii())
    }

    /// Whether it is `*`: any current representation matches.
    pub fn is_any(&self) -> bool {
        self.0 == b"*"
    }

    /// Its members. After an `Err` there is nothing more. Empty members are
    /// skipped (RFC 9110 section 5.6.1); `*` is not a member.
    pub fn iter(&self) -> impl Iterator<Item = Result<TagRef<'a>, InvalidETag>> + use<'a> {
        let mut rest = self.0;
        std::iter::from_fn(move || {
            rest = trim_start(rest, b" \t,");
            if rest.is_empty() {
                return None;
            }
            let Some((tag, after)) = TagRef::split(rest) else {
                rest = b"";
                return Some(Err(InvalidETag));
            };
            rest = trim_start(after, b" \t");
            if !rest.is_empty() && rest[0] != b',' {
                rest = b"";
                return Some(Err(InvalidETag));
            }
            Some(Ok(tag))
        })
    }
}

fn trim_start<'a>(text: &'a [u8], skipped: &[u8]) -> &'a [u8] {
    let start = text
        .iter()
        .position(|b| !skipped.contains(b))
        .unwrap_or(text.len());
    &text[start..]
}

/// `etagc = %x21 / %x23-7E / obs-text`.
fn is_etagc(byte: u8) -> bool {
    matches!(byte, 0x21 | 0x23..=0x7e | 0x80..=0xff)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn tags(value: &str) -> Vec<Result<String, InvalidETag>> {
        let show = |tag: TagRef<'_>| {
            let opaque = String::from_utf8_lossy(tag.opaque).into_owned();
            if tag.weak {
                format!("W/{opaque}")
            } else {
                opaque
            }
        };
        TagList::new(value.as_bytes())
            .iter()
            .map(|tag| tag.map(show))
            .collect()
    }

    #[test]
    fn comparison_follows_the_table_of_the_rfc() {
        // RFC 9110 section 8.8.3.2: tag 1, tag 2, strong, weak.
        for (one, two, strong, weak) in [
            ("W/\"1\"", "W/\"1\"", false, true),
            ("W/\"1\"", "W/\"2\"", false, false),
            ("W/\"1\"", "\"1\"", false, true),
            ("\"1\"", "\"1\"", true, true),
        ] {
            let one = ETag::parse(one.as_bytes()).unwrap();
            let two = ETag::parse(two.as_bytes()).unwrap();
            assert_eq!(one.strong_eq(&two), strong, "{one} {two}");
            assert_eq!(one.weak_eq(&two), weak, "{one} {two}");
        }
    }

    #[test]
    fn the_examples_of_the_rfc_parse() {
        for text in ["\"xyzzy\"", "W/\"xyzzy\"", "\"\""] {
            let tag = ETag::parse(text.as_bytes()).unwrap();
            assert_eq!(tag.to_string(), text);
            assert_eq!(HeaderValue::from(&tag), text);
        }
    }

    #[test]
    fn what_is_not_one_tag_is_refused() {
        for text in [
            "", "*", "xyzzy", "\"a", "a\"", "w/\"a\"", "W/ \"a\"", "\"a b\"", "\"a\"b\"", "\"a\",",
        ] {
            assert_eq!(ETag::parse(text.as_bytes()), Err(InvalidETag), "{text}");
        }
        for opaque in ["a\"b", "a b", "a\r\nX: y", "\u{7f}"] {
            assert_eq!(ETag::strong(opaque), Err(InvalidETag), "{opaque:?}");
        }
    }

    #[test]
    fn lists_skip_empty_members_and_keep_commas_inside_tags() {
        assert_eq!(
            tags("\"a\", W/\"b\" ,,\t\"c,d\","),
            [Ok("a".into()), Ok("W/b".into()), Ok("c,d".into())]
        );
        assert_eq!(tags(""), []);
        assert_eq!(tags(" , "), []);
    }

    #[test]
    fn a_malformed_member_ends_the_list_after_those_before_it() {
        assert_eq!(tags("\"a\", b, \"c\""), [Ok("a".into()), Err(InvalidETag)]);
        assert_eq!(tags("\"a\" \"b\""), [Err(InvalidETag)]);
        assert_eq!(tags("*, \"a\""), [Err(InvalidETag)]);
    }

    #[test]
    fn star_is_any_only_alone() {
        assert!(TagList::new(b" * ").is_any());
        assert!(!TagList::new(b"*, \"a\"").is_any());
        assert!(!TagList::new(b"\"*\"").is_any());
    }

    #[test]
    fn the_tag_of_a_content_is_the_same_everywhere() {
        // XXH3-128 of the empty input, from the reference implementation.
        assert_eq!(
            ETag::of_bytes(b"").to_string(),
            "\"99aa06d3014798d86001c324468d497f\""
        );
        assert_ne!(ETag::of_bytes(b"a"), ETag::of_bytes(b"b"));
        assert!(!ETag::of_bytes(b"a").is_weak());
    }

    proptest! {
        #[test]
        fn a_built_tag_reads_back(opaque in "[!#-~]{0,40}", weak: bool) {
            let tag = if weak { ETag::weak(&opaque) } else { ETag::strong(&opaque) }.unwrap();
            prop_assert_eq!(tag.opaque(), opaque.as_bytes());
            prop_assert_eq!(ETag::parse(tag.header_value().as_bytes()), Ok(tag));
        }

        #[test]
        fn a_list_of_tags_reads_back(
            opaques in proptest::collection::vec(("[!#-~]{0,9}", any::<bool>()), 0..6),
            separator in "[ \t]{0,2},[ \t,]{0,3}",
        ) {
            let texts: Vec<String> = opaques
                .iter()
                .map(|(opaque, weak)| format!("{}\"{opaque}\"", if *weak { "W/" } else { "" }))
                .collect();
            let joined = texts.join(&separator);
            let expected: Vec<_> = opaques
                .iter()
                .map(|(opaque, weak)| Ok(TagRef { weak: *weak, opaque: opaque.as_bytes() }))
                .collect();
            prop_assert_eq!(TagList::new(joined.as_bytes()).iter().collect::<Vec<_>>(), expected);
        }

        #[test]
        fn no_bytes_panic_or_loop(value in proptest::collection::vec(any::<u8>(), 0..64)) {
            let members = TagList::new(&value).iter().count();
            prop_assert!(members <= value.len());
        }
    }
}
